"""Loads, calls and unloads in Redshift: each batch once, whole or not at all."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from warehouse import BY_WIRE, LOCAL, ONE, TWO, Place

from penstock.connectors.redshift.loading import Load
from penstock.connectors.redshift.sql import UnloadOptions
from penstock.connectors.redshift.warehouse import Unloaded
from penstock.connectors.s3.access import client
from penstock.errors import CommitConflictError, DataError, WarehouseError
from penstock.schema import Column

BY_BOTH = pytest.mark.parametrize("place", [LOCAL, BY_WIRE], ids=["data-api", "wire"], indirect=True)
BY_ID = UnloadOptions(partition_by=("id",))
THREE = (3, Decimal("-9999999999999999999999999999.9999999999"))


@BY_BOTH
def test_merge_makes_the_table_equal_to_the_snapshot(place: Place) -> None:
    place.load(1, [ONE, TWO, THREE])
    assert place.rows() == [ONE, TWO, THREE]
    changed, new = (2, Decimal("0E-10")), (4, None)
    place.load(2, [changed, THREE, new])
    assert place.rows() == [changed, THREE, new]
    assert place.warehouse().applied(place.steps) == 2


@BY_BOTH
def test_overwrite_and_an_empty_snapshot(place: Place) -> None:
    place.load(1, [ONE, TWO], "overwrite")
    place.warehouse().load(place.steps, 2, Load(place.target, [], "overwrite", ""))
    assert (place.rows(), place.warehouse().applied(place.steps)) == ([], 2)


@BY_BOTH
def test_a_batch_that_is_there_is_left_alone(place: Place) -> None:
    place.load(1, [ONE])
    place.load(1, [ONE, TWO])
    assert place.rows() == [ONE]


@BY_BOTH
def test_a_load_that_misses_rows_publishes_nothing(place: Place) -> None:
    with pytest.raises(DataError, match=r"loaded 1 rows .* where the files hold 2"):
        place.load(1, [ONE], claimed_rows=2)
    assert (place.rows(), place.warehouse().applied(place.steps)) == ([], 0)


@BY_BOTH
def test_a_key_that_stands_twice_publishes_nothing(place: Place) -> None:
    with pytest.raises(DataError, match="stand more than once"):
        place.load(1, [ONE, ONE])
    assert place.rows() == []


@BY_BOTH
def test_of_two_runs_that_know_nothing_of_each_other_one_publishes(place: Place) -> None:
    place.load(1, [ONE])
    name, outcomes = place.procedure("PERFORM pg_sleep(0.5);"), []

    def race(who: str) -> None:
        twin = replace(place, state=place.state / who)
        try:
            twin.warehouse().call(place.steps, 2, name, [])
            outcomes.append("done")
        except (CommitConflictError, WarehouseError) as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=race, args=(n,)) for n in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (place.ran(), "done" in outcomes) == (1, True), outcomes
    assert place.warehouse().applied(place.steps) == 2


@BY_BOTH
def test_unload_is_counted_and_done_again_does_not_double(place: Place) -> None:
    place.load(1, [ONE, TWO, THREE])
    query = f"SELECT id, amount::VARCHAR AS name FROM {place.target.name} WHERE id <> :skip AND amount::VARCHAR IS DISTINCT FROM ':x'"
    for batch in (1, 1, 2):
        done = place.warehouse().unload(("test/u_" + place.name,), batch, query, f"s3://{place.bucket}/out/{batch}/", BY_ID, {"skip": 2}, place.read)
        assert (done.rows, len(done.sizes)) == (2, 2)


@BY_BOTH
def test_skip_moves_the_ledger_alone(place: Place) -> None:
    place.load(1, [ONE])
    place.warehouse().skip(place.steps, 2)
    assert (place.warehouse().applied(place.steps), place.rows()) == (2, [ONE])


@BY_BOTH
def test_values_arrive_as_they_left(place: Place) -> None:
    kinds = {"id": "bigint!", "d": "decimal(38,10)", "at": "timestamp", "local": "timestamp_ntz", "day": "date", "t": "string", "b": "boolean", "f": "double"}
    columns = tuple(Column.parse(n, t) for n, t in kinds.items())
    rows = [
        (1, Decimal("-9999999999999999999999999999.9999999999"), datetime(2013, 3, 10, 7, 30, 0, 1, UTC), datetime(1899, 12, 31), date(1, 1, 1), "", True, 0.1),
        (
            2,
            Decimal("0.0000000001"),
            datetime(1850, 1, 1, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999999),
            date(1752, 9, 2),
            "it's\n\\N",
            False,
            -1e300,
        ),
        (3, None, None, None, None, None, None, None),
    ]
    files, url = place.put(1, rows, columns)
    warehouse = place.warehouse()
    warehouse.load(place.steps, 1, Load(replace(place.target, columns=columns), files, "overwrite", url))
    assert place.query(f"SELECT {', '.join(kinds)} FROM {place.target.name} ORDER BY id") == rows


@BY_BOTH
def test_a_forgotten_step_begins_anew_under_the_same_numbers(place: Place) -> None:
    place.load(1, [ONE])
    place.warehouse().forget(place.steps, place.target)
    assert (place.rows(), place.warehouse().applied(place.steps)) == ([], 0)
    place.load(1, [ONE])
    assert place.rows() == [ONE]


def test_a_type_that_would_round_is_refused(place: Place) -> None:
    place.warehouse().define(f"CREATE SCHEMA IF NOT EXISTS mart; CREATE TABLE {place.target.name} (id BIGINT NOT NULL, amount DECIMAL(12,2))")
    with pytest.raises(DataError, match=r"has the columns id bigint, amount numeric\(12,2\) but id bigint, amount numeric\(38,10\) are declared"):
        place.load(1, [ONE])
    assert place.rows() == []


@BY_BOTH
def test_a_merge_heals_a_key_that_another_hand_doubled(place: Place) -> None:
    place.load(1, [ONE, TWO])
    place.warehouse().define(f"INSERT INTO {place.target.name} SELECT * FROM {place.target.name} WHERE id = 1")
    place.load(2, [ONE, TWO])
    assert place.rows() == [ONE, TWO]


@pytest.mark.parametrize(("write", "message"), [("megre", "'megre' is not one of append, changes"), ("overwrite_partitions", "has no partitions to overwrite")])
def test_a_write_that_cannot_be_is_refused(place: Place, write: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        place.load(1, [ONE], write)


@BY_BOTH
def test_insert_missing_takes_each_row_once_and_null_for_equal_to_null(place: Place) -> None:
    place.load(1, [ONE, TWO], "insert_missing")
    place.load(2, [ONE, TWO, TWO, (3, None), (3, None)], "insert_missing")
    assert place.rows() == [ONE, TWO, (3, None)]
    place.load(3, [ONE, ONE], "append")
    assert place.rows() == [ONE, ONE, ONE, TWO, (3, None)]


@BY_BOTH
def test_a_table_grows_by_declared_columns_and_longer_texts(place: Place) -> None:
    place.warehouse().define(f"CREATE SCHEMA IF NOT EXISTS mart; CREATE TABLE {place.target.name} (id BIGINT NOT NULL, name VARCHAR(3))")
    columns = tuple(Column.parse(n, t) for n, t in {"id": "bigint!", "name": "string", "amount": "decimal(38,10)"}.items())
    files, url = place.put(1, [(1, "longer", Decimal("1.5000000000"))], columns)
    place.warehouse().load(place.steps, 1, Load(replace(place.target, columns=columns), files, "append", url))
    assert place.query(f"SELECT id, name, amount FROM {place.target.name}") == [(1, "longer", Decimal("1.5000000000"))]


def test_a_bad_file_is_named_with_its_rows(place: Place) -> None:
    files, url = place.put(1, [(1, "x" * 10)], (Column.parse("id", "bigint!"), Column.parse("name", "string")))
    place.warehouse().define(f"CREATE SCHEMA IF NOT EXISTS mart; CREATE TABLE {place.target.name} (id BIGINT NOT NULL, amount DECIMAL(38,10))")
    with pytest.raises(WarehouseError, match="incompatible parquet schema for column 'amount'"):
        place.warehouse().load(place.steps, 1, Load(place.target, files, "append", url))


@pytest.mark.parametrize("text", ['"; DROP TABLE x; --', "it's", "back\\slash\\", "ünï ☃", "$$", "a\nb", "%s {0} :x"])
def test_hostile_names_and_values_arrive_as_they_are(place: Place, text: str) -> None:
    columns = (Column.parse("id", "bigint!"), Column.parse(text.replace("\n", " "), "string"))
    files, url = place.put(1, [(1, text)], columns)
    target = replace(place.target, columns=columns, table=f"{place.name} {text[:8].lower()}".replace("\n", " "))
    place.warehouse().load((f"test/{text}",), 1, Load(target, files, "merge", url))
    assert place.query(f"SELECT * FROM {target.name}") == [(1, text)]
    assert place.warehouse().applied((f"test/{text}",)) == 1


def test_an_unload_leaves_nothing_of_an_attempt_before(place: Place) -> None:
    place.load(1, [ONE, TWO])
    s3, prefix = client("s3", place.aws), f"s3://{place.bucket}/out/batch=1/"

    def unload() -> tuple[int, list[str]]:
        done = place.warehouse().unload(("test/u_" + place.name,), 1, f"SELECT id, amount FROM {place.target.name}", prefix, BY_ID, {}, place.read)
        listed = s3.list_objects_v2(Bucket=place.bucket, Prefix="out/")["Contents"]
        assert len(listed) == len(done.sizes) + 1
        return done.rows, sorted(o["Key"] for o in listed)

    s3.put_object(Bucket=place.bucket, Key="out/batch=1/id=9/0000_part_00.parquet", Body=b"of a killed attempt")
    keys = [f"out/batch=1/{k}" for k in ("id=1/0000_part_00.parquet", "id=2/0000_part_00.parquet", "manifest")]
    assert unload() == (2, keys)
    place.load(2, [ONE])
    assert unload() == (2, keys)


def test_an_unload_whose_files_are_not_those_of_its_manifest_is_refused(place: Place) -> None:
    place.load(1, [ONE, TWO])
    prefix, step = f"s3://{place.bucket}/out/batch=1/", ("test/u_" + place.name,)

    def unload(read: Callable[[str], bytes]) -> Unloaded:
        return place.warehouse().unload(step, 1, f"SELECT id, amount FROM {place.target.name}", prefix, BY_ID, {}, read)

    def lengthened(uri: str) -> bytes:
        return re.sub(rb'"content_length": *\d+', b'"content_length": 1', place.read(uri), count=1)

    with pytest.raises(DataError, match="or has not all of it"):
        unload(lengthened)
    assert place.warehouse().applied(step) == 0
    assert unload(place.read).rows == 2


def test_an_unload_as_csv_with_a_header_in_small_encrypted_files(place: Place) -> None:
    options = UnloadOptions("csv", header=True, compression="gzip", max_file_mb=5, encrypted=True)
    prefix = f"s3://{place.bucket}/csv/"
    done = place.warehouse().unload(
        ("test/c_" + place.name,), 1, "SELECT n, REPEAT('x', 1000) AS x FROM generate_series(1, 12000) g(n)", prefix, options, {}, place.read
    )
    assert (done.rows, len(done.sizes)) == (12000, 3)
    assert [gzip.decompress(place.read(f)).splitlines()[0] for f in done.sizes] == [b"n,x"] * 3
