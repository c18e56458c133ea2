"""The Star Schema Benchmark's five tables at a chosen scale, as Parquet files: each value a hash of its row's number, so that a scale always gives the same rows.

Rows: 6,000,000 line orders, 30,000 customers, 2,000 suppliers at scale 1, in proportion at others; 200,000 parts (times 1 + log2 of a greater scale);
2,557 days, 1992 to 1998. Keys, dates, quantities (1 to 50), discounts (0 to 10 %) and taxes (0 to 8 %) are uniform; an order has four lines, of one customer and one day;
the extended price is quantity times a part's price (900 to 2,000), revenue is the price less its discount, supply cost six tenths of a part's price.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import duckdb

NATIONS = {
    "AFRICA": ("ALGERIA", "ETHIOPIA", "KENYA", "MOROCCO", "MOZAMBIQUE"), "AMERICA": ("ARGENTINA", "BRAZIL", "CANADA", "PERU", "UNITED STATES"),
    "ASIA": ("CHINA", "INDIA", "INDONESIA", "JAPAN", "VIETNAM"), "EUROPE": ("FRANCE", "GERMANY", "ROMANIA", "RUSSIA", "UNITED KINGDOM"),
    "MIDDLE EAST": ("EGYPT", "IRAN", "IRAQ", "JORDAN", "SAUDI ARABIA"),
}  # fmt: skip
COLORS = (
    "almond",
    "azure",
    "beige",
    "blue",
    "brown",
    "coral",
    "cream",
    "cyan",
    "gold",
    "green",
    "ivory",
    "khaki",
    "lime",
    "navy",
    "olive",
    "pink",
    "red",
    "tan",
)
SHIP = ("AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK")
PRIORITIES = ("1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECI", "5-LOW")
SEGMENTS = ("AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY")
TABLES = ("dwdate", "customer", "supplier", "part", "lineorder")


def _listed(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{v}'" for v in values) + "]"


def pick(values: tuple[str, ...], salt: str) -> str:
    """One of some values, by the hash of the row."""
    return f"{_listed(values)}[1 + (hash(i, '{salt}') % {len(values)})::INTEGER]"


def number(most: int, salt: str) -> str:
    """0 to most - 1."""
    return f"(hash(i, '{salt}') % {most})::INTEGER"


def _person(prefix: str, kind: str, key: str) -> str:
    nations = tuple(f"{region}/{nation}" for region, named in NATIONS.items() for nation in named)
    place = pick(nations, f"{kind}nation")
    return f"""i AS {key}, '{kind}#' || lpad(i::VARCHAR, 9, '0') AS {prefix}_name, 'street ' || {number(1000, kind + "address")} AS {prefix}_address,
      rpad(left(split_part({place}, '/', 2), 9), 9, ' ') || {number(10, kind + "city")} AS {prefix}_city, split_part({place}, '/', 2) AS {prefix}_nation,
      split_part({place}, '/', 1) AS {prefix}_region, lpad({number(1_000_000_000, kind + "phone")}::VARCHAR, 15, '1') AS {prefix}_phone"""


def queries(scale: float) -> dict[str, str]:
    """Each table's rows as SQL of DuckDB's."""
    customers, suppliers = max(30, round(30_000 * scale)), max(20, round(2_000 * scale))
    parts = max(200, round(200_000 * (1 + math.log2(scale)) if scale > 1 else 200_000 * scale))
    orders = max(250, round(1_500_000 * scale))
    category = f"(1 + {number(5, 'mfgr')}) || (1 + {number(5, 'category')})"
    order = "(i // 4)"
    day = f"(DATE '1992-01-01' + (hash({order}, 'day') % 2406)::INTEGER)"
    quantity, price, discount = f"(1 + {number(50, 'quantity')})", f"(900 + hash(1 + {number(parts, 'part')}, 'price') % 1101)::INTEGER", number(11, "discount")
    return {
        "dwdate": """SELECT strftime(d, '%Y%m%d')::INTEGER AS d_datekey, strftime(d, '%B %-d, %Y') AS d_date, strftime(d, '%A') AS d_dayofweek, strftime(d, '%B') AS d_month,
          year(d)::INTEGER AS d_year, (year(d) * 100 + month(d))::INTEGER AS d_yearmonthnum, strftime(d, '%b%Y') AS d_yearmonth, dayofweek(d)::INTEGER + 1 AS d_daynuminweek,
          day(d)::INTEGER AS d_daynuminmonth, dayofyear(d)::INTEGER AS d_daynuminyear, month(d)::INTEGER AS d_monthnuminyear,
          ((dayofyear(d) - 1) // 7 + 1)::INTEGER AS d_weeknuminyear FROM (SELECT DATE '1992-01-01' + i::INTEGER AS d FROM range(2557) r(i))""",
        "customer": f"SELECT {_person('c', 'Customer', 'c_custkey')}, {pick(SEGMENTS, 'segment')} AS c_mktsegment FROM (SELECT (i + 1)::INTEGER AS i FROM range({customers}) r(i))",
        "supplier": f"SELECT {_person('s', 'Supplier', 's_suppkey')} FROM (SELECT (i + 1)::INTEGER AS i FROM range({suppliers}) r(i))",
        "part": f"""SELECT i AS p_partkey, {pick(COLORS, "name")} || ' ' || {pick(COLORS, "name2")} AS p_name, 'MFGR#' || (1 + {number(5, "mfgr")}) AS p_mfgr,
          'MFGR#' || {category} AS p_category, 'MFGR#' || {category} || (1 + {number(40, "brand")}) AS p_brand1, {pick(COLORS, "color")} AS p_color,
          'TYPE ' || {number(150, "type")} AS p_type, 1 + {number(50, "size")} AS p_size, 'BOX ' || {number(40, "container")} AS p_container
          FROM (SELECT (i + 1)::INTEGER AS i FROM range({parts}) r(i))""",
        "lineorder": f"""SELECT ({order} + 1)::BIGINT AS lo_orderkey, (i % 4 + 1)::INTEGER AS lo_linenumber, (1 + hash({order}, 'customer') % {customers})::INTEGER AS lo_custkey,
          1 + {number(parts, "part")} AS lo_partkey, 1 + {number(suppliers, "supplier")} AS lo_suppkey, strftime({day}, '%Y%m%d')::INTEGER AS lo_orderdate,
          {_listed(PRIORITIES)}[1 + (hash({order}, 'priority') % 5)::INTEGER] AS lo_orderpriority, '0' AS lo_shippriority, {quantity} AS lo_quantity,
          {quantity} * {price} AS lo_extendedprice, ({quantity} * {price} * 4)::INTEGER AS lo_ordtotalprice, {discount} AS lo_discount,
          ({quantity} * {price} * (100 - {discount}) // 100)::INTEGER AS lo_revenue, (6 * {price} // 10)::INTEGER AS lo_supplycost, {number(9, "tax")} AS lo_tax,
          strftime({day} + 30 + {number(61, "commit")}, '%Y%m%d')::INTEGER AS lo_commitdate, {pick(SHIP, "ship")} AS lo_shipmode FROM range({4 * orders}) r(i)""",
    }  # fmt: skip


def generate(folder: Path, scale: float, tables: tuple[str, ...] = TABLES) -> None:
    """Write the tables as `folder/<table>.parquet`."""
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        for name in tables:
            connection.execute(f"COPY ({queries(scale)[name]}) TO '{folder / name}.parquet' (FORMAT parquet, ROW_GROUP_SIZE 250000)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=0.1)
    said = parser.parse_args()
    generate(said.folder, said.scale)
