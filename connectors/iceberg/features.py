"""What Penstock reads and writes of Iceberg; the rest is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import NotSupportedError

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestEntry, ManifestFile
    from pyiceberg.table import Table

_NAME_MAPPING = "schema.name-mapping.default"
_WRITTEN_VERSIONS = (1, 2)


def _name(table: Table) -> str:
    return ".".join(table.name())


def check_readable(table: Table, manifests: list[ManifestFile]) -> None:
    """`manifests` are those with live files.

    Raises NotSupportedError for files of a former partitioning, and for renamed columns of files that may know their names alone.
    """
    if any(m.partition_spec_id != table.metadata.default_spec_id for m in manifests):
        raise NotSupportedError(f"reading {_name(table)}, which holds files of a former partitioning,", hint="have them rewritten (rewrite_data_files) first")
    if _NAME_MAPPING in table.properties and is_renamed(table):
        what = f"reading {_name(table)}, of which a column was renamed while some files may lack the numbers of their columns ({_NAME_MAPPING}),"
        raise NotSupportedError(what, hint="have them rewritten (rewrite_data_files) and remove that property")


def is_renamed(table: Table) -> bool:
    """True where a column had another name once, or its name another column: files are then read by the numbers of their columns alone."""
    named = {(field.name, field.field_id) for schema in table.metadata.schemas for field in schema.fields}
    return len(named) != len({name for name, _ in named}) or len(named) != len({number for _, number in named})


def check_file(table: Table, entry: ManifestEntry) -> None:
    """Raises NotSupportedError for a file that is not Parquet, and for deletes that are not positions."""
    if entry.data_file.content.name == "EQUALITY_DELETES":
        raise NotSupportedError(f"reading the equality deletes of {_name(table)}", hint="have their writer compact the table (rewrite_data_files) first")
    if (kind := entry.data_file.file_format.value) != "PARQUET":
        raise NotSupportedError(f"reading the {kind} file {entry.data_file.file_path} of {_name(table)}", hint="have it rewritten as Parquet")


def check_writable(table: Table) -> None:
    """Raises NotSupportedError for a format version whose obligations (row lineage) Penstock does not keep."""
    if table.metadata.format_version not in _WRITTEN_VERSIONS:
        raise NotSupportedError(f"writing {_name(table)} of Iceberg format version {table.metadata.format_version}", hint="use a table of version 2")
