"""The plain formats of files."""

from __future__ import annotations

from penstock.sources import SourceFormat

FORMATS = {
    "csv": SourceFormat("csv", "penstock.connectors.files.csv_rows", options={"null": ""}, has_nested=False),
    "json": SourceFormat("json", "penstock.connectors.files.json_lines"),
    "parquet": SourceFormat("parquet", "penstock.connectors.files.parquet"),
}
