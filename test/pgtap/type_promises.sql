-- The promises of the type, on random streams with an exact oracle: bounds, presence, totals, by itself and merged.
BEGIN;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS topk;
SELECT plan(16);

SELECT setseed(0.25);
CREATE TEMP TABLE event AS
    SELECT i % 12 AS part, 'item-' || floor(5000 ^ random())::int AS item, floor(random() * 4)::bigint AS weight
    FROM generate_series(1, 60000) i;
CREATE TEMP TABLE truth AS
    SELECT item, sum(weight)::bigint AS f, rank() OVER (ORDER BY sum(weight) DESC) FROM event GROUP BY item HAVING sum(weight) > 0;
CREATE TEMP TABLE sketch AS
    SELECT 'at once' AS how, topk_agg(item, 20, weight, 60) AS s FROM event
    UNION ALL
    SELECT 'merged', topk_merge(s) FROM (SELECT topk_agg(item, 20, weight, 60) AS s FROM event GROUP BY part) t
    UNION ALL
    SELECT 'merged twice', topk_merge(s) FROM (
        SELECT topk_merge(s) AS s FROM (SELECT part, topk_agg(item, 20, weight, 60) AS s FROM event GROUP BY part) t GROUP BY part % 3) u
    UNION ALL
    SELECT 'exact', topk_agg(item, 20, weight, 6000) FROM event;
CREATE TEMP TABLE listed AS SELECT how, i.* FROM sketch, topk_items(s, 6000) i;

SELECT is(topk_total(s), (SELECT sum(weight)::bigint FROM event), how || ': the total is exact') FROM sketch;
SELECT is(count(*) FILTER (WHERE f NOT BETWEEN e.lower_bound AND e.upper_bound
                              OR e.upper_bound - e.lower_bound > topk_total(s) / topk_capacity(s)), 0::bigint,
          how || ': the bounds hold for every item')
    FROM truth, sketch, topk_estimate(s, item) e GROUP BY how ORDER BY how;
SELECT is((SELECT count(*) FROM truth WHERE f > topk_total(s) / topk_capacity(s)
                                        AND item NOT IN (SELECT item FROM listed WHERE listed.how = sketch.how)), 0::bigint,
          how || ': every item above total / capacity is there')
    FROM sketch;
SELECT is((SELECT count(*) FROM listed JOIN truth USING (item) WHERE listed.how = sketch.how AND guaranteed AND truth.rank > 20), 0::bigint,
          how || ': what is guaranteed is in the top k')
    FROM sketch WHERE how <> 'merged twice';
SELECT is((SELECT count(*) FROM listed JOIN truth USING (item) WHERE how = 'exact' AND estimate = f), (SELECT count(*) FROM truth),
          'exact: every count');
SELECT * FROM finish();
ROLLBACK;
