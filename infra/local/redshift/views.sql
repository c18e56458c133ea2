-- Redshift's system tables and views, in pg_catalog as there. What the process around PostgreSQL remembers is asked of it.

CREATE FUNCTION rsi.log(kind text) RETURNS jsonb LANGUAGE sql AS $$ SELECT rsi.ask('log', jsonb_build_object('of', kind)) -> 'rows' $$;

CREATE VIEW pg_catalog.sys_load_history AS SELECT 100 AS user_id, r.* FROM jsonb_to_recordset(rsi.log('loads')) AS r (
  query_id bigint, transaction_id bigint, session_id int, database_name text, status text, table_name text, start_time timestamp, end_time timestamp, duration bigint,
  data_source text, file_format text, loaded_rows bigint, loaded_bytes bigint, source_file_count int, source_file_bytes bigint, file_count_scanned int,
  file_bytes_scanned bigint, error_count bigint, copy_job_id bigint);
CREATE VIEW pg_catalog.sys_load_detail AS SELECT 100 AS user_id, r.* FROM jsonb_to_recordset(rsi.log('load_files')) AS r (
  query_id bigint, file_name text, bytes_scanned bigint, lines_scanned bigint, splits_scanned int, start_time timestamp, end_time timestamp, record_time timestamp);
CREATE VIEW pg_catalog.stl_load_commits AS SELECT 100 AS userid, r.query_id AS query, 0 AS slice, '0'::text AS name, r.file_name AS filename, 0::bigint AS byte_offset,
  r.lines_scanned, 0 AS errors, r.end_time AS curtime, 1 AS status, ''::text AS file_format FROM sys_load_detail r;
CREATE VIEW pg_catalog.sys_load_error_detail AS SELECT 100 AS user_id, r.* FROM jsonb_to_recordset(rsi.log('load_errors')) AS r (
  query_id bigint, transaction_id bigint, session_id int, database_name text, table_id bigint, start_time timestamp, file_name text, line_number bigint, column_name text,
  column_type text, column_length text, position int, error_code int, error_message text, raw_line text, raw_value text);
CREATE VIEW pg_catalog.stl_load_errors AS SELECT 100 AS userid, 0 AS slice, e.table_id AS tbl, e.start_time AS starttime, e.session_id AS session, e.query_id AS query,
  e.file_name AS filename, e.line_number, e.column_name AS colname, e.column_type AS type, e.column_length AS col_length, e.position, e.raw_line,
  e.raw_value AS raw_field_value, e.error_code AS err_code, e.error_message AS err_reason FROM sys_load_error_detail e;
CREATE VIEW pg_catalog.stl_loaderror_detail AS SELECT userid, slice, session, query, filename, line_number, 1 AS field, colname, raw_field_value AS value, 0 AS is_null,
  type, col_length FROM stl_load_errors;
CREATE VIEW pg_catalog.sys_unload_history AS SELECT 100 AS user_id, r.* FROM jsonb_to_recordset(rsi.log('unloads')) AS r (
  query_id bigint, transaction_id bigint, session_id int, database_name text, status text, start_time timestamp, end_time timestamp, duration bigint, file_format text,
  compression_type text, unloaded_location text, unloaded_rows bigint, unloaded_files_count bigint, unloaded_files_size bigint, error_message text);
CREATE VIEW pg_catalog.sys_unload_detail AS SELECT 100 AS user_id, r.* FROM jsonb_to_recordset(rsi.log('unload_files')) AS r (
  query_id bigint, file_name text, bytes_unloaded bigint, rows_unloaded bigint, start_time timestamp, end_time timestamp);
CREATE VIEW pg_catalog.stl_unload_log AS SELECT user_id AS userid, query_id AS query, 0 AS slice, file_name AS path, start_time, end_time, rows_unloaded AS line_count,
  bytes_unloaded AS transfer_size FROM sys_unload_detail;
CREATE VIEW pg_catalog.sys_query_history AS SELECT 100 AS user_id, r.* FROM jsonb_to_recordset(rsi.log('statements')) AS r (
  query_id bigint, query_label text, transaction_id bigint, session_id int, database_name text, query_type text, status text, start_time timestamp, end_time timestamp,
  elapsed_time bigint, execution_time bigint, error_message text, returned_rows bigint, query_text text);
