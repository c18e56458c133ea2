"""Orders and their changes, made by hashing: the same rows every time. `rows` x 12 columns; changes: 60 % update, 30 % insert, 10 % delete, 5 % of the keys twice."""

from __future__ import annotations

from pathlib import Path

import duckdb

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


def _macros(connection: duckdb.DuckDBPyConnection, rows: int) -> None:
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


def generate(folder: Path, rows: int, changes: int) -> None:
    """Write `orders.parquet` (keys are multiples of four) and `changes.parquet` (events, unordered) into a folder."""
    connection = duckdb.connect()
    _macros(connection, rows)
    folder.mkdir(parents=True, exist_ok=True)
    connection.execute(
        f"COPY (SELECT unnest(image(i * 4, i, 0)) FROM range({rows}) t(i)) TO '{folder}/orders.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    )
    connection.execute(f"""CREATE TABLE picked AS
      SELECT j, i, i * 4 + CASE WHEN op = 'c' THEN 1 + (hash(j, 5) % 3)::INTEGER ELSE 0 END AS k, op FROM (
        SELECT j, (hash(j, 1001) % {rows})::BIGINT AS i, CASE WHEN hash(j, 7) % 10 < 6 THEN 'u' WHEN hash(j, 7) % 10 < 9 THEN 'c' ELSE 'd' END AS op
        FROM range({changes * 95 // 100}) t(j))""")
    connection.execute(f"""COPY (
      SELECT unnest(image(k, i, version)), op AS __op, CAST(NULL AS VARCHAR) AS __unavailable, sequence AS __sequence_1, 'changes#' || j AS __position FROM (
        SELECT k, i, op, j, 1 AS version, 1000 + (hash(j, 11) % 1000000)::BIGINT * 10 AS sequence FROM picked
        UNION ALL (SELECT k, i, 'u', j + {changes}, 2, 1000 + (hash(j, 12) % 1000000)::BIGINT * 10 + 1 FROM picked WHERE op <> 'd' ORDER BY hash(j, 3) LIMIT {changes - changes * 95 // 100})
      ) ORDER BY hash(j, 77)) TO '{folder}/changes.parquet' (FORMAT parquet)""")
    connection.close()
