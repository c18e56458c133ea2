"""A batch against what is stored and remembered: the rows that it can change are found, and the least of the rules that are enough is run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from penstock.changes.counts import Counts
from penstock.changes.facts import MergeSpec, listed
from penstock.changes.horizon import MARK
from penstock.changes.key_changes import MOVED, completed, events_of_old_keys, incomplete, leaving, moved, with_completed
from penstock.changes.rules import Rules, remembered_changes
from penstock.changes.scd1 import whole_row_rules
from penstock.changes.scd1_general import general_rules
from penstock.changes.scd2 import history_rules
from penstock.changes.scd2_in_order import ASTRAY, in_order_rules, of_astray, within
from penstock.schema import names, quote
from penstock.sources import UNAVAILABLE
from penstock.tables import DataFile, LakeTable, Pinned

from .base import Session, Settled

TO_REMEMBER = "to_remember"


class Naming(Session, Protocol):
    """A session that keeps what it computes."""

    def name(self, name: str, sql: str, kind: str = "TABLE") -> None:
        """Name the rows of a query; those of a `VIEW` are read once more at most."""
        ...


class Finder(Naming, Protocol):
    """A session that finds stored rows."""

    found: dict[tuple[str, int | None], str]

    def locate(self, name: str, wanted: str | None, table: LakeTable, pinned: Pinned, keys: Sequence[str], columns: Iterable[str]) -> None:
        """Name the stored rows of the wanted keys (all rows for None), with `__file` and `__row`: where each is."""
        ...

    def locate_sequences(self, name: str, wanted: str, table: LakeTable, pinned: Pinned, keys: Sequence[str], sequence: Sequence[str], least: object) -> None:
        """Name keys and sequence of the stored rows of the wanted keys, as `locate` does. Of rows that come before `least`, the first part of the least
        wanted sequence, any sequence may be named that comes before it too.
        """
        ...

    def rows_of(self, table: LakeTable, pinned: Pinned, files: Sequence[DataFile], columns: Iterable[str]) -> str:
        """A query for columns of some files of a table, and `__file` and `__row`."""
        ...

    def files(self, table: LakeTable, pinned: Pinned) -> Sequence[DataFile]: ...


def unknown(session: Finder, table: LakeTable, pinned: Pinned, rows: str, sequence: Sequence[str]) -> str:
    """Name the rows, each once, that a table without keys does not hold at the same sequence with the same values."""
    columns = listed("{0}", names(pinned.columns))
    session.locate("held", f"SELECT {listed('{0}', sequence)} FROM {rows}", table, pinned, sequence, names(pinned.columns))
    session.name("unknown", f"SELECT {columns} FROM {rows} EXCEPT SELECT {columns} FROM held")
    return "unknown"


class Stored(Protocol):
    """Where rows of the wanted keys are found."""

    def locate(self, name: str, wanted: str | None, columns: Sequence[str]) -> None:
        """As `Finder.locate`."""
        ...

    def locate_sequences(self, name: str, wanted: str, least: object) -> None:
        """As `Finder.locate_sequences`."""
        ...


@dataclass(frozen=True)
class StoredIn:
    """Implements `Stored` for a table."""

    session: Finder
    spec: MergeSpec
    table: LakeTable
    pinned: Pinned

    def locate(self, name: str, wanted: str | None, columns: Sequence[str]) -> None:
        self.session.locate(name, wanted, self.table, self.pinned, self.spec.keys, columns)

    def locate_sequences(self, name: str, wanted: str, least: object) -> None:
        self.session.locate_sequences(name, wanted, self.table, self.pinned, self.spec.keys, self.spec.sequence, least)


@dataclass(frozen=True)
class Nature:
    """What decides which rules a batch needs."""

    rows: int
    truncates: bool
    partial: bool


def settle(session: Finder, spec: MergeSpec, table: LakeTable, pinned: Pinned, memory: LakeTable, remembered: Pinned) -> Settled:
    """Name what is to be written; `session` remembers in which files the rows lie."""
    return settled(session, spec, table, pinned, memory, remembered, recall(session, spec, table, pinned, memory, remembered))


def settled(session: Finder, spec: MergeSpec, table: LakeTable, pinned: Pinned, memory: LakeTable, remembered: Pinned, nature: Nature) -> Settled:
    """As `settle`, of a batch whose memory is recalled."""
    counts, found = ruled(session, spec, StoredIn(session, spec, table, pinned), nature)
    session.name(TO_REMEMBER, typed_memory(spec, remembered))
    session.found = {(table.name, pinned.version): found, (memory.name, remembered.version): "remembered"}
    return Settled(counts, remember=TO_REMEMBER)


def typed_memory(spec: MergeSpec, remembered: Pinned) -> str:
    """A query for `remember` in the types of the memory."""
    types = {c.name: c.type.duckdb for c in remembered.columns}
    return f"SELECT {', '.join(f'CAST({quote(c)} AS {types[c]}) AS {quote(c)}' for c in spec.event)} FROM remember"


def recall(session: Finder, spec: MergeSpec, table: LakeTable, pinned: Pinned, memory: LakeTable, remembered: Pinned) -> Nature:
    """Name what is remembered of the keys of `batch`, and complete in it the events of rows whose key changed."""
    nature = nature_of(session)
    _recall(session, spec, wanted_keys(spec), memory, remembered, everything=nature.truncates)
    if spec.key_changes and nature.partial:
        return replace(nature, partial=_follow(session, spec, table, pinned, memory, remembered))
    return nature


def nature_of(session: Session) -> Nature:
    (seen,) = session.query("""SELECT COUNT(*) AS rows, COALESCE(BOOL_OR(__op = 't'), FALSE) AS truncates, COUNT(__unavailable) > 0 AS partial
      FROM batch""").to_pylist()
    return Nature(**seen)


def has_deletes_alone(memory: Sequence[DataFile]) -> bool:
    """True where its statistics say that a memory holds neither partial events nor truncates."""
    return all(isinstance(top := file.upper.get("__op"), str) and top < "t" for file in memory)


def wanted_keys(spec: MergeSpec) -> str:
    """A query for the keys of `batch`."""
    return f"SELECT {listed('{0}', spec.keys)} FROM batch WHERE __op <> 't'"


def needs_content(session: Session, spec: MergeSpec, nature: Nature) -> bool:
    """True where keys and sequences of the stored rows are not enough, whatever ties there are."""
    return spec.history or nature.truncates or nature.partial or _is_involved(session, spec)


def ruled(session: Naming, spec: MergeSpec, stored: Stored, nature: Nature) -> tuple[Counts, str]:
    """Run the least of the rules that are enough for `batch` and `remembered`; returns the relation besides that has the rows which were found."""
    keys, found = wanted_keys(spec), "stored"
    if spec.history and not nature.truncates:
        stored.locate(found, keys, spec.stored)
        counted = _run_history(session, spec)
    elif needs_content(session, spec, nature):
        text = history_rules(spec) if spec.history else general_rules(spec)
        stored.locate(found, None if nature.truncates else keys, spec.stored)
        _run(session, spec, text)
        counted = text.counts
    else:
        found = "located"
        _run_whole_rows(session, spec, keys, stored)
        counted = whole_row_rules(spec).counts
    return sum((Counts(**row) for row in session.query(counted).to_pylist()), Counts()), found


def _recall(session: Finder, spec: MergeSpec, keys: str, memory: LakeTable, remembered: Pinned, *, everything: bool) -> None:
    """Name what is remembered of the batch's keys, and every truncate, as `remembered`."""
    session.locate("recalled", None if everything else keys, memory, remembered, spec.keys, spec.event)
    with_truncates = [f for f in session.files(memory, remembered) if _may_hold_truncates(f)]
    truncates = "" if everything else f" UNION ALL SELECT * FROM ({session.rows_of(memory, remembered, with_truncates, spec.event)}) WHERE __op = 't'"
    session.name("remembered", f"SELECT * FROM recalled WHERE __op <> '{MARK}'{truncates}")


