"""Which functions Redshift has: those that PostgreSQL means alike, those made here, and those that only PostgreSQL has."""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256
from importlib.resources import files

from penstock.redshift_words import INSTEAD

SCRIPTS = ("functions.sql", "json.sql", "bridge.sql", "views.sql")

# alike in both: nothing to be done
NATIVE = frozenset((
    "abs", "acos", "asin", "atan", "atan2", "cos", "cot", "degrees", "radians", "sin", "tan", "ceil", "ceiling", "floor", "mod", "pi", "random", "upper",
    "lower", "initcap", "left", "right", "lpad", "rpad", "ltrim", "rtrim", "btrim", "trim", "replace", "reverse", "strpos", "position", "split_part",
    "substring", "substr", "translate", "ascii", "chr", "md5", "octet_length", "length", "char_length", "character_length", "bit_length", "quote_ident",
    "quote_literal", "to_char", "to_number", "to_date", "coalesce", "nullif", "greatest", "least", "count", "min", "max", "bool_and", "bool_or", "bit_and",
    "bit_or", "rank", "dense_rank", "row_number", "ntile", "cume_dist", "percent_rank", "grouping", "every", "lag", "lead", "first_value", "last_value",
    "nth_value", "percentile_cont", "percentile_disc", "current_schema", "current_schemas", "current_database", "pg_backend_pid", "pg_cancel_backend",
    "pg_terminate_backend", "has_table_privilege", "has_schema_privilege", "has_database_privilege", "has_column_privilege", "has_function_privilege",
    "current_setting", "set_config", "generate_series", "timeofday", "now", "pg_sleep", "pg_get_userbyid", "pg_get_viewdef", "pg_table_is_visible",
    "obj_description", "format_type",
))  # fmt: skip
RENAMED = {"NVL": "coalesce", "ISNULL": "coalesce", "GROUPING_ID": "grouping", "SUBSTRB": "substr", "DATEPART": "rs.date_part", "PGDATE_PART": "rs.date_part",
           "ARRAY": "jsonb_build_array", "OBJECT": "jsonb_build_object", "CHARACTERS": "length"}  # fmt: skip
# words before a parenthesis that call nothing
_GRAMMAR = frozenset((
    "ALL", "AND", "ANY", "AS", "ASC", "BETWEEN", "BY", "CASE", "CHECK", "COLUMN", "CUBE", "DEFAULT", "DELETE", "DESC", "DISTINCT", "ELSE", "END", "EXCEPT",
    "EXISTS", "FILTER", "FROM", "FULL", "GROUP", "HAVING", "IF", "ILIKE", "IN", "INDEX", "INNER", "INSERT", "INTERSECT", "INTERVAL", "INTO", "IS", "JOIN",
    "KEY", "LIKE", "LIMIT", "MATERIALIZED", "MINUS", "NOT", "NULL", "OFFSET", "ON", "OR", "ORDER", "OVER", "PARTITION", "PARTITIONED", "PERFORM", "PRIMARY",
    "QUALIFY", "RECURSIVE", "REFERENCES", "RETURN", "RETURNS", "ROLLUP", "SELECT", "SET", "SETS", "SOME", "TABLE", "THEN", "TO", "UNION", "UNIQUE", "UPDATE",
    "USING", "VALUES", "WHEN", "WHERE", "WHILE", "WITH", "WITHIN", "EXECUTE", "ELSIF", "CALL", "DISTKEY", "SORTKEY", "PIVOT", "UNPIVOT", "EXCLUDE", "PRIOR",
    "CONNECT", "CROSS", "OUTER", "FOR", "LOOP", "RAISE", "TIMESTAMP", "TIME", "EXPLAIN", "ROW", "RETURNING",
))  # fmt: skip


def script(name: str) -> str:
    return (files("penstock.infra.local.redshift") / name).read_text()


@cache
def version() -> str:
    """What tells the scripts of one version from those of another."""
    return sha256("".join(map(script, SCRIPTS)).encode()).hexdigest()[:16]


@cache
def ours() -> frozenset[str]:
    """The functions of Redshift that the scripts define in the schema rs, in upper case."""
    return frozenset(name.upper() for s in SCRIPTS for name in re.findall(r"CREATE (?:FUNCTION|AGGREGATE) rs\.(\w+)", script(s)))


def is_grammar(word: str) -> bool:
    return word in _GRAMMAR


def is_native(word: str) -> bool:
    return word.lower() in NATIVE


def instead(name: str) -> str:
    """What Redshift has in the place of a function of PostgreSQL's."""
    found = INSTEAD.get(name.lower())
    return f"; Redshift has {found}" if found else ""
