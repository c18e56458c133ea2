"""PostgreSQL's catalog as Redshift's leader node has it: with columns of its own, and numbers for conditions."""

from __future__ import annotations

from collections.abc import Sequence

from .tokens import Token

_SCHEMAS = ("", "pg_catalog", "information_schema")
# keys are not enforced, so PostgreSQL has none; materialised views are views there
_VIEWED = {
    "pg_views": "rsi.leader_pg_views",
    "pg_constraint": "rsi.leader_pg_constraint",
    "pg_get_constraintdef": "rsi.constraintdef",
    "information_schema.views": "rsi.leader_views",
    "information_schema.tables": "rsi.leader_tables",
}
_OWN_COLUMNS = {"pg_class": {"reldiststyle"}, "pg_attribute": {"attisdistkey", "attsortkeyord", "attencodingtype"}, "pg_attrdef": {"adsrc"}}


def as_there(sql: str, tokens: Sequence[Token]) -> str:
    """The text with views in place of the tables of which it asks such columns, and TRUE for a condition that is 1."""
    named = {t.name for t in tokens if t.is_name}
    replaced = _VIEWED | {table: f"rsi.leader_{table}" for table, columns in _OWN_COLUMNS.items() if columns & named}
    for i in range(len(tokens) - 1, -1, -1):
        token, end = tokens[i], tokens[i].end
        dotted = i > 1 and tokens[i - 1].text == "."
        of = tokens[i - 2].name if dotted else ""
        if token.is_name and (new := replaced.get(f"{of}.{token.name}" if of == "information_schema" else token.name)) and of in _SCHEMAS:
            sql = f"{sql[: tokens[i - 2].start if dotted else token.start]}{new}{sql[end:]}"
        elif token.text == "1" and i and tokens[i - 1].word == "WHERE" and (i + 1 == len(tokens) or tokens[i + 1].kind == "word"):
            sql = f"{sql[: token.start]}TRUE{sql[end:]}"
    return sql
