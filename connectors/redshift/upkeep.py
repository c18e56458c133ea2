"""What a table in Redshift needs beyond what Redshift does in the background: a plan made of the system view, and its statements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.maintenance import Maintain

from .sql import Target, literal


def told(target: Target) -> str:
    """One row: percents of `unsorted` rows and of stale statistics (`stats_off`), all `rows` and the `visible` ones; none for a table that is empty."""
    columns = "unsorted, stats_off, tbl_rows AS rows, estimated_visible_rows AS visible"
    named = f'schema = {literal(target.schema.lower())} AND "table" = {literal(target.table.lower())}'
    return f"SELECT {columns} FROM svv_table_info WHERE {named}"


def statements(target: Target, found: Mapping[str, Any], policy: Maintain) -> list[str]:
    """What is due, each a transaction of its own: VACUUM runs in none."""
    unsorted, stale = (float(found[name] or 0) for name in ("unsorted", "stats_off"))
    rows, visible = float(found["rows"] or 0), float(found["visible"] or 0)
    is_thin, is_unsorted = rows - visible > rows * policy.max_delete_share, unsorted > policy.max_unsorted * 100
    kind = "FULL" if is_thin and is_unsorted else "DELETE ONLY" if is_thin else "SORT ONLY"
    due = [f"VACUUM {kind} {target.name} TO {100 - int(policy.max_unsorted * 100)} PERCENT"] if is_thin or is_unsorted else []
    return due + ([f"ANALYZE {target.name}"] if stale > policy.max_stale * 100 else [])
