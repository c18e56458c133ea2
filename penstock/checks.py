"""What can be known of a pipeline without running it: names, kinds, keys, orders, suites, readers. SQL and code are in `checks_code`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from penstock import checks_copies
from penstock.checks_code import check_code, expression_problems
from penstock.checks_engines import engine_problems
from penstock.checks_runtime import runtime_problems
from penstock.connections import CatalogConnection, FilesConnection, RedshiftConnection, S3Connection
from penstock.errors import ArgumentError, PipelineFileError, Problem, choice, nearest
from penstock.locations import MEMORY, QUARANTINE, PathLocation, TableLocation, parse_location
from penstock.parse import Loaded
from penstock.pipeline import NULL_UPDATES, ORDER_AND_KINDS, CopyStep, ExternalStep, Merge, MergeStep, Pipeline, Read, ReadStep, Table, UnloadStep, step_kind
from penstock.redshift_steps import ExternalTable
from penstock.schema import Column, DataType, name_fault, same_but_for_case
from penstock.sources import source_format
from penstock.suites import known_expectations, load_suite
from penstock.tables import TRANSFORMED, table_format
from penstock.windows import TYPES, Window

Path = tuple[str | int, ...]
Found = tuple[Path, str]
_FILES = (S3Connection, FilesConnection)
_TABLES = (CatalogConnection, RedshiftConnection)


def check(loaded: Loaded) -> list[Problem]:
    """Every problem, each where it stands in the file, or in the file beside it."""
    found = (*_tables(loaded.pipeline), *_steps(loaded), *engine_problems(loaded), *runtime_problems(loaded))
    here = [loaded.document.problem(path, message) for path, message in found]
    return here + ([] if here else [*_suites(loaded), *check_code(loaded)])


def _tables(pipeline: Pipeline) -> Iterator[Found]:
    if pair := same_but_for_case(pipeline.tables):
        yield ("tables", pair[1]), f"{pair[0]!r} and {pair[1]!r} differ only in case; catalogs take them for one table"
    for name, table in pipeline.tables.items():
        path: Path = ("tables", name)
        connection, message = _connection(pipeline, name, _TABLES)
        message = message or _table_name(name)
        yield from _flat(path, table)
        if message:
            yield path, message
        elif isinstance(connection, CatalogConnection):
            yield from _lake_table(path, name, table, connection)
            yield from _left_in_files(pipeline, path, name, table)
        else:
            yield from _redshift_table(path, table)


def _redshift_table(path: Path, table: Table) -> Iterator[Found]:
    if table.format or table.readers:
        yield path, "a Redshift table has columns, keys and a layout; format and readers belong to lake tables"
    if other := [p for p in table.partition_fields if p.transform != "identity"]:
        yield (*path, "partition_by"), f"of a Redshift table partition_by names the columns by which rows are replaced together; {other[0]} is no column"
    if table.distkey and table.diststyle:
        yield (*path, "diststyle"), f"rows are spread by distkey: {table.distkey}; leave diststyle out"


def _table_name(location: str) -> str:
    """Why a table cannot be called so; empty where it can."""
    if own := next((s for s in (MEMORY, QUARANTINE) if location.endswith(s)), ""):
        return f"{location}: Penstock's own table beside {location.removesuffix(own)} has this name"
    return next((f"{location!r}: {fault}" for part in location.split(".") if (fault := name_fault(part))), "")


def _lake_table(path: Path, name: str, table: Table, connection: CatalogConnection) -> Iterator[Found]:
    if table.format is None:
        yield path, f"{name} lies in a catalog: give its format, iceberg or delta"
        return
    yield from (((*path, f), f"{name} is a lake table; {f} is of tables in Redshift") for f in ("diststyle", "distkey", "encode") if getattr(table, f))
    able = table_format(table.format)
    if table.shared and able.is_ordered_by_store and connection.warehouse.startswith("s3://"):
        said = f"{table.format} tables on S3 have no order among several writers: not all of them write the log only where it is absent"
        yield (*path, "shared"), f"{said}; use iceberg, or let one pipeline write the table"
    for reader in sorted(set(table.readers) - set(able.readers)):
        yield (
            (*path, "readers"),
            f"{reader} cannot read {table.format} tables as Penstock writes them; readers of {table.format}: {', '.join(sorted(able.readers))}",
        )
    if table.maintain.analyze and not able.counts_values:
        yield (*path, "maintain", "analyze"), f"{table.format} tables have no place for counts of distinct values: leave it out"
    for column in table.schema_columns:
        if not able.has_required_parts and column.type != column.type.nullable:
            yield (
                (*path, "columns", column.name),
                f"{table.format} tables cannot promise that a part of a column is never NULL: leave out the ! inside {column.type}",
            )
    for p in table.partition_fields:
        if p.transform not in able.partition_transforms:
            yield (
                (*path, "partition_by"),
                f"{table.format} tables cannot be partitioned by {p}; they can by {', '.join(sorted(able.partition_transforms))}",
            )
        elif (kind := DataType.parse(table.columns[p.column].removesuffix("!")).name) not in (takes := TRANSFORMED.get(p.transform, {kind})):
            yield (*path, "partition_by"), f"{p} is not made of a {kind}; {p.transform} takes {', '.join(sorted(takes))}"


def _left_in_files(pipeline: Pipeline, path: Path, name: str, table: Table) -> Iterator[Found]:
    """A file holds a column at least: of a table that change data goes into that is its order."""
    feeds = {s.id for s in pipeline.steps if isinstance(s, ReadStep) and source_format(s.read.format).is_change_feed}
    has_order = {s.merge.into for s in pipeline.steps if isinstance(s, MergeStep)} | {
        s.copy_.into for s in pipeline.steps if isinstance(s, CopyStep) and s.copy_.from_ in feeds
    }
    partitioned = {p.column for p in table.partition_fields}
    if table.format and not table_format(table.format).has_partition_columns_in_files and name not in has_order and partitioned >= {*table.columns}:
        said = f"{table.format} tables have no partition columns in their files, and nothing would be left to write"
        yield (*path, "partition_by"), f"{name} is partitioned by all of its columns; {said}: leave one of them out, or use iceberg"


def _flat(path: Path, table: Table) -> Iterator[Found]:
    """Rows are found, placed and ordered by columns that have one value each."""
    nested = {c.name: c.type for c in table.schema_columns if c.type.is_nested}
    listed = {
        ("keys",): table.keys,
        ("partition_by",): tuple(p.column for p in table.partition_fields if p.transform == "identity"),
        ("sort_by",): table.sort_by,
        ("maintain", "sort_by"): table.maintain.sort_by,
        ("maintain", "zorder_by"): table.maintain.zorder_by,
        ("maintain", "analyze"): table.maintain.analyze,
    }
    for field, columns in listed.items():
        for name in (c for c in columns if c in nested):
            yield (*path, *field), f"column {name!r} is a {nested[name].name} ({nested[name]}); {field[-1]} takes columns that are no struct, array or map"


def _connection(pipeline: Pipeline, location: str, kinds: Sequence[type]) -> tuple[Any, str]:
    """The connection of a location, or why it is not one of these kinds."""
    try:
        found = parse_location(location, pipeline.connections)
    except ArgumentError as error:
        return None, error.message
    connection = pipeline.connections[found.connection]
    wanted: type = PathLocation if kinds == _FILES else TableLocation
    if not isinstance(found, wanted) or not isinstance(connection, tuple(kinds)):
        form = "connection/path/ of an s3 or files connection" if kinds == _FILES else "connection.namespace.table of a catalog or redshift connection"
        return None, f"{location!r} is not a {form}; connection {found.connection!r} is of kind {connection.kind}"
    return connection, ""


def _steps(loaded: Loaded) -> Iterator[Found]:
    pipeline = loaded.pipeline
    ids = Counter(s.id for s in pipeline.steps)
    writers: dict[str, str] = {}
    for i, step in enumerate(pipeline.steps):
        if (pair := same_but_for_case(s.id for s in pipeline.steps[: i + 1])) and pair[1] == step.id:
            yield ("steps", i, "id"), f"{pair[0]!r} and {pair[1]!r} differ only in case; their batches would lie in one folder of some state stores"
        if ids[step.id] > 1:
            yield ("steps", i, "id"), f"{ids[step.id]} steps are called {step.id!r}"
        if step.renamed_from in ids:
            yield ("steps", i, "renamed_from"), f"{step.renamed_from!r} is a step of this pipeline; it was not renamed"
        kind = step_kind(step) or ""
        yield from ((("steps", i, kind, *path), message) for path, message in _CHECKS[kind](loaded, step))
        into = step.merge.into if isinstance(step, MergeStep) else getattr(getattr(step, kind if kind != "copy" else "copy_"), "into", None)
        if into and kind not in ("unload", "update"):
            if into in writers:
                yield ("steps", i, kind, "into"), f"{into} is written by step {writers[into]!r} already; a table has one writer"
            writers[into] = step.id


def _shared(pipeline: Pipeline, location: str, field: str, *, replaces: bool) -> Iterator[Found]:
    """Whose rows a step replaces beside those of its own, only the step's own pipeline can know: so it has a table of its own."""
    if replaces and location in pipeline.tables and pipeline.tables[location].shared:
        yield (field,), f"it would replace what other pipelines write into {location} (shared: true); append, merge change events, or write a table of your own"


