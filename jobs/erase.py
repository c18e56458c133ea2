"""Rows of some keys removed from everywhere that Penstock keeps them, and a search afterwards that proves it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.changes.facts import listed
from penstock.connectors.readers import ReadSpec, data_files, erased, read_one
from penstock.engines.base import Session
from penstock.errors import ArgumentError, BrokenFileError, CommitConflictError
from penstock.killpoints import reach
from penstock.maintenance import Clustering, Group
from penstock.pipeline import CopyStep, MergeStep, Read, ReadStep, Table
from penstock.schema import arrow_schema, literal
from penstock.sources import PAYLOAD, POSITION
from penstock.tables import RUN, Change, LakeTable, Pinned

from .context import Context
from .dropped import clear
from .history import declared_table
from .ledger import check_rollback, target_of
from .lock import exclusive
from .targets import MEMORY, QUARANTINE

if TYPE_CHECKING:
    import pyarrow as pa

_OPEN = "erasure.json"


@dataclass(frozen=True)
class Place:
    """Where rows were searched: how many were removed, and how many a search of every file there still found.

    Of the folder of a table that was dropped: how many files.
    """

    place: str
    removed: int
    left: int


@dataclass(frozen=True)
class Erased:
    table: str
    keys: int
    places: tuple[Place, ...]


def erase(context: Context, location: str, file: Path) -> Erased:
    """Remove the keys that a file lists from the landing files, the quarantine, the memory and the table, with all former states of these.

    Raises ArgumentError for a table without keys and for a file that does not list them, RunLockedError while a run is at work, LedgerError after an
    interrupted rollback.
    """
    table, declared = declared_table(context, location), context.declared(location)
    if not declared.keys:
        raise ArgumentError(f"{location} has no keys, by which rows could be named", hint="declare keys on the table; or use a `delete` step")
    keys = _keys(context, location, file)
    with exclusive(context.state, context.run):
        check_rollback(context)  # what a rollback brings back is gone afterwards
        naming = _naming(declared, keys)
        places = [*_landing(context, location, naming)]
        reach("after_landing")
        for suffix in (QUARANTINE, MEMORY, ""):
            places += [Place(c.folder, len(c.removed), c.left) for c in clear(context, location + suffix)]
            found = context.lake_table(location + suffix) if suffix else table
            if found:
                places.append(_from_table(context, found, location + suffix, naming))
                reach("after_erasing")
        done = Erased(location, keys.num_rows, tuple(places))
        context.state.write(f"erasures/{context.run}.json", json.dumps(asdict(done)).encode())
    return done


def _keys(context: Context, location: str, file: Path) -> pa.Table:
    """The keys, typed. Raises ArgumentError for a record that is none."""
    declared = context.declared(location)
    columns = tuple(c for c in declared.schema_columns if c.name in declared.keys)
    if not file.is_file():
        raise ArgumentError(f"there is no file {file}", hint=f"a CSV with the header {','.join(declared.keys)}, or JSON lines")
    rows = read_one(str(file), file.read_bytes(), ReadSpec("csv" if file.suffix == ".csv" else "json", columns, declared.keys))
    if rows.rejected.num_rows:
        first = rows.rejected.to_pylist()[0]
        raise ArgumentError(f"{first[POSITION]}: {first['__reason']}")
    return rows.table.select(list(declared.keys)).cast(arrow_schema(replace(c, required=False) for c in columns))


def _naming(declared: Table, keys: pa.Table) -> list[pa.Table]:
    """The keys under their names, and under those that they had before: files that were delivered then, and what is kept of them, have these."""
    former = declared.on_schema_change.renamed_from
    return [keys.rename_columns(list(named)) for named in product(*([c, former[c]] if c in former else [c] for c in keys.column_names))]


def _texts(naming: Sequence[pa.Table]) -> list[dict[str, str]]:
    return [{name: str(value) for name, value in row.items()} for keys in naming for row in keys.to_pylist()]


def _mentions(payload: str, keys: Sequence[dict[str, str]]) -> bool:
    """True where a record that could not be read, or was refused, is about one of the keys: by its fields, or by its words where it has none."""
    try:
        objects = list(_objects(json.loads(payload)))
    except ValueError:
        words = set(re.findall(r"[^\s,;|\"']+", payload))
        return any(set(key.values()) <= words for key in keys)
    return any(all(str(found.get(name)) == value for name, value in key.items()) for found in objects for key in keys)


def _objects(value: Any) -> Any:
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _objects(part)


def _landing(context: Context, location: str, naming: Sequence[pa.Table]) -> list[Place]:
    """The files that the table is made of, and the manifests that name them."""
    sources = {s.merge.from_ if isinstance(s, MergeStep) else s.copy_.from_ for s in context.pipeline.steps
               if isinstance(s, MergeStep | CopyStep) and target_of(s) == location}  # fmt: skip
    places = []
    for step in (s for s in context.pipeline.steps if isinstance(s, ReadStep) and s.id in sources):
        store, finds = context.store(step.read.from_), partial(_found, step.read, context.declared(location), naming)
        log, before = context.batches(step.id), {file.uri: file.etag for file in data_files(store)}
        known = log.seen() if context.state.find(_OPEN) else before  # what an erasure that was interrupted wrote is its doing too
        context.state.write(_OPEN, b"{}")
        removed = sum(erased(store, file, step.read.format, finds) for file in data_files(store))
        reach("after_rewriting")
        log.rewritten({f.uri: f for f in data_files(store) if known.get(f.uri) != f.etag})
        context.state.delete(_OPEN)
        left = sum(len(finds(f.uri, store.read(f.uri.removeprefix(store.root)))) for f in data_files(store))
        places.append(Place(store.root, removed, left))
    return places


def _found(read: Read, declared: Table, naming: Sequence[pa.Table], uri: str, raw: bytes) -> set[str]:
    """The positions of the records of a file that are about one of the keys, by any of their names. Raises BrokenFileError where it has none of these."""
    found: set[str] = set()
    broken: list[BrokenFileError] = []
    for keys in naming:
        named = dict(zip(naming[0].column_names, keys.column_names, strict=True))
        columns = tuple(replace(c, name=named[c.name]) for c in declared.schema_columns if c.name in named)
        try:
            rows = read_one(uri, raw, ReadSpec.of(read, columns, tuple(keys.column_names)))
        except BrokenFileError as error:
            broken.append(error)
            continue
        wanted, texts = {tuple(row.values()) for row in keys.to_pylist()}, _texts([keys])
        held = zip(rows.table[POSITION].to_pylist(), *(rows.table[name].to_pylist() for name in keys.column_names), strict=True)
        found |= {position for position, *key in held if tuple(key) in wanted}
        found |= {r[POSITION] for r in rows.rejected.to_pylist() if _mentions(r[PAYLOAD], texts)}
    if len(broken) == len(naming):
        raise broken[0]
    return found


def _from_table(context: Context, table: LakeTable, location: str, naming: Sequence[pa.Table]) -> Place:
    """Delete the rows, write every file anew that still holds deleted ones, and leave no former state. Raises CommitConflictError for another writer."""
    with context.engine.session() as session:
        session.load("asked", naming[0])
        session.execute("CREATE OR REPLACE TABLE erased AS SELECT DISTINCT * FROM asked")
        pinned = table.pin()
        session.scan("present", table, pinned)
        session.execute("CREATE OR REPLACE TABLE nothing AS SELECT * FROM present LIMIT 0")
        gone = _mentioned(session, naming) if location.endswith(QUARANTINE) else ("erased", naming[0].column_names)
        on = listed("a.{0} = b.{0}", gone[1], " AND ")
        (count,) = session.query(f"SELECT COUNT(*) AS rows FROM present a SEMI JOIN {gone[0]} b ON {on}").to_pylist()
        if count["rows"]:
            _commit(context, table, pinned, session.rewrite(table, pinned, "nothing", gone[0], context.run))
        pinned = table.pin()
        thinned = [f for f in table.files(pinned) if f.deletes]
        parts = [session.compact(table, pinned, Group(f.partition, (f,)), Clustering(), context.run) for f in thinned]
        if parts:
            _commit(context, table, pinned, Change("replace", [f for p in parts for f in p.add], [f for p in parts for f in p.remove]))
        table.purge()
        return Place(location, int(count["rows"]), session.found_below(table, table.pin(), *gone))


def _mentioned(session: Session, naming: Sequence[pa.Table]) -> tuple[str, list[str]]:
    """The quarantined rows that are about one of the keys, named by their place in the quarantine."""
    texts = _texts(naming)
    held = session.query(f"SELECT {POSITION}, {PAYLOAD} FROM present").to_pylist()
    about = [literal(row[POSITION]) for row in held if _mentions(row[PAYLOAD] or "", texts)]
    named = f"{POSITION} IN ({', '.join(about)})" if about else "FALSE"
    session.execute(f"CREATE OR REPLACE TABLE withdrawn AS SELECT __step, __batch, {POSITION} FROM present WHERE {named}")
    return "withdrawn", ["__step", "__batch", POSITION]


def _commit(context: Context, table: LakeTable, pinned: Pinned, change: Change) -> None:
    outcome = table.commit(pinned, replace(change, summary={RUN: context.run, "penstock.erasure": "true"}))
    if outcome.state != "done":
        raise CommitConflictError(f"{table.name} was written meanwhile: {outcome.cause}", hint="run the erasure again")
