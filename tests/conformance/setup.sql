DROP SCHEMA IF EXISTS cases CASCADE;
CREATE SCHEMA cases;
CREATE TABLE cases.sales (id INTEGER NOT NULL, region VARCHAR(10), amount DECIMAL(8,2), qty INTEGER, at TIMESTAMP, note VARCHAR(40)) DISTKEY (id) SORTKEY (at);
INSERT INTO cases.sales VALUES (1, 'north', 10.50, 3, '2024-01-15 10:30:00', 'first'), (2, 'south', 20.00, 1, '2024-02-29 23:59:59', NULL),
  (3, 'north', 5.25, 2, '2024-02-01 00:00:00', 'third'), (4, 'east', NULL, 4, '2023-12-31 12:00:00', 'ünï');
CREATE TABLE cases.staff (id INTEGER, name VARCHAR(20), boss INTEGER);
INSERT INTO cases.staff VALUES (1, 'Ada', NULL), (2, 'Ben', 1), (3, 'Cid', 1), (4, 'Dot', 2);
CREATE TABLE cases.docs (id INTEGER, s SUPER);
INSERT INTO cases.docs SELECT 1, JSON_PARSE('{"name": "a", "tags": ["x", "y"], "at": {"city": "Rome", "n": [1, 2, 3]}}');
INSERT INTO cases.docs SELECT 2, JSON_PARSE('{"name": "b", "tags": [], "at": null, "n": 7}');
CREATE TABLE cases.wide (k INTEGER, a INTEGER, b INTEGER, c INTEGER);
INSERT INTO cases.wide VALUES (1, 10, 20, NULL), (2, 30, NULL, 40);
