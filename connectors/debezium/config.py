"""What Debezium's change events are able to say."""

from __future__ import annotations

from penstock.sources import SourceFormat

FORMATS = {
    "debezium": SourceFormat(
        name="debezium",
        reader="penstock.connectors.debezium.reader",
        options={"connector": "postgresql", "timestamp_unit": None, "decimal_handling_mode": "precise"},
        sequence_parts={"postgresql": 2, "mysql": 3},
    )
}
