CREATE TABLE IF NOT EXISTS tickit.dim_event (eventid INTEGER NOT NULL, eventname VARCHAR(200), catname VARCHAR(20), catgroup VARCHAR(20), venuename VARCHAR(100),
  venuecity VARCHAR(50), venuestate VARCHAR(4)) DISTSTYLE ALL SORTKEY (eventid);
CREATE TABLE IF NOT EXISTS tickit.dim_buyer (userid INTEGER NOT NULL, username VARCHAR(30), state VARCHAR(4), first_bought DATE, rank_in_state BIGINT) DISTKEY (userid);
CREATE TABLE IF NOT EXISTS tickit.fact_sales (salesid INTEGER NOT NULL, eventid INTEGER, buyerid INTEGER, caldate DATE, qtysold INTEGER, pricepaid DECIMAL(8,2),
  price_per_ticket DECIMAL(12,4), days_before_event BIGINT) DISTKEY (buyerid) SORTKEY (caldate);

CREATE OR REPLACE PROCEDURE tickit.build_star(facts INOUT BIGINT) AS $$
BEGIN
  DELETE FROM tickit.dim_event;
  INSERT INTO tickit.dim_event SELECT e.eventid, INITCAP(e.eventname), c.catname, NVL(c.catgroup, '?'), v.venuename, v.venuecity, v.venuestate
    FROM tickit.event e JOIN tickit.category c ON c.catid = e.catid JOIN tickit.venue v ON v.venueid = e.venueid;
  DELETE FROM tickit.fact_sales;
  INSERT INTO tickit.fact_sales SELECT s.salesid, s.eventid, s.buyerid, d.caldate, s.qtysold, s.pricepaid, s.pricepaid / NULLIF(s.qtysold, 0),
      DATEDIFF(day, d.caldate, TRUNC(e.starttime))
    FROM tickit.sales s JOIN tickit.date d ON d.dateid = s.dateid JOIN tickit.event e ON e.eventid = s.eventid;
  GET DIAGNOSTICS facts := ROW_COUNT;
  DELETE FROM tickit.dim_buyer;
  INSERT INTO tickit.dim_buyer SELECT u.userid, u.username, u.state, b.first_bought, RANK() OVER (PARTITION BY u.state ORDER BY b.spent DESC, u.userid)
    FROM tickit.users u JOIN (SELECT buyerid, MIN(caldate) AS first_bought, SUM(pricepaid) AS spent FROM tickit.fact_sales GROUP BY buyerid) b ON b.buyerid = u.userid;
  RAISE INFO 'the star has % facts', facts;
END;
$$ LANGUAGE plpgsql;
