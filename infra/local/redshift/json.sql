-- JSON in texts, and SUPER, which is jsonb here.

CREATE FUNCTION rsi.compact(jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE jsonb_typeof($1)
     WHEN 'object' THEN '{' || coalesce((SELECT string_agg(to_json(key)::text || ':' || rsi.compact(value), ',') FROM jsonb_each($1)), '') || '}'
     WHEN 'array' THEN '[' || coalesce((SELECT string_agg(rsi.compact(value), ',' ORDER BY n) FROM jsonb_array_elements($1) WITH ORDINALITY e(value, n)), '') || ']'
     ELSE $1::text END $$;

CREATE FUNCTION rsi.parsed(text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN $1::jsonb;
EXCEPTION WHEN data_exception THEN
  RAISE EXCEPTION 'JSON parsing error' USING ERRCODE = '22P02', DETAIL = left($1, 200);
END $$;
CREATE FUNCTION rsi.parsed_or_null(text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN $1::jsonb;
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END $$;

CREATE FUNCTION rs.json_parse(text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.parsed($1) $$;
CREATE FUNCTION rs.can_json_parse(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN $1 IS NOT NULL THEN rsi.parsed_or_null($1) IS NOT NULL END $$;
CREATE FUNCTION rs.json_serialize(jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.compact($1) $$;
CREATE FUNCTION rs.json_serialize_to_varbyte(jsonb) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT convert_to(rsi.compact($1), 'UTF8') $$;
CREATE FUNCTION rs.json_size(jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT octet_length(rsi.compact($1))::bigint $$;
CREATE FUNCTION rs.json_typeof(jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT jsonb_typeof($1) $$;
CREATE FUNCTION rs.is_valid_json(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN $1 IS NOT NULL THEN rsi.parsed_or_null($1) IS NOT NULL END $$;
CREATE FUNCTION rs.is_valid_json_array(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN $1 IS NOT NULL THEN coalesce(jsonb_typeof(rsi.parsed_or_null($1)) = 'array', FALSE) END $$;
CREATE FUNCTION rs.json_array_length(text, null_if_invalid boolean DEFAULT FALSE) RETURNS int LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_array_length(CASE WHEN null_if_invalid THEN rsi.parsed_or_null($1) ELSE rsi.parsed($1) END) $$;
CREATE FUNCTION rs.json_extract_array_element_text(text, int, null_if_invalid boolean DEFAULT FALSE) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN $2 >= 0 THEN CASE WHEN null_if_invalid THEN rsi.parsed_or_null($1) ELSE rsi.parsed($1) END ->> $2 END $$;
CREATE FUNCTION rs.json_extract_path_text(text, VARIADIC path text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.parsed($1) #>> path $$;
CREATE FUNCTION rsi.json_path_text_or_null(text, VARIADIC path text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.parsed_or_null($1) #>> path $$;

CREATE FUNCTION rs.array_concat(jsonb, jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT $1 || $2 $$;
CREATE FUNCTION rs.array_flatten(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT coalesce(jsonb_agg(inner_value ORDER BY n, m), '[]') FROM jsonb_array_elements($1) WITH ORDINALITY e(value, n),
     jsonb_array_elements(CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE jsonb_build_array(value) END) WITH ORDINALITY i(inner_value, m) $$;
CREATE FUNCTION rs.get_array_length(jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT CASE jsonb_typeof($1) WHEN 'array' THEN jsonb_array_length($1)::bigint END $$;
CREATE FUNCTION rs.split_to_array(text, delimiter text DEFAULT ',') RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT to_jsonb(string_to_array($1, delimiter)) $$;
CREATE FUNCTION rs.subarray(jsonb, start int, length int DEFAULT NULL) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT coalesce(jsonb_agg(value ORDER BY n), '[]') FROM jsonb_array_elements($1) WITH ORDINALITY e(value, n)
     WHERE n > CASE WHEN start < 0 THEN greatest(jsonb_array_length($1) + start, 0) ELSE start END
       AND n <= CASE WHEN start < 0 THEN greatest(jsonb_array_length($1) + start, 0) ELSE start END + coalesce(length, jsonb_array_length($1)) $$;
CREATE FUNCTION rs.is_array(jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT jsonb_typeof($1) = 'array' $$;
CREATE FUNCTION rs.is_object(jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT jsonb_typeof($1) = 'object' $$;
CREATE FUNCTION rs.is_scalar(jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT jsonb_typeof($1) NOT IN ('array', 'object') $$;
CREATE FUNCTION rs.is_varchar(jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT jsonb_typeof($1) = 'string' $$;
CREATE FUNCTION rs.is_char(jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT jsonb_typeof($1) = 'string' AND octet_length($1 #>> '{}') = length($1 #>> '{}') $$;
CREATE FUNCTION rs.is_boolean(jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT jsonb_typeof($1) = 'boolean' $$;
CREATE FUNCTION rsi.whole_within(jsonb, numeric) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE jsonb_typeof($1) WHEN 'number' THEN scale(($1 #>> '{}')::numeric) = 0 AND abs(($1 #>> '{}')::numeric) <= $2 ELSE FALSE END WHERE $1 IS NOT NULL $$;
CREATE FUNCTION rs.is_smallint(jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.whole_within($1, 32767) $$;
CREATE FUNCTION rs.is_integer(jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.whole_within($1, 2147483647) $$;
CREATE FUNCTION rs.is_bigint(jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.whole_within($1, 9223372036854775807) $$;
CREATE FUNCTION rs.is_decimal(jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT jsonb_typeof($1) = 'number' $$;
CREATE FUNCTION rs.is_float(jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT jsonb_typeof($1) = 'number' AND scale(($1 #>> '{}')::numeric) > 0 $$;
CREATE FUNCTION rsi.attributes(jsonb, up boolean) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE jsonb_typeof($1)
     WHEN 'object' THEN (SELECT coalesce(jsonb_object_agg(CASE WHEN up THEN upper(key) ELSE lower(key) END, rsi.attributes(value, up)), '{}') FROM jsonb_each($1))
     WHEN 'array' THEN (SELECT coalesce(jsonb_agg(rsi.attributes(value, up) ORDER BY n), '[]') FROM jsonb_array_elements($1) WITH ORDINALITY e(value, n))
     ELSE $1 END $$;
CREATE FUNCTION rs.lower_attribute_names(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.attributes($1, FALSE) $$;
CREATE FUNCTION rs.upper_attribute_names(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.attributes($1, TRUE) $$;

-- navigation: what is not there is NULL; what is no array is unnested as itself
CREATE FUNCTION rsi.within(jsonb, VARIADIC path text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT $1 #> path $$;
CREATE FUNCTION rsi.text_within(jsonb, VARIADIC path text[]) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN jsonb_typeof($1 #> path) IN ('array', 'object') THEN rsi.compact($1 #> path) ELSE $1 #>> path END $$;
CREATE FUNCTION rsi.unnested(jsonb) RETURNS TABLE (value jsonb, index bigint) LANGUAGE sql IMMUTABLE AS
$$ SELECT value, n - 1 FROM jsonb_array_elements(CASE jsonb_typeof($1) WHEN 'array' THEN $1 WHEN 'null' THEN '[]' ELSE jsonb_build_array($1) END) WITH ORDINALITY e(value, n)
   WHERE $1 IS NOT NULL $$;
CREATE FUNCTION rsi.unpivoted(jsonb) RETURNS TABLE (value jsonb, name text) LANGUAGE sql IMMUTABLE AS
$$ SELECT value, key FROM jsonb_each(CASE jsonb_typeof($1) WHEN 'object' THEN $1 ELSE '{}' END) e(key, value) $$;
CREATE FUNCTION rsi.text_within(jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN jsonb_typeof($1) IN ('array', 'object') THEN rsi.compact($1) ELSE $1 #>> '{}' END $$;
CREATE FUNCTION rsi.number_within(jsonb, VARIADIC path text[]) RETURNS numeric LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN jsonb_typeof($1 #> path) = 'number' THEN ($1 #>> path)::numeric END $$;
CREATE FUNCTION rsi.number_within(jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN jsonb_typeof($1) = 'number' THEN ($1 #>> '{}')::numeric END $$;
CREATE FUNCTION rsi.super_of(text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT to_jsonb($1) $$;
CREATE FUNCTION rsi.super_of(numeric) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT to_jsonb($1) $$;
CREATE FUNCTION rsi.super_of(boolean) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT to_jsonb($1) $$;
