-- Redshift's functions that PostgreSQL lacks or means otherwise, under Redshift's names in the schema rs; what only they use lies in rsi.
CREATE SCHEMA rs;
CREATE SCHEMA rsi;
CREATE DOMAIN rs.hllsketch AS bigint[];

-- dates and times

CREATE FUNCTION rs.getdate() RETURNS timestamp LANGUAGE sql STABLE AS
$$ SELECT date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC') $$;
CREATE FUNCTION rs.sysdate() RETURNS timestamp LANGUAGE sql STABLE AS $$ SELECT transaction_timestamp() AT TIME ZONE 'UTC' $$;

CREATE FUNCTION rsi.part(part text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE
     WHEN lower(part) IN ('millennium', 'millennia', 'mil', 'mils') THEN 'millennium'
     WHEN lower(part) IN ('century', 'centuries', 'c', 'cent', 'cents') THEN 'century'
     WHEN lower(part) IN ('decade', 'decades', 'dec', 'decs') THEN 'decade'
     WHEN lower(part) IN ('year', 'years', 'y', 'yr', 'yrs') THEN 'year'
     WHEN lower(part) IN ('quarter', 'quarters', 'qtr', 'qtrs') THEN 'quarter'
     WHEN lower(part) IN ('month', 'months', 'mon', 'mons') THEN 'month'
     WHEN lower(part) IN ('week', 'weeks', 'w') THEN 'week'
     WHEN lower(part) IN ('dayofweek', 'dow', 'dw', 'weekday') THEN 'dow'
     WHEN lower(part) IN ('dayofyear', 'doy', 'dy', 'yearday') THEN 'doy'
     WHEN lower(part) IN ('day', 'days', 'd') THEN 'day'
     WHEN lower(part) IN ('hour', 'hours', 'hr', 'hrs', 'h') THEN 'hour'
     WHEN lower(part) IN ('minute', 'minutes', 'm', 'min', 'mins') THEN 'minute'
     WHEN lower(part) IN ('second', 'seconds', 's', 'sec', 'secs') THEN 'second'
     WHEN lower(part) IN ('millisecond', 'milliseconds', 'ms', 'msec', 'msecs', 'msecond', 'mseconds', 'millisec', 'millisecs', 'millisecon') THEN 'millisecond'
     WHEN lower(part) IN ('microsecond', 'microseconds', 'us', 'microsec', 'microsecs', 'usecond', 'useconds', 'usec', 'usecs') THEN 'microsecond'
     ELSE lower(part) END $$;

CREATE FUNCTION rs.dateadd(part text, amount numeric, at timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE rsi.part(part)
     WHEN 'quarter' THEN rsi.months_later(at, 3 * trunc(amount)::int)
     WHEN 'month' THEN rsi.months_later(at, trunc(amount)::int)
     WHEN 'year' THEN rsi.months_later(at, 12 * trunc(amount)::int)
     WHEN 'decade' THEN rsi.months_later(at, 120 * trunc(amount)::int)
     WHEN 'century' THEN rsi.months_later(at, 1200 * trunc(amount)::int)
     ELSE at + (trunc(amount)::bigint || ' ' || rsi.part(part))::interval END $$;
CREATE FUNCTION rs.dateadd(part text, amount numeric, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS
$$ SELECT rs.dateadd(part, amount, at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' $$;
CREATE FUNCTION rs.dateadd(part text, amount numeric, at date) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$ SELECT rs.dateadd(part, amount, at::timestamp) $$;
CREATE FUNCTION rs.dateadd(part text, amount numeric, at text) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$ SELECT rs.dateadd(part, amount, at::timestamp) $$;
CREATE FUNCTION rs.dateadd(part text, amount numeric, at time) RETURNS time LANGUAGE sql IMMUTABLE AS
$$ SELECT at + (trunc(amount)::bigint || ' ' || rsi.part(part))::interval $$;

-- the last day of a month stays the last day
CREATE FUNCTION rsi.months_later(at timestamp, months int) RETURNS timestamp LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN at::date = (date_trunc('month', at) + interval '1 month' - interval '1 day')::date
     THEN date_trunc('month', at) + make_interval(months => months + 1) - interval '1 day' + at::time
     ELSE at + make_interval(months => months) END $$;

-- Redshift counts the boundaries that lie between two instants, not the time that has passed
CREATE FUNCTION rs.datediff(part text, a timestamp, b timestamp) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT (CASE rsi.part(part)
     WHEN 'millennium' THEN floor(extract(year FROM b) / 1000) - floor(extract(year FROM a) / 1000)
     WHEN 'century' THEN floor(extract(year FROM b) / 100) - floor(extract(year FROM a) / 100)
     WHEN 'decade' THEN floor(extract(year FROM b) / 10) - floor(extract(year FROM a) / 10)
     WHEN 'year' THEN extract(year FROM b) - extract(year FROM a)
     WHEN 'quarter' THEN (extract(year FROM b) * 4 + extract(quarter FROM b)) - (extract(year FROM a) * 4 + extract(quarter FROM a))
     WHEN 'month' THEN (extract(year FROM b) * 12 + extract(month FROM b)) - (extract(year FROM a) * 12 + extract(month FROM a))
     WHEN 'week' THEN (date_trunc('week', b + interval '1 day')::date - date_trunc('week', a + interval '1 day')::date) / 7
     WHEN 'day' THEN b::date - a::date
     WHEN 'millisecond' THEN extract(epoch FROM date_trunc('milliseconds', b) - date_trunc('milliseconds', a)) * 1000
     WHEN 'microsecond' THEN extract(epoch FROM b - a) * 1000000
     ELSE extract(epoch FROM date_trunc(rsi.part(part), b) - date_trunc(rsi.part(part), a))
          / CASE rsi.part(part) WHEN 'hour' THEN 3600 WHEN 'minute' THEN 60 ELSE 1 END END)::bigint $$;
CREATE FUNCTION rs.datediff(part text, a time, b time) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT rs.datediff(part, date '2000-01-01' + a, date '2000-01-01' + b) $$;

CREATE FUNCTION rs.date_part(part text, at timestamp) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT date_part(rsi.part(part), at) $$;
CREATE FUNCTION rs.date_part(part text, at date) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT date_part(rsi.part(part), at::timestamp) $$;
CREATE FUNCTION rs.date_part(part text, at timestamptz) RETURNS double precision LANGUAGE sql STABLE AS $$ SELECT date_part(rsi.part(part), at) $$;
CREATE FUNCTION rs.date_part(part text, at time) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT date_part(rsi.part(part), at) $$;
CREATE FUNCTION rs.date_part(part text, at interval) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT date_part(rsi.part(part), at) $$;
CREATE FUNCTION rs.date_part_year(at timestamp) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT extract(year FROM at)::int $$;
CREATE FUNCTION rs.date_trunc(part text, at timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$ SELECT date_trunc(rsi.part(part), at) $$;
CREATE FUNCTION rs.date_trunc(part text, at date) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$ SELECT date_trunc(rsi.part(part), at::timestamp) $$;
CREATE FUNCTION rs.date_trunc(part text, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT date_trunc(rsi.part(part), at) $$;

CREATE FUNCTION rs.last_day(at timestamp) RETURNS date LANGUAGE sql IMMUTABLE AS
$$ SELECT (date_trunc('month', at) + interval '1 month' - interval '1 day')::date $$;
CREATE FUNCTION rs.add_months(at timestamp, months bigint) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.months_later(at, months::int) $$;
CREATE FUNCTION rs.months_between(a timestamp, b timestamp) RETURNS double precision LANGUAGE sql IMMUTABLE AS
$$ SELECT ((extract(year FROM a) - extract(year FROM b)) * 12 + extract(month FROM a) - extract(month FROM b)
     + CASE WHEN extract(day FROM a) = extract(day FROM b) OR (rs.last_day(a) = a::date AND rs.last_day(b) = b::date) THEN 0
            ELSE (extract(day FROM a) - extract(day FROM b)) / 31.0 + (extract(epoch FROM a::time) - extract(epoch FROM b::time)) / 86400.0 / 31.0 END)::double precision $$;
CREATE FUNCTION rs.next_day(at timestamp, name text) RETURNS date LANGUAGE sql IMMUTABLE AS
$$ SELECT at::date + ((strpos('sumotuwethfrsa', lower(left(name, 2))) - 1) / 2 - extract(dow FROM at)::int + 6) % 7 + 1 $$;
CREATE FUNCTION rs.convert_timezone(zone_from text, zone_to text, at timestamp) RETURNS timestamp LANGUAGE sql STABLE AS
$$ SELECT (at AT TIME ZONE zone_from) AT TIME ZONE zone_to $$;
CREATE FUNCTION rs.convert_timezone(zone_to text, at timestamp) RETURNS timestamp LANGUAGE sql STABLE AS $$ SELECT (at AT TIME ZONE 'UTC') AT TIME ZONE zone_to $$;
CREATE FUNCTION rs.convert_timezone(zone_to text, at timestamptz) RETURNS timestamp LANGUAGE sql STABLE AS $$ SELECT at AT TIME ZONE zone_to $$;
CREATE FUNCTION rs.timezone(zone text, at timestamp) RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT at AT TIME ZONE zone $$;
CREATE FUNCTION rs.timezone(zone text, at timestamptz) RETURNS timestamp LANGUAGE sql STABLE AS $$ SELECT at AT TIME ZONE zone $$;
CREATE FUNCTION rsi.compared(anyelement, anyelement) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT CASE WHEN $1 < $2 THEN -1 WHEN $1 > $2 THEN 1 ELSE 0 END $$;
CREATE FUNCTION rs.date_cmp(date, date) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.compared($1, $2) $$;
CREATE FUNCTION rs.date_cmp_timestamp(date, timestamp) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.compared($1::timestamp, $2) $$;
CREATE FUNCTION rs.timestamp_cmp(timestamp, timestamp) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.compared($1, $2) $$;
CREATE FUNCTION rs.timestamp_cmp_date(timestamp, date) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.compared($1, $2::timestamp) $$;
CREATE FUNCTION rs.timestamptz_cmp(timestamptz, timestamptz) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.compared($1, $2) $$;
CREATE FUNCTION rs.interval_cmp(interval, interval) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.compared($1, $2) $$;
CREATE FUNCTION rs.to_timestamp(text, text) RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT to_timestamp($1, $2) $$;

-- numbers

CREATE FUNCTION rs.trunc(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT trunc($1) $$;
CREATE FUNCTION rs.trunc(numeric, int) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT trunc($1, $2) $$;
CREATE FUNCTION rs.trunc(double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT trunc($1) $$;
CREATE FUNCTION rs.trunc(timestamp) RETURNS date LANGUAGE sql IMMUTABLE AS $$ SELECT $1::date $$;
CREATE FUNCTION rs.round(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT round($1) $$;
CREATE FUNCTION rs.round(numeric, int) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT round($1, $2) $$;
CREATE FUNCTION rs.round(double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT round($1::numeric)::double precision $$;
CREATE FUNCTION rs.round(double precision, int) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT round($1::numeric, $2)::double precision $$;
CREATE FUNCTION rs.round(int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
CREATE FUNCTION rs.round(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
CREATE FUNCTION rs.round(int, int) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT round($1, $2) $$;
CREATE FUNCTION rs.round(bigint, int) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT round($1, $2) $$;
CREATE FUNCTION rs.trunc(int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
CREATE FUNCTION rs.trunc(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
CREATE FUNCTION rs.trunc(int, int) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT trunc($1, $2) $$;
CREATE FUNCTION rs.trunc(bigint, int) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT trunc($1, $2) $$;
CREATE FUNCTION rs.sign(int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT sign($1)::int $$;
CREATE FUNCTION rs.sign(bigint) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT sign($1)::int $$;
CREATE FUNCTION rs.sign(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT sign($1) $$;
CREATE FUNCTION rs.sign(double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT sign($1) $$;
CREATE FUNCTION rs.exp(double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT exp($1) $$;
CREATE FUNCTION rs.dexp(double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT exp($1) $$;
CREATE FUNCTION rs.ln(double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT ln($1) $$;
CREATE FUNCTION rs.dlog1(double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT ln($1) $$;
CREATE FUNCTION rs.log(double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT log($1) $$;
CREATE FUNCTION rs.log(base double precision, of double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT ln($2) / ln($1) $$;
CREATE FUNCTION rs.dlog10(double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT log($1) $$;
CREATE FUNCTION rs.sqrt(double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT sqrt($1) $$;
CREATE FUNCTION rs.cbrt(double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT cbrt($1) $$;
CREATE FUNCTION rs.power(double precision, double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT power($1, $2) $$;
CREATE FUNCTION rs.pow(double precision, double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT power($1, $2) $$;
-- the quotient of two decimals, cut off behind so many digits as Redshift gives it
CREATE FUNCTION rsi.quotient(a numeric, b numeric, digits int) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT trunc(div(a * 10::numeric ^ digits, b) / 10::numeric ^ digits, digits) $$;
CREATE FUNCTION rs.strtol(digits text, base int) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
  found bigint := 0; place int; sign int := CASE WHEN left(digits, 1) = '-' THEN -1 ELSE 1 END; letter text;
BEGIN
  FOREACH letter IN ARRAY regexp_split_to_array(regexp_replace(lower(ltrim(digits, '+-')), CASE WHEN base = 16 THEN '^0x' ELSE '^$' END, ''), '') LOOP
    place := strpos('0123456789abcdefghijklmnopqrstuvwxyz', letter) - 1;
    IF place < 0 OR place >= base THEN
      RAISE EXCEPTION 'The input % is not valid to be converted to base %', digits, base USING ERRCODE = '22P02';
    END IF;
    found := found * base + place;
  END LOOP;
  RETURN sign * found;
END $$;
CREATE FUNCTION rs.text_to_int_alt(text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT round(rs.text_to_numeric_alt($1, 38, 10))::bigint $$;
CREATE FUNCTION rs.text_to_numeric_alt(text, int DEFAULT 38, int DEFAULT 0) RETURNS numeric LANGUAGE sql IMMUTABLE AS
$$ SELECT round(CASE WHEN right(trim($1), 1) = '-' THEN -left(trim($1), -1)::numeric ELSE replace(replace(trim($1), ',', ''), '$', '')::numeric END, $3) $$;
CREATE FUNCTION rs.to_hex(bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT to_hex($1) $$;
CREATE FUNCTION rs.to_hex(bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT encode($1, 'hex') $$;

-- texts

CREATE FUNCTION rs.len(text) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT length($1) $$;
CREATE FUNCTION rs.len(bytea) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT length($1) $$;
CREATE FUNCTION rs.textlen(text) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT length($1) $$;
CREATE FUNCTION rs.charindex(text, text) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT strpos($2, $1) $$;
CREATE FUNCTION rs.octetindex(text, text) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT position(convert_to($1, 'UTF8') IN convert_to($2, 'UTF8')) $$;
CREATE FUNCTION rs.concat(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT $1 || $2 $$;
CREATE FUNCTION rs.replicate(text, bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT repeat($1, $2::int) $$;
CREATE FUNCTION rs.repeat(text, bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT repeat($1, $2::int) $$;
CREATE FUNCTION rs.bttext_pattern_cmp(text, text) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.compared($1 COLLATE "C", $2) $$;
CREATE FUNCTION rs.regexp_replace(text, text, text DEFAULT '', "position" int DEFAULT 1, parameters text DEFAULT 'c') RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT left($1, "position" - 1) || regexp_replace(substring($1 FROM "position"), $2, $3, 'g' || rsi.regexp_flags(parameters)) $$;
CREATE FUNCTION rs.regexp_count(text, text, "position" int DEFAULT 1, parameters text DEFAULT 'c') RETURNS int LANGUAGE sql IMMUTABLE AS
$$ SELECT regexp_count($1, $2, "position", rsi.regexp_flags(parameters)) $$;
CREATE FUNCTION rs.regexp_instr(text, text, "position" int DEFAULT 1, occurrence int DEFAULT 1, "option" int DEFAULT 0, parameters text DEFAULT 'c') RETURNS int LANGUAGE sql IMMUTABLE AS
$$ SELECT regexp_instr($1, $2, "position", occurrence, "option", rsi.regexp_flags(parameters)) $$;
CREATE FUNCTION rs.regexp_substr(text, text, "position" int DEFAULT 1, occurrence int DEFAULT 1, parameters text DEFAULT 'c') RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN $1 IS NULL OR $2 IS NULL THEN NULL ELSE
     coalesce(regexp_substr($1, $2, "position", occurrence, rsi.regexp_flags(parameters), CASE WHEN strpos(parameters, 'e') > 0 THEN 1 ELSE 0 END), '') END $$;
CREATE FUNCTION rsi.regexp_flags(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN strpos($1, 'i') > 0 THEN 'i' ELSE 'c' END $$;
CREATE FUNCTION rs.soundex(text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
  letters text := regexp_replace(upper($1), '[^A-Z]', '', 'g'); found text := left(letters, 1); before text; code text; letter text;
BEGIN
  IF letters = '' THEN RETURN ''; END IF;
  before := translate(found, 'AEIOUYHWBFPVCGJKQSXZDTLMNR', '00000000111122222222334556');
  FOREACH letter IN ARRAY regexp_split_to_array(substring(letters FROM 2), '') LOOP
    code := translate(letter, 'AEIOUYHWBFPVCGJKQSXZDTLMNR', '00000000111122222222334556');
    IF code NOT IN ('', '0') AND code <> before THEN found := found || code; END IF;
    IF letter NOT IN ('H', 'W') THEN before := code; END IF;
  END LOOP;
  RETURN rpad(left(found, 4), 4, '0');
END $$;
CREATE FUNCTION rs.difference(text, text) RETURNS int LANGUAGE sql IMMUTABLE AS
$$ SELECT count(*)::int FROM generate_series(1, 4) i WHERE substr(rs.soundex($1), i, 1) = substr(rs.soundex($2), i, 1) $$;
CREATE FUNCTION rs.sha(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT rs.func_sha1($1) $$;
CREATE FUNCTION rs.sha1(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT rs.func_sha1($1) $$;
CREATE FUNCTION rs.sha2(text, int) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT encode(CASE $2 WHEN 224 THEN sha224(convert_to($1, 'UTF8')) WHEN 384 THEN sha384(convert_to($1, 'UTF8')) WHEN 512 THEN sha512(convert_to($1, 'UTF8'))
     WHEN 256 THEN sha256(convert_to($1, 'UTF8')) WHEN 0 THEN sha256(convert_to($1, 'UTF8')) END, 'hex') $$;

-- SHA-1 by its own rules: PostgreSQL has it in an extension alone
CREATE FUNCTION rsi.rotated(word bigint, bits int) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT ((word << bits) | (word >> (32 - bits))) & 4294967295 $$;
CREATE FUNCTION rs.func_sha1(text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
  message bytea := convert_to($1, 'UTF8'); bits bigint := 8 * length(message); word bigint[]; h bigint[] := ARRAY[1732584193, 4023233417, 2562383102, 271733878, 3285377520];
  a bigint; b bigint; c bigint; d bigint; e bigint; f bigint; k bigint; next bigint; i int; start int;
BEGIN
  message := message || '\x80'::bytea;
  message := message || decode(repeat('00', (120 - length(message) % 64) % 64), 'hex') || decode(lpad(to_hex(bits), 16, '0'), 'hex');
  FOR block IN 0 .. length(message) / 64 - 1 LOOP
    start := 64 * block;
    FOR i IN 0 .. 15 LOOP
      word[i] := (get_byte(message, start + 4 * i)::bigint << 24) | (get_byte(message, start + 4 * i + 1) << 16) | (get_byte(message, start + 4 * i + 2) << 8) | get_byte(message, start + 4 * i + 3);
    END LOOP;
    FOR i IN 16 .. 79 LOOP word[i] := rsi.rotated(word[i - 3] # word[i - 8] # word[i - 14] # word[i - 16], 1); END LOOP;
    a := h[1]; b := h[2]; c := h[3]; d := h[4]; e := h[5];
    FOR i IN 0 .. 79 LOOP
      IF i < 20 THEN f := (b & c) | ((~b & 4294967295) & d); k := 1518500249;
      ELSIF i < 40 THEN f := b # c # d; k := 1859775393;
      ELSIF i < 60 THEN f := (b & c) | (b & d) | (c & d); k := 2400959708;
      ELSE f := b # c # d; k := 3395469782; END IF;
      next := (rsi.rotated(a, 5) + f + e + k + word[i]) & 4294967295;
      e := d; d := c; c := rsi.rotated(b, 30); b := a; a := next;
    END LOOP;
    h := ARRAY[(h[1] + a) & 4294967295, (h[2] + b) & 4294967295, (h[3] + c) & 4294967295, (h[4] + d) & 4294967295, (h[5] + e) & 4294967295];
  END LOOP;
  RETURN lpad(to_hex(h[1]), 8, '0') || lpad(to_hex(h[2]), 8, '0') || lpad(to_hex(h[3]), 8, '0') || lpad(to_hex(h[4]), 8, '0') || lpad(to_hex(h[5]), 8, '0');
END $$;

-- CRC-32C, which Redshift calls CRC32
CREATE FUNCTION rs.crc32(text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
  crc bigint := 4294967295; message bytea := convert_to($1, 'UTF8');
BEGIN
  FOR i IN 0 .. length(message) - 1 LOOP
    crc := crc # get_byte(message, i);
    FOR j IN 1 .. 8 LOOP crc := (crc >> 1) # (2197175160 * (crc & 1)); END LOOP;
  END LOOP;
  RETURN lpad(to_hex(crc # 4294967295), 8, '0');
END $$;

-- FNV-1a of 64 bits; numbers count as their bytes, the lowest first
CREATE FUNCTION rsi.fnv(message bytea, seed bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
  whole numeric := 18446744073709551616; hash numeric := CASE WHEN seed < 0 THEN seed + 18446744073709551616 ELSE seed END; low int;
BEGIN
  FOR i IN 0 .. length(message) - 1 LOOP
    low := (hash % 256)::int;
    hash := ((hash - low + (low # get_byte(message, i))) * 1099511628211) % whole;
  END LOOP;
  RETURN CASE WHEN hash >= 9223372036854775808 THEN hash - whole ELSE hash END;
END $$;
CREATE FUNCTION rs.fnv_hash(text, seed bigint DEFAULT -3750763034362895579) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN $1 IS NULL THEN $2 ELSE rsi.fnv(convert_to($1, 'UTF8'), $2) END $$;
CREATE FUNCTION rsi.backwards(bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT string_agg(substring($1 FROM i FOR 1), ''::bytea ORDER BY i DESC) FROM generate_series(1, length($1)) i $$;
CREATE FUNCTION rs.fnv_hash(int, seed bigint DEFAULT -3750763034362895579) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN $1 IS NULL THEN $2 ELSE rsi.fnv(rsi.backwards(int4send($1)), $2) END $$;
CREATE FUNCTION rs.fnv_hash(bigint, seed bigint DEFAULT -3750763034362895579) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN $1 IS NULL THEN $2 ELSE rsi.fnv(rsi.backwards(int8send($1)), $2) END $$;

-- bytes

CREATE FUNCTION rs.from_hex(text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT decode($1, 'hex') $$;
CREATE FUNCTION rs.to_varbyte(text, format text) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE lower(format) WHEN 'hex' THEN decode($1, 'hex') WHEN 'base64' THEN decode($1, 'base64') ELSE convert_to($1, 'UTF8') END $$;
CREATE FUNCTION rs.from_varbyte(bytea, format text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE lower(format) WHEN 'hex' THEN encode($1, 'hex') WHEN 'base64' THEN encode($1, 'base64') ELSE convert_from($1, 'UTF8') END $$;
CREATE FUNCTION rs.getbit(bytea, int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT (get_byte($1, length($1) - 1 - $2 / 8) >> ($2 % 8)) & 1 $$;

-- aggregates

CREATE AGGREGATE rs.sum(int) (sfunc = int4_sum, stype = bigint, combinefunc = int8pl, parallel = safe);
CREATE AGGREGATE rs.sum(smallint) (sfunc = int2_sum, stype = bigint, combinefunc = int8pl, parallel = safe);
CREATE AGGREGATE rs.sum(bigint) (sfunc = int8pl, stype = bigint, combinefunc = int8pl, parallel = safe);
CREATE AGGREGATE rs.sum(numeric) (sfunc = numeric_add, stype = numeric, combinefunc = numeric_add, parallel = safe);
CREATE AGGREGATE rs.sum(double precision) (sfunc = float8pl, stype = double precision, combinefunc = float8pl, parallel = safe);
CREATE AGGREGATE rs.sum(interval) (sfunc = interval_pl, stype = interval, combinefunc = interval_pl, parallel = safe);
-- an average has the type of what it is taken of; the second argument, the greatest value, tells it
CREATE FUNCTION rsi.averaged(numeric, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT trunc($1)::bigint $$;
CREATE FUNCTION rsi.averaged(numeric, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT trunc($1)::bigint $$;
CREATE FUNCTION rsi.averaged(numeric, smallint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT trunc($1)::bigint $$;
CREATE FUNCTION rsi.averaged(double precision, real) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
CREATE FUNCTION rsi.averaged(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT trunc($1, scale($2)) $$;
CREATE FUNCTION rsi.averaged(double precision, double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
CREATE FUNCTION rsi.averaged(interval, interval) RETURNS interval LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
CREATE FUNCTION rsi.first_of(anyelement, anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce($1, $2) $$;
CREATE FUNCTION rsi.last_of(anyelement, anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce($2, $1) $$;
CREATE AGGREGATE rsi.first_present(anyelement) (sfunc = rsi.first_of, stype = anyelement);
CREATE AGGREGATE rsi.last_present(anyelement) (sfunc = rsi.last_of, stype = anyelement);
CREATE AGGREGATE rs.any_value(anyelement) (sfunc = rsi.first_of, stype = anyelement);
CREATE FUNCTION rsi.share_kept(double precision[], double precision, double precision) RETURNS double precision[] LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN cardinality($1) = 0 THEN ARRAY[$3] ELSE $1 END || CASE WHEN $2 IS NULL THEN '{}' ELSE ARRAY[$2] END $$;
CREATE FUNCTION rsi.continuous(double precision[]) RETURNS double precision LANGUAGE sql IMMUTABLE AS
$$ SELECT percentile_cont($1[1]) WITHIN GROUP (ORDER BY x) FROM unnest($1[2:]) x $$;
CREATE FUNCTION rsi.discrete(double precision[]) RETURNS double precision LANGUAGE sql IMMUTABLE AS
$$ SELECT percentile_disc($1[1]) WITHIN GROUP (ORDER BY x) FROM unnest($1[2:]) x $$;
CREATE AGGREGATE rsi.percentile_cont(double precision, double precision) (sfunc = rsi.share_kept, stype = double precision[], initcond = '{}', finalfunc = rsi.continuous);
CREATE AGGREGATE rsi.percentile_disc(double precision, double precision) (sfunc = rsi.share_kept, stype = double precision[], initcond = '{}', finalfunc = rsi.discrete);

-- sketches count exactly here: each is the set of the values' hashes
CREATE FUNCTION rsi.sketch_with(bigint[], anyelement) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN $2 IS NULL OR hashtextextended($2::text, 0) = ANY ($1) THEN $1 ELSE $1 || hashtextextended($2::text, 0) END $$;
CREATE FUNCTION rsi.sketch_union(bigint[], bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS
$$ SELECT array_agg(DISTINCT x) FROM unnest($1 || $2) x $$;
CREATE FUNCTION rs.hll_cardinality(rs.hllsketch) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT cardinality($1::bigint[])::bigint $$;
CREATE FUNCTION rs.hll_combine_sketches(rs.hllsketch, rs.hllsketch) RETURNS rs.hllsketch LANGUAGE sql IMMUTABLE AS $$ SELECT rsi.sketch_union($1::bigint[], $2::bigint[])::rs.hllsketch $$;
CREATE FUNCTION rsi.as_sketch(bigint[]) RETURNS rs.hllsketch LANGUAGE sql IMMUTABLE AS $$ SELECT $1::rs.hllsketch $$;
CREATE FUNCTION rsi.sketch_size(bigint[]) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT cardinality($1)::bigint $$;
CREATE AGGREGATE rs.hll_create_sketch(anyelement) (sfunc = rsi.sketch_with, stype = bigint[], initcond = '{}', finalfunc = rsi.as_sketch);
CREATE AGGREGATE rs.hll(anyelement) (sfunc = rsi.sketch_with, stype = bigint[], initcond = '{}', finalfunc = rsi.sketch_size);
CREATE AGGREGATE rs.hll_combine(bigint[]) (sfunc = rsi.sketch_union, stype = bigint[], finalfunc = rsi.as_sketch);
CREATE AGGREGATE rsi.listed(anyelement) (sfunc = jsonb_agg_transfn, stype = internal, finalfunc = jsonb_agg_finalfn);
