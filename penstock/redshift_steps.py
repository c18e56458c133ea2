"""What steps say of their work in Redshift: procedures, scripts, unloads, external tables."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from penstock.connections import Model
from penstock.fields import ColumnTypes, Location, Name


class Call(Model):
    """A stored procedure. `definition` is a SQL file that creates what the procedure needs, itself included; it runs first, each time it changed."""

    on: Name
    procedure: str = Field(pattern=r"^[A-Za-z_][\w]*\.[A-Za-z_][\w]*$")
    arguments: tuple[str | int | float | bool | None, ...] = ()
    definition: str | None = None
    idempotent: bool = Field(default=False, description="it commits by itself, and may be called again where a run was killed: the ledger is claimed after it")


class Sql(Model):
    """A script of statements in Redshift: with the ledger one transaction; with `idempotent: true` each its own, done again where a run was killed."""

    on: Name
    file: str = Field(min_length=1, description="a SQL file beside the pipeline file; :name is a parameter")
    idempotent: bool = False


class Unload(Model):
    """A query's rows out of Redshift, as Parquet, CSV or JSON."""

    from_: Name = Field(alias="from")
    sql: str
    into: Location
    format: Literal["parquet", "csv", "json"] = "parquet"
    header: bool = Field(default=False, description="csv: the names of the columns as the first line of each file")
    compression: Literal["gzip", "zstd", "bzip2"] | None = Field(default=None, description="csv and json; Parquet has its own")
    partition_by: tuple[Name, ...] = ()
    include: bool = Field(default=False, description="keep the columns of partition_by in the files too")
    max_file_mb: int | None = Field(default=None, ge=5, le=6200, description="how large a file may become; Redshift's own bound is 6.2 GB")
    table: Location | None = Field(default=None, description="parquet: a table of a Glue catalog, made by this step, in which readers find the newest unload")
    encrypted: bool = Field(default=False, description="have S3 encrypt the files by the key that the bucket says (ENCRYPTED AUTO)")

    @model_validator(mode="after")
    def _options_go_with_the_format(self) -> Self:
        if self.header and self.format != "csv":
            raise ValueError(f"header goes with format: csv, not with {self.format}")
        if self.compression and self.format == "parquet":
            raise ValueError("Parquet files are compressed by themselves; compression goes with csv and json")
        if self.table and (self.format != "parquet" or self.include):
            raise ValueError("a table is made of Parquet files, and has the columns of partition_by from their folders: leave include out")
        if self.include and not self.partition_by:
            raise ValueError("include goes with partition_by")
        return self


class ExternalTable(Model):
    """Files on S3 as a table that Redshift reads where they lie; each folder `month=2026-01/` below `from` is a partition.

    Where `from` is a lake table whose files are listed for Redshift (Delta, with `readers: [redshift]`), that one says all the rest.
    """

    from_: Location = Field(alias="from")
    format: Literal["parquet", "orc", "csv", "json"] = "parquet"
    columns: ColumnTypes = {}
    partition_by: dict[Name, str] = Field(default={}, description="name: type of what the names of folders tell")


class External(Model):
    """An external schema, tables in it, and views over them that bind late."""

    on: Name
    schema_: Name = Field(alias="schema")
    database: str | None = Field(default=None, min_length=1, description="of Glue; made where it is missing; by default it is called as the schema")
    tables: dict[Name, ExternalTable] = {}
    views: dict[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*\.[A-Za-z_]\w*$")], str] = Field(
        default={}, description="schema.name: a SQL file beside the pipeline file with the view's query; :name is a parameter"
    )
