"""The pipeline language: what a pipeline file may say, as the models that are the public Python API too.

A location is `connection[.namespace].table` or `connection/path/`. Keys stand on the table; a gate is part of a writing step.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, PrivateAttr, Tag, model_validator

from penstock.connections import Connection, Model
from penstock.copy_options import CopyOptions
from penstock.evolution import OnSchemaChange
from penstock.fields import ColumnTypes, Location, Name
from penstock.maintenance import Duration, Maintain
from penstock.naming import WRITTEN, unwritten
from penstock.redshift_steps import Call, External, Sql, Unload
from penstock.schema import Column, Columns
from penstock.sources import source_format, source_formats
from penstock.tables import PartitionField
from penstock.targets import Runtime, SparkService
from penstock.windows import Window

Write = Literal["append", "overwrite", "overwrite_partitions", "merge", "insert_missing", "scd2"]
Encoding = Literal["auto", "az64", "bytedict", "delta", "delta32k", "lzo", "mostly8", "mostly16", "mostly32", "raw", "runlength", "text255", "text32k", "zstd"]
Share = Annotated[str, Field(pattern=r"^(100|\d{1,2}(\.\d+)?) ?%$")]
Reader = Literal["spark", "athena", "redshift", "trino", "snowflake", "duckdb"]
NULL_UPDATES = ("ignore_null_updates", "ignore_null_updates_column_list", "ignore_null_updates_except_column_list")
ORDER_AND_KINDS = ("sequence_by", "apply_as_deletes", "apply_as_truncates", *NULL_UPDATES)
_PARTITION = re.compile(rf"(?:(years|months|days|hours)\(\s*({WRITTEN})\s*\)|(bucket|truncate)\(\s*([1-9]\d{{0,8}})\s*,\s*({WRITTEN})\s*\)|({WRITTEN}))")


class Table(Model):
    """A table that the pipeline keeps, in the lake (`format`) or in Redshift (no `format`)."""

    format: Literal["iceberg", "delta"] | None = None
    columns: ColumnTypes = Field(description="name: Spark SQL type; a trailing ! means NOT NULL")
    keys: tuple[str, ...] = ()
    partition_by: tuple[Annotated[str, Field(pattern=f"^{_PARTITION.pattern}$")], ...] = ()
    sort_by: tuple[str, ...] = Field(default=(), description="columns by which rows are ordered in each file; in Redshift the compound sort key")
    diststyle: Literal["auto", "even", "all"] | None = Field(default=None, description="Redshift: how rows are spread over the slices; by default AUTO")
    distkey: Name | None = Field(default=None, description="Redshift: the column by whose values rows are spread")
    encode: dict[str, Encoding] = Field(default={}, description="Redshift: column: how it is compressed; by default AUTO")
    readers: tuple[Reader, ...] = Field(default=(), description="who reads the table besides Penstock: decides how deletes are written")
    shared: bool = Field(default=False, description="other pipelines may write the table too; each has a column of its own value among the keys")
    on_schema_change: OnSchemaChange = OnSchemaChange()
    maintain: Maintain = Maintain()

    @model_validator(mode="after")
    def _names_are_columns(self) -> Self:
        named = {
            "keys": self.keys,
            "partition_by": tuple(dict.fromkeys(p.column for p in self.partition_fields)),
            "sort_by": self.sort_by,
            "distkey": (self.distkey,) if self.distkey else (),
            "encode": tuple(self.encode),
            "on_schema_change.renamed_from": tuple(self.on_schema_change.renamed_from),
            "maintain.sort_by": self.maintain.sort_by,
            "maintain.zorder_by": self.maintain.zorder_by,
            "maintain.analyze": self.maintain.analyze,
        }
        for what, names in named.items():
            if missing := [n for n in names if n not in self.columns]:
                raise ValueError(f"{what}: {', '.join(missing)} not among the columns {', '.join(self.columns)}")
            if twice := next((n for n, count in Counter(names).items() if count > 1), None):
                raise ValueError(f"{what}: {twice} is there twice")
        if loose := [k for k in self.keys if not self.columns[k].rstrip().endswith("!")]:
            raise ValueError(f"keys: {', '.join(loose)} may be NULL; a key's type ends with ! ({loose[0]}: {self.columns[loose[0]]}!)")
        return self

    @model_validator(mode="after")
    def _partitions_have_names_of_their_own(self) -> Self:
        by_value = {f.name for f in self.partition_fields if f.transform == "identity"}
        taken = {name.lower(): f"the column {name}" for name in self.columns if name not in by_value}
        for field in self.partition_fields:
            if other := taken.get(field.name.lower()):
                raise ValueError(f"partition_by: {field} and {other} have one name, {field.name}; leave one of them out, or call the column otherwise")
            taken[field.name.lower()] = str(field)
        return self

    @property
    def schema_columns(self) -> Columns:
        return tuple(Column.parse(name, text) for name, text in self.columns.items())

    @property
    def spark_types(self) -> dict[str, str]:
        """The columns' types as Spark SQL has them."""
        return {c.name: c.type.spark for c in self.schema_columns}

    @property
    def partition_fields(self) -> tuple[PartitionField, ...]:
        return tuple(_partition(text) for text in self.partition_by)


