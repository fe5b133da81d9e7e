-- topk_heavy_hitters: items above a share, and whether any is missing
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
CREATE TEMP TABLE s AS
    SELECT topk_agg(x, 3, w) AS s FROM (VALUES ('a', 50), ('b', 25), ('c', 15), ('d', 10)) v(x, w);
-- above, not at
SELECT h.* FROM s, topk_heavy_hitters(s, 0.15) h;
SELECT item FROM s, topk_heavy_hitters(s, 0.1);
SELECT item FROM s, topk_heavy_hitters(s, 0);
SELECT item FROM s, topk_heavy_hitters(s, 0.5);
SELECT count(*) FROM s, topk_heavy_hitters(s, 1);
SELECT topk_heavy_hitters_complete(s, 0), topk_heavy_hitters_complete(s, 1) FROM s;
SELECT topk_heavy_hitters_complete(s, -1) FROM s;
SELECT item FROM s, topk_heavy_hitters(s, 'Infinity');
SELECT count(*) FROM topk_heavy_hitters(NULL, 0.5);

-- a share below the error: what is known, and that it is not all
CREATE TEMP TABLE event AS
    SELECT CASE WHEN i % 10 = 0 THEN 'heavy' WHEN i % 20 = 1 THEN 'middling' ELSE 'light-' || i END AS item
    FROM generate_series(1, 100000) i;
CREATE TEMP TABLE flood AS SELECT topk_agg(item, 10, 1, 50) AS s FROM event;
SELECT item, upper_bound >= 10000 AS upper, lower_bound <= 10000 AS lower, guaranteed, complete
    FROM flood, topk_heavy_hitters(s, 0.06);
SELECT item, guaranteed, complete FROM flood, topk_heavy_hitters(s, 0.04);
SELECT count(*) > 2 AS more, bool_or(complete) AS complete, bool_and(guaranteed) AS guaranteed
    FROM flood, topk_heavy_hitters(s, 0.0001);
SELECT topk_heavy_hitters_complete(s, 0), topk_heavy_hitters_complete(s, topk_max_error(s)::float8 / topk_total(s)),
       topk_heavy_hitters_complete(s, (topk_max_error(s) - 1)::float8 / topk_total(s)) FROM flood;
-- where complete, no heavy hitter is missing
SELECT count(*) AS missing
    FROM flood, (SELECT item, count(*) AS f FROM event GROUP BY item) truth
    WHERE f > topk_total(s) * 0.02 AND topk_heavy_hitters_complete(s, 0.02)
      AND item NOT IN (SELECT h.item FROM topk_heavy_hitters(s, 0.02) h);

-- the capacity for an error
SELECT epsilon, topk_capacity_for(epsilon), 1.0 / (topk_capacity_for(epsilon) + 1) <= epsilon AS enough
    FROM (VALUES (0.5::float8), (0.1), (0.01), (0.001), (0.0001), (0.3), (0.9999)) v(epsilon);
SELECT topk_capacity(topk_agg('a', 10, 1, topk_capacity_for(0.001)));
