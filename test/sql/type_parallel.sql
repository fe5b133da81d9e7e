-- parallel plans: partial states travel between processes
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
CREATE TABLE type_parallel_event AS
    SELECT i % 3 AS g, 'item-' || (i::bigint * i) % 3001 / (1 + i % 89) AS item, i FROM generate_series(0, 99999) i;
CREATE TABLE type_parallel_pane AS
    SELECT i / 1000 AS pane, topk_agg(item, 10, 1, 60) AS s FROM type_parallel_event GROUP BY 1;
ANALYZE type_parallel_event;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET parallel_leader_participation = off;

EXPLAIN (COSTS OFF) SELECT topk_agg(item) FROM type_parallel_event;
-- exact: as one process has it, byte for byte
SELECT topk_is_exact(s), topk_total(s), s::bytea = (SELECT topk_agg(item, 1000, 1, 4000) FROM (SELECT item FROM type_parallel_event OFFSET 0) t)::bytea AS same
    FROM (SELECT topk_agg(item, 1000, 1, 4000) AS s FROM type_parallel_event) t;
-- not exact: within its bounds
CREATE TEMP TABLE sketch AS SELECT topk_agg(item, 20, 1, 60) AS s FROM type_parallel_event;
SELECT topk_total(s), topk_max_error(s) BETWEEN 1 AND topk_total(s) / 61 AS max_error, topk_capacity(s), topk_k(s) FROM sketch;
SELECT count(*) AS wrong FROM sketch, (SELECT item, count(*) AS f FROM type_parallel_event GROUP BY item) t, topk_estimate(s, item) e
    WHERE f NOT BETWEEN e.lower_bound AND e.upper_bound;
-- groups; workers that saw only NULLs; groups without an item
SELECT g, topk_total(topk_agg(item)) FROM type_parallel_event GROUP BY g ORDER BY g;
SELECT g, topk_total(topk_agg(CASE WHEN g = 1 THEN item END)) FROM type_parallel_event GROUP BY g ORDER BY g;
SELECT topk_total(topk_agg(CASE WHEN i = 77777 THEN item END)), topk_agg(CASE WHEN i < 0 THEN item END) IS NULL AS none FROM type_parallel_event;
SELECT g, topk_agg(item) FILTER (WHERE g = 2 AND i > 90000) IS NULL AS empty FROM type_parallel_event GROUP BY g ORDER BY g;
SELECT count(*), sum(topk_total(s)) FROM (SELECT i % 1000, topk_agg(item) AS s FROM type_parallel_event GROUP BY 1) t;
-- merges
EXPLAIN (COSTS OFF) SELECT topk_merge(s) FROM type_parallel_pane;
SELECT topk_total(topk_merge(s)), topk_capacity(topk_merge(s)) FROM type_parallel_pane;
-- items of other kinds
SELECT topk_total(topk_agg(i::bigint % 50)), topk_is_exact(topk_agg(i::bigint % 50)) FROM type_parallel_event;
-- errors reach the user
\set VERBOSITY terse
SELECT topk_agg(item, 1 + i % 2) FROM type_parallel_event;
SELECT topk_agg(item, 10, 1000000000000000000) FROM type_parallel_event;
DROP TABLE type_parallel_event, type_parallel_pane;
