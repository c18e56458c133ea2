"""The oracle: all events of a stream settled row by row, in dicts; and the seeded generator of streams."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa

from penstock.changes.scd1 import MergeSpec

Event = dict[str, Any]

SPEC = MergeSpec(("tenant", "Customer Id"), ("order", "note"), 2)
SCHEMA = pa.schema(
    [
        ("tenant", pa.int64()), ("Customer Id", pa.string()), ("order", pa.int64()), ("note", pa.string()),
        ("__sequence_1", pa.int64()), ("__sequence_2", pa.int64()), ("__op", pa.string()), ("__position", pa.string()),
    ]
)  # fmt: skip


def key(event: Event) -> tuple[Any, ...]:
    return tuple(event[k] for k in SPEC.keys)


def place(event: Event) -> tuple[Any, ...]:
    """Where a fact stands in the order: sequence, upsert before delete, then content, NULL least."""
    content = () if event["__op"] == "d" else tuple((event[c] is not None, event[c] if event[c] is not None else 0) for c in SPEC.data)
    return (*(event[s] for s in SPEC.sequence), 2 if event["__op"] == "d" else 1, content)


def settled(events: list[Event]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """key -> row with its sequence, as one sorted batch would leave the table."""
    newest: dict[tuple[Any, ...], Event] = {}
    for event in sorted(events, key=place):
        newest[key(event)] = event
    return {k: tuple(e[c] for c in SPEC.stored) for k, e in newest.items() if e["__op"] != "d"}


def counted(events: list[Event]) -> dict[str, int]:
    """What became of the events, had all come in one batch onto an empty table."""
    facts = {(key(e), place(e)) for e in events}
    return {
        "read": len(events),
        "applied": len({k for k, _ in facts}),
        "unchanged": 0,
        "superseded": len(facts) - len({k for k, _ in facts}),
        "duplicate": len(events) - len(facts),
    }


def stream(seed: int) -> list[Event]:
    """Few keys, many events: deletes, ties, duplicates, positions that sort otherwise as text (9 before 10)."""
    r = random.Random(seed)
    events: list[Event] = []
    now, ties = 0, r.choice((0.05, 0.3))
    for k in range(5):
        for _ in range(r.randint(1, 40)):
            now += r.choice((1, 1, 2))
            at = now if r.random() > ties else r.randint(1, now)
            op = r.choices("cudr", (2, 6, 2, 1))[0]
            image = {"order": r.choice((None, 9, 10, 100)), "note": r.choice((None, "", "x", "é'"))} if op != "d" else dict.fromkeys(SPEC.data)
            events.append(
                {
                    "tenant": k % 2,
                    "Customer Id": f"ä'{k}",
                    "__op": op,
                    "__sequence_1": 7 + at // 7,
                    "__sequence_2": at % 7,
                    "__position": f"f#{len(events)}",
                    **image,
                }
            )
    return events + [dict(e) for e in events if r.random() < 0.15]


def batches(seed: int, events: list[Event]) -> list[list[Event]]:
    """The stream shuffled and cut anyhow; some batches come again later."""
    r = random.Random(seed * 31 + 1)
    shuffled = r.sample(events, len(events))
    cuts = sorted(r.randint(0, len(events)) for _ in range(r.randint(0, 8)))
    parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    return [p for part in parts for p in ([part, part] if r.random() < 0.1 else [part])]


def table(events: list[Event]) -> pa.Table:
    return pa.Table.from_pylist(events, schema=SCHEMA)