def _shared_bounds(merge: Merge, table: Table) -> Iterator[Found]:
    """Each pipeline that writes a shared table has a log of its own, and another's numbers say nothing of how late, or how far ahead, an event of it is."""
    if table.shared and merge.retention:
        said = f"a horizon is a place in one log, and {merge.into} (shared: true) takes events of several"
        yield ("retention",), f"{said}; leave it out, and all is remembered, or merge into a table of your own"
    if table.shared and isinstance(merge.max_ahead, int):
        said = f"a number is counted from the greatest that {merge.into} has, which may be of another pipeline's log (shared: true)"
        yield ("max_ahead",), f"{said}; leave it out, or merge into a table of your own"


def _declared(pipeline: Pipeline, location: str, field: str) -> Iterator[Found]:
    if location not in pipeline.tables:
        yield (field,), f"table {choice(location, pipeline.tables)}"


def _read(loaded: Loaded, step: ReadStep) -> Iterator[Found]:
    if message := _connection(loaded.pipeline, step.read.from_, _FILES)[1]:
        yield ("from",), message
    consumers = [
        s for s in loaded.pipeline.steps if (isinstance(s, MergeStep) and s.merge.from_ == step.id) or (isinstance(s, CopyStep) and s.copy_.from_ == step.id)
    ]
    kind, tables = source_format(step.read.format), loaded.pipeline.tables
    if not kind.reader:
        if step.read.batch.max_rows is not None:
            yield ("batch", "max_rows"), f"rows of {kind.name} files are not counted beforehand; say max_bytes or max_files"
        if any(isinstance(s, MergeStep) or ((into := tables.get(s.copy_.into)) and into.format) for s in consumers):
            yield ("format",), f"{kind.name} files are read by COPY alone, into Redshift"
    if not kind.has_nested:
        for s in consumers:
            yield from _nested_columns(loaded.pipeline, step.read, s.merge.into if isinstance(s, MergeStep) else s.copy_.into)
    if not consumers:
        yield (), f"no step takes what {step.id!r} reads; add a merge or a copy with `from: {step.id}`"


