-- topk.compress: the same sketch in PostgreSQL's own compressed form, smaller than the server makes it.
BEGIN;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS topk;
SELECT no_plan();

CREATE TEMP TABLE plain (n integer, sketch topk);
ALTER TABLE plain ALTER COLUMN sketch SET STORAGE EXTERNAL;
INSERT INTO plain SELECT n, topk_agg('https://shop.example/section/' || i % 40 || '/item/' || i::bigint * i % 9973)
FROM unnest('{3, 40, 5000, 60000}'::integer[]) n, generate_series(1, n) i GROUP BY n;
INSERT INTO plain SELECT 0, topk_agg(md5(i::text)::uuid) FROM generate_series(1, 5000) i;
CREATE TEMP TABLE closely AS SELECT n, topk.compress(sketch) AS sketch FROM plain;

SELECT results_eq('SELECT n, sketch::bytea FROM closely ORDER BY n', 'SELECT n, sketch::bytea FROM plain ORDER BY n',
    'what comes back are the same bytes');
SELECT is(count(*), 0::bigint, 'nothing becomes larger') FROM plain p JOIN closely c USING (n)
WHERE pg_column_size(c.sketch) > pg_column_size(p.sketch);
SELECT is(topk.compress(NULL), NULL, 'nothing comes of nothing');
SELECT is(pg_column_size(topk.compress(c.sketch)), pg_column_size(c.sketch), 'what is compressed stays so') FROM closely c WHERE n = 40;

SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) AS lz4 \gset
\if :lz4
CREATE TEMP TABLE by_server (n integer, sketch topk) WITH (toast_tuple_target = 128);
ALTER TABLE by_server ALTER COLUMN sketch SET COMPRESSION lz4, ALTER COLUMN sketch SET STORAGE MAIN;
INSERT INTO by_server SELECT n, sketch FROM plain;
SELECT is(string_agg(DISTINCT pg_column_compression(sketch), ','), 'lz4', 'it is lz4, as with the server') FROM closely WHERE n >= 40;
SELECT cmp_ok(100 * pg_column_size(c.sketch) / pg_column_size(s.sketch), '<', 95, format('of %s rows: smaller than by the server', n))
FROM closely c JOIN by_server s USING (n) WHERE n >= 5000 AND pg_column_compression(s.sketch) = 'lz4';
\else
SELECT skip('this server has no lz4', 2);
\endif

SELECT * FROM finish();
ROLLBACK;
