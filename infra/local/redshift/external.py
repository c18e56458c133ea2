"""External schemas and tables: statements about them become calls of Glue; views that bind late are kept as texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from penstock.infra.local.errors import NotLocalError, SqlError

from .glue_tables import ExternalTable, Formats, external_table, hive_type, pg_type
from .logs import Logs
from .objects import listed, split_url
from .scans import Scans
from .streams import Exchange
from .tokens import Token, arguments, closing, find, tokenize

Schemas = Mapping[str, str]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _catalog() -> Any:
    """What Glue holds, without a request: a query reads it each time anew, as many partitions as there are."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.glue.models import glue_backends

    return glue_backends[DEFAULT_ACCOUNT_ID]["us-east-1"]


class Externals:
    """The external tables of one server."""

    def __init__(self, s3: Callable[[], Any], glue: Callable[[], Any], exchange: Exchange, logs: Logs) -> None:
        self._s3, self._glue = s3, glue
        self._scans = Scans(s3, exchange, logs)

    def close(self) -> None:
        self._scans.close()

    def table(self, database: str, name: str) -> ExternalTable:
        """Raises SqlError where Glue has none of that name."""
        from moto.glue.exceptions import EntityNotFoundException

        try:
            return external_table(_catalog().get_table(database, name).as_dict())
        except EntityNotFoundException:
            raise SqlError("42P01", f'relation "{name}" does not exist in the external database {database}') from None

    def scan(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The stream of a scan's rows."""
        scan = asked["scan"]
        table = self.table(scan["database"], scan["table"])
        return self._scans.begin(table, scan, asked["wanted"] or {}, int(asked["pid"]), lambda: self._partitions(table))

    def _partitions(self, table: ExternalTable) -> list[dict[str, Any]]:
        found = (p.as_dict() for p in _catalog().get_partitions(table.database, table.name, ""))
        return [{"values": p["Values"], "location": p["StorageDescriptor"]["Location"]} for p in found]

    # statements

    def changed(self, sql: str, schemas: Schemas) -> list[str]:
        """Do what a statement says of external things; returns what PostgreSQL is to run besides."""
        tokens = [t for t in tokenize(sql) if t.text != ";"]
        words = [t.word for t in tokens]
        if words[:3] == ["CREATE", "EXTERNAL", "SCHEMA"]:
            return self._create_schema(tokens, words)
        if words[:3] == ["CREATE", "EXTERNAL", "TABLE"]:
            return self._create_table(sql, tokens, words, schemas)
        if "VIEW" in words[:4]:
            return self._view(sql, tokens, words)
        if words[0] == "ALTER":
            return self._alter(tokens, words, schemas)
        if words[0] == "INSERT":
            return self._insert(sql, tokens, words, schemas)
        if words[:2] == ["DROP", "SCHEMA"]:
            return self._drop_schema(tokens, words, schemas)
        return self._drop_table(tokens, words, schemas)

    def _create_schema(self, tokens: Sequence[Token], words: Sequence[str]) -> list[str]:
        at = 6 if words[3] == "IF" else 3
        name = tokens[at].name
        if words[at + 1 : at + 4] != ["FROM", "DATA", "CATALOG"]:
            raise NotLocalError(f"external schemas from {' '.join(words[at + 2 : at + 4]).lower()}")
        database, role = (tokens[words.index(w) + 1].value for w in ("DATABASE", "IAM_ROLE"))
        glue = self._glue()
        if find(tokens, ["CREATE", "EXTERNAL", "DATABASE"], at) >= 0:
            with suppress(glue.exceptions.AlreadyExistsException):
                glue.create_database(DatabaseInput={"Name": database})
        exists = "IF NOT EXISTS " if words[3] == "IF" else ""
        conflict = " ON CONFLICT DO NOTHING" if exists else ""
        return [f'CREATE SCHEMA {exists}"{name}"', f"INSERT INTO rsi.external_schemas VALUES ({_text(name)}, {_text(database)}, {_text(role)}){conflict}"]

    def _create_table(self, sql: str, tokens: Sequence[Token], words: Sequence[str], schemas: Schemas) -> list[str]:
        at = 6 if words[3] == "IF" else 3
        database, name = self._named(tokens, at, schemas)
        opening = at + 3
        columns = self._columns(tokens, opening) if tokens[opening].text == "(" else []
        partitioned = find(tokens, ["PARTITIONED", "BY"], at)
        query = next((i for i in range(at, len(words)) if words[i] == "AS" and words[i + 1] in ("SELECT", "WITH", "(")), len(words))
        location = tokens[find(tokens, ["LOCATION"], at) + 1].value if find(tokens, ["LOCATION"], at) >= 0 else ""
        if not location.startswith("s3://"):
            raise SqlError("42601", "CREATE EXTERNAL TABLE needs LOCATION 's3://…'")
        formats = Formats.read(tokens, at, query)
        if query < len(words):
            keys = [tokens[a].name for a, _ in arguments(tokens, partitioned + 2)] if partitioned >= 0 else []
            inner = sql[tokens[query + 1].start :].rstrip().rstrip(";")
            return self._written(database, name, location, inner, keys, create=True)
        keys_typed = self._columns(tokens, partitioned + 2) if partitioned >= 0 else []
        self._make(database, name, formats.table_input(name, location, columns, keys_typed), if_not_exists=words[3] == "IF")
        return []

    def _make(self, database: str, name: str, table: Mapping[str, Any], *, if_not_exists: bool) -> None:
        glue = self._glue()
        try:
            glue.create_table(DatabaseName=database, TableInput=table)
        except glue.exceptions.AlreadyExistsException:
            if not if_not_exists:
                raise SqlError("42P07", f'relation "{name}" already exists') from None
        except glue.exceptions.EntityNotFoundException:
            raise SqlError("3F000", f"the external database {database} does not exist in Glue") from None

    @staticmethod
    def _columns(tokens: Sequence[Token], opening: int) -> list[tuple[str, str]]:
        """(name, Hive's type) of each column."""
        return [(tokens[a].name, hive_type("".join(t.text for t in tokens[a + 1 : b]))) for a, b in arguments(tokens, opening)]

    @staticmethod
    def _named(tokens: Sequence[Token], at: int, schemas: Schemas) -> tuple[str, str]:
        """(database of Glue, table) of `schema.table`."""
        schema = tokens[at].name
        if schema not in schemas or tokens[at + 1].text != ".":
            raise SqlError("3F000", f'schema "{schema}" is not an external schema')
        return schemas[schema], tokens[at + 2].name

    def _alter(self, tokens: Sequence[Token], words: Sequence[str], schemas: Schemas) -> list[str]:
        database, name = self._named(tokens, 2, schemas)
        glue = self._glue()
        if words[5:6] == ["ADD"]:
            exists = "IF" in words[5:8]
            for i in (i for i in range(5, len(words)) if words[i] == "PARTITION"):
                values, end = self._values(tokens, i + 1)
                self._add_partition(database, name, values, tokens[end + 1].value, if_not_exists=exists)
            return []
        if words[5:7] == ["DROP", "PARTITION"]:
            values, _ = self._values(tokens, 7)
            glue.delete_partition(DatabaseName=database, TableName=name, PartitionValues=values)
            return []
        if words[5:7] == ["SET", "LOCATION"]:
            table = glue.get_table(DatabaseName=database, Name=name)["Table"]
            known = {k: v for k, v in table.items() if k in ("Name", "StorageDescriptor", "PartitionKeys", "TableType", "Parameters")}
            known["StorageDescriptor"]["Location"] = tokens[7].value
            glue.update_table(DatabaseName=database, TableInput=known)
            return []
        raise NotLocalError(f"ALTER of an external table: {' '.join(words[5:8])}")

    @staticmethod
    def _values(tokens: Sequence[Token], opening: int) -> tuple[list[str], int]:
        """(values, the index of the word behind) of `(a = 'x', b = 1)`."""
        found = [tokens[b - 1].value for a, b in arguments(tokens, opening)]
        return found, closing(tokens, opening) + 1

    def _add_partition(self, database: str, name: str, values: Sequence[str], location: str, *, if_not_exists: bool) -> None:
        glue = self._glue()
        descriptor = {**glue.get_table(DatabaseName=database, Name=name)["Table"]["StorageDescriptor"], "Location": location}
        try:
            glue.create_partition(DatabaseName=database, TableName=name, PartitionInput={"Values": list(values), "StorageDescriptor": descriptor})
        except glue.exceptions.AlreadyExistsException:
            if not if_not_exists:
                raise SqlError("42710", f"the partition {', '.join(values)} of {name} already exists") from None

    # rows into external tables

    def _insert(self, sql: str, tokens: Sequence[Token], words: Sequence[str], schemas: Schemas) -> list[str]:
        database, name = self._named(tokens, 2, schemas)
        table = self.table(database, name)
        if table.kind != "parquet":
            raise NotLocalError(f"INSERT into an external table of {table.kind}")
        at = next(i for i, w in enumerate(words) if w in ("SELECT", "WITH", "(") and i > 4)
        names = ", ".join(f'"{n}"' for n in (*table.columns, *table.keys))
        query = f"SELECT {names} FROM ({sql[tokens[at].start :].rstrip().rstrip(';')}) rs_given({names})"
        return self._written(database, name, table.location, query, list(table.keys), create=False)

    def _written(self, database: str, name: str, location: str, query: str, keys: Sequence[str], *, create: bool) -> list[str]:
        """The query's rows as files below the location, then the table and its partitions."""
        from secrets import token_hex

        prefix = f"{location.rstrip('/')}/"
        by = f" PARTITION BY ({', '.join(keys)})" if keys else ""
        mark = token_hex(6)
        unload = f"UNLOAD ($rs${query}$rs$) TO {_text(prefix)} IAM_ROLE default FORMAT AS PARQUET{by} ALLOWOVERWRITE EXTENSION '{mark}.parquet'"
        told = {"database": database, "table": name, "location": location, "keys": list(keys), "create": create, "mark": mark, "query": query}
        return [f"CALL rsi.unload({_text(unload)})", f"SELECT rsi.ask('register', {_text(json.dumps(told))}::jsonb)"]

    def register(self, asked: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> None:
        """A table whose files are there, where it is to be made, and the partitions that have files."""
        database, name, location, keys = str(asked["database"]), str(asked["table"]), str(asked["location"]), list(asked["keys"])
        if asked["create"]:
            typed = [(n, hive_type(t)) for n, t in columns]
            data, by = [c for c in typed if c[0] not in keys], [c for c in typed if c[0] in keys]
            self._make(database, name, Formats("parquet").table_input(name, location, data, by), if_not_exists=False)
        if not keys:
            return
        bucket, prefix = split_url(f"{location.rstrip('/')}/")
        for folder in {o.url.rpartition("/")[0] for o in listed(self._s3(), bucket, prefix) if o.url.endswith(f"{asked['mark']}.parquet")}:
            parts = folder.removeprefix(f"s3://{bucket}/{prefix}").split("/")
            self._add_partition(database, name, [unquote(p.partition("=")[2]) for p in parts], f"{folder}/", if_not_exists=True)

    # what goes, and views

    def _drop_table(self, tokens: Sequence[Token], words: Sequence[str], schemas: Schemas) -> list[str]:
        at = 4 if words[2] == "IF" else 2
        database, name = self._named(tokens, at, schemas)
        glue = self._glue()
        try:
            glue.delete_table(DatabaseName=database, Name=name)
        except glue.exceptions.EntityNotFoundException:
            if words[2] != "IF":
                raise SqlError("42P01", f'relation "{name}" does not exist') from None
        return []

    def _drop_schema(self, tokens: Sequence[Token], words: Sequence[str], schemas: Schemas) -> list[str]:
        at = 4 if words[2] == "IF" else 2
        name = tokens[at].name
        if "EXTERNAL" in words and name in schemas:
            self._glue().delete_database(Name=schemas[name])
        exists = "IF EXISTS " if words[2] == "IF" else ""
        return [f"DELETE FROM rsi.external_schemas WHERE name = {_text(name)}", f'DROP SCHEMA {exists}"{name}" CASCADE']

    def _view(self, sql: str, tokens: Sequence[Token], words: Sequence[str]) -> list[str]:
        """CREATE VIEW … WITH NO SCHEMA BINDING."""
        at, query = words.index("VIEW") + 1, find(tokens, ["AS"])
        listed = next((i for i in range(at, query) if tokens[i].text == "("), query)
        name, columns = ("".join(f'"{t.name}"' if t.is_name else t.text for t in part) for part in (tokens[at:listed], tokens[listed:query]))
        end = find(tokens, ["WITH", "NO", "SCHEMA", "BINDING"], query)
        text = sql[tokens[query + 1].start : tokens[end - 1].end]
        text = f"SELECT * FROM ({text}) rs_named {columns}" if columns else text
        return [
            *([f"DROP VIEW IF EXISTS {name}"] if "REPLACE" in words[:at] else []),
            f"CREATE VIEW {name} AS SELECT NULL::text AS rs_bound_late",
            "DELETE FROM rsi.late_views WHERE relation NOT IN (SELECT oid FROM pg_class)",
            f"INSERT INTO rsi.late_views VALUES ({_text(name)}::regclass, {_text(text)})",
        ]

    # system views

    def listed(self, kind: str, schemas: Mapping[str, str]) -> list[dict[str, Any]]:
        """The rows of `svv_external_tables`, `…_columns`, `…_partitions`."""
        found: list[dict[str, Any]] = []
        for schema, database in schemas.items():
            try:
                tables = [t for page in self._glue().get_paginator("get_tables").paginate(DatabaseName=database) for t in page["TableList"]]
            except self._glue().exceptions.EntityNotFoundException:
                continue
            for table in map(external_table, tables):
                found += self._rows(kind, schema, table)
        return found

    def _rows(self, kind: str, schema: str, table: ExternalTable) -> list[dict[str, Any]]:
        about = {"schemaname": schema, "tablename": table.name}
        if kind == "external_tables":
            return [{**about, "tabletype": "TABLE", "location": table.location, "input_format": table.input_format,
                     "parameters": json.dumps(table.properties), "compressed": 0}]  # fmt: skip
        if kind == "external_columns":
            numbered = enumerate([*table.columns.items(), *table.keys.items()], 1)
            return [{**about, "columnname": n, "external_type": t, "columnnum": i,
                     "part_key": list(table.keys).index(n) + 1 if n in table.keys else 0, "is_nullable": "true"} for i, (n, t) in numbered]  # fmt: skip
        if not table.keys:
            return []
        return [{**about, "values": json.dumps(p["values"]), "location": p["location"]} for p in self._partitions(table)]


def as_pg(table: ExternalTable) -> list[tuple[str, str]]:
    """(name, PostgreSQL's type) of each column, the partitions' last."""
    return [(n, pg_type(t)) for n, t in (*table.columns.items(), *table.keys.items())]
