-- Two tenants' roles: each sees its own results by every view, function and table, and nothing else.
BEGIN;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS topk;
SELECT no_plan();

CREATE ROLE topk_test_a IN ROLE topk_tenant;
CREATE ROLE topk_test_b IN ROLE topk_tenant;
CREATE ROLE topk_test_unmapped IN ROLE topk_tenant;
CREATE ROLE topk_test_reader IN ROLE topk_reader;
CREATE ROLE topk_test_granted;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers 'x:1');
DO $$
BEGIN
    PERFORM topk.create_source('shared', 'k', 't', tenant_path => 'tenant'), topk.create_source('private', 'k', 't2');
    PERFORM topk.create_rule('shared', 'e', 'url', 'a', '{"d": "b"}'), topk.create_rule('private', 'e', 'secret', 'a', '{"hidden": "b"}');
END
$$;

SELECT lives_ok($$SELECT topk.create_tenant('shared', 'a', k => 1, role => 'topk_test_a'), topk.create_tenant('shared', 'b')$$, 'roles are mapped');
SELECT lives_ok($$SELECT topk.alter_tenant('shared', 'b', role => 'topk_test_b'), topk.create_tenant('private', 'p')$$, '... also later');
SELECT throws_ok($$SELECT topk.create_tenant('shared', NULL, role => 'topk_test_a')$$, '22023', NULL, 'not to those that are not listed');

-- For each tenant: a pane in topk.live, a stored window, the archive, statistics.  Items and values name it.
INSERT INTO topk.list (list_id, base_id, source_id, tenant, item_type, dimension, value)
    SELECT t.n * 10 + d.n, t.n * 10 + d.n, s.source_id, t.tenant, CASE t.tenant WHEN 'p' THEN 'secret' ELSE 'url' END, d.dimension,
        CASE WHEN d.n = 3 THEN 'value-' || t.tenant END
    FROM (VALUES (1, 'shared', 'a'), (2, 'shared', 'b'), (3, 'private', 'p')) t(n, source, tenant)
    JOIN topk.source s ON s.name = t.source CROSS JOIN (VALUES (1, 'all'), (2, 'd'), (3, 'd')) d(n, dimension);
INSERT INTO topk.live SELECT source_id, '2025-01-01 10:00+00', list_id, 1, 0, true, 1,
    (SELECT topk_agg('item-' || tenant || n, 10) FROM generate_series(1, 3) n) FROM topk.list;
UPDATE topk.closer SET watermark = '2025-01-01 11:00+00';
SELECT lives_ok(format('SELECT topk.make_leaves(%s), topk.close(%s)', source_id, source_id), 'a close of ' || name) FROM topk.source ORDER BY name;
DO $$
BEGIN
    INSERT INTO topk.partition (source_id, partition, next_offset, watermark) SELECT source_id, 0, 0, '2025-01-01 12:00+00' FROM topk.source;
    PERFORM topk.close(source_id) FROM topk.source;
END
$$;
SELECT ok(count(*) >= 18, 'panes are stored') FROM topk.win;
INSERT INTO topk.live SELECT source_id, '2025-01-01 12:00+00', list_id, 2, 0, true, 1,
    (SELECT topk_agg('item-' || tenant || n, 10) FROM generate_series(1, 3) n) FROM topk.list;
INSERT INTO topk.archive SELECT list_id, topk_agg('item-' || tenant, 10) FROM topk.list GROUP BY 1;
INSERT INTO topk.tenant_use (source_id, partition, tenant, counted) SELECT DISTINCT source_id, 0, tenant, 5 FROM topk.list;
INSERT INTO topk.dimension_day SELECT DISTINCT source_id, tenant, item_type, 'd', date '2025-01-01', 1, false FROM topk.list;
INSERT INTO topk.dead_letter_row (source_id, topic, partition, kafka_offset, payload, payload_bytes, reason)
    SELECT source_id, topic, 0, 0, 'item-b', 6, 'bad_json' FROM topk.source;
