"""The soak's pipeline, one feed into tables of each kind, and the files of that feed: each is a batch of every step that writes."""

from __future__ import annotations

import json
import random
from typing import Any

from changes_model import KINDS, SPEC, Event, has, key, stream
from pipelines import SHOP

EVENTS_A_FILE, LATENESS = 4, (20, 200, 10**6)
COLUMNS = 'tenant: bigint!, Customer Id: string!, order: bigint, Total Amount: "decimal(12,2)", note: string'
MERGES = {"scd1": "", "soft_delete": ", soft_delete: gone", "scd2": ", stored_as_scd_type: 2, track_history_column_list: [order, Total Amount]"}
MERGED = {f"lake.ops.{kind}": spec for kind, spec in KINDS.items()}
APPENDED = "lake.ops.inserts"
TABLES = (*MERGED, APPENDED)


def pipeline(table_format: str) -> str:
    """Maintenance finds something to do each time it comes: nothing of the past is kept, two files are too many."""
    text = SHOP.replace("shop", "soak")
    for name in TABLES:
        text += f"""  {name}:
    format: {table_format}
    columns: {{{COLUMNS}{", gone: boolean" if "soft" in name else ""}}}
    keys: [{"" if name == APPENDED else "tenant, Customer Id"}]
    maintain: {{min_files: 2, max_manifests: 2, keep_snapshots: 0 hours, orphans_after: 1 day}}
"""
    text += f"""steps:
  - id: feed
    read: {{from: raw/feed/, format: debezium, decimal_handling_mode: string, batch: {{max_files: 1}}}}
  - {{id: inserts, copy: {{from: feed, into: {APPENDED}}}}}
"""
    return text + "".join(f"  - {{id: {kind}, merge: {{from: feed, into: lake.ops.{kind}{said}}}}}\n" for kind, said in MERGES.items())


def files(seed: int, count: int) -> list[list[Event]]:
    """`count` files: events a little late, or later than all others, duplicates, partial rows, truncates, and some files a second time."""
    keys = max(5, count // 2)
    events = apart(stream(seed, partial=0.1, truncates=2 / (count * EVENTS_A_FILE), events_a_key=2 * EVENTS_A_FILE * count // keys, keys=keys))
    r = random.Random(seed)
    shuffled = [e for _, e in sorted(enumerate(events), key=lambda p: p[0] + r.randint(0, r.choice(LATENESS)))]
    cuts = sorted(r.randint(0, len(events)) for _ in range(count - 1))
    parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    return [parts[r.randint(0, i)] + part if r.random() < 0.05 else part for i, part in enumerate(parts)]


def apart(events: list[Event]) -> list[Event]:
    """No two keys in one place of the log: there a delete and an upsert say that a row's key changed."""
    numbers = {k: i for i, k in enumerate(dict.fromkeys(map(key, events)))}
    return [e | {"__sequence_2": e["__sequence_2"] * len(numbers) + numbers[key(e)]} for e in events]


def line(event: Event) -> str:
    """An event as Debezium writes it for PostgreSQL; a value that an update does not have is a TOAST column's that it left as it was."""
    op = event["__op"]
    keys = {k: event[k] for k in SPEC.keys}
    image = keys | {c: _said(event[c]) if has(event, c) else "__debezium_unavailable_value" for c in SPEC.data}
    source = {"connector": "postgresql", "sequence": json.dumps([str(event[s]) for s in SPEC.sequence])}
    return json.dumps({"op": op, "before": keys if op == "d" else None, "after": None if op in "dt" else image, "source": source})


def _said(value: Any) -> Any:
    return value if value is None or isinstance(value, int) else str(value)