def _may_hold_truncates(file: DataFile) -> bool:
    least, greatest = (bounds.get("__op") for bounds in (file.lower, file.upper))
    return not (least and greatest) or str(least) <= "t" <= str(greatest)


def _follow(session: Finder, spec: MergeSpec, table: LakeTable, pinned: Pinned, memory: LakeTable, remembered: Pinned) -> bool:
    """Complete the events of rows whose key changed; True where partial ones are left. A key that changes twice takes two rounds."""
    sequence, left_out = f"SELECT {listed('{0}', spec.sequence)} FROM batch b WHERE {incomplete(spec)}", f"SELECT SUM(LENGTH({UNAVAILABLE})) AS lost FROM batch"
    session.locate("recalled_at_once", sequence, memory, remembered, spec.sequence, spec.event)
    deletes = (f"SELECT {listed('{0}', (*spec.keys, *spec.sequence))} FROM {of} b WHERE {leaving(spec)}" for of in ("batch", "recalled_at_once"))
    session.name(f"{MOVED}_from", " UNION ".join(deletes))
    lost, before = session.query(left_out).to_pylist()[0]["lost"], None
    while lost and lost != before:
        session.name(MOVED, moved(spec))
        old = f"SELECT {listed('__was_{i} AS {0}', spec.keys)} FROM {MOVED}"
        if not session.query(f"SELECT COUNT(*) AS moved FROM {MOVED}").to_pylist()[0]["moved"]:
            break
        session.locate(f"{MOVED}_recalled", old, memory, remembered, spec.keys, spec.event)
        session.locate(f"{MOVED}_stored", old, table, pinned, spec.keys, spec.stored)
        event = listed("{0}", spec.event)
        session.name(f"{MOVED}_remembered", f"SELECT {event} FROM {MOVED}_recalled UNION ALL SELECT {event} FROM remembered WHERE __op = 't'")
        session.name(f"{MOVED}_batch", events_of_old_keys(spec))
        session.name("completed", completed(spec))
        session.name("batch", with_completed(spec))
        lost, before = session.query(left_out).to_pylist()[0]["lost"], lost
    return bool(lost)