ANALYZE topk.list;
ANALYZE topk.live;
ANALYZE topk.win;

-- What each may see: rows of a relation, as text, that name a tenant.
CREATE TEMP TABLE reader (role text, sees text, hidden text);
INSERT INTO reader VALUES ('topk_test_a', 'a', 'b|p'), ('topk_test_b', 'b', 'a|p');
CREATE TEMP TABLE shown (relation text, columns text, named boolean);
INSERT INTO shown VALUES
    ('window_sketch', 'tenant, sketch::jsonb', true), ('top_items', 'tenant, item', true), ('top_items_by_value', 'tenant, value, item', true),
    ('global_sketch', 'tenant, sketch::jsonb', true), ('top_items_global', 'tenant, item', true), ('stat_tenant', 'tenant', true),
    ('stat_dimension', 'tenant', true), ('list', 'tenant, value', true), ('live', 'sketch::jsonb', true), ('win', 'sketch::jsonb', true),
    ('archive', 'sketch::jsonb', true), ('tenant', 'tenant', true), ('tenant_use', 'tenant', true), ('dimension_day', 'tenant', true),
    ('source', 'name', false), ('rule', 'item_type', false), ('source_window', 'window_name', false), ('win_state', 'window_id', false),
    ('closer', 'source_id', false);
CREATE TEMP TABLE seen (role text, relation text, n bigint, own bigint, foreign_rows bigint);
GRANT ALL ON seen, reader, shown TO PUBLIC;
CREATE FUNCTION pg_temp.look() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    r record;
    s record;
BEGIN
    FOR r IN SELECT * FROM reader LOOP
        FOR s IN SELECT * FROM shown LOOP
            EXECUTE format('SET LOCAL ROLE %I', r.role);
            EXECUTE format('INSERT INTO seen SELECT %L, %L, count(*), count(*) FILTER (WHERE x::text ~ %L), count(*) FILTER (WHERE x::text ~ %L) '
                           'FROM (SELECT %s FROM topk.%I) x', r.role, s.relation, format('\m(item-|value-)?%s\d?\M', r.sees),
                           format('\m((item-|value-)?(%s)\d?|secret|private)\M', r.hidden), s.columns, s.relation);
            RESET ROLE;
        END LOOP;
    END LOOP;
END
$$;
SELECT pg_temp.look();
SELECT ok(n > 0 AND (own = n OR NOT named) AND foreign_rows = 0, format('%s sees its own rows of %s (%s), and no others (%s)', role, relation, own, foreign_rows))
FROM seen JOIN shown USING (relation) ORDER BY relation, role;
SELECT is((SELECT array_agg(c.relname::text ORDER BY c.relname::text) FROM pg_class c WHERE c.relnamespace = 'topk'::regnamespace AND c.relkind IN ('r', 'p', 'v')
              AND has_any_column_privilege('topk_tenant', c.oid, 'SELECT')),
          (SELECT array_agg(relation ORDER BY relation) FROM shown), 'and these are all that a tenant''s role can read');
SELECT ok(relrowsecurity, relname || ' has row security') FROM pg_class c JOIN shown ON relname = relation
WHERE c.relnamespace = 'topk'::regnamespace AND relkind <> 'v';

