-- How a statement under way asks the process around PostgreSQL for what only that can do: read and write S3, know Glue, rewrite a text of SQL.
-- The question is a message that every client would be sent, and the process takes out; the answer is a file.

CREATE SEQUENCE rsi.asked;

CREATE FUNCTION rsi.ask(kind text, payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  file text := 'exchange/' || pg_backend_pid() || '_' || nextval('rsi.asked'); answer jsonb; pause double precision := 0.0002;
BEGIN
  IF kind IN ('rewrite', 'external', 'unload') THEN
    payload := payload || jsonb_build_object('schemas', (SELECT coalesce(jsonb_object_agg(name, database), '{}') FROM rsi.external_schemas),
      'views', (SELECT coalesce(jsonb_object_agg(schema || '.' || name, text), '{}') || coalesce(jsonb_object_agg(name, text) FILTER (
        WHERE relation = to_regclass(quote_ident(name))), '{}') FROM rsi.late_views_now));
  END IF;
  RAISE INFO USING ERRCODE = 'RSASK', MESSAGE = file, DETAIL = jsonb_build_object('kind', kind, 'payload', payload)::text;
  WHILE pg_stat_file(file, TRUE) IS NULL LOOP
    PERFORM pg_sleep(pause);
    pause := least(pause * 1.5, 0.02);
  END LOOP;
  answer := pg_read_file(file)::jsonb;
  IF answer ? 'columns_of' THEN
    RETURN rsi.ask(kind, payload || jsonb_build_object('known', coalesce(payload -> 'known', '{}') || (
      SELECT jsonb_object_agg(name, rsi.columns_of(name)) FROM jsonb_array_elements_text(answer -> 'columns_of') name)));
  ELSIF answer ? 'error' THEN
    RAISE EXCEPTION USING ERRCODE = answer ->> 'code', MESSAGE = answer ->> 'error', DETAIL = coalesce(answer ->> 'detail', '');
  END IF;
  RETURN answer;
END $$;

-- [{name, type, required, identity}] of a table's columns; NULL where there is no such table
CREATE FUNCTION rsi.columns_of(name text) RETURNS jsonb LANGUAGE sql STABLE AS
$$ SELECT jsonb_agg(jsonb_build_object('name', attname, 'type', format_type(atttypid, atttypmod), 'required', attnotnull, 'identity', attidentity <> '') ORDER BY attnum)
     FROM pg_attribute WHERE attrelid = to_regclass(name) AND attnum > 0 AND NOT attisdropped $$;

CREATE FUNCTION rsi.rewritten(sql text) RETURNS text LANGUAGE sql AS $$ SELECT rsi.ask('rewrite', jsonb_build_object('sql', sql)) ->> 'sql' $$;

CREATE PROCEDURE rsi.copy(statement text, target text) LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb; loaded bigint := 0; file jsonb; columns jsonb := rsi.columns_of(target); part bigint;
BEGIN
  IF columns IS NULL THEN
    RAISE EXCEPTION 'relation "%" does not exist', target USING ERRCODE = '42P01';
  END IF;
  plan := rsi.ask('copy', jsonb_build_object('sql', statement, 'columns', columns, 'table', target, 'oid', target::regclass::oid::bigint, 'pid', pg_backend_pid()));
  PERFORM set_config('rsi.last_copy', (plan ->> 'query') || ' ' || (plan ->> 'rows'), FALSE);
  IF plan ? 'stream' THEN
    EXECUTE format('COPY %s (%s) FROM %L (FORMAT csv, NULL %L)', target, plan ->> 'names', plan ->> 'stream', plan ->> 'null');
    GET DIAGNOSTICS loaded = ROW_COUNT;
  END IF;
  PERFORM brin_summarize_new_values(indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE indrelid = target::regclass AND c.relname LIKE 'rs\_order\_%' AND loaded > 10000;
  PERFORM rsi.ask('copied', jsonb_build_object('query', plan ->> 'query', 'rows', loaded));
  RAISE INFO 'Load into table ''%'' completed, % record(s) loaded successfully.', target, loaded;
END $$;

CREATE PROCEDURE rsi.unload(statement text) LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb; written bigint;
BEGIN
  plan := rsi.ask('unload', jsonb_build_object('sql', statement, 'pid', pg_backend_pid()));
  EXECUTE format('CREATE TEMP TABLE rsi_unloaded AS SELECT * FROM (%s) q LIMIT 0', plan ->> 'sql');
  PERFORM rsi.ask('unloading', jsonb_build_object('query', plan ->> 'query', 'columns', rsi.columns_of('rsi_unloaded')));
  DROP TABLE rsi_unloaded;
  EXECUTE format('COPY (%s) TO %L (FORMAT csv, NULL %L, FORCE_QUOTE *)', plan ->> 'sql', plan ->> 'stream', plan ->> 'null');
  GET DIAGNOSTICS written = ROW_COUNT;
  PERFORM rsi.ask('unloaded', jsonb_build_object('query', plan ->> 'query', 'rows', written));
  PERFORM set_config('rsi.last_unload', (plan ->> 'query') || ' ' || written, FALSE);
  RAISE INFO 'UNLOAD completed, % record(s) unloaded successfully.', written;
END $$;

CREATE PROCEDURE rsi.external(statement text) LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb; step text;
BEGIN
  plan := rsi.ask('external', jsonb_build_object('sql', statement));
  FOR step IN SELECT jsonb_array_elements_text(plan -> 'run') LOOP EXECUTE step; END LOOP;
END $$;

-- the rows of an external table as far as a query needs them; `wanted` holds for each dynamic filter the values that a column may have
CREATE FUNCTION rsi.scanned(scan jsonb, wanted jsonb DEFAULT '{}') RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb := rsi.ask('scan', jsonb_build_object('scan', scan, 'wanted', wanted, 'pid', pg_backend_pid())); name text := 'rsi_scanned_' || (plan ->> 'query');
BEGIN
  EXECUTE format('CREATE TEMP TABLE %I (%s)', name, plan ->> 'definition');
  EXECUTE format('COPY %I FROM %L (FORMAT csv, NULL %L)', name, plan ->> 'stream', plan ->> 'null');
  RETURN QUERY EXECUTE format('SELECT * FROM %I', name);
  EXECUTE format('DROP TABLE %I', name);
END $$;

-- what is told of an error that a handler caught: TRUE where it is to be raised at once, FALSE where the process around raises it when the call has ended
CREATE FUNCTION rsi.raised_now(code text, message text) RETURNS boolean LANGUAGE sql AS
$$ SELECT (rsi.ask('caught', jsonb_build_object('code', code, 'message', message)) ->> 'now')::boolean $$;

CREATE FUNCTION rs.pg_last_copy_id() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT coalesce(split_part(nullif(current_setting('rsi.last_copy', TRUE), ''), ' ', 1)::bigint, -1) $$;
CREATE FUNCTION rs.pg_last_copy_count() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT coalesce(split_part(nullif(current_setting('rsi.last_copy', TRUE), ''), ' ', 2)::bigint, 0) $$;
CREATE FUNCTION rs.pg_last_unload_id() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT coalesce(split_part(nullif(current_setting('rsi.last_unload', TRUE), ''), ' ', 1)::bigint, -1) $$;
CREATE FUNCTION rs.pg_last_unload_count() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT coalesce(split_part(nullif(current_setting('rsi.last_unload', TRUE), ''), ' ', 2)::bigint, 0) $$;
CREATE FUNCTION rs.try_cast(value text, kind text) RETURNS text LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
  found text;
BEGIN
  EXECUTE format('SELECT ($1::%s)::text', kind) INTO found USING value;
  RETURN found;
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END $$;
CREATE FUNCTION rs.version() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1.0.0 (local)'::text $$;

-- the bytes of texts, and how tables are laid out, are noted when a table is made or altered
CREATE TABLE rsi.layouts (relation oid PRIMARY KEY, layout jsonb NOT NULL);

CREATE FUNCTION rsi.noted() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
  made record; checks text; told jsonb; mark text;
BEGIN
  FOR made IN SELECT DISTINCT objid, object_type FROM pg_event_trigger_ddl_commands() WHERE object_type IN ('table', 'materialized view') LOOP
    SELECT string_agg(change, ', ') INTO checks FROM (
      SELECT format('DROP CONSTRAINT %I', conname) AS change FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
        WHERE conrelid = made.objid AND conname LIKE 'rs\_bytes\_%' AND split_part(conname, '_', 3) <> (atttypmod - 4)::text
      UNION ALL
      SELECT format('ADD CONSTRAINT %I CHECK (octet_length(%I) <= %s)', left('rs_bytes_' || atttypmod - 4 || '_' || attnum || '_' || attname, 63), attname, atttypmod - 4)
        FROM pg_attribute a
        WHERE attrelid = made.objid AND attnum > 0 AND NOT attisdropped AND atttypid = 'varchar'::regtype AND atttypmod > 4
          AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = made.objid AND conname LIKE 'rs\_bytes\_' || atttypmod - 4 || '\_%' AND conkey = ARRAY[a.attnum])
    ) c;
    IF checks IS NOT NULL AND made.object_type = 'table' THEN
      EXECUTE format('ALTER TABLE %s %s', made.objid::regclass, checks);
    END IF;
    FOR mark IN SELECT m[1] FROM regexp_matches(current_query() || coalesce(current_setting('rsi.layout', TRUE), ''), '/\*rs:(.*?)\*/', 'g') m LOOP
      told := convert_from(decode(mark, 'base64'), 'UTF8')::jsonb;
      IF to_regclass(told ->> 'table') = made.objid THEN
        INSERT INTO rsi.layouts VALUES (made.objid, told) ON CONFLICT (relation) DO UPDATE SET layout = rsi.layouts.layout || excluded.layout;
        PERFORM rsi.ordered(made.objid, told -> 'sortkey' ->> 0);
      END IF;
    END LOOP;
  END LOOP;
END $$;
-- what Redshift's zone maps are to a sort key, least and greatest values of blocks are here
CREATE FUNCTION rsi.ordered(relation oid, column_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF column_name IS NOT NULL AND NOT EXISTS (SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE indrelid = relation AND c.relname LIKE 'rs\_order\_%') THEN
    EXECUTE format('CREATE INDEX %I ON %s USING brin (%I) WITH (pages_per_range = 16, autosummarize = on)', 'rs_order_' || relation, relation::regclass, column_name);
  END IF;
EXCEPTION WHEN undefined_object THEN
  NULL;
END $$;
CREATE EVENT TRIGGER rs_noted ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE', 'CREATE MATERIALIZED VIEW') EXECUTE FUNCTION rsi.noted();

CREATE PROCEDURE rsi.altered(target text, change jsonb) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO rsi.layouts VALUES (target::regclass, change)
    ON CONFLICT (relation) DO UPDATE SET layout = rsi.layouts.layout || excluded.layout || jsonb_build_object('encode', coalesce(rsi.layouts.layout -> 'encode', '{}') || coalesce(change -> 'encode', '{}'));
END $$;

CREATE TABLE rsi.external_schemas (name text PRIMARY KEY, database text NOT NULL, role text NOT NULL);
-- a view that binds late is a view without its columns, which can be renamed, moved and dropped, and a text
CREATE TABLE rsi.late_views (relation oid PRIMARY KEY, text text NOT NULL);
CREATE VIEW rsi.late_views_now AS SELECT n.nspname::text AS schema, c.relname::text AS name, v.text, v.relation FROM rsi.late_views v
  JOIN pg_class c ON c.oid = v.relation JOIN pg_namespace n ON n.oid = c.relnamespace;
