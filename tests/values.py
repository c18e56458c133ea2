"""Values of every type that are known to be difficult, by the type's name."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

Z = dt.UTC
VALUES: dict[str, list[Any]] = {
    "boolean": [False, True],
    "int": [-(2**31), -1, 0, 1, 2**31 - 1],
    "bigint": [-(2**63), -1, 2**53, 2**53 + 1, 2**63 - 1],
    "float": [float("-inf"), -1.5, 0.0, 0.1, 3.0e38, float("inf"), float("nan")],
    "double": [float("-inf"), -1.5, 0.0, 0.1, 1e308, float("inf"), float("nan")],
    "decimal(38,10)": [Decimal("-1234567890123456789012345678.0123456789"), Decimal("-0.0000000001"), Decimal(0), Decimal("9" * 28 + "." + "9" * 10)],
    "decimal(12,2)": [Decimal("-1.20"), Decimal("0.01"), Decimal("9999999999.99")],
    "string": [" ", "NULL", "a'b\"c", "x" * 300 + "a", "x" * 300 + "b", "ä", "\uffff\uffff", "\U0010ffff" * 20],
    "binary": [b"", b"\x00", b"\\x41'", b"A", b"\xff" * 40, b"\xff" * 40 + b"\x00"],
    "date": [dt.date(1, 1, 1), dt.date(1899, 12, 31), dt.date(1970, 1, 1), dt.date(9999, 12, 31)],
    "timestamp": [dt.datetime(1899, 12, 31, 23, 59, 59, 999999, Z), dt.datetime(2024, 1, 1, 0, 0, 0, 1, Z), dt.datetime(2024, 1, 1, 0, 0, 0, 2, Z)],
    "timestamp_ntz": [dt.datetime(1899, 12, 31, 23, 59, 59, 999999), dt.datetime(2024, 1, 1, 0, 0, 0, 1), dt.datetime(2024, 1, 1, 0, 0, 0, 2)],
}  # fmt: skip
