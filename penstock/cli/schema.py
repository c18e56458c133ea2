"""`penstock schema`."""

from __future__ import annotations

import json

from penstock.pipeline import Pipeline


def pipeline_schema() -> str:
    """The JSON Schema of pipeline files, as text."""
    return (
        json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **Pipeline.model_json_schema(), "title": "Penstock pipeline"}, indent=2) + "\n"
    )


def schema_command() -> None:
    print(pipeline_schema(), end="")  # noqa: T201
