"""`make demo`: the whole way, on this machine. Events are made, the pipeline runs, and the table is compared with the data set that it was never shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import duckdb
from generate import DONE, generate, into_bucket, load_flights

HERE = Path(__file__).parent
BUCKET = "penstock-raw"
PENSTOCK = [sys.executable, "-c", "from penstock.cli import main; main()"]
_NAMES = """flight_id flown_on year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay
  carrier flight tailnum origin dest air_time distance hour minute time_hour"""
COLUMNS = tuple(_NAMES.split())


def say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def penstock(*arguments: str, capture: bool = False) -> str:
    """Run the command line as a user does; its exit code is ours when it fails."""
    done = subprocess.run([*PENSTOCK, *arguments], stdout=subprocess.PIPE if capture else None, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout or ""


def land() -> dict[str, int]:
    """Put the events on the landing bucket, unless they lie there already."""
    import boto3
    from botocore.config import Config

    put = into_bucket(BUCKET)
    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    try:
        return dict(json.loads(s3.get_object(Bucket=BUCKET, Key=DONE)["Body"].read()))
    except s3.exceptions.NoSuchKey:
        summary = asdict(generate(put))
        put(DONE, json.dumps(summary).encode())
        return summary


def compare() -> tuple[int, int, int, int]:
    """Rows of the data set without the cancelled, rows of the table, rows only in one, rows only in the other: read past Penstock, by pyiceberg."""
    from pyiceberg.catalog.glue import GlueCatalog

    from penstock.config import AwsSettings
    from penstock.connectors.s3.access import pyiceberg_properties

    table = GlueCatalog("demo", **pyiceberg_properties(AwsSettings.from_environment())).load_table("ops.flights")
    held = table.scan(selected_fields=COLUMNS).to_arrow()
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    load_flights(connection, 365)
    listed = ", ".join(f"CAST({c} AS VARCHAR) AS {c}" for c in COLUMNS)
    connection.register("held", held)
    connection.execute(f"CREATE TABLE mine AS SELECT {listed} FROM held")
    connection.execute(f"CREATE TABLE truth AS SELECT {listed} FROM flights WHERE dep_time IS NOT NULL")
    counts = [
        connection.execute(f"SELECT COUNT(*) FROM ({query})").fetchall()[0][0]
        for query in ("FROM truth", "FROM mine", "FROM truth EXCEPT ALL FROM mine", "FROM mine EXCEPT ALL FROM truth")
    ]
    return counts[0], counts[1], counts[2], counts[3]


def main() -> None:
    began = time.monotonic()
    say("1. the local AWS: S3, Glue, and a Redshift that executes")
    penstock("local", "up", capture=True)
    from penstock.infra.local.control import up

    os.environ.update(up().environment())
    say("2. a year of flights as change data on the landing bucket")
    made = land()
    say(f"   {made['events']:,} events of {made['flights']:,} flights; {made['twice']:,} twice, {made['late']:,} late, {made['broken']} broken on purpose")
    say("3. penstock run")
    penstock("run", str(HERE), "--env", "local")
    say("4. lake.ops.flights beside the data set itself")
    truth, held, missing, extra = compare()
    say(f"   {made['flights']:,} flights, {made['cancelled']:,} cancelled, {truth:,} flown; the table has {held:,}; rows that differ: {missing + extra}")
    rows = penstock("query", "-p", str(HERE), "SELECT __reason FROM lake.ops.flights__quarantine", "--json", capture=True)
    bad = [json.loads(row) for row in rows.splitlines()]
    say(f"   in quarantine: {len(bad)} events")
    for reason in sorted({row["__reason"] for row in bad}):
        say(f"     {sum(row['__reason'] == reason for row in bad)} x {reason[:140]}")
    say()
    say(f"Made in {time.monotonic() - began:.0f} s, in {os.environ['AWS_ENDPOINT_URL']}:")
    say("  lake.ops.flights         Iceberg, keyed, merged from change data; lake.ref.* Delta; lake.ops.daily_delays Iceberg")
    say("  warehouse.mart.*         daily_delays loaded by COPY, a star schema filled by CALL mart.publish_delays()")
    say("  s3://penstock-raw/export the star unloaded, a folder a month")
    say("Next:")
    here = os.path.relpath(HERE)
    tool = Path(sys.executable).parent / "penstock"
    shown = os.path.relpath(tool) if tool.exists() else "penstock"
    say(f'  {shown} query -p {here} "SELECT carrier, count(*) FROM lake.ops.flights GROUP BY carrier ORDER BY 2 DESC"')
    say(f'  {shown} query -p {here} --connection warehouse "SELECT * FROM mart.fact_delays LIMIT 5"')
    say(f"  {shown} run {here}          (nothing to do: every batch is applied once)")
    if missing or extra or truth != held:
        sys.exit(1)


if __name__ == "__main__":
    main()
