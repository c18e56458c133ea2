"""S3, Glue and Secrets Manager written to a folder when the local AWS goes down, and read back when it comes up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

_TABLE_KEYS = frozenset({"Name", "Description", "Owner", "Retention", "StorageDescriptor", "PartitionKeys", "TableType", "Parameters"})
_PARTITION_KEYS = frozenset({"Values", "StorageDescriptor", "Parameters"})


def save(folder: Path, s3: Any, glue: Any, secrets: Any) -> None:
    """Write everything; the folder is replaced as a whole."""
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "objects").mkdir(parents=True)
    (fresh / "index.json").write_text(json.dumps({"s3": _objects(s3, fresh / "objects"), "glue": _databases(glue), "secrets": _secrets(secrets)}, default=str))
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _objects(s3: Any, folder: Path) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    number = 0
    for bucket in (b["Name"] for b in s3.list_buckets()["Buckets"]):
        found[bucket] = []
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for item in page.get("Contents", ()):
                number += 1
                (folder / str(number)).write_bytes(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
                found[bucket].append({"key": item["Key"], "file": str(number), "etag": item["ETag"].strip('"')})
    return found


def _databases(glue: Any) -> dict[str, list[dict[str, Any]]]:
    names = [d["Name"] for page in glue.get_paginator("get_databases").paginate() for d in page["DatabaseList"]]
    return {n: [_table(glue, n, t) for page in glue.get_paginator("get_tables").paginate(DatabaseName=n) for t in page["TableList"]] for n in names}


def _table(glue: Any, database: str, table: dict[str, Any]) -> dict[str, Any]:
    pages = glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=table["Name"])
    partitions = [{k: v for k, v in p.items() if k in _PARTITION_KEYS} for page in pages for p in page["Partitions"]]
    return {**{k: v for k, v in table.items() if k in _TABLE_KEYS}, "Partitions": partitions}


def _secrets(secrets: Any) -> dict[str, str]:
    names = [s["Name"] for page in secrets.get_paginator("list_secrets").paginate() for s in page["SecretList"]]
    return {n: secrets.get_secret_value(SecretId=n).get("SecretString", "") for n in names}


def restore(folder: Path, s3: Any, glue: Any, secrets: Any) -> None:
    """Put back what `save` wrote; etags too, of objects that came in parts."""
    if not (folder / "index.json").exists():
        return
    index = json.loads((folder / "index.json").read_text())
    for bucket, items in index["s3"].items():
        s3.create_bucket(Bucket=bucket)
        for item in items:
            s3.put_object(Bucket=bucket, Key=item["key"], Body=(folder / "objects" / item["file"]).read_bytes())
            _same_etag(bucket, item["key"], item["etag"])
    for database, tables in index["glue"].items():
        glue.create_database(DatabaseInput={"Name": database})
        for table in tables:
            partitions = table.pop("Partitions", ())
            glue.create_table(DatabaseName=database, TableInput=table)
            for partition in partitions:
                glue.create_partition(DatabaseName=database, TableName=table["Name"], PartitionInput=partition)
    for name, text in index["secrets"].items():
        secrets.create_secret(Name=name, SecretString=text)


def _same_etag(bucket: str, key: str, etag: str) -> None:
    from moto.s3.models import s3_backends

    (backend,) = {id(b): b for account in s3_backends.values() for b in account.values()}.values()
    backend.buckets[bucket].keys[key]._etag = etag
