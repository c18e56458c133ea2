"""What Penstock reads and writes of Iceberg; the rest is refused by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from penstock.connectors.paths import is_own
from penstock.errors import NotSupportedError

from .columns import parts_of

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestEntry, ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.types import NestedField

_NAME_MAPPING = "schema.name-mapping.default"
_WRITTEN_VERSIONS = (1, 2)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # Avro's names, which libraries make all names in files into


def _name(table: Table) -> str:
    return ".".join(table.name())


def check_readable(table: Table, manifests: list[ManifestFile]) -> None:
    """`manifests` are those with live files.

    Raises NotSupportedError for files of a former partitioning, for columns that only their numbers tell in files that may lack these, for renamed parts of
    nested columns, which are read by their names, and for columns that older rows have by a default alone.
    """
    own = "copy it to a table of your own"
    if inside := _renamed_inside(table):
        raise NotSupportedError(f"reading {_name(table)}, of which {inside}, a part of a nested column, was renamed,", hint=own)
    if given := next((part.name for f in table.schema().fields for part in (f, *(p for _, p in _parts(f))) if part.initial_default is not None), ""):
        raise NotSupportedError(f"reading {_name(table)}, of which {given} has an initial default in rows that were there before it,", hint=own)
    if any(m.partition_spec_id != table.metadata.default_spec_id for m in manifests):
        raise NotSupportedError(f"reading {_name(table)}, which holds files of a former partitioning,", hint="have them rewritten (rewrite_data_files) first")
    if has_files_of_others(table) and (is_read_by_number(table) or has_odd_names(table)):
        what = f"reading {_name(table)}, of which a column has other names while some files may lack the numbers of their columns ({_NAME_MAPPING}),"
        raise NotSupportedError(what, hint="have them rewritten (rewrite_data_files) and remove that property")


def has_files_of_others(table: Table) -> bool:
    """True where files may be taken over as they were: without numbers of columns, or without some columns."""
    return _NAME_MAPPING in table.properties


def is_read_by_number(table: Table) -> bool:
    """True where a column had another name once, or its name another column: files are then read by the numbers of their columns alone."""
    named = {(field.name, field.field_id) for schema in table.metadata.schemas for field in schema.fields}
    return len(named) != len({name for name, _ in named}) or len(named) != len({number for _, number in named})


def has_odd_names(table: Table) -> bool:
    """True where libraries spell a column otherwise in files (`a b` as `a_x20b`), which Penstock does not."""
    return not all(_PLAIN.fullmatch(field.name) for field in table.schema().fields)


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


def spelled_otherwise(table: Table) -> str:
    """A name of a part of a nested column that libraries make into another one in files; empty where there is none."""
    return next((part.name for field in table.schema().fields for _, part in _parts(field) if not _PLAIN.fullmatch(part.name)), "")


def check_file(table: Table, entry: ManifestEntry, spelled: str) -> None:
    """Raises NotSupportedError for a file that is not Parquet, for deletes that are no positions, another writer's with a part `spelled` otherwise."""
    if entry.data_file.content.name == "EQUALITY_DELETES":
        raise NotSupportedError(f"reading the equality deletes of {_name(table)}", hint="have their writer compact the table (rewrite_data_files) first")
    if (kind := entry.data_file.file_format.value) != "PARQUET":
        raise NotSupportedError(f"reading the {kind} file {entry.data_file.file_path} of {_name(table)}", hint="have it rewritten as Parquet")
    if spelled and entry.data_file.content.name == "DATA" and not is_own(entry.data_file.file_path):
        what = f"reading {entry.data_file.file_path} of {_name(table)}, another writer's, in which {spelled!r}, a part of a nested column, has another name,"
        raise NotSupportedError(what, hint="give such parts names of letters, digits and _, or have Penstock alone write the table")


def check_writable(table: Table) -> None:
    """Raises NotSupportedError for a format version whose obligations (row lineage) Penstock does not keep."""
    if table.metadata.format_version not in _WRITTEN_VERSIONS:
        raise NotSupportedError(f"writing {_name(table)} of Iceberg format version {table.metadata.format_version}", hint="use a table of version 2")