def _nested_columns(pipeline: Pipeline, read: Read, into: str) -> Iterator[Found]:
    own, table = read.columns, pipeline.tables.get(into)
    for name, text in (own or (table.columns if table else {})).items():
        if (kind := Column.parse(name, text).type).is_nested:
            yield ("columns", name) if own else ("format",), f"column {name!r} is a {kind.name}, and {read.format} has no {kind.name}s; json and parquet do"


def _read_step(pipeline: Pipeline, name: str) -> Read | None:
    return next((s.read for s in pipeline.steps if isinstance(s, ReadStep) and s.id == name), None)


def _merge(loaded: Loaded, step: MergeStep) -> Iterator[Found]:
    pipeline, merge = loaded.pipeline, step.merge
    read = _read_step(pipeline, merge.from_)
    if read is None:
        yield ("from",), f"read step {choice(merge.from_, [s.id for s in pipeline.steps if isinstance(s, ReadStep)])}"
    yield from _declared(pipeline, merge.into, "into")
    yield from _shared(pipeline, merge.into, "full_copy", replaces=merge.full_copy)
    table = pipeline.tables.get(merge.into)
    if table and not table.keys:
        yield ("into",), f"{merge.into} has no keys; a merge needs them: keys: [column] on the table"
    if table and table.format is None:
        yield ("into",), f"a merge goes into a lake table; load {merge.into} from one with copy"
    if read and table:
        yield from _full_copy(read) if merge.full_copy else _order(read, merge, read.columns or table.columns)
        yield from _merged_columns(merge, table)
        yield from _left_out(merge, read, table)
        yield from _ahead(merge, read.columns or table.columns)
        yield from _shared_bounds(merge, table)
        known = read.columns or table.columns.keys() - {merge.soft_delete}
        for op, condition in merge.conditions.items():
            field = "apply_as_deletes" if op == "d" else "apply_as_truncates"
            yield from (((field,), message) for message in expression_problems(loaded, condition, known))