CREATE VIEW pg_catalog.stl_query AS SELECT user_id AS userid, query_id AS query, coalesce(query_label, 'default') AS label, transaction_id AS xid, session_id AS pid,
  database_name AS database, query_text AS querytxt, start_time AS starttime, end_time AS endtime, CASE status WHEN 'success' THEN 0 ELSE 1 END AS aborted
  FROM sys_query_history;
CREATE VIEW pg_catalog.svl_s3query_summary AS SELECT 100 AS userid, r.* FROM jsonb_to_recordset(rsi.log('scans')) AS r (
  query bigint, pid int, segment int, step int, starttime timestamp, endtime timestamp, elapsed bigint, aborted int, external_table_name text, file_format text,
  is_partitioned text, s3_scanned_rows bigint, s3_scanned_bytes bigint, s3query_returned_rows bigint, s3query_returned_bytes bigint, files int, files_max int,
  splits int, total_partitions int, qualified_partitions int);
CREATE VIEW pg_catalog.svl_s3partition_summary AS SELECT query, segment, 'p'::text AS assignment, starttime AS min_starttime, endtime AS max_endtime, elapsed AS max_duration,
  total_partitions, qualified_partitions FROM svl_s3query_summary;
CREATE VIEW pg_catalog.sys_external_query_detail AS SELECT userid AS user_id, query AS query_id, 'S3'::text AS source_type, starttime AS start_time, endtime AS end_time,
  elapsed AS duration, total_partitions, qualified_partitions, files AS scanned_files, s3_scanned_rows AS scanned_rows, s3_scanned_bytes AS scanned_bytes,
  s3query_returned_rows AS returned_rows, external_table_name AS table_name, file_format FROM svl_s3query_summary;

CREATE VIEW pg_catalog.svv_external_schemas AS SELECT n.oid AS esoid, 1::smallint AS eskind, e.name AS schemaname, 100 AS esowner, e.database AS databasename,
  json_build_object('IAM_ROLE', e.role)::text AS esoptions FROM rsi.external_schemas e JOIN pg_namespace n ON n.nspname = e.name;
CREATE VIEW pg_catalog.svv_external_tables AS SELECT current_database()::text AS redshift_database_name, r.* FROM jsonb_to_recordset(rsi.log('external_tables')) AS r (
  schemaname text, tablename text, tabletype text, location text, input_format text, output_format text, serialization_lib text, serde_parameters text, compressed int,
  parameters text);
CREATE VIEW pg_catalog.svv_external_columns AS SELECT current_database()::text AS redshift_database_name, r.* FROM jsonb_to_recordset(rsi.log('external_columns')) AS r (
  schemaname text, tablename text, columnname text, external_type text, columnnum int, part_key int, is_nullable text);
CREATE VIEW pg_catalog.svv_external_partitions AS SELECT current_database()::text AS redshift_database_name, r.* FROM jsonb_to_recordset(rsi.log('external_partitions')) AS r (
  schemaname text, tablename text, "values" text, location text, input_format text, output_format text, serialization_lib text, serde_parameters text, compressed int,
  parameters text);

