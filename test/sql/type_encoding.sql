-- items are UTF-8 inside, whatever the database's encoding
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
SELECT topk_agg('Zürich')::text AS utf8, current_database() AS db \gset
SET client_encoding = 'UTF8';
CREATE DATABASE type_encoding_latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
\c type_encoding_latin1
SET client_encoding = 'UTF8';
SET client_min_messages = warning;
CREATE EXTENSION topk;
SELECT octet_length('Zürich'), topk_agg('Zürich')::text = :'utf8' AS same_bytes;
SELECT item, octet_length(item), estimate FROM topk_items(:'utf8');
SELECT estimate FROM topk_estimate(:'utf8', 'Zürich');
SELECT :'utf8'::topk::jsonb #>> '{items,0,item}' AS item;
SELECT topk_total(topk_add(:'utf8', 'Zürich')), (SELECT count(*) FROM topk_items(topk_add(:'utf8', 'Zürich')));
-- in many groups
SELECT count(*), bool_and(item = 'Zürich') FROM (SELECT topk_agg('Zürich') AS s FROM generate_series(1, 200) i GROUP BY i % 100) t, topk_items(s);
-- a character that LATIN1 lacks
\set VERBOSITY terse
SELECT item FROM topk_items(replace(:'utf8', 'c3bc', 'ceb1')::topk);
\c :db
DROP DATABASE type_encoding_latin1 WITH (FORCE);
