"""The shape of AWS's sample database TICKIT with rows of our own: each value a hash of its row's number. Some sales are delivered twice.

`python examples/tickit/generate.py s3://penstock-tickit --days 3`: categories, venues, dates, users and events whole, listings and sales a file a day.
"""

from __future__ import annotations

import argparse
from datetime import date, timedelta

import boto3
import duckdb

CATEGORIES = (("Sports", "MLB"), ("Sports", "NBA"), ("Shows", "Musicals"), ("Shows", "Plays"), ("Shows", "Opera"), ("Concerts", "Pop"), ("Concerts", "Jazz"))
STATES = ("CA", "NY", "TX", "WA", "OH", "FL", "IL", "CO")
FIRST = date(2024, 1, 1)


def _of(values: tuple[str, ...], salt: str) -> str:
    return f"[{', '.join(repr(v) for v in values)}][1 + (hash(i, '{salt}') % {len(values)})::INTEGER]"


def _to(most: int, salt: str) -> str:
    """1 to most."""
    return f"(1 + hash(i, '{salt}') % {most})::INTEGER"


def whole(users: int, events: int) -> dict[str, str]:
    """What is delivered as a whole: SQL of DuckDB's for each table."""
    categories = " UNION ALL ".join(
        f"SELECT {n} AS catid, '{g}' AS catgroup, '{c}' AS catname, '{c} events' AS catdesc" for n, (g, c) in enumerate(CATEGORIES, 1)
    )
    return {
        "category": categories,
        "venue": f"SELECT i AS venueid, 'Hall ' || i AS venuename, 'City ' || {_to(40, 'city')} AS venuecity, {_of(STATES, 'state')} AS venuestate, 1000 * {_to(60, 'seats')} AS venueseats FROM range(1, 51) r(i)",
        "date": f"""SELECT 1826 + i AS dateid, DATE '{FIRST}' + i::INTEGER AS caldate, strftime(DATE '{FIRST}' + i::INTEGER, '%a') AS day, week(DATE '{FIRST}' + i::INTEGER) AS week,
          strftime(DATE '{FIRST}' + i::INTEGER, '%b') AS month, quarter(DATE '{FIRST}' + i::INTEGER)::VARCHAR AS qtr, year(DATE '{FIRST}' + i::INTEGER) AS year,
          i IN (0, 185, 358) AS holiday FROM range(366) r(i)""",
        "users": f"""SELECT i AS userid, 'USER' || i AS username, 'First' || {_to(500, 'first')} AS firstname, 'Last' || {_to(900, 'last')} AS lastname, 'City ' || {_to(90, 'c')} AS city,
          {_of(STATES, 'u')} AS state, 'user' || i || '@example.com' AS email, hash(i, 's') % 2 = 0 AS likesports, hash(i, 'j') % 3 = 0 AS likejazz FROM range(1, {users + 1}) r(i)""",
        "event": f"""SELECT i AS eventid, {_to(50, 'v')} AS venueid, {_to(len(CATEGORIES), 'cat')} AS catid, 1826 + 30 + (hash(i, 'd') % 300)::INTEGER AS dateid, 'the show ' || {_to(80, 'n')} AS eventname,
          (DATE '{FIRST}' + 30 + (hash(i, 'd') % 300)::INTEGER) + INTERVAL (14 + hash(i, 'h') % 7) HOUR AS starttime FROM range(1, {events + 1}) r(i)""",
    }  # fmt: skip


def of_a_day(day: int, rows: int, users: int, events: int) -> dict[str, str]:
    """Listings and sales of a day; of the next day's sales a twentieth are this day's, delivered again."""
    first = day * rows
    listing = f"""SELECT (i + 1)::INTEGER AS listid, {_to(users, 'seller')} AS sellerid, {_to(events, 'e')} AS eventid, {1826 + day} AS dateid, {_to(8, 'num')} AS numtickets,
      (20 + hash(i, 'p') % 400)::DECIMAL(8,2) AS priceperticket FROM range({first}, {first + rows}) r(i)"""  # fmt: skip
    sold = f"""SELECT (i + 1)::INTEGER AS salesid, (i + 1)::INTEGER AS listid, {_to(users, 'seller')} AS sellerid, {_to(users, 'buyer')} AS buyerid, {_to(events, 'e')} AS eventid,
      {1826} + (i // {rows})::INTEGER AS dateid, {_to(4, 'q')} AS qtysold, ({_to(4, 'q')} * (20 + hash(i, 'p') % 400))::DECIMAL(8,2) AS pricepaid,
      ({_to(4, 'q')} * (20 + hash(i, 'p') % 400) * 0.15)::DECIMAL(8,2) AS commission FROM range({max(0, first - rows // 20)}, {first + rows}) r(i)"""  # fmt: skip
    return {"listing": f"SELECT *, (numtickets * priceperticket)::DECIMAL(8,2) AS totalprice FROM ({listing})", "sales": sold}


def deliver(bucket: str, days: int, rows: int = 500, users: int = 400, events: int = 120) -> None:
    """Put the files onto S3, in a bucket that is made where it is missing."""
    s3 = boto3.client("s3")
    if bucket not in [b["Name"] for b in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=bucket)
    files = {f"{name}/{name}.csv": sql for name, sql in whole(users, events).items()}
    for day in range(days):
        files |= {f"{name}/{FIRST + timedelta(day)}.csv": sql for name, sql in of_a_day(day, rows, users, events).items()}
    with duckdb.connect() as connection:
        for key, sql in files.items():
            found = connection.execute(sql)
            names = [d[0] for d in found.description]
            lines = [
                ",".join(names),
                *(",".join("" if v is None else str(v).lower() if isinstance(v, bool) else str(v) for v in row) for row in found.fetchall()),
            ]
            s3.put_object(Bucket=bucket, Key=key, Body="".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bucket", help="s3://BUCKET")
    parser.add_argument("--days", type=int, default=3)
    said = parser.parse_args()
    deliver(said.bucket.removeprefix("s3://"), said.days)