def _merged_columns(merge: Merge, table: Table) -> Iterator[Found]:
    """The column lists of a merge against the table that it keeps."""
    others = [c for c in table.columns if c not in (*table.keys, merge.soft_delete)]
    for field in (*NULL_UPDATES[1:], "track_history_column_list", "track_history_except_column_list"):
        for name in (n for n in getattr(merge, field) or () if n not in others):
            yield (field,), f"column {choice(name, others)}"
    for name in (n for n in merge.ignore_null_updates_column_list or () if table.columns.get(n, "").endswith("!")):
        yield ("ignore_null_updates_column_list",), f"column {name!r} is never NULL ({table.columns[name]})"
    if merge.column_list is not None and (wrong := sorted(set(merge.column_list) ^ {c for c in table.columns if c != merge.soft_delete})):
        yield ("column_list",), f"{', '.join(wrong)}: column_list and the columns of {merge.into} are not the same"
    if merge.soft_delete and table.columns.get(merge.soft_delete, "").rstrip("!") != "boolean":
        yield ("soft_delete",), f"{merge.soft_delete!r} must be a boolean column of {merge.into} ({merge.soft_delete}: boolean)"


def _left_out(merge: Merge, read: Read, table: Table) -> Iterator[Found]:
    """What a merge leaves out is what its feed has beside the table's columns; of a change feed without `columns` only its events know that."""
    is_known = read.columns or not source_format(read.format).is_change_feed
    others = [c for c in read.columns or () if c not in table.columns]
    for name in merge.except_column_list or ():
        if name in table.columns:
            yield ("except_column_list",), f"column {name!r} is a column of {merge.into}; leave it out there"
        elif is_known and name not in others:
            yield ("except_column_list",), f"column {choice(name, others)}: what is read and not kept in {merge.into}"


def _ahead(merge: Merge, columns: dict[str, str]) -> Iterator[Found]:
    first = next(iter(merge.sequence_columns), None)
    kind = "bigint" if first is None else columns.get(first, "").rstrip("!")
    if merge.max_ahead is not None and isinstance(merge.max_ahead, int) != (kind in ("int", "bigint")):
        what = "a number" if kind in ("int", "bigint") else "a duration (1 day)"
        yield ("max_ahead",), f"the sequence is a {kind}: max_ahead is {what}, not {merge.max_ahead!r}"


def _full_copy(read: Read) -> Iterator[Found]:
    if source_format(read.format).is_change_feed or read.take != "all":
        yield ("full_copy",), "a full copy is a folder of plain files that is whole each time: `take: all` on the read step, and no change feed"


def _order(read: Read, merge: Merge, columns: dict[str, str]) -> Iterator[Found]:
    names = merge.sequence_columns
    if source_format(read.format).is_change_feed:
        for field in ORDER_AND_KINDS:
            if getattr(merge, field):
                yield (field,), f"a {read.format} feed has its own order, deletes and truncates, and says which values it leaves out; leave this out"
        return
    if not names:
        yield (), f"a {read.format} feed has no order of its own: name the column that orders a key's rows with sequence_by"
    for name in names:
        if name not in columns:
            yield ("sequence_by",), f"column {choice(name, columns)}"
        elif columns[name].rstrip("!") not in ("bigint", "int", "timestamp", "timestamp_ntz", "date"):
            yield ("sequence_by",), f"column {name!r} is a {columns[name]}; a sequence is an int, a bigint, a date or a timestamp"
        elif not columns[name].rstrip().endswith("!"):
            yield ("sequence_by",), f"column {name!r} may be NULL; a sequence is never NULL ({name}: {columns[name]}!)"


def _transform(loaded: Loaded, step: Any) -> Iterator[Found]:
    yield from _declared(loaded.pipeline, step.transform.into, "into")
    yield from _shared(loaded.pipeline, step.transform.into, "write", replaces=step.transform.write != "append")
    table = loaded.pipeline.tables.get(step.transform.into)
    if table and table.format is None:
        yield ("into",), "a transform goes into a lake table; load Redshift from it with copy"
    for name in step.transform.inputs:
        yield from _declared(loaded.pipeline, name, "inputs")
    yield from _window(step.transform.write, step.transform.window, table)
    if step.transform.write == "overwrite_partitions" and table and not table.partition_by:
        yield ("write",), f"{step.transform.into} has no partitions to overwrite; declare partition_by, or write: overwrite"


