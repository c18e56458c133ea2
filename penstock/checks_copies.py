"""What can be known of a `copy` without running it."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.connections import S3Connection
from penstock.copy_options import GO_WITH
from penstock.errors import choice
from penstock.lineage import family
from penstock.locations import PathLocation, parse_location
from penstock.pipeline import CopyStep, Pipeline, Read, Table
from penstock.sources import source_format

Found = tuple[tuple[str | int, ...], str]


def of_files(pipeline: Pipeline, step: CopyStep, read: Read, target: Table) -> Iterator[Found]:
    """The files of a read step, into a table of the lake or of Redshift."""
    write = step.copy_.write
    yield from _into_lake(step, read, target) if target.format else _into_redshift(pipeline, step, read, target)
    if write in ("overwrite", "overwrite_partitions") and read.bad_files == "quarantine":
        yield ("write",), "with `bad_files: quarantine` rows would be replaced by what is left of a batch without its bad files; leave one of them out"
    if write == "overwrite" and read.take != "all":
        yield ("write",), "overwrite from files needs `take: all` on the read step: each batch then stands for the whole folder"


def _into_lake(step: CopyStep, read: Read, target: Table) -> Iterator[Found]:
    write = step.copy_.write
    if source_format(read.format).is_change_feed and (target.keys or write != "append"):
        yield ("from",), f"a {read.format} feed is change data: apply it with merge, or append its inserts to a table without keys"
    if write == "insert_missing":
        yield ("write",), "insert_missing is for Redshift, which keeps no keys; a merge step, or an append by a change feed, keeps a lake table without doubles"
    if write == "scd2":
        yield ("write",), "scd2 is for Redshift; a merge step with stored_as_scd_type: 2 keeps the versions of rows in a lake table"
    if write == "merge":
        yield ("write",), "files are merged by a merge step, whose sequence_by says which row of a key is the newer"
    yield from _without_options(step)


def _without_options(step: CopyStep) -> Iterator[Found]:
    for name in sorted(step.copy_.options.said):
        yield ("options", name), "options are COPY's, for files that go into Redshift"


def _into_redshift(pipeline: Pipeline, step: CopyStep, read: Read, target: Table) -> Iterator[Found]:
    copy, known = step.copy_, GO_WITH.get(read.format)
    if known is None:
        yield ("from",), f"a {read.format} feed is change data: merge it into a lake table, and copy that one into Redshift"
        return
    for name in sorted(copy.options.said - known):
        yield ("options", name), f"it does not go with {read.format}, whose options are {', '.join(sorted(known))}"
    place = parse_location(read.from_, pipeline.connections)
    if not isinstance(place, PathLocation) or not isinstance(pipeline.connections[place.connection], S3Connection):
        yield ("from",), f"COPY reads from S3, and {read.from_} is elsewhere; read it into a lake table, and copy that one"
    if read.bad_files == "quarantine":
        yield ("from",), "COPY takes no part of a batch whose files are bad: leave bad_files out, and say options: {maxerror: …} for bad rows"
    yield from _no_gate(step, "bad rows of files are let by with options: {maxerror: …}")
    yield from _columns(step, read, target)


def _columns(step: CopyStep, read: Read, target: Table) -> Iterator[Found]:
    copy = step.copy_
    apart = copy.history if copy.write == "scd2" else ()
    own = read.columns or {n: kind for n, kind in target.columns.items() if n not in apart}
    for name in (n for n in own if n not in target.columns):
        yield ("from",), f"column {choice(name, target.columns)}; COPY takes all columns of a file"
    missing = [n for n, kind in target.columns.items() if n not in (*own, *apart) and (kind.endswith("!") or n in target.keys)]
    if missing:
        yield ("into",), f"{copy.into} has columns that {copy.from_} does not read and that may not be NULL: {', '.join(missing)}"
    if copy.write in ("overwrite_partitions", "insert_missing", "scd2") and (left := [n for n in target.columns if n not in (*own, *apart)]):
        yield ("write",), f"{copy.write} compares whole rows or replaces them, and {copy.from_} does not read {', '.join(left)}"
    yield from _flat(copy.into, target)
    yield from _by_key(step, target)
    if copy.window:
        yield ("window",), "a window goes with a lake table; in Redshift the partitions that are in the files are replaced"


def _by_key(step: CopyStep, target: Table) -> Iterator[Found]:
    """What a write by key asks of the table in Redshift."""
    copy = step.copy_
    if copy.write in ("merge", "scd2") and not target.keys:
        yield ("write",), f"{copy.into} has no keys; {copy.write} needs them"
    if copy.write != "scd2":
        if "history" in copy.model_fields_set:
            yield ("history",), "only write: scd2 keeps a history"
        return
    for name in copy.history:
        kind = target.columns.get(name)
        if kind is None or kind.removesuffix("!") not in ("timestamp", "timestamp_ntz"):
            yield ("history",), f"{copy.into} needs a column {name}: timestamp, for when a version of a row began or ended; it has {kind or 'none'}"
        elif name in target.keys:
            yield ("history",), f"{name} is no key: keys: of {copy.into} are those of a row, whose versions are kept"
    if str(target.columns.get(copy.history[1])).endswith("!"):
        yield ("history",), f"{copy.history[1]} is NULL for the version that is open; declare it without !"


def _no_gate(step: CopyStep, instead: str) -> Iterator[Found]:
    if step.gate:
        yield (), "a gate stands before a lake table, not at a copy into Redshift"
    if step.max_quarantined is not None:
        yield ("max_quarantined",), f"a copy into Redshift has none: {instead}"


def _flat(into: str, target: Table) -> Iterator[Found]:
    if nested := [c for c in target.schema_columns if c.type.is_nested]:
        what = f"column {nested[0].name!r} is a {nested[0].type.name}, and COPY takes none; leave it out of {into}, or give its parts columns of their own"
        yield ("into",), f"{what} in a lake table that a transform writes"


def of_table(pipeline: Pipeline, step: CopyStep, target: Table) -> Iterator[Found]:
    """A lake table, into Redshift."""
    copy, source = step.copy_, pipeline.tables[step.copy_.from_]
    if target.format is not None or source.format is None:
        yield ("from",), "a table is copied from the lake into Redshift; within the lake, use a transform"
        return
    yield from _without_options(step)
    yield from _no_gate(step, "rows were sorted when they came into the lake table; say it on the step that writes that")
    yield from _by_key(step, target)
    if copy.window:
        yield ("window",), "a window goes with a lake table; in Redshift the partitions in which rows differ are replaced"
    yield from _flat(copy.into, target)
    apart = copy.history if copy.write == "scd2" else ()
    if missing := [c for c in target.columns if c not in (*source.columns, *apart)]:
        yield ("into",), f"{copy.into} has columns that {copy.from_} has not: {', '.join(missing)}"
    for name in target.columns:
        kinds = [family(t[name]) for t in (source.spark_types, target.spark_types) if name in t]
        if len(set(kinds)) > 1:
            yield ("into",), f"column {name!r} is a {source.columns[name]} in {copy.from_} but a {target.columns[name]} in {copy.into}"
