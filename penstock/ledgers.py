"""The ledger as a table's metadata carries it: `<pipeline>/<step>` -> last batch, with a format version."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from penstock.errors import LedgerError

PROPERTY = "penstock.ledger"
FORMAT = 1


def dumps(ledger: Mapping[str, int]) -> str:
    return json.dumps({"format": FORMAT, "applied": dict(sorted(ledger.items()))}, separators=(",", ":"))


def loads(text: str | None) -> dict[str, int]:
    """Empty for no text; raises LedgerError for a ledger that a newer Penstock wrote."""
    if not text:
        return {}
    found = json.loads(text)
    if found["format"] > FORMAT:
        raise LedgerError(f"a ledger of format {found['format']} was written by a newer Penstock; this one reads up to {FORMAT}", hint="upgrade Penstock")
    return dict(found["applied"])


def greatest(ledgers: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """For each step the greatest number that any of the ledgers holds: foreign commits and foreign expiry lose nothing."""
    found: dict[str, int] = {}
    for ledger in ledgers:
        for key, number in ledger.items():
            found[key] = max(number, found.get(key, 0))
    return found