def _partition(text: str) -> PartitionField:
    found = _PARTITION.fullmatch(text)
    assert found
    time, of, sized, width, wide, column = found.groups()
    return PartitionField(time or sized or "identity", unwritten(of or wide or column), int(width or 0))


class Gate(Model):
    """A Great Expectations suite, `<suite>.json` beside the pipeline file, evaluated on the rows about to be published."""

    suite: str
    on_failure: Literal["stop", "quarantine"] = "stop"


class BatchLimits(Model):
    """Where a batch is cut: whichever bound is met first. `max_rows` is estimated from bytes until a file was read."""

    max_files: int = Field(default=1000, ge=1)
    max_bytes: int = Field(default=64 * 1024 * 1024, ge=1)
    max_rows: int | None = Field(default=None, ge=1)


class Read(Model):
    """Files in, batch by batch. `take: all` makes every batch the whole folder, for feeds that are complete each time."""

    from_: Location = Field(alias="from")
    format: Literal["debezium", "csv", "json", "parquet", "orc", "avro"] = Field(description="orc and avro: for Redshift alone, by COPY")
    take: Literal["new", "all"] = "new"
    columns: ColumnTypes | None = Field(default=None, description="name: Spark SQL type; by default the columns of the table that the rows go into")
    null: str | None = Field(default=None, description="csv: the text that stands for NULL; by default the empty text")
    connector: Literal["postgresql", "mysql"] | None = Field(default=None, description="debezium: the writer; mysql means MariaDB too; default postgresql")
    timestamp_unit: Literal["ms", "us", "ns"] | None = Field(
        default=None, description="debezium without schemas: the unit of timestamps that are numbers; default us for postgresql, ms for mysql"
    )
    decimal_handling_mode: Literal["precise", "string"] | None = Field(
        default=None, description="debezium without schemas: the connector's setting of that name, by which text is read as a decimal; default precise"
    )
    bad_files: Literal["stop", "quarantine"] = Field(
        default="stop", description="a file that cannot be read as a whole stops the batch, or goes to the quarantine as one row while the batch goes on"
    )
    batch: BatchLimits = BatchLimits()

    @model_validator(mode="after")
    def _options_go_with_the_format(self) -> Self:
        for other in source_formats():
            if wrong := [name for name in other.options if getattr(self, name) is not None and name not in source_format(self.format).options]:
                raise ValueError(f"{wrong[0]} goes with format: {other.name}, not with format: {self.format}")
        return self

    @property
    def options(self) -> dict[str, str | None]:
        """The format's options, with what stands for those that are not given."""
        declared = source_format(self.format).options
        return {name: default if getattr(self, name) is None else getattr(self, name) for name, default in declared.items()}


EngineName = Literal["embedded", "spark"]
ArtifactsLocation = Annotated[str, Field(pattern=r"^[^\s,#]+$")]  # Spark divides its lists of files at commas, and names them after a #


_HISTORY, _LISTS = ("track_history_column_list", "track_history_except_column_list"), ("column_list", "except_column_list")