def _amend(loaded: Loaded, step: Any) -> Iterator[Found]:
    said, pipeline = getattr(step, step_kind(step) or ""), loaded.pipeline
    where = "into" if step_kind(step) == "update" else "from"
    yield from _declared(pipeline, said.table, where)
    table = pipeline.tables.get(said.table)
    if table is None:
        return
    if table.format is None:
        yield (where,), "rows of Redshift are deleted and updated by a procedure: call"
    if any(isinstance(s, MergeStep) and s.merge.into == said.table for s in pipeline.steps):
        yield (where,), f"{said.table} is kept by a merge, by whose events rows change; a person's rows are removed by `penstock erase`"
    for name in (n for n in said.set if n not in table.columns):
        yield ("set", name), f"column {choice(name, table.columns)}"
    for path, text in ((("where",), said.where), *((("set", n), e) for n, e in said.set.items())):
        yield from ((path, message) for message in expression_problems(loaded, text, table.columns))


def _window(write: str, window: Window | None, table: Table | None) -> Iterator[Found]:
    if window is None or table is None:
        return
    fields = [p for p in table.partition_fields if p.column == window.column]
    kind = table.columns.get(window.column, "").rstrip("!")
    if write != "overwrite_partitions":
        yield ("window",), "a window goes with write: overwrite_partitions"
    elif not fields or fields[0].transform in ("bucket", "truncate") or kind not in TYPES:
        named = ", ".join(map(str, table.partition_fields))
        yield ("window",), f"a window is of a column of type {', '.join(sorted(TYPES))} by which the table is partitioned; it is partitioned by {named}"


def _copy(loaded: Loaded, step: CopyStep) -> Iterator[Found]:
    pipeline, copy = loaded.pipeline, step.copy_
    yield from _declared(pipeline, copy.into, "into")
    yield from _shared(pipeline, copy.into, "write", replaces=copy.write not in ("append", "merge"))
    target, read = pipeline.tables.get(copy.into), _read_step(pipeline, copy.from_)
    if read is None and copy.from_ not in pipeline.tables:
        yield ("from",), f"read step or table {choice(copy.from_, [*(s.id for s in pipeline.steps if isinstance(s, ReadStep)), *pipeline.tables])}"
        return
    if target is None:
        return
    yield from checks_copies.of_files(pipeline, step, read, target) if read else checks_copies.of_table(pipeline, step, target)
    yield from _window(copy.write, copy.window, target)
    if copy.write == "overwrite_partitions" and not target.partition_by:
        yield ("write",), f"{copy.into} has no partitions to overwrite"


def _on_redshift(loaded: Loaded, name: str, field: str) -> Iterator[Found]:
    connections = {n for n, c in loaded.pipeline.connections.items() if isinstance(c, RedshiftConnection)}
    if name not in connections:
        yield (field,), f"redshift connection {choice(name, connections)}"


def _call(loaded: Loaded, step: Any) -> Iterator[Found]:
    yield from _on_redshift(loaded, step.call.on, "on")


def _sql(loaded: Loaded, step: Any) -> Iterator[Found]:
    yield from _on_redshift(loaded, step.sql.on, "on")


def _unload(loaded: Loaded, step: Any) -> Iterator[Found]:
    yield from _on_redshift(loaded, step.unload.from_, "from")
    connection, message = _connection(loaded.pipeline, step.unload.into, _FILES)
    if message:
        yield ("into",), message
    elif not isinstance(connection, S3Connection):
        yield ("into",), "Redshift unloads to S3: give a path of an s3 connection"
    if table := step.unload.table:
        catalog, message = _connection(loaded.pipeline, table, (CatalogConnection,))
        message = message or ("a table of a Glue catalog" if getattr(catalog, "catalog", "") != "glue" else "")
        others = {*loaded.pipeline.tables, *(s.unload.table for s in loaded.pipeline.steps if isinstance(s, UnloadStep) and s.id != step.id)}
        if message or table in others:
            yield ("table",), message or f"{table} is written by another step, or declared; an unload has a table of its own"


