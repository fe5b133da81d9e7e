-- What the type offers: names, arguments, results, and what the planner may assume of them.
BEGIN;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS topk;
SELECT no_plan();

SELECT has_type('topk');
SELECT is(typstorage, 'e', 'a sketch is never compressed') FROM pg_type WHERE typname = 'topk';

-- functions
CREATE TEMP TABLE promised (name text, arguments text[], result text);
INSERT INTO promised VALUES
    ('topk_items', '{topk,integer}', 'setof record'),
    ('topk_items_bigint', '{topk,integer}', 'setof record'),
    ('topk_items_uuid', '{topk,integer}', 'setof record'),
    ('topk_heavy_hitters', '{topk,double precision}', 'setof record'),
    ('topk_heavy_hitters_complete', '{topk,double precision}', 'boolean'),
    ('topk_estimate', '{topk,text}', 'record'),
    ('topk_estimate', '{topk,bigint}', 'record'),
    ('topk_estimate', '{topk,uuid}', 'record'),
    ('topk_total', '{topk}', 'bigint'),
    ('topk_max_error', '{topk}', 'bigint'),
    ('topk_capacity', '{topk}', 'integer'),
    ('topk_k', '{topk}', 'integer'),
    ('topk_is_exact', '{topk}', 'boolean'),
    ('topk_item_type', '{topk}', 'text'),
    ('topk_capacity_for', '{double precision}', 'integer'),
    ('topk_add', '{topk,text,bigint}', 'topk'),
    ('topk_add', '{topk,bigint,bigint}', 'topk'),
    ('topk_add', '{topk,uuid,bigint}', 'topk'),
    ('topk_union', '{topk,topk}', 'topk'),
    ('topk_from_bytea', '{bytea}', 'topk'),
    ('topk_to_jsonb', '{topk}', 'jsonb'),
    ('topk_to_datasketches', '{topk}', 'bytea'),
    ('topk_from_datasketches', '{bytea,text}', 'topk');
SELECT function_returns(name, arguments, result) FROM promised;
SELECT volatility_is(name, arguments, 'immutable') FROM promised;
SELECT is(proparallel, 's', oid::regprocedure || ' is parallel safe')
    FROM pg_proc WHERE proname IN (SELECT name FROM promised) OR proname IN ('topk_agg', 'topk_merge', 'topk_combine', 'topk_final', 'topk_agg_trans');

-- aggregates: all overloads, with a state that distributed plans can push down
SELECT is_aggregate('topk_agg', ARRAY[item] || rest)
    FROM unnest(ARRAY['text', 'bigint', 'uuid']) item,
         (VALUES ('{}'::text[]), ('{integer}'), ('{integer,bigint}'), ('{integer,bigint,integer}')) v(rest);
SELECT is_aggregate('topk_merge', ARRAY['topk']);
SELECT is(count(*), 13::bigint, 'every aggregate has the type itself as its state, a combine function, and a size for the planner')
    FROM pg_aggregate WHERE aggfnoid::regproc::text ~ '(^|\.)topk_(agg|merge)$'
    AND aggtranstype = 'topk'::regtype AND aggcombinefn <> 0 AND aggtransspace > 0 AND aggfinalmodify = 'r';

-- casts and operators
SELECT has_cast('topk', 'bytea');
SELECT has_cast('bytea', 'topk');
SELECT has_cast('topk', 'jsonb');
SELECT cast_context_is('topk', 'bytea', 'assignment');
SELECT cast_context_is('bytea', 'topk', 'assignment');
SELECT cast_context_is('topk', 'jsonb', 'assignment');
SELECT has_operator('topk', '||', 'topk', 'topk');
SELECT has_operator('topk', '=', 'topk', 'boolean');
SELECT has_operator('topk', '<>', 'topk', 'boolean');

-- columns of what sets return
CREATE TEMP VIEW listed AS SELECT * FROM topk_items(NULL);
CREATE TEMP VIEW heavy AS SELECT * FROM topk_heavy_hitters(NULL, 0.5);
CREATE TEMP VIEW estimated AS SELECT * FROM topk_estimate(NULL, 'a');
SELECT columns_are('listed', '{rank,item,estimate,lower_bound,upper_bound,guaranteed}');
SELECT columns_are('heavy', '{rank,item,estimate,lower_bound,upper_bound,guaranteed,complete}');
SELECT columns_are('estimated', '{estimate,lower_bound,upper_bound}');
SELECT col_type_is('listed', name, type)
    FROM (VALUES ('rank', 'integer'), ('item', 'text'), ('estimate', 'bigint'), ('guaranteed', 'boolean')) v(name, type);
SELECT * FROM finish();
ROLLBACK;
