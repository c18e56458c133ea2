"""The oracle: the events of a stream settled key by key, row by row, in dicts; and the seeded generator of streams."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import groupby
from typing import Any

import pyarrow as pa

from penstock.changes.facts import MergeSpec, unavailable

Event = dict[str, Any]
Key = tuple[Any, ...]

SPEC = MergeSpec(("tenant", "Customer Id"), ("order", "Total Amount", "note"), 2)
HISTORY = replace(SPEC, history=True, tracked=("order", "Total Amount"))
SOFT = replace(SPEC, data=("gone", *SPEC.data), soft_delete="gone")
KINDS = {"scd1": SPEC, "soft_delete": SOFT, "scd2": HISTORY}
ONE_PART = {f"{kind} by one part": replace(spec, sequences=1) for kind, spec in KINDS.items()}
NULL_UPDATES = {f"{kind} with NULL updates": replace(spec, optional=frozenset(SPEC.data)) for kind, spec in KINDS.items()}
TYPES = {
    "tenant": pa.int64(), "Customer Id": pa.string(), "order": pa.int64(), "Total Amount": pa.decimal128(12, 2), "note": pa.string(), "gone": pa.bool_(),
    "__sequence_1": pa.int64(), "__sequence_2": pa.int64(), "__op": pa.string(), "__unavailable": pa.string(), "__position": pa.string(),
}  # fmt: skip
RANKS = {"c": 1, "u": 1, "r": 1, "d": 2, "t": 3}


def key(event: Event) -> Key:
    return tuple(event[k] for k in SPEC.keys)


def sequence(spec: MergeSpec, event: Event) -> tuple[int, ...]:
    return tuple(event[s] for s in spec.sequence)


def has(event: Event, column: str) -> bool:
    return RANKS[event["__op"]] == 1 and column not in (event["__unavailable"] or "").split("\x1f")


def place(spec: MergeSpec, event: Event) -> tuple[Any, ...]:
    """Where a fact stands in the order; equal places are one fact."""
    values = ((has(event, c), has(event, c) and event[c] is not None, event[c] if has(event, c) and event[c] is not None else 0) for c in spec.data)
    return (*sequence(spec, event), RANKS[event["__op"]], tuple(values))


@dataclass
class Truth:
    """What one sorted batch leaves: rows and versions by key, what became of the events, the keys that an event waits for, and the truncates."""

    rows: dict[Key, dict[str, Any]] = field(default_factory=dict)
    versions: dict[tuple[Key, Any], tuple[Any, dict[str, Any]]] = field(default_factory=dict)
    waiting: set[Key] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    truncates: set[tuple[int, ...]] = field(default_factory=set)


def replay(spec: MergeSpec, events: list[Event]) -> Truth:
    """`rows` are SCD 1, with their sequence; `versions` SCD 2, from (key, start) to (end or None, values)."""
    events = [softened(spec, without_nulls(spec, e)) for e in events]
    truncates = {place(spec, e): e for e in events if e["__op"] == "t"}
    truth = Truth(truncates={at[: spec.sequences] for at in truncates})
    facts = {(key(e), place(spec, e)): e for e in events if e["__op"] != "t"}
    truth.counts.update(read=len(events), duplicate=len(events) - len(facts) - len(truncates), unchanged=0, applied=0, quarantined=0, superseded=0)
    truth.counts.update(applied=min(len(truncates), 1), superseded=max(len(truncates) - 1, 0))
    for k, mine in groupby(sorted(facts, key=lambda f: (repr(f[0]), f[1])), key=lambda f: f[0]):
        _replay_key(spec, truth, k, sorted([(at, facts[k, at]) for _, at in mine] + list(truncates.items()), key=lambda f: f[0]))
    return truth


def _replay_key(spec: MergeSpec, truth: Truth, k: Key, facts: list[tuple[Any, Event]]) -> None:
    known: dict[str, tuple[Any, Any]] = {}  # column -> its value, and the fact it is from
    last = barrier = opened = None
    for now, at_once in groupby(facts, key=lambda f: f[0][: spec.sequences]):
        closed = False
        for at, event in at_once:
            if RANKS[event["__op"]] > 1:
                known, last, barrier, closed = {}, None, at, True
            else:
                known |= {c: (event[c], at) for c in spec.data if has(event, c)}
                last = at
        whole = last is not None and all(c in known or c in spec.optional for c in spec.data)
        row = {c: known[c][0] if c in known else None for c in spec.data}
        if opened is not None:
            before = truth.versions[k, opened][1]
            if closed or not whole or any(row[c] != before[c] for c in spec.tracked):
                truth.versions[k, opened] = (now, before)
                opened = None
        if whole:
            opened = now if opened is None else opened
            truth.versions[k, opened] = (None, row)
    deleted = {barrier} if barrier and dict(facts)[barrier]["__op"] == "d" else set()
    needed = {last, *(at for _, at in known.values())} if last else set()
    mine = dict(facts)
    if opened is not None:
        truth.rows[k] = {**row, **dict(zip(spec.sequence, last[: spec.sequences], strict=True))}
        applied, stuck = needed | (deleted if len(known) < len(spec.data) else set()), set()
    else:
        marks = {at for at in needed if spec.soft_delete and has(mine[at], spec.soft_delete) and mine[at][spec.soft_delete]}
        applied, stuck = marks | deleted, needed - marks
        truth.waiting |= {k} if needed else set()
    own = [at for at, e in facts if e["__op"] != "t"]
    truth.counts.update(applied=len(applied), quarantined=len(stuck), superseded=len(own) - len(applied) - len(stuck))


def softened(spec: MergeSpec, event: Event) -> Event:
    if event["__op"] == "t" or not spec.soft_delete:
        return event
    if event["__op"] != "d":
        return {**event, "gone": False}
    return {**event, "__op": "u", "gone": True, "__unavailable": unavailable(c for c in spec.data if c != "gone")}


def without_nulls(spec: MergeSpec, event: Event) -> Event:
    if RANKS[event["__op"]] > 1 or not spec.optional:
        return event
    return {**event, "__unavailable": unavailable(c for c in spec.data if c in spec.optional and event[c] is None)}


def stream(seed: int, *, partial: float = 0, truncates: float = 0, events_a_key: int = 40, keys: int = 5, parts: int = 2) -> list[Event]:
    """Few keys, many events: deletes, ties, duplicates, positions that sort otherwise as text (9 before 10); partial rows and truncates if asked for.

    With one of two `parts` a sequence is told by its first alone.
    """
    r = random.Random(seed)
    events: list[Event] = []
    now, ties = 0, r.choice((0.05, 0.3))
    for k in range(keys):
        for _ in range(r.randint(1, events_a_key)):
            now += r.choice((1, 1, 2))
            at = now if r.random() > ties else r.randint(1, now)
            event: Event = dict.fromkeys(TYPES) | {
                "tenant": k % 2,
                "Customer Id": f"ä'{k}",
                "__sequence_1": 7 + at // 7 if parts == 2 else at,
                "__sequence_2": at % 7,
            }
            event |= {"__op": r.choices("cudr", (2, 6, 2, 1))[0], "__position": f"f#{len(events)}"}
            if event["__op"] != "d":
                event |= {"order": r.choice((None, 9, 10, 100)), "note": r.choice((None, "", "x", "é'"))}
                event["Total Amount"] = r.choice((None, Decimal("9.50"), Decimal("10.25")))
            lost = [c for c in SPEC.data if event["__op"] == "u" and r.random() < partial]
            events.append(event | dict.fromkeys(lost) | {"__unavailable": unavailable(lost)})
            if r.random() < truncates:
                events.append(dict.fromkeys(TYPES) | {s: event[s] for s in SPEC.sequence} | {"__op": "t", "__position": f"f#{len(events)}"})
    return events + [dict(e) for e in events if r.random() < 0.15]


def batches(seed: int, events: list[Event], most: int = 9) -> list[list[Event]]:
    """The stream shuffled, a little or altogether, and cut anyhow; some batches come again later."""
    r = random.Random(seed * 31 + 1)
    lateness = r.choice((10, 60, 10**6))
    shuffled = [e for _, e in sorted(enumerate(events), key=lambda p: p[0] + r.randint(0, lateness))]
    cuts = sorted(r.randint(0, len(events)) for _ in range(r.randint(0, most - 1)))
    parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    return [p for part in parts for p in ([part, part] if r.random() < 0.1 else [part])]


def table(events: list[Event]) -> pa.Table:
    return pa.Table.from_pylist(events, schema=pa.schema([(c, TYPES[c]) for c in TYPES if c != "gone"]))
