"""The plain formats of files."""

from __future__ import annotations

from penstock.sources import SourceFormat

FORMATS = {
    "avro": SourceFormat("avro", reader=""),
    "csv": SourceFormat("csv", "penstock.connectors.files.csv_rows", options={"null": ""}, has_nested=False),
    "json": SourceFormat("json", "penstock.connectors.files.json_lines"),
    "orc": SourceFormat("orc", reader=""),
    "parquet": SourceFormat("parquet", "penstock.connectors.files.parquet"),
}
