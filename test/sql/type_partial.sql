-- partial states: what an aggregate has seen, on its way to where it goes on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
-- without a final function the state itself comes out, in its partial form
CREATE AGGREGATE pg_temp.partial(text) (SFUNC = topk_agg_trans, STYPE = topk);
CREATE AGGREGATE pg_temp.finish(topk) (SFUNC = topk_combine, STYPE = topk, FINALFUNC = topk_final);
CREATE TEMP TABLE event AS
    SELECT i, i / 12500 AS node, 'item-' || (i::bigint * i) % 4001 / (1 + i % 97) AS item FROM generate_series(0, 49999) i;
CREATE TEMP TABLE part AS SELECT node, pg_temp.partial(item ORDER BY i) AS s FROM event GROUP BY node;
SELECT count(*), sum(topk_total(s)), bool_and((SELECT count(*) FROM topk_items(s, 100000)) > 300) AS untrimmed,
       count(*) FILTER (WHERE s::text::topk::bytea = s::bytea) AS lossless FROM part;
-- every reader takes it
SELECT bool_and(topk_total(s) = (SELECT sum(e.estimate) FROM topk_items(s, 100000) e)) AS items,
       bool_and(jsonb_array_length(s::jsonb -> 'items') = 100) AS jsonb FROM part WHERE topk_is_exact(s);
-- trees of partial states know more than those of finished ones
CREATE TEMP TABLE result AS
    SELECT 'at once' AS how, topk_agg(item ORDER BY i) AS s FROM event
    UNION ALL SELECT 'partial', pg_temp.finish(s ORDER BY node) FROM part
    UNION ALL SELECT 'as text', pg_temp.finish(s::text::topk ORDER BY node) FROM part
    UNION ALL SELECT 'finished', pg_temp.finish(topk_final(s) ORDER BY node) FROM part;
SELECT how, topk_total(s), topk_capacity(s), topk_is_exact(s) FROM result;
SELECT a.how FROM result a, result b WHERE b.how = 'partial' AND a.s::bytea = b.s::bytea ORDER BY 1;
SELECT bool_and(topk_max_error(p.s) <= topk_max_error(f.s)) AS better FROM result p, result f WHERE p.how = 'partial' AND f.how = 'finished';
SELECT how, count(*) FILTER (WHERE f NOT BETWEEN e.lower_bound AND e.upper_bound) AS wrong
    FROM result, (SELECT item, count(*) AS f FROM event GROUP BY item) truth, topk_estimate(s, item) e GROUP BY how ORDER BY how;
-- a state that begins with a stored value
SELECT format('CREATE AGGREGATE pg_temp.go_on(text) (SFUNC = topk_agg_trans, STYPE = topk, FINALFUNC = topk_final, INITCOND = %L)',
              (SELECT topk_agg('begun', 100, 7)::text)) \gexec
SELECT i.item, i.estimate FROM topk_items((SELECT pg_temp.go_on(x) FROM unnest(ARRAY['begun', 'new']) x)) i;
SELECT n, topk_total(s) FROM (SELECT i % 3 AS n, pg_temp.go_on('x') AS s FROM generate_series(1, 30) i GROUP BY 1) t ORDER BY n;
SELECT topk_total(pg_temp.go_on(x)) FROM unnest(ARRAY['a']) x WHERE false;
SELECT topk_total(pg_temp.go_on(NULL));
-- its kind must fit
SELECT format('CREATE AGGREGATE pg_temp.go_wrong(bigint) (SFUNC = topk_agg_trans, STYPE = topk, INITCOND = %L)',
              (SELECT topk_agg('begun')::text)) \gexec
SELECT pg_temp.go_wrong(1);
-- a finished value of a finished value
SELECT topk_final(s)::bytea = s::bytea AS same FROM result WHERE how = 'at once';
SELECT topk_final(NULL) IS NULL AS nothing;
