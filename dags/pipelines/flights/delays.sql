-- one row a day, carrier and airport of departure, with the day's weather there
WITH weather AS (
  SELECT origin, make_date(year, month, day) AS flown_on, avg(temp) AS avg_temp, sum(precip) AS precipitation
  FROM lake.ref.weather
  GROUP BY origin, make_date(year, month, day)
)
SELECT
  f.flown_on,
  f.carrier,
  f.origin,
  count(*) AS flights,
  count_if(f.arr_delay > 15) AS late,
  CAST(avg(f.dep_delay) AS DECIMAL(10, 2)) AS avg_dep_delay,
  CAST(avg(f.arr_delay) AS DECIMAL(10, 2)) AS avg_arr_delay,
  CAST(max(w.avg_temp) AS DECIMAL(6, 2)) AS avg_temp,
  CAST(max(w.precipitation) AS DECIMAL(8, 2)) AS precipitation
FROM lake.ops.flights AS f
LEFT JOIN weather AS w ON w.origin = f.origin AND w.flown_on = f.flown_on
GROUP BY f.flown_on, f.carrier, f.origin