def _is_involved(session: Session, spec: MergeSpec) -> bool:
    """True where the memory holds a partial event of the batch's keys, or a truncate that is not older than all of the batch."""
    sequence = listed("{0}", spec.sequence)
    (found,) = session.query(f"""SELECT (SELECT COUNT(*) FROM remembered WHERE __op = 'u') AS partial,
      (SELECT COUNT(*) FROM (SELECT MAX(ROW({sequence})) AS at FROM remembered WHERE __op = 't') t JOIN batch b
        ON ROW({listed("b.{0}", spec.sequence)}) <= t.at) AS truncated""").to_pylist()
    return bool(found["partial"] or found["truncated"])


def _run(session: Naming, spec: MergeSpec, text: Rules) -> None:
    remember, forget = remembered_changes(spec)
    for name, sql in (
        ("settled", text.settled), ("memory", text.memory), ("upserts", text.upserts), ("deletes", text.deletes), ("remember", remember), ("forget", forget),
    ):  # fmt: skip
        session.name(name, sql)


def _run_history(session: Naming, spec: MergeSpec) -> str:
    """Short rules for most keys, the general ones for those that are astray; returns the query for what became of the events, a row for each part."""
    text, general = in_order_rules(spec), of_astray(history_rules(spec))
    for name in (ASTRAY, "upserts"):
        session.name(name, getattr(text, name))
    session.execute(f"INSERT INTO {ASTRAY} {text.same}")
    (found,) = session.query(f"SELECT (SELECT COUNT(*) FROM ({text.same})) > 0 AS same, (SELECT COUNT(*) FROM {ASTRAY}) > 0 AS astray").to_pylist()
    if found["same"]:
        session.name("upserts", text.others)
    for name in ("deletes", "remember", "forget"):
        session.name(name, getattr(text, name))
    if not found["astray"]:
        return text.counts
    on = listed("r.{0} = a.{0}", spec.keys, " AND ")
    for name in ("batch", "stored", "remembered"):
        truncates = " UNION ALL SELECT * FROM remembered WHERE __op = 't'" if name == "remembered" else ""
        session.name(f"{ASTRAY}_{name}", f"SELECT r.* FROM {name} r SEMI JOIN {ASTRAY} a ON {on}{truncates}")
    for name in ("settled", "memory"):
        session.name(name, getattr(general, name))
    remember, forget = map(within, remembered_changes(spec))
    for name, sql in (("upserts", general.upserts), ("deletes", general.deletes), ("remember", remember), ("forget", forget)):
        session.execute(f"INSERT INTO {name} BY NAME {sql}")
    return f"({text.counts}) UNION ALL ({general.counts})"


def _run_whole_rows(session: Naming, spec: MergeSpec, keys: str, stored: Stored) -> None:
    """Only keys and sequences are read, the content of a stored row only where an event has the very same sequence."""
    text = whole_row_rules(spec)
    (batch,) = session.query(f"SELECT MIN({quote(spec.sequence[0])}) AS least FROM batch").to_pylist()
    stored.locate_sequences("located", keys, batch["least"])
    session.name("settled", text.settled)
    session.name("tied", text.tied)
    (seen,) = session.query("SELECT COUNT(*) AS tied FROM tied").to_pylist()
    if seen["tied"]:
        stored.locate("held", "SELECT * FROM tied", (*spec.keys, *spec.data))
        session.name("compared", text.compared)
        session.name("upserts", text.all_upserts)
        session.name("settled", text.all_settled)
    else:
        session.name("upserts", text.upserts, "VIEW")  # its rows are copied once more, to where their partitions are known
    for name in ("deletes", "remember", "forget"):
        session.name(name, getattr(text, name))
