"""The metadata files that a table no longer lists."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from penstock.connectors.reaching import lost_answers
from penstock.connectors.removing import removed

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.table.metadata import TableMetadata

FORGETS = "write.metadata.delete-after-commit.enabled"


def forget_metadata(io: FileIO, before: TableMetadata, after: TableMetadata) -> None:
    """Delete those that a commit took off the list, where the table says so; the commit stands, whatever becomes of them."""
    if after.properties.get(FORGETS, "false").lower() != "true":
        return
    for old in {log.metadata_file for log in before.metadata_log} - {log.metadata_file for log in after.metadata_log}:
        try:
            removed([old], io.delete)
        except lost_answers() as error:
            logging.getLogger(__name__).warning("the old metadata file %s stays: %s", old, error)
