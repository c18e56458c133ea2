"""Tables on S3, in Glue: compacted, rid of former states, of strays and of keys as those on this machine are."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pipelines import EVENTS, Project, context, event, events, on_aws

from penstock.config import AwsSettings
from penstock.connectors.s3.access import client
from penstock.engines import deleting
from penstock.infra.local.control import LocalAws
from penstock.tables import LakeTable

LATER = datetime.now(UTC) + timedelta(days=30)
FILES = 6


class Shop(Project):
    bucket, table = "", ""
    s3: Any = None

    def objects(self) -> Iterator[tuple[str, bytes]]:
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for item in page.get("Contents", ()):
                yield item["Key"], self.s3.get_object(Bucket=self.bucket, Key=item["Key"])["Body"].read()

    def deliver(self, number: int, *lines: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=f"orders/{number}.json", Body=events(*lines).encode())

    def lake(self) -> LakeTable:
        found = context(self).lake_table(self.table)
        assert found
        return found


@pytest.fixture(params=["iceberg", "delta"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop(tmp_path)
    made.bucket = local_bucket("kept")
    made.table = f"lake.{made.bucket.replace('-', '_')}.orders"
    made.s3 = client("s3", AwsSettings.from_environment(local_aws.environment()))
    text = EVENTS.replace("FORMAT", request.param).replace("keys: [id]", "keys: [id]\n    readers: [spark]\n    maintain: {min_files: 2}")
    made.write("pipeline.yaml", on_aws(text, made.bucket))
    for i in range(FILES):
        made.deliver(i, *(event("c", 10 * k + i, 100 * i + k, "Ann" if (k, i) == (1, 3) else "new", f"{i}.00") for k in range(5)))
    with monkeypatch.context() as patch:
        patch.setattr(deleting, "LARGE_ROWS", 1)  # each file is taken for one that stays where it is
        done = made.penstock("run", ".")
    assert done.code == 0, done.err
    return made


def test_files_go_together_and_former_states_and_strays_go(shop: Shop) -> None:
    rows, files = shop.rows(shop.table), len(shop.lake().files(shop.lake().pin()))
    maintained = shop.penstock("maintain", "--all")
    assert maintained.code == 0, maintained.err
    assert len(shop.lake().files(shop.lake().pin())) < files
    stray = f"{shop.lake().location.removeprefix(f's3://{shop.bucket}/')}/data/stray.parquet"
    shop.s3.put_object(Bucket=shop.bucket, Key=stray, Body=b"of a killed run")
    before = {key for key, _ in shop.objects() if key.endswith(".parquet")}
    shop.lake().expire(LATER, ())
    shop.lake().sweep(LATER, LATER, ())
    left = {key for key, _ in shop.objects() if key.endswith(".parquet")}
    live = {f.uri.removeprefix(f"s3://{shop.bucket}/") for f in shop.lake().files(shop.lake().pin())}
    of_table = {key for key in left if key.startswith(stray.partition("/data/")[0] + "/") and "_delta_log" not in key}
    assert (stray in before, of_table) == (True, live)
    assert shop.rows(shop.table) == rows
    shop.deliver(FILES, event("d", 10, 9000))
    done, steps = shop.record()
    assert (done.code, steps["orders"]["batches"]) == (0, [FILES + 1]), done.err
    assert [r["id"] for r in shop.rows(shop.table, "id")] == [r["id"] for r in rows if r["id"] != 10]


def test_a_key_is_gone_from_everywhere_however_often_its_removal_is_killed(shop: Shop) -> None:
    before = shop.rows(shop.table)
    shop.write("keys.csv", "id\n13\n")
    asked = ("erase", shop.table, "--keys", "keys.csv", "--json")
    for point in ("after_rewriting", "after_landing", "after_erasing", "after_erasing:2"):
        assert shop.process(*asked, PENSTOCK_KILL_AT=point).code == -signal.SIGKILL, point
    done = shop.penstock(*asked)
    assert done.code == 0, (done.out, done.err)
    proof = json.loads(done.out)
    assert {p["left"] for p in proof["places"]} == {0}
    assert not [key for key, data in shop.objects() if b"Ann" in data]
    assert shop.rows(shop.table) == [r for r in before if r["id"] != 13]
    state = context(shop).state
    assert [json.loads(state.read(f.uri.removeprefix(state.root))) for f in state.list("erasures/")] == [proof]
    again, steps = shop.record()
    assert (again.code, steps["orders"]["status"]) == (0, "nothing to do"), again.err
