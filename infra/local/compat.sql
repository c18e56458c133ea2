-- What Redshift has and PostgreSQL has not, as functions and views. Run once in every new database.
CREATE SCHEMA IF NOT EXISTS rs;

CREATE OR REPLACE FUNCTION getdate() RETURNS timestamp LANGUAGE sql STABLE AS
$$ SELECT date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC') $$;

CREATE OR REPLACE FUNCTION rs.sysdate() RETURNS timestamp LANGUAGE sql STABLE AS
$$ SELECT transaction_timestamp() AT TIME ZONE 'UTC' $$;

CREATE OR REPLACE FUNCTION rs.part(part text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE
     WHEN lower(part) IN ('year', 'years', 'y', 'yr', 'yrs') THEN 'year'
     WHEN lower(part) IN ('quarter', 'quarters', 'qtr', 'qtrs') THEN 'quarter'
     WHEN lower(part) IN ('month', 'months', 'mon', 'mons') THEN 'month'
     WHEN lower(part) IN ('week', 'weeks', 'w') THEN 'week'
     WHEN lower(part) IN ('day', 'days', 'd') THEN 'day'
     WHEN lower(part) IN ('hour', 'hours', 'hr', 'hrs', 'h') THEN 'hour'
     WHEN lower(part) IN ('minute', 'minutes', 'm', 'min', 'mins') THEN 'minute'
     WHEN lower(part) IN ('second', 'seconds', 's', 'sec', 'secs') THEN 'second'
     WHEN lower(part) IN ('millisecond', 'milliseconds', 'ms') THEN 'millisecond'
     ELSE 'microsecond' END $$;

CREATE OR REPLACE FUNCTION dateadd(part text, amount bigint, at timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE rs.part(part)
     WHEN 'quarter' THEN at + make_interval(months => 3 * amount::int)
     ELSE at + (amount || ' ' || rs.part(part))::interval END $$;

-- Redshift counts the boundaries that lie between two instants, not the time that has passed
CREATE OR REPLACE FUNCTION datediff(part text, a timestamp, b timestamp) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT (CASE rs.part(part)
     WHEN 'year' THEN extract(year FROM b) - extract(year FROM a)
     WHEN 'quarter' THEN (extract(year FROM b) * 4 + extract(quarter FROM b)) - (extract(year FROM a) * 4 + extract(quarter FROM a))
     WHEN 'month' THEN (extract(year FROM b) * 12 + extract(month FROM b)) - (extract(year FROM a) * 12 + extract(month FROM a))
     WHEN 'week' THEN (date_trunc('week', b + interval '1 day')::date - date_trunc('week', a + interval '1 day')::date) / 7
     WHEN 'day' THEN b::date - a::date
     WHEN 'millisecond' THEN extract(epoch FROM date_trunc('milliseconds', b) - date_trunc('milliseconds', a)) * 1000
     WHEN 'microsecond' THEN extract(epoch FROM b - a) * 1000000
     ELSE extract(epoch FROM date_trunc(rs.part(part), b) - date_trunc(rs.part(part), a))
          / CASE rs.part(part) WHEN 'hour' THEN 3600 WHEN 'minute' THEN 60 ELSE 1 END END)::bigint $$;

CREATE OR REPLACE FUNCTION last_day(at timestamp) RETURNS date LANGUAGE sql IMMUTABLE AS
$$ SELECT (date_trunc('month', at) + interval '1 month' - interval '1 day')::date $$;

CREATE OR REPLACE FUNCTION add_months(at timestamp, months int) RETURNS timestamp LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN at::date = last_day(at) THEN last_day(at + make_interval(months => months)) + at::time ELSE at + make_interval(months => months) END $$;

CREATE OR REPLACE FUNCTION convert_timezone(zone_from text, zone_to text, at timestamp) RETURNS timestamp LANGUAGE sql STABLE AS
$$ SELECT (at AT TIME ZONE zone_from) AT TIME ZONE zone_to $$;

CREATE OR REPLACE FUNCTION len(text) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT length($1) $$;
CREATE OR REPLACE FUNCTION charindex(text, text) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT strpos($2, $1) $$;
CREATE OR REPLACE FUNCTION json_parse(text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT $1::jsonb $$;

CREATE TABLE IF NOT EXISTS rs.loads (
  query_id bigint GENERATED ALWAYS AS IDENTITY, table_name text, data_source text, loaded_rows bigint, source_file_count int,
  status text, start_time timestamp, end_time timestamp DEFAULT getdate());
CREATE OR REPLACE VIEW sys_load_history AS SELECT query_id, table_name, data_source, loaded_rows, source_file_count, status, start_time, end_time FROM rs.loads;
CREATE TABLE IF NOT EXISTS rs.load_errors (
  starttime timestamp DEFAULT getdate(), tablename text, filename text, line_number bigint, colname text, err_code int, err_reason text, raw_line text);
CREATE OR REPLACE VIEW stl_load_errors AS SELECT starttime, tablename, filename, line_number, colname, err_code, err_reason, raw_line FROM rs.load_errors;
