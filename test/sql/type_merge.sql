-- topk_merge and ||: totals, bounds, parameters of the result
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
CREATE TEMP TABLE part (p int, s topk);
INSERT INTO part
    SELECT i % 10, topk_agg('item-' || i % 17, 5, 1, 40) FROM generate_series(1, 1000) i GROUP BY 1;

-- exact sketches merge exactly
SELECT topk_total(s), topk_is_exact(s), topk_k(s), topk_capacity(s) FROM (SELECT topk_merge(s) AS s FROM part) t;
SELECT (SELECT topk_merge(s) FROM part)::bytea = (SELECT topk_agg('item-' || i % 17, 5, 1, 40) FROM generate_series(1, 1000) i)::bytea
    AS same_as_at_once;
SELECT (a.s || b.s)::bytea = (b.s || a.s)::bytea AS commutes, topk_total(a.s || b.s) FROM part a, part b
    WHERE a.p = 1 AND b.p = 2;
SELECT topk_total(s || s || s) FROM part WHERE p = 3;

-- nothing comes of nothing; NULL is nothing
SELECT topk_merge(s) IS NULL AS no_row FROM part WHERE false;
SELECT topk_merge(NULL) IS NULL AS no_sketch;
SELECT topk_total(topk_merge(CASE WHEN p = 4 THEN s END)) FROM part;
SELECT topk_total(topk_merge(s) FILTER (WHERE p < 2)), topk_merge(s) FILTER (WHERE p < 0) IS NULL AS empty FROM part;
SELECT s || NULL IS NULL AS strict FROM part WHERE p = 5;

-- all exact: the largest capacity; else the smallest of those that are not; k: the largest, lowered to that
CREATE TEMP TABLE sized AS
    SELECT k, m, exact, topk_agg('item-' || i % CASE WHEN exact THEN 5 ELSE 5000 END, k, 1, m) AS s
    FROM (VALUES (10, 30, true), (20, 300, true), (10, 20, false), (30, 500, false)) v(k, m, exact), generate_series(1, 10000) i
    GROUP BY 1, 2, 3;
SELECT k, m, exact, topk_is_exact(s) AS is_exact FROM sized ORDER BY k, m;
SELECT topk_capacity(topk_merge(s)) AS largest, topk_k(topk_merge(s)) FROM sized WHERE exact;
SELECT topk_capacity(topk_merge(s)) AS smallest, topk_k(topk_merge(s)) FROM sized WHERE NOT exact;
SELECT topk_capacity(topk_merge(s)) AS smallest_not_exact, topk_k(topk_merge(s)) FROM sized;
SELECT topk_capacity(topk_merge(s)) AS not_exact, topk_k(topk_merge(s)) FROM sized WHERE exact OR m = 500;

-- bounds hold after a tree of merges; the result promises by its own capacity
CREATE TEMP TABLE event AS
    SELECT i / 2500 AS pane, 'item-' || (i::bigint * i) % 4001 / (1 + i % 97) AS item FROM generate_series(0, 49999) i;
CREATE TEMP TABLE truth AS SELECT item, count(*) AS f FROM event GROUP BY item;
CREATE TEMP TABLE pane AS SELECT pane, topk_agg(item, 10, 1, 50) AS s FROM event GROUP BY pane;
CREATE TEMP TABLE merged AS
    SELECT 'flat' AS tree, topk_merge(s) AS s FROM pane
    UNION ALL SELECT 'two levels', topk_merge(s) FROM (SELECT topk_merge(s) AS s FROM pane GROUP BY pane % 4) t
    UNION ALL SELECT 'operators', (SELECT a.s || b.s FROM (SELECT topk_merge(s) AS s FROM pane WHERE pane < 7) a,
                                                        (SELECT topk_merge(s) AS s FROM pane WHERE pane >= 7) b);
SELECT tree, topk_total(s), topk_max_error(s) BETWEEN 1 AND topk_total(s) / 51 AS max_error, topk_capacity(s) FROM merged;
SELECT tree, count(*) FILTER (WHERE f NOT BETWEEN e.lower_bound AND e.upper_bound) AS wrong,
       count(*) FILTER (WHERE e.upper_bound - e.lower_bound > topk_total(s) / 50) AS wide
    FROM truth, merged, topk_estimate(s, item) e GROUP BY tree ORDER BY tree;

-- merging stored sketches is merging sketches
CREATE TEMP TABLE stored AS SELECT pane, s::text AS s FROM pane;
SELECT (SELECT topk_merge(s ORDER BY pane) FROM pane)::bytea = (SELECT topk_merge(s::topk ORDER BY pane) FROM stored)::bytea AS same;

-- kinds do not mix; totals stay within bigint
SELECT topk_merge(s) FROM (SELECT topk_agg('1') AS s UNION ALL SELECT topk_agg(1)) t;
SELECT topk_agg('1') || topk_agg(1);
SELECT topk_total(topk_agg('a', 1, 9223372036854775806) || topk_agg('b'));
SELECT topk_total(topk_agg('a', 1, 9223372036854775807) || topk_agg('b'));
SELECT topk_merge(s) FROM (SELECT topk_agg('a', 1, 9223372036854775807) AS s UNION ALL SELECT topk_agg('b')) t;
