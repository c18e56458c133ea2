"""What a pipeline asks of a table's design, written into the table: what its owners set otherwise since then stays."""

from __future__ import annotations

import json
from collections.abc import Mapping

ASKED = "penstock.asked"


def record(asked: Mapping[str, str]) -> dict[str, str]:
    """The property that remembers what was asked."""
    return {ASKED: json.dumps(asked, sort_keys=True)}


def asked_anew(asked: Mapping[str, str], properties: Mapping[str, str]) -> dict[str, str]:
    """What is asked now and was not before, with its record; nothing where all was."""
    before = json.loads(properties.get(ASKED, "{}"))
    anew = {name: value for name, value in asked.items() if before.get(name) != value}
    return anew | record(asked) if anew else {}
