SELECT catgroup, catname, SUM(qtysold) AS tickets, SUM(pricepaid) AS revenue, LISTAGG(DISTINCT venuestate, ',') WITHIN GROUP (ORDER BY venuestate) AS states
FROM tickit.fact_sales f JOIN tickit.dim_event e ON e.eventid = f.eventid
GROUP BY catgroup, catname
