"""What a table in Redshift lacks of its declaration, and the statements that give it that: columns added, texts widened, columns compressed otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.errors import DataError

from . import sql

Row = Mapping[str, Any]


def has_encodings(target: sql.Target) -> bool:
    """Whether it is declared how any column is compressed; how AUTO does it is Redshift's own affair."""
    return any(kind != "auto" for kind in target.layout.encode.values())


def statements(target: sql.Target, rows: Sequence[Row], encodings: Sequence[Row]) -> list[str]:
    """What makes the table the declared one. `rows`: those that `sql.compared` gives; `encodings`: those of `sql.encodings`.

    Raises DataError where the table has other columns: a cast on the way could round.
    """
    held, declared = ({str(r["name"]): r for r in rows if r["declared"] is own} for own in (False, True))
    added = [c for c in target.columns if c.name.lower() not in held and not c.required]
    longer = [c for c in target.columns if _is_longer(held.get(c.name.lower()), declared.get(c.name.lower()))]
    known = {c.name.lower() for c in added + longer}
    kept, wanted = ({n: _shape(r) for n, r in of.items() if n not in known} for of in (held, declared))
    if kept != wanted:
        shown = (", ".join(_shape(r) for r in of.values()) for of in (held, declared))
        raise DataError("{} has the columns {} but {} are declared".format(target.name, *shown), hint="declare what is there, or drop the table")
    compressed = {str(r["name"]): str(r["encoding"]) for r in encodings}
    wanted_so = {c: "none" if kind == "raw" else kind for c, kind in target.layout.encode.items() if kind != "auto"}
    encode = [c for c, kind in wanted_so.items() if compressed.get(c.lower(), kind) != kind]
    return [
        *(sql.add_column(target, c) for c in added),
        *(sql.widen_column(target, c) for c in longer),
        *(sql.encode_column(target, c) for c in encode),
    ]


def _is_longer(held: Row | None, declared: Row | None) -> bool:
    """Whether a text is declared longer than the table has it."""
    return bool(held and declared and held["type"] == declared["type"] and (held["length"] or 0) < (declared["length"] or 0))


def _shape(column: Row) -> str:
    digits = f"({column['digits']},{column['scale']})" if column["digits"] is not None else ""
    return f"{column['name']} {column['type']}{digits}"
