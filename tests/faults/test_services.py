"""S3 and Glue that are busy, lose an answer, break it off, or no longer know the credentials. Faults 3, 19, 20 and 21 of the catalogue."""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from pipelines import APPENDED, EVENTS, Project, event, events, on_aws

from penstock.config import AwsSettings
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws

EXPECTED = [{"id": 1, "state": "new", "amount": "1.50"}, {"id": 4, "state": "new", "amount": "99.99"}]
Faults = Callable[..., None]


class Shop(Project):
    """Orders as change data on S3, kept in Glue."""

    schema: str = ""


HASTY = {"AWS_MAX_ATTEMPTS": "2"}  # how often clients ask, where what comes after that is the matter

# where a commit of each format becomes true
PUBLISHES = {"iceberg": {"service": "glue", "operation": "UpdateTable"}, "delta": {"service": "s3", "operation": r"^PUT .*/_delta_log/"}}


@pytest.fixture
def shop(tmp_path: Path, table_format: str, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> Shop:
    bucket = local_bucket("svc")
    project = Shop(tmp_path)
    project.schema = bucket.replace("-", "_")
    project.write("pipeline.yaml", on_aws(EVENTS.replace("FORMAT", table_format), bucket))
    s3 = client("s3", AwsSettings.from_environment(local_aws.environment()))
    for name, lines in {"1": (event("c", 1, 10, "new", "1.50"), event("c", 2, 11, "new")), "2": (event("d", 2, 20), event("c", 4, 21, "new", "99.99"))}.items():
        s3.put_object(Bucket=bucket, Key=f"orders/{name}.json", Body=events(*lines).encode())
    return project


@pytest.mark.parametrize(
    "fault",
    [
        {"service": "s3", "operation": "^GET", "times": 2},
        {"service": "s3", "operation": "^PUT", "times": 2},
        {"service": "glue", "operation": "GetTable", "status": 400, "code": "ThrottlingException", "times": 2},
    ],
    ids=["reads", "writes", "catalog"],
)
def test_services_that_are_busy_for_a_while_are_waited_for(shop: Shop, faults: Faults, fault: dict[str, object]) -> None:
    faults(**{"status": 503, "code": "SlowDown"} | fault)
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err
    assert shop.rows(f"lake.{shop.schema}.orders") == EXPECTED


@pytest.mark.parametrize("operation", ["^GET", "^PUT", "^HEAD|^GET|^PUT|^POST"])
def test_expired_credentials_are_one_clear_error_and_the_next_run_goes_on(shop: Shop, faults: Faults, operation: str) -> None:
    shop.environment |= HASTY
    faults(service="s3", operation=operation, status=400, code="ExpiredToken", times=10_000)
    failed = shop.penstock("run", ".")
    assert (failed.code, "Traceback" in failed.err, "ExpiredToken" in failed.err) == (1, False, True), failed.err
    faults()
    assert shop.penstock("run", ".").code == 0
    assert shop.rows(f"lake.{shop.schema}.orders") == EXPECTED


def test_credentials_that_expire_at_any_moment_leave_each_row_once(rows: Shop, local_aws: LocalAws, faults: Faults, seed: int) -> None:
    """In the middle of reading, of writing, or between the parts of a commit."""
    draw, table, failed = random.Random(seed), f"lake.{rows.schema}.rows", 0
    rows.environment |= HASTY
    s3, bucket = client("s3", AwsSettings.from_environment(local_aws.environment())), rows.schema.replace("_", "-")
    for i in range(4, 7):
        s3.put_object(Bucket=bucket, Key=f"rows/{i}.csv", Body=f"id,name\n{i},x\n".encode())
        faults(service="s3", status=400, code="ExpiredToken", spared=draw.randrange(30), times=10_000)
        done = rows.penstock("run", ".")
        faults()
        expired = done.code == 1 and re.search("ExpiredToken|HTTP status 400", done.err) and "Traceback" not in done.err  # a HEAD has no body to say more
        assert expired or done.code == 0, done.err
        failed += bool(expired)
    assert failed, "none of the moments was within a run"
    assert rows.penstock("run", ".").code == 0
    assert [r["id"] for r in rows.rows(table)] == list(range(1, 7))


KINDS = {"": "", ", stored_as_scd_type: 2": " WHERE __end_at_1 IS NULL", ", soft_delete: gone": " WHERE NOT gone"}
TROUBLES = ({"status": 400, "code": "ExpiredToken"}, {"status": 503, "code": "SlowDown"}, {"status": 500, "code": "InternalError", "after": True})


def test_runs_and_maintenance_in_trouble_at_any_moment_lose_nothing(
    tmp_path: Path, table_format: str, local_aws: LocalAws, local_bucket: Callable[[str], str], faults: Faults, seed: int
) -> None:
    """For a while or for good: what was refused, was busy, or was done and not answered, of S3 and of Glue."""
    bucket, draw, project = local_bucket("any"), random.Random(f"{seed}{table_format}"), Project(tmp_path, HASTY)
    kind = draw.choice(list(KINDS))
    text = EVENTS.replace("FORMAT", f"{table_format}\n    readers: [spark]\n    maintain: {{min_files: 2}}").replace("orders}", f"orders{kind}}}")
    project.write("pipeline.yaml", on_aws(text.replace("state: string,", "state: string, gone: boolean,") if "gone" in kind else text, bucket))
    s3 = client("s3", AwsSettings.from_environment(local_aws.environment()))
    rows: dict[int, str] = {}
    for batch in range(5):
        said = []
        for lsn in range(10 * batch, 10 * batch + 6):
            key, op = draw.randrange(8), draw.choice("cud")
            rows.pop(key, None) if op == "d" else rows.update({key: f"s{lsn}"})
            said.append(event(op, key, lsn, f"s{lsn}"))
        s3.put_object(Bucket=bucket, Key=f"orders/{batch}.json", Body=events(*draw.sample(said, len(said))).encode())
        service, spared = draw.choice([("s3", 50), ("s3", 50), ("glue", 12)])
        faults(service=service, spared=draw.randrange(spared), times=draw.choice([1, 2, 3, 10_000]), **draw.choice(TROUBLES))
        done = project.penstock(*draw.choice([("run", "."), ("run", "."), ("maintain", "--all")]))
        faults()
        assert (done.code in (0, 1), "Traceback" in done.err) == (True, False), done.err
    for verb in (("run", "."), ("maintain", "--all")):
        done = project.penstock(*verb)
        assert done.code == 0, done.err
    found = project.rows(f"lake.{bucket.replace('-', '_')}.orders{KINDS[kind]}", "id, state")
    assert found == [{"id": key, "state": state} for key, state in sorted(rows.items())]


def test_answers_lost_after_the_catalog_was_changed_are_settled_by_reading(shop: Shop, faults: Faults) -> None:
    faults(service="glue", operation="UpdateTable|CreateTable", status=500, code="InternalServiceException", times=2, after=True)
    done = shop.penstock("run", ".")
    faults()
    assert shop.penstock("run", ".").code == 0, done.err
    assert shop.rows(f"lake.{shop.schema}.orders") == EXPECTED


@pytest.fixture
def rows(tmp_path: Path, table_format: str, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> Shop:
    """Three files that are appended: done twice, any would show."""
    bucket, project = local_bucket("back"), Shop(tmp_path)
    project.schema = bucket.replace("-", "_")
    text = APPENDED.replace("FORMAT", table_format).replace("lake.a.", "lake.shop.").replace("pipeline: rows", "pipeline: shop")
    project.write("pipeline.yaml", on_aws(text, bucket))
    s3 = client("s3", AwsSettings.from_environment(local_aws.environment()))
    for i in (1, 2, 3):
        s3.put_object(Bucket=bucket, Key=f"rows/{i}.csv", Body=f"id,name\n{i},x\n".encode())
    return project


@pytest.mark.parametrize("lost", [1, 2], ids=["asked again", "for good"])
def test_an_append_whose_answer_was_lost_is_not_made_twice(rows: Shop, table_format: str, faults: Faults, lost: int) -> None:
    """The client asks a second time and hears of a conflict with itself, or never hears anything."""
    table = f"lake.{rows.schema}.rows"
    assert rows.process("run", ".", PENSTOCK_KILL_AT="after_batch:1").code == -signal.SIGKILL
    rows.environment |= HASTY
    faults(**PUBLISHES[table_format], times=lost, after=True)
    done = rows.penstock("run", ".")
    faults()
    assert done.code == 0, done.err
    assert ([r["id"] for r in rows.rows(table)], rows.batches(table)) == ([1, 2, 3], [3, 2, 1])
    assert rows.record()[1]["rows"]["status"] == "nothing to do"


def test_a_rollback_that_neither_arrived_nor_was_answered_is_not_taken_for_done(rows: Shop, table_format: str, faults: Faults) -> None:
    """The ledger stands at the number of the last batch before a rollback as after it."""
    table = f"lake.{rows.schema}.rows"
    assert rows.penstock("run", ".").code == 0

    rows.environment |= HASTY
    faults(**PUBLISHES[table_format], times=10_000)
    back = rows.penstock("rollback", table, "--to", "1", "--then", "skip")
    faults()
    assert (back.code, "was not published" in back.err) == (1, True), (back.out, back.err)
    assert [r["id"] for r in rows.rows(table)] == [1, 2, 3]
    assert rows.penstock("rollback", table, "--to", "1", "--then", "skip").code == 0
    assert [r["id"] for r in rows.rows(table)] == [1]


def test_a_quarantine_done_again_that_neither_arrived_nor_was_answered_is_done_once_more(
    shop: Shop, table_format: str, local_aws: LocalAws, faults: Faults
) -> None:
    """What a batch had put there before its file was corrected must go."""
    s3, bucket = client("s3", AwsSettings.from_environment(local_aws.environment())), shop.schema.replace("_", "-")
    s3.put_object(Bucket=bucket, Key="orders/1.json", Body=events(event("c", 1, 10, "new"), "{").encode())
    assert shop.process("run", ".", PENSTOCK_KILL_AT="after_quarantine").code == -signal.SIGKILL
    s3.put_object(Bucket=bucket, Key="orders/1.json", Body=events(event("c", 1, 10, "new"), event("c", 2, 11, "new")).encode())
    retried = shop.penstock("batch", "retry", ".", "orders", "1")
    assert retried.code == 0, retried.err
    shop.environment |= HASTY
    faults(**PUBLISHES[table_format], times=2)  # as often as a client asks
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err
    assert shop.rows(f"lake.{shop.schema}.orders__quarantine", "__reason") == []


def test_bodies_that_break_off_are_clear_errors_and_the_next_run_goes_on(shop: Shop, local_aws: LocalAws, faults: Faults) -> None:
    """What was delivered, what the table says of itself, and its rows, each read by clients of their own: no half is taken for the whole."""
    assert shop.penstock("run", ".").code == 0
    s3, bucket = client("s3", AwsSettings.from_environment(local_aws.environment())), shop.schema.replace("_", "-")
    s3.put_object(Bucket=bucket, Key="orders/3.json", Body=events(event("u", 1, 30, "paid", "1.50"), event("c", 5, 31, "new")).encode())
    shop.environment |= HASTY
    for place in ("/orders/", "/(metadata|_delta_log)/", r"/lake/.*\.parquet"):
        faults(service="s3", operation=f"^GET .*{place}", times=10_000, cut=True)
        failed = shop.penstock("run", ".")
        said = re.search("Connection broken|partial file|before message length", failed.err)
        assert (failed.code, said is not None, "Traceback" in failed.err) == (1, True, False), (place, failed.out, failed.err)
        faults()
        assert shop.rows(f"lake.{shop.schema}.orders") == EXPECTED
    assert shop.penstock("run", ".").code == 0
    assert shop.rows(f"lake.{shop.schema}.orders", "id, state") == [{"id": 1, "state": "paid"}, {"id": 4, "state": "new"}, {"id": 5, "state": "new"}]


@pytest.mark.parametrize("attempts", ["0", "-1", "often"])
def test_attempts_that_are_no_number_are_refused(tmp_path: Path, attempts: str) -> None:
    project = Project(tmp_path, {"AWS_MAX_ATTEMPTS": attempts})
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", "iceberg"))
    refused = project.penstock("run", ".")
    assert (refused.code, f"AWS_MAX_ATTEMPTS is {attempts!r}\n  next: say how often" in refused.err) == (2, True), refused.err
