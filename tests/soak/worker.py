"""Small batches onto the tables of one format, until a signal ends it or none is left; what was done, only the tables' own ledgers say."""

from __future__ import annotations

import random
import sys
from datetime import UTC, datetime
from pathlib import Path

from changes_model import HISTORY, SOFT, SPEC, Event, stream
from merged import Merged

from penstock.changes.facts import MergeSpec
from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import open_catalog

KEY = "p/s"
SPECS: dict[str, MergeSpec] = {"scd1": SPEC, "soft_delete": SOFT, "scd2": HISTORY}
EVENTS_A_BATCH = 4
EXPIRE_EVERY = 100


def batches(seed: int, count: int) -> list[list[Event]]:
    """`count` small batches: events shuffled a little or altogether, duplicates, partial rows, truncates, and some batches a second time."""
    keys = max(5, count // 30)
    events = stream(seed, partial=0.1, truncates=2 / (count * EVENTS_A_BATCH), events_a_key=2 * EVENTS_A_BATCH * count // keys, keys=keys)
    r = random.Random(seed)
    lateness = r.choice((20, 200, 10**6))
    shuffled = [e for _, e in sorted(enumerate(events), key=lambda p: p[0] + r.randint(0, lateness))]
    cuts = sorted(r.randint(0, len(events)) for _ in range(count - 1))
    parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    return [parts[r.randint(0, i)] + part if r.random() < 0.05 else part for i, part in enumerate(parts)]


def tables(folder: Path, table_format: str) -> dict[str, Merged]:
    catalog = open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse=table_format), AwsSettings(), folder)
    return {name: Merged(catalog, table_format, spec=spec, name=name) for name, spec in SPECS.items()}


def work(folder: Path, table_format: str, seed: int, count: int) -> None:
    found = tables(folder, table_format)
    waiting = {name: batches(seed + i, count) for i, name in enumerate(found)}
    done = {name: merged.table.pin().ledger.get(KEY, 0) for name, merged in found.items()}
    while left := [name for name in found if done[name] < count]:
        for name in left:
            done[name] += 1
            found[name].apply(waiting[name][done[name] - 1], done[name])
            if done[name] % EXPIRE_EVERY == 0:
                for table in (found[name].table, found[name].memory):
                    table.expire(datetime.now(UTC), ())
            print(name, done[name], flush=True)


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
