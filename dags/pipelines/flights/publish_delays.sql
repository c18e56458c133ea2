CREATE TABLE IF NOT EXISTS mart.dim_carrier (carrier_id INTEGER IDENTITY(1, 1), carrier VARCHAR(8) NOT NULL, name VARCHAR(200)) DISTSTYLE ALL;
CREATE TABLE IF NOT EXISTS mart.dim_date (flown_on DATE NOT NULL SORTKEY, year INTEGER, month INTEGER, weekday INTEGER) DISTSTYLE ALL;
CREATE TABLE IF NOT EXISTS mart.fact_delays (
  flown_on DATE NOT NULL ENCODE az64, carrier_id INTEGER NOT NULL, origin VARCHAR(8) NOT NULL, flights BIGINT, late BIGINT,
  avg_dep_delay DECIMAL(10, 2), avg_arr_delay DECIMAL(10, 2), wet BOOLEAN
) DISTKEY (carrier_id) COMPOUND SORTKEY (flown_on, origin);

-- a small star: made anew from what was loaded, so that calling it twice changes nothing
CREATE OR REPLACE PROCEDURE mart.publish_delays() AS $$
DECLARE
  facts BIGINT;
BEGIN
  INSERT INTO mart.dim_carrier (carrier, name)
    SELECT a.carrier, a.name FROM mart.airlines a WHERE NOT EXISTS (SELECT 1 FROM mart.dim_carrier d WHERE d.carrier = a.carrier);
  DELETE FROM mart.dim_date;
  INSERT INTO mart.dim_date SELECT DISTINCT flown_on, EXTRACT(year FROM flown_on), EXTRACT(month FROM flown_on), EXTRACT(dow FROM flown_on) FROM mart.daily_delays;
  DELETE FROM mart.fact_delays;
  INSERT INTO mart.fact_delays
    SELECT d.flown_on, c.carrier_id, d.origin, d.flights, d.late, d.avg_dep_delay, d.avg_arr_delay, NVL(d.precipitation, 0) > 0
    FROM mart.daily_delays d JOIN mart.dim_carrier c ON c.carrier = d.carrier;
  SELECT INTO facts COUNT(*) FROM mart.fact_delays;
  RAISE INFO 'mart.fact_delays: % rows', facts;
END;
$$ LANGUAGE plpgsql;
