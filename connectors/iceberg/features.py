"""What Penstock reads and writes of Iceberg; the rest is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from penstock.errors import NotSupportedError

from .columns import parts_of

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestEntry, ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.types import NestedField

_NAME_MAPPING = "schema.name-mapping.default"
_WRITTEN_VERSIONS = (1, 2)


def _name(table: Table) -> str:
    return ".".join(table.name())


def check_readable(table: Table, manifests: list[ManifestFile]) -> None:
    """`manifests` are those with live files.

    Raises NotSupportedError for files of a former partitioning, for renamed columns of files that may know their names alone, and for renamed parts of
    nested columns, which are read by their names.
    """
    if inside := _renamed_inside(table):
        raise NotSupportedError(f"reading {_name(table)}, of which {inside}, a part of a nested column, was renamed,", hint="copy it to a table of your own")
    if any(m.partition_spec_id != table.metadata.default_spec_id for m in manifests):
        raise NotSupportedError(f"reading {_name(table)}, which holds files of a former partitioning,", hint="have them rewritten (rewrite_data_files) first")
    if has_files_of_others(table) and is_renamed(table):
        what = f"reading {_name(table)}, of which a column was renamed while some files may lack the numbers of their columns ({_NAME_MAPPING}),"
        raise NotSupportedError(what, hint="have them rewritten (rewrite_data_files) and remove that property")


def has_files_of_others(table: Table) -> bool:
    """True where files may be taken over as they were: without numbers of columns, or without some columns."""
    return _NAME_MAPPING in table.properties


def is_renamed(table: Table) -> bool:
    """True where a column had another name once, or its name another column: files are then read by the numbers of their columns alone."""
    named = {(field.name, field.field_id) for schema in table.metadata.schemas for field in schema.fields}
    return len(named) != len({name for name, _ in named}) or len(named) != len({number for _, number in named})


def _renamed_inside(table: Table) -> str:
    """A name of a part of a nested column that had another name once, or whose name another part had; empty where there is none."""
    names: dict[int, str] = {}
    numbers: dict[tuple[int, str], int] = {}
    for schema in table.metadata.schemas:
        for parent, part in (found for field in schema.fields for found in _parts(field)):
            if names.setdefault(part.field_id, part.name) != part.name or numbers.setdefault((parent, part.name), part.field_id) != part.field_id:
                return part.name
    return ""


def _parts(field: NestedField) -> Iterator[tuple[int, NestedField]]:
    """Everything inside a field, with the number of what it is directly in."""
    for part in parts_of(field.field_type):
        yield field.field_id, part
        yield from _parts(part)


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
