"""A heavy batch settled by executors: a part has all that is known of some keys, and runs the rules on it as one machine does, in DuckDB."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, Protocol

from penstock.changes.counts import Counts
from penstock.changes.facts import MergeSpec, listed, same_place
from penstock.config import AwsSettings
from penstock.engines.base import Settled
from penstock.engines.embedded.duck import attached, reach_s3
from penstock.engines.embedded.files import source
from penstock.engines.embedded.positions import Positions
from penstock.engines.embedded.session import EmbeddedSession
from penstock.engines.settling import TO_REMEMBER, Finder, Nature, needs_content, ruled, typed_memory, wanted_keys
from penstock.maintenance import packed as in_groups
from penstock.schema import Column, arrow_schema, backquote, names, quote
from penstock.tables import DataFile, LakeTable, Pinned

from .detached import carried
from .executing import database
from .packing import (
    CHUNK_ROWS,
    KIND,
    PACKED,
    PART,
    Batches,
    Dividing,
    Packed,
    apart,
    by_kind,
    each,
    mapped,
    message,
    name_rows,
    packed,
    rows_in,
    said,
    together,
)
from .reading import BROADCAST_ROWS, FILE, PLACE, ROW, Wanted, rows_of
from .routing import Routing, note_places
from .slot_writing import SlotWriting

if TYPE_CHECKING:
    import pyarrow as pa

GONE, FORGOTTEN = "gone_rows", "forgotten_rows"
UPSERTS = "upserts"
PART_ROWS = 1_000_000
_READ_BYTES = 64_000_000
MANY_TIMES = 4  # so many stored rows for an event, or fewer, come to the rules as they are, and the others stay behind there
_SAID = "said"
_IS_TIED = "__rank = 1 AND __read > 0 AND __stored = 1"
_BATCH, _STORED, _REMEMBERED, _TIED = "batch", "stored_sent", "remembered", "tied"


class Keeping(Finder, Protocol):
    """A session of Spark."""

    spark: Any

    def keep(self, name: str, frame: Any, *, lasting: bool) -> None: ...

    def keep_packed(self, name: str, rows: Packed, columns: Sequence[Column]) -> None: ...

    def candidates(self, wanted: str, first_key: str, files: Sequence[DataFile]) -> list[DataFile]: ...


class _ContentMattersError(Exception):
    """An event has the very sequence of a stored row, of which its part has no content."""


@dataclass(frozen=True)
class Part:
    """What the parts of one batch share. `kinds`: the columns of what is sent."""

    spec: MergeSpec
    upserts: Routing
    remember: Routing
    kinds: Mapping[str, tuple[Column, ...]]
    truncates: pa.Table
    nature: Nature

    def settled(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        """Of the rows that are sent to a part, what is to be written, a kind of rows after the other."""
        import pyarrow as pa

        sent = by_kind(batches)
        if not sent:
            return
        with attached(database()) as connection:
            session = EmbeddedSession(connection, AwsSettings())
            for kind, columns in self.kinds.items():
                name_rows(connection, kind, together(sent[kind], arrow_schema(columns)))
            connection.register("__truncates", self.truncates)
            connection.execute(f"INSERT INTO {_REMEMBERED} BY NAME FROM __truncates")
            tied, counts, found = self._ruled(session)
            yield message(_SAID, json.dumps({_TIED: tied.num_rows if tied else 0, "counts": asdict(counts)}).encode())
            if tied:
                yield packed(_TIED, tied)
            for kind, query in self._outcome(session, found):
                session.name(f"{kind}_of_part", query)
                for chunk in connection.execute(f"FROM {kind}_of_part").to_arrow_reader(CHUNK_ROWS):
                    yield packed(kind, pa.Table.from_batches([chunk]))
            for kind, noting in (
                (UPSERTS, self.upserts.note_arrivals),
                (TO_REMEMBER, self.remember.note_arrivals),
                (GONE, note_places),
                (FORGOTTEN, note_places),
            ):
                yield from noting(connection, kind, f"{kind}_of_part")

    def _ruled(self, session: EmbeddedSession) -> tuple[pa.Table | None, Counts, str]:
        """The keys that are left to a second turn, to which the content of their rows is sent, and what became of the others."""
        stored = _Sent(session, self.spec, self.kinds[_STORED])
        try:
            return None, *ruled(session, self.spec, stored, self.nature)
        except _ContentMattersError:
            session.name(_TIED, f"SELECT DISTINCT {listed('{0}', self.spec.keys)} FROM settled WHERE {_IS_TIED}")
            for kind in self.kinds:
                session.execute(f"DELETE FROM {kind} s USING {_TIED} t WHERE {listed('s.{0} = t.{0}', self.spec.keys, ' AND ')}")
            return session.query(f"FROM {_TIED}"), *ruled(session, self.spec, stored, self.nature)

    def _outcome(self, session: EmbeddedSession, found: str) -> Iterator[tuple[str, str]]:
        session.name(TO_REMEMBER, typed_memory(self.spec, self.remember.writing.pinned), "VIEW")
        for kind in (UPSERTS, "deletes", TO_REMEMBER, "forget"):
            yield kind, f"FROM {kind}"
        for kind, located, (coming, going) in ((GONE, found, (UPSERTS, "deletes")), (FORGOTTEN, _REMEMBERED, (TO_REMEMBER, "forget"))):
            keys = session.columns(going)
            of = listed("{0}", keys)
            touched = f"SELECT {of} FROM {coming}_of_part UNION ALL SELECT {of} FROM {going}_of_part"
            yield kind, f"SELECT l.{FILE}, l.{ROW} FROM {located} l SEMI JOIN ({touched}) t ON {same_place('l', 't', keys)}"


@dataclass(frozen=True)
class _Sent:
    """Implements `penstock.engines.settling.Stored`: what is known was sent along, with `columns`."""

    session: EmbeddedSession
    spec: MergeSpec
    columns: tuple[Column, ...]

    def locate(self, name: str, wanted: str | None, columns: Sequence[str]) -> None:
        """Columns that were not sent are NULL, where nothing hangs on them. Raises _ContentMattersError where it does."""
        assert wanted is not None
        missing = set(columns) - set(names(self.columns))
        if missing and self.session.query(f"SELECT 1 FROM settled WHERE {_IS_TIED} LIMIT 1").num_rows:
            raise _ContentMattersError
        on, found = listed("s.{0} = w.{0}", self.spec.keys, " AND "), ", ".join(f"{'NULL' if c in missing else 's.' + quote(c)} AS {quote(c)}" for c in columns)
        self.session.name(name, f"SELECT {found}, s.{FILE}, s.{ROW} FROM {_STORED} s SEMI JOIN ({wanted}) w ON {on}")

    def locate_sequences(self, name: str, wanted: str, least: object) -> None:
        del least
        self.locate(name, wanted, (*self.spec.keys, *self.spec.sequence))


@dataclass(frozen=True)
class _Reading:
    """What tasks share that read stored rows of a table as one machine does."""

    writing: SlotWriting
    columns: tuple[str, ...]
    where: str
    dividing: Dividing

    def sent(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        """The rows of the files that are named."""
        import pyarrow as pa

        for kind, data in each(batches):
            with attached(database()) as connection:
                table, pinned = self.writing.table, self.writing.pinned
                if table.location.startswith("s3://"):
                    reach_s3(connection, self.writing.aws)
                rows = source(Positions(connection), table, pinned, pickle.loads(data), self.columns)  # noqa: S301 - of the driver
                query = f"SELECT {listed('{0}', (*self.columns, FILE, ROW))} FROM ({rows}) WHERE {self.where}"
                for chunk in connection.execute(query).to_arrow_reader(CHUNK_ROWS):
                    yield from self.dividing.sent(kind, pa.Table.from_batches([chunk]))


def settled_by_key(
    session: Keeping, upserts: Routing, remember: Routing, spec: MergeSpec, table: LakeTable, pinned: Pinned, nature: Nature, memory: Sequence[DataFile] | None
) -> Settled:
    """As `penstock.engines.settling.settled`, of a batch without truncates; the rows of table and memory that go are named besides, GONE and FORGOTTEN.

    `memory`: its files, all of deletes, where nothing of it is recalled.
    """
    known = {c.name: c for c in (*remember.writing.pinned.columns, *pinned.columns, *PLACE)}
    if memory is None:
        truncates = session.query(f"SELECT {listed('{0}', (*spec.event, FILE, ROW))} FROM {_REMEMBERED} WHERE __op = 't'")
        whole = needs_content(session, spec, nature)
    else:
        truncates = arrow_schema(known[c] for c in (*spec.event, FILE, ROW)).empty_table()
        whole = spec.history or nature.partial
    part = Part(spec, upserts, remember, {}, truncates, nature)
    turn = _Turn(session, table, pinned, known, memory, whole=whole)
    turns = [turn.taken(part, wanted_keys(spec), nature.rows)]
    told = _said(turns[0])
    if tied := sum(one[_TIED] for one in told):
        session.keep(_TIED, rows_in(turns[0].where(f"{KIND} = '{_TIED}'"), [known[c] for c in spec.keys]), lasting=True)
        turns.append(replace(turn, whole=True, again=True).taken(part, f"SELECT {listed('{0}', spec.keys)} FROM {_TIED}", tied))
        told += _said(turns[1])
    outcome = reduce(lambda a, b: a.unionByName(b), turns)
    places, going = (FILE, ROW), upserts.writing.keys
    for kind, of in {UPSERTS: spec.stored, "deletes": going, TO_REMEMBER: spec.event, "forget": spec.keys, GONE: places, FORGOTTEN: places}.items():
        session.keep_packed(kind, Packed(outcome, kind), [known[c] for c in of])
    return Settled(sum((Counts(**one["counts"]) for one in told), Counts()), remember=TO_REMEMBER)


@dataclass(frozen=True)
class _Turn:
    """What executors make of the events of some keys, and of what is stored and remembered of them: `whole` rows, or their sequences.

    `again`: of some keys of the batch.
    """

    session: Keeping
    table: LakeTable
    pinned: Pinned
    known: Mapping[str, Column]
    memory: Sequence[DataFile] | None
    whole: bool
    again: bool = False

    def taken(self, part: Part, keys: str, rows: int) -> Any:
        """`keys`: a query for them; `rows`: how many there are at the most."""
        spec, spark, files = part.spec, self.session.spark, self.session.candidates(keys, part.spec.keys[0], self.session.files(self.table, self.pinned))
        among, met = self.session.frame(keys), sum(f.rows for f in files)
        wanted = Wanted(among.hint("broadcast") if rows <= BROADCAST_ROWS else among, spec.keys)
        near = met <= MANY_TIMES * rows and not self.whole
        stored = spec.stored if self.whole else (*spec.keys, *spec.hidden)
        kinds = {_BATCH: spec.event, _STORED: (*stored, FILE, ROW), _REMEMBERED: (*spec.event, FILE, ROW)}
        part = replace(part, kinds={kind: tuple(self.known[c] for c in of) for kind, of in kinds.items()})
        dividing = Dividing(spec.keys, max(1, -(-(rows + (met if near else min(met, rows))) // PART_ROWS)), self.known)
        frames = {_BATCH: spark.table(_BATCH)}
        if self.memory is None:
            frames[_REMEMBERED] = spark.table(_REMEMBERED).where("__op <> 't'")
        frames = {kind: frame.select(*map(backquote, kinds[kind])) for kind, frame in frames.items()}
        sent = [dividing.of(kind, wanted.of(frame) if self.again else frame) for kind, frame in frames.items()]
        if self.memory:
            sent.append(_read(spark, _REMEMBERED, _Reading(part.remember.writing, spec.event, "__op = 'd'", dividing), self.memory))
        if near:
            sent.append(_read(spark, _STORED, _Reading(part.upserts.writing, tuple(stored), "TRUE", dividing), files))
        else:
            sent.append(dividing.of(_STORED, rows_of(spark, self.table, self.pinned, files, stored, wanted)))
        every = reduce(lambda a, b: a.unionByName(b), sent)
        return mapped(every.repartition(dividing.parts, PART), part.settled).localCheckpoint()


def _read(spark: Any, kind: str, reading: _Reading, files: Sequence[DataFile]) -> Any:
    groups = [pickle.dumps(list(carried(group))) for group in in_groups(files, _READ_BYTES, lambda f: f.bytes)]
    plans = spark.createDataFrame([(kind, number, 0, plan) for number, plan in zip(apart(max(1, len(groups))), groups, strict=False)], PACKED)
    return mapped(plans.repartition(max(1, len(groups)), PART), reading.sent)


def _said(outcome: Any) -> list[dict[str, Any]]:
    """What each part says besides its rows."""
    return [json.loads(data) for data in said(outcome, _SAID)]