def _external(loaded: Loaded, step: ExternalStep) -> Iterator[Found]:
    yield from _on_redshift(loaded, step.external.on, "on")
    for name, table in step.external.tables.items():
        if table.from_ in loaded.pipeline.tables:
            yield from ((("tables", name, field), message) for field, message in _listed_for_redshift(loaded.pipeline, table))
            continue
        connection, message = _connection(loaded.pipeline, table.from_, _FILES)
        if message or not isinstance(connection, S3Connection):
            yield ("tables", name, "from"), message or "Redshift reads external tables on S3: give a path of an s3 connection"
        if not table.columns:
            yield ("tables", name), "'columns' is missing: name: type of what the files hold"
        kinds = {**{("columns", n): t for n, t in table.columns.items()}, **{("partition_by", n): t for n, t in table.partition_by.items()}}
        for (field, column), text in kinds.items():
            try:
                kind = Column.parse(column, text).type
            except ArgumentError as error:
                yield ("tables", name, field, column), error.message
                continue
            if kind.is_nested or kind.name == "binary":
                yield ("tables", name, field, column), f"column {column!r} is a {kind.name}; an external table has columns of plain types here"
        if twice := [n for n in table.partition_by if n in table.columns]:
            yield ("tables", name, "partition_by", twice[0]), f"column {twice[0]!r} is in the files too; what the folders tell is left out of `columns`"


def _listed_for_redshift(pipeline: Pipeline, table: ExternalTable) -> Iterator[tuple[str, str]]:
    """What keeps a lake table from being an external one."""
    declared, connection = pipeline.tables[table.from_], _connection(pipeline, table.from_, _TABLES)[0]
    reader = table_format(declared.format).readers.get("redshift") if declared.format else None
    if not (reader and reader.needs_lists and connection.warehouse.startswith("s3://")):
        why = "it is there already" if not declared.format else "an external schema with its namespace as `database` shows it" if reader else "it is not on S3"
        yield "from", f"{table.from_} is no lake table on S3 whose files are listed for Redshift; {why}"
    elif "redshift" not in declared.readers:
        yield "from", f"the files of {table.from_} are not listed for Redshift: say `readers: [redshift]` on the table"
    for field in sorted(table.model_fields_set & {"format", "columns", "partition_by"}):
        yield field, f"the declared table {table.from_} says it"


def _reconcile(loaded: Loaded, step: Any) -> Iterator[Found]:
    ask, tables = step.reconcile, loaded.pipeline.tables
    for field, location in (("left", ask.left), ("right", ask.right)):
        yield from _declared(loaded.pipeline, location, field)
    if ask.left not in tables or ask.right not in tables:
        return
    left, right = tables[ask.left], tables[ask.right]
    if not (ask.keys or left.keys or right.keys):
        yield ("keys",), "neither table has keys; name the columns that identify a row"
    for field, names in (("keys", ask.keys or left.keys or right.keys), ("columns", ask.columns)):
        for name in names:
            if name not in left.columns or name not in right.columns:
                yield (field,), f"column {choice(name, set(left.columns) & set(right.columns))}, the columns of both"


def _maintain(loaded: Loaded, step: Any) -> Iterator[Found]:
    for i, name in enumerate(step.maintain.tables):
        if name not in loaded.pipeline.tables:
            yield ("tables", i), f"table {choice(name, loaded.pipeline.tables)}"


def _suites(loaded: Loaded) -> Iterator[Problem]:
    for i, step in enumerate(loaded.pipeline.steps):
        gate = getattr(step, "gate", None)
        if gate is None:
            continue
        try:
            suite = load_suite(loaded.folder / f"{gate.suite}.json")
        except PipelineFileError as error:
            yield from error.problems
            continue
        kind = step_kind(step) or ""
        into = getattr(step, "copy_" if kind == "copy" else kind).into
        columns = loaded.pipeline.tables[into].columns
        known = known_expectations()
        for expectation in suite.expectations:
            if known and expectation.type not in known:
                said = f"{expectation.type!r} is no expectation of Great Expectations{nearest(expectation.type, known)}"
                yield loaded.document.problem(("steps", i, "gate", "suite"), f"{gate.suite}.json: {said}")
            for name in expectation.columns:
                if name not in columns:
                    yield loaded.document.problem(("steps", i, "gate", "suite"), f"{gate.suite}.json, {expectation.type}: column {choice(name, columns)}")


_CHECKS: dict[str, Any] = {
    "read": _read, "merge": _merge, "transform": _transform, "copy": _copy, "delete": _amend, "update": _amend,
    "call": _call, "sql": _sql, "unload": _unload, "external": _external, "reconcile": _reconcile, "maintain": _maintain,
}  # fmt: skip