def _chosen(data: Sequence[str], only: Sequence[str] | None, but: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(c for c in data if c not in (but or ())) if only is None else tuple(only)


class Merge(Model):
    """Change data onto a keyed table. For Debezium the order and the deletes are known; other feeds name them."""

    from_: Name = Field(alias="from")
    into: Location
    stored_as_scd_type: Literal[1, 2] = 1
    sequence_by: tuple[str, ...] | str | None = None
    apply_as_deletes: str | None = Field(default=None, min_length=1, description="Spark SQL condition on an event's columns; :name is a parameter")
    apply_as_truncates: str | None = Field(default=None, min_length=1, description="Spark SQL condition on an event's columns; :name is a parameter")
    ignore_null_updates: bool = Field(default=False, description="a NULL in an event keeps the value that the row had")
    ignore_null_updates_column_list: tuple[str, ...] | None = Field(default=None, description="only in these columns")
    ignore_null_updates_except_column_list: tuple[str, ...] | None = Field(default=None, description="in all columns but these")
    column_list: tuple[str, ...] | None = None
    except_column_list: tuple[str, ...] | None = None
    track_history_column_list: tuple[str, ...] | None = None
    track_history_except_column_list: tuple[str, ...] | None = None
    full_copy: bool = Field(default=False, description="each batch is the whole source table: what differs from the rows kept becomes changes")
    soft_delete: str | None = Field(default=None, description="a boolean column that marks rows as deleted; they stay in the table")
    retention: Duration | None = Field(default=None, description="how long an event may be late (30 days); by default for ever, and all is remembered")
    max_ahead: int | Duration | None = Field(
        default=None,
        description="how far a sequence may lie ahead: of now, for dates and timestamps (1 day), else of the greatest that the table has (a number)",
    )

    @property
    def conditions(self) -> dict[str, str]:
        """By which of a user's events are truncates (`t`), and which of the others deletes (`d`)."""
        return {op: condition for op, condition in (("t", self.apply_as_truncates), ("d", self.apply_as_deletes)) if condition}

    def tracked(self, data: Sequence[str]) -> tuple[str, ...]:
        """Of a table's columns those whose changes open a version."""
        return _chosen(data, self.track_history_column_list, self.track_history_except_column_list)

    def optional(self, data: Sequence[str]) -> tuple[str, ...]:
        """Of a table's columns those in which a NULL is no value."""
        only, but = self.ignore_null_updates_column_list, self.ignore_null_updates_except_column_list
        return _chosen(data, only, but) if self.ignore_null_updates or only is not None or but is not None else ()

    @property
    def sequence_columns(self) -> tuple[str, ...]:
        """The columns of `sequence_by`, `struct(a, b)` and `[a, b]` alike; none where the feed has an order of its own."""
        if not isinstance(self.sequence_by, str):
            return self.sequence_by or ()
        struct = re.fullmatch(rf"struct\(\s*({WRITTEN}(?:\s*,\s*{WRITTEN})*)\s*\)", self.sequence_by.strip(), re.IGNORECASE)
        return tuple(map(unwritten, re.findall(WRITTEN, struct[1]))) if struct else (self.sequence_by,)

    @model_validator(mode="after")
    def _options_go_together(self) -> Self:
        history, lists, null_updates = ([n for n in of if getattr(self, n) not in (None, False)] for of in (_HISTORY, _LISTS, NULL_UPDATES))
        if history and self.stored_as_scd_type == 1:
            raise ValueError(f"{history[0]} says which changes open a version; that goes with stored_as_scd_type: 2")
        if self.full_copy and (said := [n for n in (*ORDER_AND_KINDS, "retention", "max_ahead") if getattr(self, n)]):
            raise ValueError(f"a full copy has no events of its own: leave out {', '.join(said)}")
        if self.soft_delete and self.stored_as_scd_type == 2:
            raise ValueError("a history keeps deleted rows anyway, closed; soft_delete goes with stored_as_scd_type: 1")
        for said in (history, lists, null_updates):
            if len(said) > 1:
                raise ValueError(f"give one of {' and '.join(said)}")
        return self


class Transform(Model):
    """Spark SQL in a file, or `def build(spark, inputs)` in a Python file, into a table."""

    sql: str | None = None
    python: str | None = None
    inputs: tuple[str, ...] = Field(default=(), description="what build() reads; for SQL they are found in the text")
    into: Location
    write: Literal["append", "overwrite", "overwrite_partitions"] = "overwrite"
    window: Window | None = Field(default=None, description="overwrite_partitions: every partition that it covers is replaced, also those now empty")

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if (self.sql is None) == (self.python is None):
            raise ValueError("give one of sql and python")
        if self.python and not self.inputs:
            raise ValueError("a Python transform names what it reads in inputs")
        return self


class Copy(Model):
    """Rows, unchanged, from a read step or a table into a table of the lake or of Redshift (there by COPY, which reads a read step's files itself)."""

    from_: Location = Field(alias="from")
    into: Location
    write: Write = Field(
        default="append",
        description="into Redshift besides: insert_missing, rows that the table has not, each once, NULL equal to NULL; scd2, every version of a row by key",
    )
    history: tuple[Name, Name] = Field(default=("valid_from", "valid_to"), description="scd2: the table's columns of when a version began, and when it ended")
    window: Window | None = Field(default=None, description="overwrite_partitions: every partition that it covers is replaced, also those now empty")
    options: CopyOptions = Field(default=CopyOptions(), description="files into Redshift: how COPY takes them")


class Delete(Model):
    """Rows out of a lake table that no merge keeps."""

    from_: Location = Field(alias="from")
    where: str = Field(min_length=1, description="Spark SQL condition; :name is a parameter")

    @property
    def table(self) -> str:
        return self.from_

    @property
    def set(self) -> dict[str, str]:
        return {}


class Update(Model):
    """Rows of a lake table that no merge keeps, changed in place."""

    into: Location
    set: dict[str, str] = Field(min_length=1, description="column: Spark SQL expression over the row")
    where: str = Field(min_length=1, description="Spark SQL condition; :name is a parameter; true for a row that still is to be changed")

    @property
    def table(self) -> str:
        return self.into


class Reconcile(Model):
    """Two tables compared by key, by value; a difference fails the run."""

    left: Location
    right: Location
    keys: tuple[str, ...] = Field(default=(), description="by default the keys declared on the left or the right table")
    columns: tuple[str, ...] = Field(default=(), description="by default all that both tables have")


class Maintenance(Model):
    """Tables kept small by their own `maintain` policies, after the steps that write them: each run does what is due, and gives way to writers."""

    tables: tuple[Location, ...] = Field(min_length=1)
    max_bytes: int | None = Field(default=None, ge=1, description="write at most so many bytes anew in a run, the most useful first")


class _Step(Model):
    id: Name
    renamed_from: Name | None = None
    engine: EngineName | None = Field(default=None, description="who does the step's work; by default the environment says")


class _WritingStep(_Step):
    gate: Gate | None = None
    max_quarantined: Annotated[int, Field(ge=0)] | Share | None = Field(
        default=None, description="how many rows of a batch, or of a hundred that it read (5 %), may be quarantined; with more it stops; by default any number"
    )


class ReadStep(_Step):
    read: Read


class MergeStep(_WritingStep):
    merge: Merge


class TransformStep(_WritingStep):
    transform: Transform


class CopyStep(_WritingStep):
    copy_: Copy = Field(alias="copy")


class DeleteStep(_Step):
    delete: Delete


class UpdateStep(_Step):
    update: Update


class CallStep(_Step):
    call: Call


class SqlStep(_Step):
    sql: Sql


class UnloadStep(_Step):
    unload: Unload


class ExternalStep(_Step):
    external: External


class ReconcileStep(_Step):
    reconcile: Reconcile


class MaintainStep(_Step):
    maintain: Maintenance


STEP_KINDS = ("read", "merge", "transform", "copy", "delete", "update", "call", "sql", "unload", "external", "reconcile", "maintain")


def step_kind(value: Any) -> str | None:
    """The kind of a step: the one key that says what it does."""
    if isinstance(value, _Step):
        return next(kind for kind in STEP_KINDS if kind in type(value).model_fields or f"{kind}_" in type(value).model_fields)
    found = [kind for kind in STEP_KINDS if isinstance(value, Mapping) and (kind in value or f"{kind}_" in value)]
    return found[0] if len(found) == 1 else None


Step = Annotated[
    Annotated[ReadStep, Tag("read")]
    | Annotated[MergeStep, Tag("merge")]
    | Annotated[TransformStep, Tag("transform")]
    | Annotated[CopyStep, Tag("copy")]
    | Annotated[DeleteStep, Tag("delete")]
    | Annotated[UpdateStep, Tag("update")]
    | Annotated[CallStep, Tag("call")]
    | Annotated[SqlStep, Tag("sql")]
    | Annotated[UnloadStep, Tag("unload")]
    | Annotated[ExternalStep, Tag("external")]
    | Annotated[ReconcileStep, Tag("reconcile")]
    | Annotated[MaintainStep, Tag("maintain")],
    Discriminator(
        step_kind,
        custom_error_type="step_kind",
        custom_error_message="a step has an id and exactly one of " + ", ".join(STEP_KINDS),
    ),
]


class Environment(Model):
    """What differs from place to place: variables, parts of connections, and whether AWS is the stand-in on this machine."""

    aws: Literal["account", "local"] = "account"
    engine: EngineName = Field(default="embedded", description="who does the work of steps that do not say: the engine of one machine, or Spark")
    spark_from_mb: int | None = Field(
        default=None,
        ge=0,
        description="with `engine: spark`, a batch of less, and files of less that it touches, are the driver's alone; by default what it has memory for",
    )
    artifacts: ArtifactsLocation | None = Field(
        default=None, description="where `penstock deploy` puts what runs elsewhere: connection/path/, or s3://bucket/prefix/"
    )
    runtime: Runtime | None = Field(default=None, description="the service that runs deployed versions; by default the pipeline runs where it is called")
    spark: SparkService | None = Field(default=None, description="where steps on Spark have it: a session that a service keeps, by Spark Connect")
    variables: dict[str, str] = {}
    connections: dict[str, dict[str, Any]] = {}


class Pipeline(Model):
    """A whole pipeline. The file `pipeline.yaml` is this model's serialised form."""

    pipeline: Name
    schedule: str | None = None
    state: Location | None = Field(default=None, description="connection/path/ for batches and records; by default .penstock/ beside the file")
    params: dict[str, str | int | float | bool] = {}
    connections: dict[Name, Connection]
    tables: dict[Location, Table] = {}
    steps: tuple[Step, ...] = Field(min_length=1)
    environments: dict[Name, Environment] = {}

    _folder: str = PrivateAttr(default=".")

    def step(self, step_id: str) -> Any:
        return next(s for s in self.steps if s.id == step_id)
