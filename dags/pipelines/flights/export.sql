SELECT t.month, c.name AS carrier, f.origin, SUM(f.flights) AS flights, SUM(f.late) AS late, COUNT(DISTINCT CASE WHEN f.wet THEN f.flown_on END) AS wet_days
FROM mart.fact_delays f
JOIN mart.dim_carrier c ON c.carrier_id = f.carrier_id
JOIN mart.dim_date t ON t.flown_on = f.flown_on
GROUP BY t.month, c.name, f.origin
