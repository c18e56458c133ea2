"""COPY's options, for files that go into Redshift as they are: each is called as Redshift calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from penstock.connections import Model

OneCharacter = Annotated[str, Field(min_length=1, max_length=1)]
_OF_COLUMNS = frozenset({"acceptinvchars", "statupdate"})
_OF_FIELDS = _OF_COLUMNS | {"acceptanydate", "compupdate", "blanksasnull", "dateformat", "maxerror", "roundec", "timeformat", "trimblanks", "truncatecolumns"}
_OF_LINES = _OF_FIELDS | {"encoding"}
GO_WITH: Mapping[str, frozenset[str]] = {
    "csv": _OF_LINES | {"delimiter", "quote", "ignoreheader", "fillrecord", "ignoreblanklines"},
    "json": _OF_LINES | {"json"},
    "avro": _OF_FIELDS | {"avro"},
    "parquet": _OF_COLUMNS,
    "orc": _OF_COLUMNS,
}
OPTIONS = frozenset[str]().union(*GO_WITH.values())


class CopyOptions(Model):
    """What COPY is told of files, besides what the read step says of them."""

    delimiter: OneCharacter | None = None
    quote: OneCharacter | None = None
    ignoreheader: int = Field(default=1, ge=0, description="csv: lines before the first row; with 1 that line names the columns")
    fillrecord: bool = Field(default=False, description="csv: a line may lack fields at its end")
    ignoreblanklines: bool = False
    json_: str = Field(default="auto ignorecase", alias="json", pattern=r"^(auto|auto ignorecase|s3://\S+)$", description="or a JSONPaths file on S3")
    avro: str = Field(default="auto ignorecase", pattern=r"^(auto|auto ignorecase|s3://\S+)$", description="or a JSONPaths file on S3")
    dateformat: str = Field(default="auto", min_length=1)
    timeformat: str = Field(default="auto", min_length=1)
    encoding: Literal["utf8", "utf16", "utf16le", "utf16be", "iso88591"] = "utf8"
    acceptinvchars: OneCharacter | None = Field(default=None, description="what stands for characters that are no UTF-8; by default they are errors")
    acceptanydate: bool = False
    blanksasnull: bool = False
    trimblanks: bool = False
    truncatecolumns: bool = Field(default=False, description="texts that are too long are cut; by default they are errors")
    roundec: bool = Field(default=False, description="decimals with too many digits are rounded; by default they are cut")
    maxerror: int = Field(default=0, ge=0, le=100_000, description="with so many wrong rows a batch stops; fewer go to `<table>__quarantine`")
    compupdate: Literal["preset", "on", "off"] | None = None
    statupdate: Literal["on", "off"] | None = None

    @property
    def said(self) -> frozenset[str]:
        """The options that say something."""
        return frozenset(name.rstrip("_") for name, field in type(self).model_fields.items() if getattr(self, name) != field.default)
