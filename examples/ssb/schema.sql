CREATE TABLE ssb.dwdate (d_datekey INTEGER NOT NULL, d_date VARCHAR(18), d_dayofweek VARCHAR(9), d_month VARCHAR(9), d_year INTEGER, d_yearmonthnum INTEGER,
  d_yearmonth VARCHAR(7), d_daynuminweek INTEGER, d_daynuminmonth INTEGER, d_daynuminyear INTEGER, d_monthnuminyear INTEGER, d_weeknuminyear INTEGER)
  DISTSTYLE ALL SORTKEY (d_datekey);
CREATE TABLE ssb.customer (c_custkey INTEGER NOT NULL, c_name VARCHAR(25), c_address VARCHAR(25), c_city VARCHAR(10), c_nation VARCHAR(15), c_region VARCHAR(12),
  c_phone VARCHAR(15), c_mktsegment VARCHAR(10)) DISTSTYLE ALL SORTKEY (c_custkey);
CREATE TABLE ssb.supplier (s_suppkey INTEGER NOT NULL, s_name VARCHAR(25), s_address VARCHAR(25), s_city VARCHAR(10), s_nation VARCHAR(15), s_region VARCHAR(12),
  s_phone VARCHAR(15)) DISTSTYLE ALL SORTKEY (s_suppkey);
CREATE TABLE ssb.part (p_partkey INTEGER NOT NULL DISTKEY SORTKEY, p_name VARCHAR(22), p_mfgr VARCHAR(6), p_category VARCHAR(7), p_brand1 VARCHAR(9), p_color VARCHAR(11),
  p_type VARCHAR(25), p_size INTEGER, p_container VARCHAR(10));
CREATE TABLE ssb.lineorder (lo_orderkey BIGINT NOT NULL ENCODE az64, lo_linenumber INTEGER NOT NULL, lo_custkey INTEGER NOT NULL, lo_partkey INTEGER NOT NULL DISTKEY,
  lo_suppkey INTEGER NOT NULL, lo_orderdate INTEGER NOT NULL SORTKEY, lo_orderpriority VARCHAR(15), lo_shippriority VARCHAR(1), lo_quantity INTEGER,
  lo_extendedprice INTEGER, lo_ordtotalprice INTEGER, lo_discount INTEGER, lo_revenue INTEGER, lo_supplycost INTEGER, lo_tax INTEGER, lo_commitdate INTEGER,
  lo_shipmode VARCHAR(10));
