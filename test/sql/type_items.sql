-- topk_items and topk_estimate: ranks, limits, bounds, where they can be used
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
CREATE TEMP TABLE s AS
    SELECT topk_agg(x, 3, w) AS s FROM (VALUES ('b', 5), ('a', 5), ('c', 9), ('d', 1), ('e', 5)) v(x, w);

-- k by default; equal weights in the order of their bytes
SELECT i.* FROM s, topk_items(s) i;
SELECT i.* FROM s, topk_items(s, 2) i;
SELECT i.* FROM s, topk_items(s, n => NULL) i;
-- more than k are there
SELECT i.* FROM s, topk_items(s, 100) i;
SELECT i.* FROM s, topk_items(s, 0) i;
SELECT i.* FROM s, topk_items(s, -1) i;
SELECT * FROM topk_items(NULL);
-- in the select list, and joined
SELECT topk_items(s, 1) FROM s;
SELECT n, i.item FROM s, generate_series(1, 2) n, LATERAL topk_items(s, n) i ORDER BY n, rank;
SELECT g, item, estimate
    FROM (SELECT i % 2 AS g, topk_agg('item-' || i % 5, 2) AS s FROM generate_series(1, 99) i GROUP BY 1) t, topk_items(s)
    ORDER BY g, rank;

-- estimates of items with and without an entry
SELECT x, e.* FROM s, (VALUES ('a'), ('c'), ('nobody'), ('')) v(x), topk_estimate(s, x) e;
SELECT topk_estimate(s, 'c') FROM s;
SELECT (topk_estimate(s, 'c')).upper_bound FROM s;
SELECT topk_estimate(s, NULL::text), topk_estimate(NULL, 'c') FROM s;
SELECT topk_estimate(s, 42) FROM s;

-- flat data: k items whenever k are there, none of them guaranteed
SELECT count(*), bool_or(guaranteed), min(upper_bound - lower_bound) >= 0 AS bounds
    FROM (SELECT topk_agg('item-' || i, 10) AS s FROM generate_series(1, 20000) i) t, topk_items(s);

-- bounds hold for every item where not all have an entry, listed or not, and the heavy ones are there
CREATE TEMP TABLE event AS
    SELECT 'item-' || (i::bigint * i * 31) % 9973 % (1 + i * 7919 % 5000) AS item, i % 4 AS w
    FROM generate_series(1, 50000) i;
CREATE TEMP TABLE truth AS SELECT item, sum(w) AS f FROM event GROUP BY item;
SELECT count(*) > 1000 AS enough FROM truth;
CREATE TEMP TABLE sketch AS SELECT topk_agg(item, 20, w, 60) AS s FROM event;
SELECT topk_is_exact(s), topk_total(s) = (SELECT sum(f) FROM truth) AS total,
       topk_max_error(s) BETWEEN 1 AND topk_total(s) / 61 AS max_error FROM sketch;
SELECT count(*) AS wrong FROM truth, sketch, topk_estimate(s, item) e
    WHERE f NOT BETWEEN e.lower_bound AND e.upper_bound OR e.upper_bound - e.lower_bound > topk_max_error(s);
SELECT count(*) AS missing FROM truth, sketch
    WHERE f > topk_total(s) / 60 AND item NOT IN (SELECT i.item FROM topk_items(s, 60) i);
SELECT count(*) AS wrongly_guaranteed FROM sketch, topk_items(s, 60) i JOIN truth USING (item)
    WHERE guaranteed AND (SELECT count(*) FROM truth heavier WHERE heavier.f > truth.f) >= 20;

-- row estimates
CREATE FUNCTION pg_temp.planned_rows(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    RETURN plan -> 0 -> 'Plan' -> 'Plan Rows';
END $$;
SELECT pg_temp.planned_rows('SELECT * FROM topk_items(NULL)') AS declared,
       pg_temp.planned_rows('SELECT i.* FROM s, topk_items(s) i') / pg_temp.planned_rows('SELECT FROM s') AS by_default,
       pg_temp.planned_rows('SELECT i.* FROM s, topk_items(s, 7) i') / pg_temp.planned_rows('SELECT FROM s') AS by_n,
       pg_temp.planned_rows(format('SELECT * FROM topk_items(%L)', (SELECT s FROM s))) AS by_sketch,
       pg_temp.planned_rows('SELECT i.* FROM s, topk_heavy_hitters(s, 0.05) i') / pg_temp.planned_rows('SELECT FROM s') AS by_share;