-- functions
SET LOCAL ROLE topk_test_a;
SELECT is(array_agg(item), '{item-a1}', 'topk.top: its own, by its k') FROM topk.top('shared', '1-minute', tenant => 'a', at => '2025-01-01 10:00+00');
SELECT is(array_agg(DISTINCT item), '{item-a1,item-a2,item-a3}', '... and without a filter') FROM topk.top('shared', '1-day');
SELECT is_empty($$SELECT * FROM topk.top('shared', '1-day', tenant => 'b')$$, '... not of another tenant');
SELECT is_empty($$SELECT * FROM topk.top('shared', '1-day', dimension => 'd', value => 'value-b')$$, '... nor by a value of another');
SELECT is(array_agg(DISTINCT item), '{item-a1,item-a2,item-a3}', 'topk.top_between') FROM topk.top_between('shared', '2025-01-01', '2025-01-02');
SELECT throws_ok($$SELECT * FROM topk.top('private')$$, '42704', 'there is no source ''private''', 'a source of others is as one that is not there');
SELECT throws_ok($$SELECT * FROM topk.top('shared', item_type => 'secret')$$, '42704', NULL, '... and its item types');
SELECT throws_ok($$SELECT * FROM topk.mirror('x')$$, '42501', NULL, 'topk.mirror is not for tenants');
SELECT throws_ok('SELECT * FROM topk.dead_letter', '42501', NULL, 'nor are dead letters');
SELECT throws_ok('SELECT server FROM topk.source', '42501', NULL, 'nor servers');
SELECT throws_ok('SELECT * FROM topk.stat_source', '42501', NULL, 'nor statistics over all tenants');
SELECT throws_ok(format('SELECT * FROM topk.%I', relname), '42501', NULL, 'a leaf or level below topk.win cannot be read past it')
FROM pg_class WHERE relnamespace = 'topk'::regnamespace AND relname ~ '^win_\d' AND relkind IN ('r', 'p');
SELECT is_empty($$SELECT tablename, attname FROM pg_stats WHERE schemaname = 'topk'$$, 'statistics of the planner show nothing');

-- A function that tells what it is called with is called only with what its caller may see.
RESET ROLE;
CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN
    PERFORM set_config('topk_test.told', concat_ws(' ', current_setting('topk_test.told', true), $1), true);
    RETURN true;
END
$$;
GRANT USAGE ON SCHEMA topk TO topk_test_a;
SET LOCAL ROLE topk_test_a;
SELECT isnt_empty('SELECT FROM topk.list WHERE pg_temp.tell(tenant) AND pg_temp.tell(value)', 'a leaky filter on a table');
SELECT isnt_empty('SELECT FROM topk.live WHERE pg_temp.tell(sketch::jsonb::text)', '... on sketches');
SELECT isnt_empty('SELECT FROM topk.win WHERE pg_temp.tell(sketch::jsonb::text)', '... on stored ones');
SELECT isnt_empty('SELECT FROM topk.top_items WHERE pg_temp.tell(tenant) AND pg_temp.tell(item)', '... on a view');
SELECT isnt_empty('SELECT FROM topk.source WHERE pg_temp.tell(name)', '... on sources');
SELECT doesnt_match(current_setting('topk_test.told'), '\m(b|p|private|(item|value)-[bp]\d?)\M', 'tells nothing of others');
SELECT matches(current_setting('topk_test.told'), 'item-a1', '... but of its own');

-- others
SET LOCAL ROLE topk_test_unmapped;
SELECT is_empty('SELECT * FROM topk.top_items', 'a role without a tenant sees nothing');
SELECT is_empty('SELECT * FROM topk.win', '... anywhere');
SET LOCAL ROLE topk_test_reader;
SELECT is(array_agg(DISTINCT tenant ORDER BY tenant), '{a,b,p}', 'a reader sees all tenants') FROM topk.top_items;
SELECT is(count(*), 9::bigint, '... and all lists') FROM topk.list;
RESET ROLE;
GRANT USAGE ON SCHEMA topk TO topk_test_granted;
GRANT SELECT ON topk.list TO topk_test_granted;
SET LOCAL ROLE topk_test_granted;
SELECT is_empty('SELECT * FROM topk.list', 'whoever is granted a table by hand sees none of its rows');
RESET ROLE;
SELECT lives_ok($$SELECT topk.drop_tenant('shared', 'a')$$, 'settings are dropped');
SET LOCAL ROLE topk_test_a;
SELECT is_empty('SELECT * FROM topk.list', '... and with them what the role sees');
RESET ROLE;
SELECT * FROM finish();
ROLLBACK;
