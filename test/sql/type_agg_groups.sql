-- topk_agg in many groups at once: updates that wait in the ring, long items, spilling
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
-- more groups than stay in the cache; items short, and too long to wait
CREATE TEMP TABLE event AS
    SELECT i % 500 AS g, CASE WHEN i % 7 = 0 THEN repeat('long-', 40) || i % 11 ELSE 'item-' || i % 13 END AS item,
           i / 500 % 5 AS weight
    FROM generate_series(1, 100000) i;
CREATE TEMP TABLE truth AS
    SELECT g, item, sum(weight) AS f FROM event WHERE weight > 0 GROUP BY g, item;

SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT g, topk_agg(item, 20, weight) FROM event GROUP BY g;
CREATE TEMP TABLE result AS SELECT g, topk_agg(item, 20, weight) AS s FROM event GROUP BY g;
SELECT count(*), bool_and(topk_is_exact(s)), sum(topk_total(s)) = (SELECT sum(weight) FROM event) AS total FROM result;
SELECT count(*) AS wrong FROM truth JOIN result USING (g), topk_estimate(s, item) e
    WHERE (e.estimate, e.lower_bound, e.upper_bound) IS DISTINCT FROM (f, f, f);
SELECT count(*) = (SELECT count(*) FROM truth) AS all_listed FROM result, topk_items(s, 1000);

-- the same when hash aggregation spills
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
CREATE TEMP TABLE spilled AS SELECT g, topk_agg(item, 20, weight) AS s FROM event GROUP BY g;
SELECT count(*) AS same FROM spilled JOIN result USING (g) WHERE spilled.s::bytea = result.s::bytea;
RESET work_mem;
RESET hash_mem_multiplier;
RESET enable_sort;

-- and when groups come one after the other
SET enable_hashagg = off;
CREATE TEMP TABLE sorted AS
    SELECT g, topk_agg(item, 20, weight) AS s FROM (SELECT * FROM event ORDER BY g) e GROUP BY g;
SELECT count(*) AS exact FROM sorted JOIN result USING (g)
    WHERE topk_total(sorted.s) = topk_total(result.s) AND topk_is_exact(sorted.s);
RESET enable_hashagg;

-- an error in an update that waited still ends the query
SELECT max(topk_total(s)) FROM (
    SELECT i % 100, topk_agg('x', 10, CASE WHEN i > 9990 THEN 9223372036854775807 ELSE 1 END) AS s
    FROM generate_series(1, 10000) i GROUP BY 1) t;

-- grouping sets: several aggregate contexts in one call
SELECT count(*), sum(topk_total(s)) = 2 * (SELECT sum(weight) FROM event) AS total
    FROM (SELECT g, topk_agg(item, 20, weight) AS s FROM event GROUP BY GROUPING SETS ((g), (g % 3))) t;

-- memory does not grow with rows, nor with items that must be decompressed
CREATE FUNCTION pg_temp.peak_kilobytes(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, FORMAT json) ' || query INTO plan;
    RETURN plan -> 0 -> 'Plan' -> 'Peak Memory Usage';
END $$;
CREATE TEMP TABLE compressed AS SELECT repeat('long-', 1000) || i % 10 AS item, 1 AS g FROM generate_series(1, 20000) i;
SELECT max(pg_column_size(item)) < 1000 AS compressed FROM compressed;
SET enable_sort = off;
SELECT pg_temp.peak_kilobytes('SELECT g, topk_agg(item) FROM compressed GROUP BY g') < 256 AS flat;
SELECT pg_temp.peak_kilobytes('SELECT i % 2, topk_agg(i % 100000) FROM generate_series(1, 200000) i GROUP BY 1') < 1024 AS flat;
SELECT pg_temp.peak_kilobytes('SELECT g * 0, topk_merge(s) FROM result, generate_series(1, 20) GROUP BY 1') < 1024 AS flat;
RESET enable_sort;
