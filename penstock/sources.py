"""What a reading connector hands on: typed rows, the rows it had to reject, and its own count of what it read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

OP = "__op"
POSITION = "__position"
REASON = "__reason"
PAYLOAD = "__payload"
OPERATIONS = {"c": "insert", "u": "update", "d": "delete", "r": "snapshot read"}


@dataclass(frozen=True)
class Rows:
    """One batch as a connector read it.

    `table` holds the declared columns, typed, and `__position` (`<uri>#<line or row, from 1>`); change feeds add `__op` (a key of OPERATIONS)
    and `__sequence_1..n` (bigint). A delete holds its keys, other columns NULL. `rejected` has the columns `__position, __reason, __payload`, all strings.
    `read` is counted by the connector alone: read = table.num_rows + rejected.num_rows + filtered, or something was lost.
    """

    table: pa.Table
    rejected: pa.Table
    read: int
    filtered: int = 0
