"""Orders and their changes, made by hashing: the same rows every time. `rows` x 12 columns; changes: 60 % update, 30 % insert, 10 % delete, 5 % of the keys twice."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import duckdb

Spread = Literal["uniform", "skewed", "hot"]
WORDS = [
    "furiously",
    "sly",
    "careful",
    "blithe",
    "quick",
    "fluffy",
    "slow",
    "quiet",
    "ruthless",
    "thin",
    "close",
    "dogged",
    "daring",
    "brave",
    "stealthy",
    "permanent",
    "enticing",
    "idle",
    "busy",
    "regular",
    "final",
    "ironic",
    "even",
    "bold",
    "silent",
    "foxes",
    "ideas",
    "theodolites",
    "pinto",
    "beans",
    "instructions",
    "dependencies",
    "excuses",
    "platelets",
    "asymptotes",
    "courts",
    "dolphins",
    "multipliers",
    "sauternes",
    "warthogs",
    "frets",
    "dinos",
    "attainments",
    "somas",
    "braids",
    "hockey",
    "players",
    "sleep",
    "wake",
    "are",
    "cajole",
    "haggle",
    "nag",
    "use",
    "boost",
    "affix",
    "detect",
    "integrate",
    "maintain",
    "nod",
    "was",
    "lose",
    "sublate",
    "solve",
]
COLUMNS = {
    "o_orderkey": "bigint!", "o_custkey": "bigint", "o_shippriority": "int", "o_clerkid": "int", "o_totalprice": "decimal(12,2)", "o_tax": "decimal(12,2)",
    "o_orderdate": "date", "o_shipdate": "date", "o_updated_at": "timestamp_ntz", "o_orderstatus": "string", "o_orderpriority": "string", "o_comment": "string",
}  # fmt: skip
MONTH = "o_month"  # by which Delta is partitioned, which knows columns alone
HOT_ROWS = 400_000
STORED, NEW = 1_000, 2_000_000  # the least sequence of what is stored, and of what is new; what is late lies before both


def connected(rows: int) -> duckdb.DuckDBPyConnection:
    """A connection with the macros that make rows: `image(k, i, v)` is version v of key k, which lies at the i-th of so many places."""
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    words = ", ".join(f"'{w}'" for w in WORDS)
    connection.execute(f"CREATE MACRO word(k, salt) AS ([{words}])[1 + (hash(k, salt) % {len(WORDS)})::INTEGER]")
    connection.execute(f"CREATE MACRO day(i) AS (DATE '2018-01-01' + (i * 2557 // {rows})::INTEGER)")
    connection.execute("""CREATE MACRO image(k, i, v) AS struct_pack(
      o_orderkey := k::BIGINT, o_custkey := (hash(k, 1) % 1500000)::BIGINT, o_shippriority := (hash(k, 2, v) % 5)::INTEGER, o_clerkid := (hash(k, 3, v) % 10000)::INTEGER,
      o_totalprice := ((hash(k, 4, v) % 50000000) / 100)::DECIMAL(12, 2), o_tax := ((hash(k, 5, v) % 900000) / 100)::DECIMAL(12, 2), o_orderdate := day(i),
      o_shipdate := (day(i) + (hash(k, 6, v) % 120)::INTEGER)::DATE, o_updated_at := day(i)::TIMESTAMP + to_microseconds((hash(k, 7, v) % 86400000000)::BIGINT),
      o_orderstatus := (['F', 'O', 'P'])[1 + (hash(k, 8, v) % 3)::INTEGER],
      o_orderpriority := (['1-URGENT', '2-HIGH', '3-MEDIUM', '4-NOT SPECIFIED', '5-LOW'])[1 + (hash(k, 9, v) % 5)::INTEGER],
      o_comment := concat_ws(' ', word(k, 10 + v), word(k, 20 + v), word(k, 30 + v), word(k, 40 + v), word(k, 50 + v), word(k, 60 + v), to_hex(hash(k, 95 + v))))""")
    return connection


def orders(file: Path, rows: int) -> None:
    """Write the stored rows, by key; keys are multiples of four. `__sequence_1` is that of each row."""
    with connected(rows) as connection:
        connection.execute(f"""COPY (SELECT unnest(image(i * 4, i, 0)), (year(day(i)) * 12 + month(day(i)) - 1)::INTEGER AS {MONTH}, {STORED} + (hash(i, 97) % 1000000)::BIGINT AS __sequence_1
          FROM range({rows}) t(i)) TO '{file}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)""")


def changes(file: Path, rows: int, count: int, spread: Spread = "uniform", *, late: float = 0, salt: int = 0) -> None:
    """Write events, unordered, over keys that lie anywhere, among the last HOT_ROWS rows, or nine of ten there (`skewed`).

    `late` is the share of events that are older than what is stored; `salt` makes another batch, which is newer than those of lesser salts.
    """
    anywhere, last = f"hash(j, 1001, {salt}) % {rows}", f"{max(0, rows - HOT_ROWS)} + hash(j, 1001, {salt}) % {min(rows, HOT_ROWS)}"
    place = {"uniform": anywhere, "hot": last, "skewed": f"CASE WHEN hash(j, 1000, {salt}) % 10 < 9 THEN {last} ELSE {anywhere} END"}[spread]
    new = f"{NEW} + {salt} * 10000000 + (hash(j, 11, {salt}) % 1000000)::BIGINT * 10"
    twice = count - count * 95 // 100
    with connected(rows) as connection:
        connection.execute(f"""CREATE TABLE picked AS
          SELECT j, i, i * 4 + CASE WHEN op = 'c' THEN 1 + (hash(j, 5) % 3)::INTEGER ELSE 0 END AS k, op FROM (
            SELECT j, ({place})::BIGINT AS i, CASE WHEN hash(j, 7) % 10 < 6 THEN 'u' WHEN hash(j, 7) % 10 < 9 THEN 'c' ELSE 'd' END AS op
            FROM range({count - twice}) t(j))""")
        connection.execute(f"""COPY (
          SELECT unnest(image(k, i, version)), (year(day(i)) * 12 + month(day(i)) - 1)::INTEGER AS {MONTH}, op AS __op, CAST(NULL AS VARCHAR) AS __unavailable,
            CASE WHEN hash(j, 13) % 10000 < {late * 10_000} THEN (hash(j, 14) % {STORED})::BIGINT ELSE sequence END AS __sequence_1, 'changes#' || j AS __position FROM (
            SELECT k, i, op, j, {2 * salt + 1} AS version, {new} AS sequence FROM picked
            UNION ALL (SELECT k, i, 'u', j + {count}, {2 * salt + 2}, {new} + 1 FROM picked WHERE op <> 'd' ORDER BY hash(j, 3) LIMIT {twice})
          ) ORDER BY hash(j, 77)) TO '{file}' (FORMAT parquet)""")
