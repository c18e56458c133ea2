"""What is refused, each by its name: what Redshift lacks as Redshift refuses it, what this stand-in lacks as not supported locally."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.infra.local.errors import NotLocalError, SqlError

from .expressions import asks_catalog
from .tokens import Token

_NOT_HERE = {
    "MODEL": "Redshift ML (CREATE MODEL)", "DATASHARE": "data shares", "LIBRARY": "Python libraries", "POLICY": "masking and row-level security policies",
    "IDENTITY": "identity providers", "WORKLOAD": "workload management", "INTEGRATION": "zero-ETL integrations",
}  # fmt: skip
_NOT_THERE = {
    "INDEX": "indexes; it has sort keys", "SEQUENCE": "sequences; it has IDENTITY columns", "TRIGGER": "triggers", "TYPE": "types of one's own",
    "DOMAIN": "domains", "RULE": "rules", "EXTENSION": "extensions", "OPERATOR": "operators of one's own", "AGGREGATE": "aggregates of one's own",
    "TABLESPACE": "table spaces", "COLLATION": "collations of one's own", "PUBLICATION": "publications", "SUBSCRIPTION": "subscriptions",
    "SERVER": "foreign servers", "CAST": "casts of one's own", "UNLOGGED": "unlogged tables", "STATISTICS": "statistics objects", "EVENT": "event triggers",
    "LANGUAGE": "languages", "CONVERSION": "conversions",
}  # fmt: skip
_STATEMENTS = {
    "DO": "anonymous blocks (DO)", "LISTEN": "LISTEN", "NOTIFY": "NOTIFY", "UNLISTEN": "UNLISTEN", "SAVEPOINT": "savepoints", "RELEASE": "savepoints",
    "REINDEX": "indexes; it has sort keys", "CLUSTER": "CLUSTER; it has VACUUM SORT ONLY", "CHECKPOINT": "CHECKPOINT", "REASSIGN": "REASSIGN OWNED",
    "LOAD": "LOAD", "SECURITY": "security labels", "IMPORT": "foreign schemas; it has external schemas",
}  # fmt: skip
_RUNS: dict[tuple[str, ...], str] = {
    ("ON", "CONFLICT"): "INSERT … ON CONFLICT; it has MERGE", ("DISTINCT", "ON"): "DISTINCT ON; it has QUALIFY", ("FOR", "UPDATE"): "FOR UPDATE; it has LOCK",
    ("FOR", "SHARE"): "FOR SHARE; it has LOCK", ("EXCEPT", "ALL"): "EXCEPT ALL", ("INTERSECT", "ALL"): "INTERSECT ALL", ("MINUS", "ALL"): "MINUS ALL",
    ("WITH", "ORDINALITY"): "WITH ORDINALITY", ("FETCH", "FIRST"): "FETCH FIRST; it has LIMIT and TOP",
    ("FETCH", "NEXT", "ROWS"): "FETCH NEXT; it has LIMIT and TOP", ("LATERAL", "("): "LATERAL", ("FILTER", "("): "FILTER; it has CASE within the aggregate",
    ("TABLESAMPLE",): "TABLESAMPLE", ("ARRAY", "["): "arrays; it has SUPER", ("FROM", "(", "VALUES"): "VALUES in FROM; it has SELECT … UNION ALL",
    ("ROLLBACK", "TO"): "savepoints", ("PREPARE", "TRANSACTION"): "prepared transactions", ("INHERITS", "("): "inheritance",
    ("PARTITION", "BY", "RANGE", "("): "partitions of its own tables; it has sort keys and external tables", ("AS", "MATERIALIZED"): "AS MATERIALIZED",
    ("AS", "NOT", "MATERIALIZED"): "AS MATERIALIZED", ("RETURNING", "*"): "RETURNING", ("GENERATED", "ALWAYS", "AS", "("): "generated columns",
    ("INCLUDING", "ALL"): "INCLUDING ALL; it has INCLUDING DEFAULTS", ("FULL", "TEXT"): "full-text search",
}  # fmt: skip
_SIGNS = {"@": "the operators of arrays and JSON", "?": "the operators of JSON", "&&": "the operators of arrays"}


def refuse(tokens: Sequence[Token]) -> None:
    """Raise SqlError or NotLocalError for a statement that begins with, or holds, what is not to be had."""
    words = [t.word for t in tokens]
    if words[:1] and words[0] in _STATEMENTS:
        raise _lacking(_STATEMENTS[words[0]])
    if words[:1] and words[0] in ("CREATE", "ALTER", "DROP"):
        _made(words)
    for i, word in enumerate(words):
        if word in _SIGNS and tokens[i].kind == "sign":
            raise _lacking(_SIGNS[word])
        if word == "-" and tokens[i + 1 : i + 2] and tokens[i + 1].text == ">" and tokens[i + 1].start == tokens[i].end:
            raise _lacking("the operators of JSON; it has JSON_EXTRACT_PATH_TEXT and SUPER")
        if word == "RETURNING" and words[0] in ("INSERT", "UPDATE", "DELETE", "WITH"):
            raise _lacking("RETURNING")
    has_arrays = asks_catalog(tokens)
    for run, what in _RUNS.items():
        if run == ("ARRAY", "[") and has_arrays:
            continue
        if any(tuple(words[i : i + len(run)]) == run and (not i or words[i - 1] != ".") for i in range(len(words) - len(run) + 1)):
            raise _lacking(what)


def _made(words: Sequence[str]) -> None:
    kinds = [w for w in words[1:5] if w not in ("OR", "REPLACE", "IF", "NOT", "EXISTS", "MASKING", "RLS", "ROW", "LEVEL", "UNIQUE")]
    kind = kinds[0] if kinds else ""
    if kind in _NOT_HERE:
        raise NotLocalError(_NOT_HERE[kind])
    if kind in _NOT_THERE:
        raise _lacking(_NOT_THERE[kind])
    if kinds[:2] == ["EXTERNAL", "FUNCTION"]:
        raise NotLocalError("external functions")


def _lacking(what: str) -> SqlError:
    return SqlError("0A000", f"not supported: Redshift has no {what}")
