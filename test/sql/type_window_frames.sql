-- aggregates in window frames: the final function is called again and again, and changes nothing
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
CREATE TEMP TABLE event AS SELECT i, i % 2 AS g, 'item-' || i % 5 AS item FROM generate_series(1, 40) i;

-- growing frames
SELECT i, topk_total(topk_agg(item) OVER w), topk_items(topk_agg(item) OVER w, 1)
    FROM event WINDOW w AS (ORDER BY i) ORDER BY i LIMIT 8;
-- each value is what the aggregate over its frame alone gives
SELECT count(*) AS wrong FROM (
        SELECT i, topk_agg(item, 2, 1, 3) OVER (ORDER BY i) AS s FROM event) w
    WHERE s::bytea <> (SELECT topk_agg(item, 2, 1, 3 ORDER BY i) FROM event e WHERE e.i <= w.i)::bytea;
-- sliding frames, which begin again at each row
SELECT count(*) AS wrong FROM (
        SELECT i, topk_agg(item, 2, 1, 3) OVER (ORDER BY i ROWS BETWEEN 6 PRECEDING AND 2 PRECEDING) AS s FROM event) w
    WHERE s::bytea IS DISTINCT FROM
          (SELECT topk_agg(item, 2, 1, 3 ORDER BY i) FROM event e WHERE e.i BETWEEN w.i - 6 AND w.i - 2)::bytea;
-- several aggregates, partitions, FILTER
SELECT count(*), sum(topk_total(a)), sum(topk_total(b)), count(c) FROM (
    SELECT topk_agg(item) OVER w AS a, topk_agg(item, 3) OVER (PARTITION BY g) AS b,
           topk_agg(item) FILTER (WHERE i > 38) OVER w AS c
    FROM event WINDOW w AS (PARTITION BY g ORDER BY i)) t;
-- merges
SELECT i, topk_total(topk_merge(s) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)) AS pair,
       topk_total(topk_merge(s) OVER (ORDER BY i)) AS running
    FROM (SELECT i / 10 AS i, topk_agg(item) AS s FROM event GROUP BY 1) t ORDER BY i;