CREATE VIEW rsi.relations AS SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind AS kind, pg_get_userbyid(c.relowner)::text AS owner, l.layout
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN rsi.layouts l ON l.relation = c.oid
  WHERE c.relkind IN ('r', 'v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'rs', 'rsi', 'pg_toast') AND c.relname NOT LIKE 'rsi\_%';
CREATE VIEW rsi.attributes_of AS SELECT r.*, a.attnum, a.attname::text AS column_name, a.attnotnull, a.atttypid, a.atttypmod,
  replace(replace(format_type(a.atttypid, a.atttypmod), 'jsonb', 'super'), 'bytea', 'binary varying') AS type, pg_get_expr(d.adbin, d.adrelid) AS default_value
  FROM rsi.relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'rs_bound_late' LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum;

-- PostgreSQL's own tables with the columns that Redshift has added to them
CREATE FUNCTION rs.format_encoding(number int) RETURNS varchar LANGUAGE sql IMMUTABLE AS
  $$ SELECT coalesce(('{none,raw,bytedict,delta,delta32k,lzo,mostly8,mostly16,mostly32,runlength,text255,text32k,zstd,az64,auto}'::text[])[number + 1], 'none')::varchar $$;
CREATE VIEW rsi.leader_pg_class AS SELECT c.*,
  CASE l.layout ->> 'diststyle' WHEN 'EVEN' THEN 0 WHEN 'KEY' THEN 1 WHEN 'ALL' THEN 8 ELSE 9 END AS reldiststyle
  FROM pg_class c LEFT JOIN rsi.layouts l ON l.relation = c.oid WHERE c.oid NOT IN (SELECT relation FROM rsi.late_views);
CREATE VIEW rsi.leader_pg_attribute AS SELECT a.*, coalesce(layout ->> 'distkey' = attname, FALSE) AS attisdistkey,
  coalesce((SELECT n::int FROM jsonb_array_elements_text(layout -> 'sortkey') WITH ORDINALITY k(key, n) WHERE key = attname), 0)
    * CASE layout ->> 'sortstyle' WHEN 'INTERLEAVED' THEN -1 ELSE 1 END AS attsortkeyord,
  coalesce(array_position('{none,raw,bytedict,delta,delta32k,lzo,mostly8,mostly16,mostly32,runlength,text255,text32k,zstd,az64,auto}'::text[], layout -> 'encode' ->> attname), 1) - 1
    AS attencodingtype
  FROM pg_attribute a LEFT JOIN rsi.layouts l ON l.relation = a.attrelid;
CREATE VIEW rsi.leader_pg_attrdef AS SELECT d.*, pg_get_expr(adbin, adrelid) AS adsrc FROM pg_attrdef d;

CREATE VIEW rsi.leader_pg_constraint AS SELECT * FROM pg_constraint WHERE conname NOT LIKE 'rs\_bytes\_%' UNION ALL
  SELECT (jsonb_populate_record(NULL::pg_constraint, jsonb_build_object('oid', c.oid, 'conname', c.relname || '_pkey', 'connamespace', c.relnamespace, 'contype', 'p',
    'conrelid', c.oid, 'conkey', (SELECT jsonb_agg(a.attnum ORDER BY n) FROM jsonb_array_elements_text(layout -> 'primarykey') WITH ORDINALITY k(key, n)
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = key)))).*
  FROM rsi.layouts l JOIN pg_class c ON c.oid = l.relation WHERE layout ? 'primarykey';
CREATE FUNCTION rsi.constraintdef(oid, boolean DEFAULT FALSE) RETURNS text LANGUAGE sql STABLE AS $$ SELECT coalesce(pg_get_constraintdef($1, $2),
  (SELECT 'PRIMARY KEY (' || string_agg(quote_ident(key), ', ' ORDER BY n) || ')' FROM rsi.layouts, jsonb_array_elements_text(layout -> 'primarykey') WITH ORDINALITY k(key, n)
   WHERE relation = $1)) $$;

CREATE VIEW rsi.leader_pg_views AS SELECT schemaname, viewname, viewowner, definition FROM pg_views
  UNION ALL SELECT schemaname, matviewname, matviewowner,
    'create materialized view ' || quote_ident(schemaname) || '.' || quote_ident(matviewname) || ' as (' || rtrim(definition, ';') || ');' FROM pg_matviews;
CREATE VIEW rsi.leader_views AS SELECT table_catalog::text, table_schema::text, table_name::text, view_definition::text, check_option::text, is_updatable::text,
    is_insertable_into::text FROM information_schema.views
  UNION ALL SELECT current_database()::text, v.schemaname::text, viewname::text, v.definition, 'NONE', 'NO', 'NO'
  FROM rsi.leader_pg_views v JOIN pg_matviews m ON (v.schemaname, viewname) = (m.schemaname, matviewname);
CREATE VIEW rsi.leader_tables AS SELECT table_catalog::text, table_schema::text, table_name::text, table_type::text FROM information_schema.tables
  UNION ALL SELECT current_database()::text, schemaname::text, matviewname::text, 'VIEW' FROM pg_matviews;

CREATE FUNCTION rsi.rows_of(oid) RETURNS numeric LANGUAGE plpgsql STABLE AS $$
DECLARE
  found numeric;
BEGIN
  EXECUTE format('SELECT count(*) FROM %s', $1::regclass) INTO found;
  RETURN found;
END $$;
CREATE VIEW pg_catalog.pg_table_def AS SELECT schema AS schemaname, name AS tablename, column_name AS "column", type, coalesce(layout -> 'encode' ->> column_name, 'none') AS encoding,
  coalesce(layout ->> 'distkey' = column_name, FALSE) AS distkey,
  coalesce((SELECT n::int FROM jsonb_array_elements_text(layout -> 'sortkey') WITH ORDINALITY k(key, n) WHERE key = column_name), 0) AS sortkey, attnotnull AS "notnull"
  FROM rsi.attributes_of WHERE kind = 'r' AND schema = ANY (current_schemas(FALSE));
CREATE VIEW pg_catalog.svv_table_info AS SELECT current_database()::text AS database, schema, oid AS table_id, name AS "table",
  CASE WHEN layout -> 'encode' IS NOT NULL THEN 'Y' ELSE 'Y, AUTO(ENCODE)' END AS encoded,
  CASE layout ->> 'diststyle' WHEN 'KEY' THEN 'KEY(' || (layout ->> 'distkey') || ')' WHEN 'AUTO' THEN 'AUTO(ALL)' ELSE coalesce(layout ->> 'diststyle', CASE kind WHEN 'm' THEN 'EVEN' ELSE 'AUTO(ALL)' END) END AS diststyle,
  coalesce(layout -> 'sortkey' ->> 0, CASE WHEN layout ->> 'sortstyle' = 'AUTO' OR layout IS NULL THEN 'AUTO(SORTKEY)' END) AS sortkey1,
  (SELECT max(atttypmod - 4) FROM rsi.attributes_of a WHERE a.oid = r.oid AND atttypid = 'varchar'::regtype) AS max_varchar, 0 AS sortkey1_enc,
  CASE layout ->> 'sortstyle' WHEN 'INTERLEAVED' THEN -1 ELSE 1 END * coalesce(jsonb_array_length(layout -> 'sortkey'), 0) AS sortkey_num,
  (pg_total_relation_size(oid) / 1048576 + 1)::bigint AS size, 0::numeric AS pct_used, 0 AS empty, 0::numeric AS unsorted,
  least(100, 100.0 * pg_stat_get_mod_since_analyze(oid) / greatest(rsi.rows_of(oid), 1))::numeric(5,2) AS stats_off,
  rsi.rows_of(oid) + pg_stat_get_dead_tuples(oid) AS tbl_rows, 1::numeric AS skew_sortkey1, 1::numeric AS skew_rows, rsi.rows_of(oid) AS estimated_visible_rows FROM rsi.relations r WHERE kind IN ('r', 'm');
CREATE VIEW pg_catalog.svv_tables AS SELECT current_database()::text AS table_catalog, schema AS table_schema, name AS table_name,
  CASE kind WHEN 'r' THEN 'BASE TABLE' ELSE 'VIEW' END AS table_type, obj_description(oid, 'pg_class') AS remarks FROM rsi.relations
  UNION ALL SELECT current_database()::text, schemaname, tablename, 'EXTERNAL TABLE', NULL FROM svv_external_tables;
CREATE VIEW pg_catalog.svv_columns AS SELECT current_database()::text AS table_catalog, schema AS table_schema, name AS table_name, column_name, attnum::int AS ordinal_position,
  default_value AS column_default, CASE WHEN attnotnull THEN 'NO' ELSE 'YES' END AS is_nullable, split_part(type, '(', 1) AS data_type,
  CASE WHEN atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND atttypmod > 4 THEN atttypmod - 4 END AS character_maximum_length,
  CASE WHEN atttypid = 'numeric'::regtype AND atttypmod > 4 THEN (atttypmod - 4) >> 16 END AS numeric_precision,
  CASE WHEN atttypid = 'numeric'::regtype AND atttypmod > 4 THEN (atttypmod - 4) & 2047 END AS numeric_scale, col_description(oid, attnum) AS remarks FROM rsi.attributes_of;
CREATE VIEW pg_catalog.svv_redshift_databases AS SELECT datname::text AS database_name, 100 AS database_owner, 'local'::text AS database_type, NULL::text AS database_acl,
  NULL::text AS database_options, 'Snapshot Isolation'::text AS database_isolation_level FROM pg_database WHERE NOT datistemplate;
CREATE VIEW pg_catalog.svv_redshift_schemas AS SELECT current_database()::text AS database_name, nspname::text AS schema_name, 100 AS schema_owner, 'local'::text AS schema_type,
  NULL::text AS schema_acl, NULL::text AS schema_option FROM pg_namespace WHERE nspname NOT IN ('rs', 'rsi', 'pg_toast') AND nspname NOT LIKE 'pg\_temp%' AND nspname NOT LIKE 'pg\_toast%';
CREATE VIEW pg_catalog.svv_all_schemas AS SELECT database_name, schema_name, schema_owner,
  CASE WHEN schema_name IN (SELECT name FROM rsi.external_schemas) THEN 'external' ELSE 'local' END AS schema_type, schema_acl, NULL::text AS source_database, schema_option
  FROM svv_redshift_schemas;
CREATE VIEW pg_catalog.svv_redshift_tables AS SELECT current_database()::text AS database_name, schema AS schema_name, name AS table_name,
  CASE kind WHEN 'r' THEN 'TABLE' ELSE 'VIEW' END AS table_type, NULL::text AS table_acl, obj_description(oid, 'pg_class') AS remarks, owner AS table_owner FROM rsi.relations;
CREATE VIEW pg_catalog.svv_all_tables AS SELECT database_name, schema_name, table_name, table_acl, table_type, remarks, table_owner FROM svv_redshift_tables
  UNION ALL SELECT current_database()::text, schemaname, tablename, NULL, 'EXTERNAL TABLE', NULL, NULL FROM svv_external_tables;
CREATE VIEW pg_catalog.svv_redshift_columns AS SELECT current_database()::text AS database_name, schema AS schema_name, name AS table_name, column_name,
  attnum::int AS ordinal_position, type AS data_type, default_value AS column_default, CASE WHEN attnotnull THEN 'NO' ELSE 'YES' END AS is_nullable,
  coalesce(nullif(layout -> 'encode' ->> column_name, 'raw'), 'none') AS encoding, coalesce(layout ->> 'distkey' = column_name, FALSE) AS distkey,
  coalesce((SELECT n::int FROM jsonb_array_elements_text(layout -> 'sortkey') WITH ORDINALITY k(key, n) WHERE key = column_name), 0) AS sortkey,
  NULL::text AS column_acl, col_description(oid, attnum) AS remarks FROM rsi.attributes_of;
CREATE VIEW pg_catalog.svv_all_columns AS SELECT table_catalog AS database_name, table_schema AS schema_name, c.table_name, c.column_name, ordinal_position, column_default,
  is_nullable, data_type, character_maximum_length, numeric_precision, numeric_scale, remarks FROM svv_columns c
  UNION ALL SELECT current_database()::text, schemaname, tablename, columnname, columnnum, NULL, is_nullable, external_type, NULL, NULL, NULL, NULL FROM svv_external_columns;
CREATE FUNCTION pg_catalog.pg_get_late_binding_view_cols() RETURNS SETOF record LANGUAGE sql AS
$$ SELECT ''::name, ''::name, ''::name, ''::varchar, 0 WHERE FALSE $$;
CREATE VIEW pg_catalog.svv_mv_info AS SELECT current_database()::text AS database_name, schema AS schema_name, 'rsi'::text AS user_name, name, 'f'::text AS is_stale,
  'Owner'::text AS owner_user_name, 1 AS state, 'f'::text AS autorefresh, 'f'::text AS autorewrite FROM rsi.relations WHERE kind = 'm';
CREATE VIEW pg_catalog.stv_slices AS SELECT 0 AS node, s AS slice, s AS localslice, 'D'::text AS type FROM generate_series(0, 1) s;
CREATE VIEW pg_catalog.stv_sessions AS SELECT backend_start AT TIME ZONE 'UTC' AS starttime, pid AS process, usename::text AS user_name, datname::text AS db_name FROM pg_stat_activity
  WHERE backend_type = 'client backend';
CREATE VIEW pg_catalog.stv_recents AS SELECT 100 AS userid, CASE state WHEN 'active' THEN 'Running' ELSE 'Done' END AS status, query_start AT TIME ZONE 'UTC' AS starttime,
  usename::text AS user_name, datname::text AS db_name, query, pid FROM pg_stat_activity WHERE backend_type = 'client backend';
