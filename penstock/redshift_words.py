"""Words that mean something else in Redshift than in PostgreSQL, or nothing."""

from __future__ import annotations

# a function of PostgreSQL's, and what Redshift has in its place
INSTEAD = {
    "string_agg": "LISTAGG", "array_agg": "LISTAGG", "json_agg": "LISTAGG", "jsonb_agg": "LISTAGG", "unnest": "FROM t, t.array AS element",
    "regexp_matches": "REGEXP_SUBSTR", "regexp_split_to_array": "SPLIT_TO_ARRAY", "regexp_split_to_table": "SPLIT_TO_ARRAY", "regexp_match": "REGEXP_SUBSTR",
    "string_to_array": "SPLIT_TO_ARRAY", "to_json": "JSON_PARSE", "to_jsonb": "JSON_PARSE", "row_to_json": "JSON_PARSE", "jsonb_build_object": "OBJECT",
    "json_build_object": "OBJECT", "concat_ws": "||", "format": "||", "make_date": "TO_DATE", "make_timestamp": "TO_TIMESTAMP", "age": "DATEDIFF",
    "clock_timestamp": "GETDATE()", "statement_timestamp": "GETDATE()", "gen_random_uuid": "IDENTITY columns", "nextval": "IDENTITY columns",
    "date_bin": "DATE_TRUNC", "starts_with": "LIKE", "to_regclass": "SVV_TABLES", "sha256": "SHA2", "encode": "FROM_VARBYTE", "decode": "TO_VARBYTE",
    "mode": "a subquery",
}  # fmt: skip
# functions that the leader node alone answers: not over rows of a table
LEADER_ONLY = frozenset(
    ("age", "current_schema", "current_schemas", "current_time", "generate_series", "has_database_privilege", "has_schema_privilege", "has_table_privilege",
     "localtime", "localtimestamp", "now", "pg_get_userbyid", "pg_get_viewdef", "to_ascii", "format_type", "get_bit", "get_byte", "set_bit", "set_byte")
)  # fmt: skip
