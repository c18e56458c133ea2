-- set up
CREATE SCHEMA IF NOT EXISTS penstock;
CREATE TABLE IF NOT EXISTS penstock.ledger (step VARCHAR(512) NOT NULL, last BIGINT NOT NULL, format INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS penstock.copied (step VARCHAR(512) NOT NULL, version BIGINT NOT NULL);
CREATE OR REPLACE PROCEDURE penstock.claim(step_name VARCHAR, expected BIGINT, next_batch BIGINT) AS $$
DECLARE
  hit INTEGER;
BEGIN
  UPDATE penstock.ledger SET last = next_batch WHERE step = step_name AND last = expected;
  GET DIAGNOSTICS hit := ROW_COUNT;
  IF hit <> 1 THEN
    RAISE EXCEPTION 'penstock: the ledger of % is not at batch %', step_name, expected;
  END IF;
END;
$$ LANGUAGE plpgsql;

-- a step's ledger row
LOCK penstock.ledger;
INSERT INTO penstock.ledger SELECT 'flights/load', 0, 1 WHERE NOT EXISTS (SELECT 1 FROM penstock.ledger WHERE step = 'flights/load');

-- applied
SELECT MAX(last) AS last, MAX(format) AS format, MAX(CASE WHEN step = 'flights/load' THEN 1 ELSE 0 END) AS own FROM penstock.ledger WHERE step IN ('flights/load', 'flights/old');

-- create
CREATE SCHEMA IF NOT EXISTS "mart";
CREATE TABLE IF NOT EXISTS "mart"."da""ys" ("day" DATE NOT NULL, "carrier" VARCHAR(65535) NOT NULL, "amount" DECIMAL(12,2), "at" TIMESTAMPTZ, PRIMARY KEY ("day", "carrier"));
CREATE TABLE penstock."shape_flights_load_0e3cbfc6_42" ("day" DATE NOT NULL, "carrier" VARCHAR(65535) NOT NULL, "amount" DECIMAL(12,2), "at" TIMESTAMPTZ);
SELECT table_schema = 'penstock' AS declared, column_name AS name, data_type AS type, CASE WHEN data_type = 'numeric' THEN numeric_precision END AS digits, CASE WHEN data_type = 'numeric' THEN numeric_scale END AS scale, character_maximum_length AS length FROM information_schema.columns WHERE (table_schema = 'mart' AND table_name = 'da"ys') OR (table_schema = 'penstock' AND table_name = 'shape_flights_load_0e3cbfc6_42') ORDER BY ordinal_position;
DROP TABLE penstock."shape_flights_load_0e3cbfc6_42";

-- stage
DROP TABLE IF EXISTS penstock."stage_flights_load_0e3cbfc6_42";
CREATE TABLE penstock."stage_flights_load_0e3cbfc6_42" ("day" DATE NOT NULL, "carrier" VARCHAR(65535) NOT NULL, "amount" DECIMAL(12,2), "at" TIMESTAMPTZ);
COPY penstock."stage_flights_load_0e3cbfc6_42" FROM 's3://b/manifest' IAM_ROLE 'arn:aws:iam::123456789012:role/copy' FORMAT AS PARQUET MANIFEST;

-- publish append
CALL penstock.claim('flights/load', 41, 42);
INSERT INTO "mart"."da""ys" ("day", "carrier", "amount", "at") SELECT "day", "carrier", "amount", "at" FROM penstock."stage_flights_load_0e3cbfc6_42";

-- publish changes
CALL penstock.claim('flights/load', 41, 42);
DELETE FROM "mart"."da""ys" USING penstock."stage_flights_load_0e3cbfc6_42" s WHERE "mart"."da""ys"."day" = s."day" AND "mart"."da""ys"."carrier" = s."carrier";
INSERT INTO "mart"."da""ys" ("day", "carrier", "amount", "at") SELECT "day", "carrier", "amount", "at" FROM penstock."stage_flights_load_0e3cbfc6_42" WHERE "__op" <> 'd';

-- publish insert_missing
CALL penstock.claim('flights/load', 41, 42);
INSERT INTO "mart"."da""ys" ("day", "carrier", "amount", "at") SELECT "day", "carrier", "amount", "at" FROM penstock."stage_flights_load_0e3cbfc6_42" MINUS SELECT "day", "carrier", "amount", "at" FROM "mart"."da""ys" WHERE "day" BETWEEN (SELECT MIN("day") FROM penstock."stage_flights_load_0e3cbfc6_42") AND (SELECT MAX("day") FROM penstock."stage_flights_load_0e3cbfc6_42");

-- publish merge
CALL penstock.claim('flights/load', 41, 42);
DELETE FROM "mart"."da""ys" WHERE ("day", "carrier") IN (SELECT "day", "carrier" FROM "mart"."da""ys" GROUP BY "day", "carrier" HAVING COUNT(*) > 1);
DELETE FROM "mart"."da""ys" WHERE NOT EXISTS (SELECT 1 FROM penstock."stage_flights_load_0e3cbfc6_42" s WHERE "mart"."da""ys"."day" = s."day" AND "mart"."da""ys"."carrier" = s."carrier" AND ("mart"."da""ys"."day" = s."day" OR ("mart"."da""ys"."day" IS NULL AND s."day" IS NULL)) AND ("mart"."da""ys"."carrier" = s."carrier" OR ("mart"."da""ys"."carrier" IS NULL AND s."carrier" IS NULL)) AND ("mart"."da""ys"."amount" = s."amount" OR ("mart"."da""ys"."amount" IS NULL AND s."amount" IS NULL)) AND ("mart"."da""ys"."at" = s."at" OR ("mart"."da""ys"."at" IS NULL AND s."at" IS NULL)));
INSERT INTO "mart"."da""ys" ("day", "carrier", "amount", "at") SELECT s."day", s."carrier", s."amount", s."at" FROM penstock."stage_flights_load_0e3cbfc6_42" s WHERE NOT EXISTS (SELECT 1 FROM "mart"."da""ys" t WHERE s."day" = t."day" AND s."carrier" = t."carrier");

-- publish overwrite
CALL penstock.claim('flights/load', 41, 42);
DELETE FROM "mart"."da""ys";
INSERT INTO "mart"."da""ys" ("day", "carrier", "amount", "at") SELECT "day", "carrier", "amount", "at" FROM penstock."stage_flights_load_0e3cbfc6_42";

-- publish overwrite_partitions
CALL penstock.claim('flights/load', 41, 42);
DELETE FROM "mart"."da""ys" WHERE EXISTS (SELECT 1 FROM penstock."stage_flights_load_0e3cbfc6_42" s WHERE ("mart"."da""ys"."day" = s."day" OR ("mart"."da""ys"."day" IS NULL AND s."day" IS NULL)) AND ("mart"."da""ys"."carrier" = s."carrier" OR ("mart"."da""ys"."carrier" IS NULL AND s."carrier" IS NULL)));
INSERT INTO "mart"."da""ys" ("day", "carrier", "amount", "at") SELECT "day", "carrier", "amount", "at" FROM penstock."stage_flights_load_0e3cbfc6_42" WHERE "__op" <> 'p';

-- publish replace_partitions
CALL penstock.claim('flights/load', 41, 42);
DELETE FROM "mart"."da""ys" WHERE EXISTS (SELECT 1 FROM penstock."stage_flights_load_0e3cbfc6_42" s WHERE ("mart"."da""ys"."day" = s."day" OR ("mart"."da""ys"."day" IS NULL AND s."day" IS NULL)) AND ("mart"."da""ys"."carrier" = s."carrier" OR ("mart"."da""ys"."carrier" IS NULL AND s."carrier" IS NULL)));
INSERT INTO "mart"."da""ys" ("day", "carrier", "amount", "at") SELECT "day", "carrier", "amount", "at" FROM penstock."stage_flights_load_0e3cbfc6_42";

-- publish upsert
CALL penstock.claim('flights/load', 41, 42);
MERGE INTO "mart"."da""ys" USING penstock."stage_flights_load_0e3cbfc6_42" s ON "mart"."da""ys"."day" = s."day" AND "mart"."da""ys"."carrier" = s."carrier" WHEN MATCHED THEN UPDATE SET "amount" = s."amount", "at" = s."at" WHEN NOT MATCHED THEN INSERT ("day", "carrier", "amount", "at") VALUES (s."day", s."carrier", s."amount", s."at");

-- publish history
UPDATE "mart"."da""ys" SET "valid""to" = SYSDATE WHERE "valid""to" IS NULL AND NOT EXISTS (SELECT 1 FROM penstock."stage_flights_load_0e3cbfc6_42" s WHERE "mart"."da""ys"."day" = s."day" AND "mart"."da""ys"."carrier" = s."carrier" AND ("mart"."da""ys"."day" = s."day" OR ("mart"."da""ys"."day" IS NULL AND s."day" IS NULL)) AND ("mart"."da""ys"."carrier" = s."carrier" OR ("mart"."da""ys"."carrier" IS NULL AND s."carrier" IS NULL)) AND ("mart"."da""ys"."amount" = s."amount" OR ("mart"."da""ys"."amount" IS NULL AND s."amount" IS NULL)) AND ("mart"."da""ys"."at" = s."at" OR ("mart"."da""ys"."at" IS NULL AND s."at" IS NULL)) AND TRUE);
INSERT INTO "mart"."da""ys" ("day", "carrier", "amount", "at", "valid_from") SELECT s."day", s."carrier", s."amount", s."at", SYSDATE FROM penstock."stage_flights_load_0e3cbfc6_42" s WHERE TRUE AND NOT EXISTS (SELECT 1 FROM "mart"."da""ys" t WHERE t."day" = s."day" AND t."carrier" = s."carrier" AND t."valid""to" IS NULL);

-- publish history_of_changes
UPDATE "mart"."da""ys" SET "valid""to" = SYSDATE WHERE "valid""to" IS NULL AND NOT EXISTS (SELECT 1 FROM penstock."stage_flights_load_0e3cbfc6_42" s WHERE "mart"."da""ys"."day" = s."day" AND "mart"."da""ys"."carrier" = s."carrier" AND ("mart"."da""ys"."day" = s."day" OR ("mart"."da""ys"."day" IS NULL AND s."day" IS NULL)) AND ("mart"."da""ys"."carrier" = s."carrier" OR ("mart"."da""ys"."carrier" IS NULL AND s."carrier" IS NULL)) AND ("mart"."da""ys"."amount" = s."amount" OR ("mart"."da""ys"."amount" IS NULL AND s."amount" IS NULL)) AND ("mart"."da""ys"."at" = s."at" OR ("mart"."da""ys"."at" IS NULL AND s."at" IS NULL)) AND s."__op" <> 'd') AND EXISTS (SELECT 1 FROM penstock."stage_flights_load_0e3cbfc6_42" s WHERE "mart"."da""ys"."day" = s."day" AND "mart"."da""ys"."carrier" = s."carrier");
INSERT INTO "mart"."da""ys" ("day", "carrier", "amount", "at", "valid_from") SELECT s."day", s."carrier", s."amount", s."at", SYSDATE FROM penstock."stage_flights_load_0e3cbfc6_42" s WHERE s."__op" <> 'd' AND NOT EXISTS (SELECT 1 FROM "mart"."da""ys" t WHERE t."day" = s."day" AND t."carrier" = s."carrier" AND t."valid""to" IS NULL);

-- publish history_of_rows
UPDATE "mart"."da""ys" SET "valid""to" = SYSDATE WHERE "valid""to" IS NULL AND NOT EXISTS (SELECT 1 FROM penstock."stage_flights_load_0e3cbfc6_42" s WHERE "mart"."da""ys"."day" = s."day" AND "mart"."da""ys"."carrier" = s."carrier" AND ("mart"."da""ys"."day" = s."day" OR ("mart"."da""ys"."day" IS NULL AND s."day" IS NULL)) AND ("mart"."da""ys"."carrier" = s."carrier" OR ("mart"."da""ys"."carrier" IS NULL AND s."carrier" IS NULL)) AND ("mart"."da""ys"."amount" = s."amount" OR ("mart"."da""ys"."amount" IS NULL AND s."amount" IS NULL)) AND ("mart"."da""ys"."at" = s."at" OR ("mart"."da""ys"."at" IS NULL AND s."at" IS NULL)) AND TRUE) AND EXISTS (SELECT 1 FROM penstock."stage_flights_load_0e3cbfc6_42" s WHERE "mart"."da""ys"."day" = s."day" AND "mart"."da""ys"."carrier" = s."carrier");
INSERT INTO "mart"."da""ys" ("day", "carrier", "amount", "at", "valid_from") SELECT s."day", s."carrier", s."amount", s."at", SYSDATE FROM penstock."stage_flights_load_0e3cbfc6_42" s WHERE TRUE AND NOT EXISTS (SELECT 1 FROM "mart"."da""ys" t WHERE t."day" = s."day" AND t."carrier" = s."carrier" AND t."valid""to" IS NULL);

-- create with a layout
CREATE SCHEMA IF NOT EXISTS "mart";
CREATE TABLE IF NOT EXISTS "mart"."da""ys" ("day" DATE NOT NULL, "carrier" VARCHAR(65535) NOT NULL ENCODE zstd, "amount" DECIMAL(12,2), "at" TIMESTAMPTZ, PRIMARY KEY ("day", "carrier")) DISTSTYLE KEY DISTKEY ("carrier") COMPOUND SORTKEY ("day");

-- create a history
CREATE TABLE IF NOT EXISTS "mart"."da""ys" ("day" DATE NOT NULL, "carrier" VARCHAR(65535) NOT NULL, "amount" DECIMAL(12,2), "at" TIMESTAMPTZ, PRIMARY KEY ("day", "carrier", "valid_from"));

-- evolve
ALTER TABLE "mart"."da""ys" ADD COLUMN "amount" DECIMAL(12,2);
ALTER TABLE "mart"."da""ys" ALTER COLUMN "carrier" TYPE VARCHAR(65535);
ALTER TABLE "mart"."da""ys" ALTER COLUMN "carrier" ENCODE zstd;
SELECT column_name AS name, encoding FROM svv_redshift_columns WHERE schema_name = 'mart' AND table_name = 'da"ys';

-- stage of changes
DROP TABLE IF EXISTS penstock."stage_flights_load_0e3cbfc6_42";
CREATE TABLE penstock."stage_flights_load_0e3cbfc6_42" ("day" DATE, "carrier" VARCHAR(65535), "amount" DECIMAL(12,2), "at" TIMESTAMPTZ, "__op" VARCHAR(65535));
COPY penstock."stage_flights_load_0e3cbfc6_42" FROM 's3://b/manifest' IAM_ROLE 'arn:aws:iam::123456789012:role/copy' FORMAT AS PARQUET MANIFEST;

-- copied
SELECT MAX(version) AS version FROM penstock.copied WHERE step IN ('flights/load');
DELETE FROM penstock.copied WHERE step IN ('flights/load');
INSERT INTO penstock.copied VALUES ('flights/load', 7);

-- stage of files
COPY penstock."stage_flights_load_0e3cbfc6_42" FROM 's3://b/manifest' IAM_ROLE 'arn:aws:iam::123456789012:role/copy' FORMAT AS CSV IGNOREHEADER 1 EMPTYASNULL DATEFORMAT AS 'auto' TIMEFORMAT AS 'auto' MANIFEST;
COPY penstock."stage_flights_load_0e3cbfc6_42" FROM 's3://b/manifest' IAM_ROLE 'arn:aws:iam::123456789012:role/copy' FORMAT AS CSV NULL AS '\\N' QUOTE AS '''' DELIMITER AS '|' DATEFORMAT AS 'DD.MM.YYYY' TIMEFORMAT AS 'auto' TRUNCATECOLUMNS MAXERROR 10 MANIFEST;
COPY penstock."stage_flights_load_0e3cbfc6_42" FROM 's3://b/manifest' IAM_ROLE 'arn:aws:iam::123456789012:role/copy' FORMAT AS JSON 'auto ignorecase' DATEFORMAT AS 'auto' TIMEFORMAT AS 'auto' MANIFEST;
COPY penstock."stage_flights_load_0e3cbfc6_42" FROM 's3://b/manifest' IAM_ROLE 'arn:aws:iam::123456789012:role/copy' FORMAT AS JSON 's3://b/it''s.jsonpaths' DATEFORMAT AS 'auto' TIMEFORMAT AS 'epochmillisecs' ENCODING UTF16 COMPUPDATE OFF STATUPDATE OFF MANIFEST;
COPY penstock."stage_flights_load_0e3cbfc6_42" FROM 's3://b/manifest' IAM_ROLE 'arn:aws:iam::123456789012:role/copy' FORMAT AS AVRO 'auto' DATEFORMAT AS 'auto' TIMEFORMAT AS 'auto' ACCEPTANYDATE MANIFEST;
COPY penstock."stage_flights_load_0e3cbfc6_42" FROM 's3://b/manifest' IAM_ROLE 'arn:aws:iam::123456789012:role/copy' FORMAT AS PARQUET MANIFEST;
COPY penstock."stage_flights_load_0e3cbfc6_42" FROM 's3://b/manifest' IAM_ROLE 'arn:aws:iam::123456789012:role/copy' FORMAT AS ORC STATUPDATE ON MANIFEST;

-- history of a load
SELECT PG_LAST_COPY_ID() AS query;
SELECT loaded_rows AS rows, source_file_count AS files, error_count AS errors FROM sys_load_history WHERE query_id = 7 AND status = 'completed';
SELECT TRIM(file_name) AS file, line_number AS line, 'column ' || TRIM(NVL(column_name, '')) || ': ' || TRIM(NVL(error_message, '')) AS reason FROM sys_load_error_detail WHERE query_id = 7 ORDER BY file_name, line_number;

-- quarantine
CREATE SCHEMA IF NOT EXISTS "mart";
CREATE TABLE IF NOT EXISTS "mart"."t__quarantine" (__step VARCHAR(512), __batch BIGINT, __position VARCHAR(2048), __reason VARCHAR(4096), __payload VARCHAR(65535));
DELETE FROM "mart"."t__quarantine" WHERE __step IN ('flights/load') AND __batch = 42;
INSERT INTO "mart"."t__quarantine" (__step, __batch, __position, __reason, __payload) VALUES ('flights/load', 42, 's3://b/it''s.csv#2', 'no date', 'x,''y''\\'), ('flights/load', 42, 's3://b/a#3', 'no', NULL);
SELECT 1 AS found FROM information_schema.tables WHERE table_schema = 'mart' AND table_name = 'da"ys';

-- errors of a load
SELECT file_name AS file, line_number AS line, column_name AS "column", error_message AS reason, error_code AS code FROM sys_load_error_detail WHERE file_name IN ('s3://b/it''s.parquet') ORDER BY start_time DESC, line_number LIMIT 5;

-- check
SELECT (SELECT COUNT(*) FROM penstock."stage_flights_load_0e3cbfc6_42") AS loaded, (SELECT COUNT(*) FROM (SELECT "day", "carrier" FROM penstock."stage_flights_load_0e3cbfc6_42" GROUP BY "day", "carrier" HAVING COUNT(*) > 1) d) AS doubled;

-- forget
DELETE FROM penstock.ledger WHERE step IN ('flights/load');
DELETE FROM penstock.copied WHERE step IN ('flights/load');

-- call
CALL "mart"."publish"(1, 'it''s \\ here', NULL, TRUE);

-- unload
UNLOAD ('SELECT ''a'' AS m') TO 's3://b/out/' IAM_ROLE default FORMAT AS PARQUET PARTITION BY ("m") MANIFEST VERBOSE CLEANPATH;
UNLOAD ('SELECT ''a'' AS m') TO 's3://b/out/' IAM_ROLE default FORMAT AS CSV PARTITION BY ("m") INCLUDE HEADER GZIP MAXFILESIZE 100 MB ENCRYPTED AUTO MANIFEST VERBOSE CLEANPATH;
UNLOAD ('SELECT ''a'' AS m') TO 's3://b/out/' IAM_ROLE default FORMAT AS JSON MANIFEST VERBOSE CLEANPATH;

