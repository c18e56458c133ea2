"""pyiceberg's catalog in AWS Glue, and its files on S3; it brings boto3, which other catalogs do without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from pyarrow.fs import FileSystem
from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table
from pyiceberg.typedef import EMPTY_DICT, Properties

from penstock.config import AwsSettings
from penstock.connectors.iceberg.catalogs import ParsedOnce
from penstock.connectors.s3.access import client, pyiceberg_properties


class FilesByKeysOfNow(PyArrowFileIO):
    """pyiceberg's files, each opened with the keys that `keys` gives then: those that a table was loaded with may have ended."""

    def __init__(self, properties: Properties, keys: Callable[[], Mapping[str, str]]) -> None:
        super().__init__({**properties, **keys()})
        made = lru_cache(maxsize=4)(lambda scheme, netloc, _: self._initialize_fs(scheme, netloc))

        def by_scheme(scheme: str, netloc: str | None = None) -> FileSystem:
            now = keys()
            self.properties = {**self.properties, **now}
            return made(scheme, netloc, tuple(now.items()))

        self.fs_by_scheme = by_scheme


class GlueCatalogOfFiles(ParsedOnce, GlueCatalog):
    def __init__(self, aws: AwsSettings, warehouse: str) -> None:
        super().__init__("penstock", client("glue", aws), **pyiceberg_properties(aws), warehouse=warehouse)
        self._aws = aws

    def _load_file_io(self, properties: Properties = EMPTY_DICT, location: str | None = None) -> FileIO:
        del location
        return FilesByKeysOfNow({**self.properties, **properties}, lambda: pyiceberg_properties(self._aws))

    def _convert_glue_to_iceberg(self, glue_table: Any) -> Table:
        parameters = glue_table.get("Parameters") or {}
        location = parameters.get("metadata_location") if str(parameters.get("table_type")).lower() == "iceberg" else None
        return self.once((glue_table.get("DatabaseName"), glue_table.get("Name")), location, lambda: GlueCatalog._convert_glue_to_iceberg(self, glue_table))
