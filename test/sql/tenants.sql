-- Tenants and the guard by SQL: what is refused, settings in force, and what workers agree on.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
CREATE ROLE topk_regress_acme;
SELECT topk.create_source('s', server => 'k', topic => 't', tenant_path => 'tenant') AS src \gset
SELECT topk.create_rule('s', 'e', 'url', 'a', '{"d": "b", "e": "c"}') > 0;

-- errors
SELECT topk.create_tenant('nothing', 'a');
SELECT topk.create_tenant('s', '(other)');
SELECT topk.create_tenant('s', 'a', k => 0);
SELECT topk.create_tenant('s', 'a', k => 50, capacity => 49);
SELECT topk.create_tenant('s', 'a', capacity => 99);
SELECT topk.create_tenant('s', 'a', items_per_second => 0);
SELECT topk.create_tenant('s', 'a', max_values => 0);
SELECT topk.create_tenant('s', 'a', dimensions => '{all}');
SELECT topk.create_tenant('s', 'a', enabled => NULL);
SELECT topk.create_tenant('s', NULL, role => 'topk_regress_acme');
SELECT topk.create_tenant('s', 'a', role => 'topk_regress_nobody');
SELECT topk.alter_tenant('s', 'a', k => 5);
SELECT topk.drop_tenant('s', NULL);
SELECT topk.alter_source('s', max_values => 0);
SELECT topk.alter_source('s', max_tenants => 100001);
SELECT count(*) FROM topk.tenant;

-- settings in force; each change is one version of the configuration
SELECT config_version AS before FROM topk.source_state WHERE source_id = :src \gset
SELECT topk.create_tenant('s', 'a', k => 5, dimensions => '{d}', role => 'topk_regress_acme');
SELECT topk.create_tenant('s', 'b', capacity => 200, enabled => false);
SELECT topk.create_tenant('s', 'a');
SELECT * FROM topk.tenant_settings(:src) ORDER BY tenant;
SELECT topk.create_tenant('s', NULL, items_per_second => 10, max_values => 3);
SELECT topk.alter_tenant('s', 'a', max_values => 7, reset => '{role,dimensions}');
SELECT topk.alter_tenant('s', 'a', max_values => 7);
SELECT topk.alter_tenant('s', 'a', k => 5, reset => '{k}');
SELECT topk.alter_tenant('s', 'a', reset => '{enabled}');
SELECT topk.alter_source('s', k => 250, capacity => 500);
SELECT * FROM topk.tenant_settings(:src) ORDER BY tenant;
SELECT config_version - :before AS versions FROM topk.source_state WHERE source_id = :src;
SELECT tenant, listed, enabled, k, dimensions, items_per_second, max_values, role FROM topk.stat_tenant ORDER BY tenant;

-- a dimension that is taken from a tenant parts its list from that of all
SELECT all_id, across_ids FROM topk.intern_family(:src, :before, 'a', 'url', '{d,e}', '{t,t}');
SELECT config_version AS now FROM topk.source_state WHERE source_id = :src \gset
SELECT all_id IS NOT NULL AS has_all, across_ids FROM topk.intern_family(:src, :now, 'a', 'url', '{d,e}', '{t,t}');
SELECT dimension, base_id = list_id AS own FROM topk.list WHERE tenant = 'a' ORDER BY 1;
SELECT topk.alter_tenant('s', 'a', dimensions => '{e}');
SELECT dimension, base_id = list_id AS own FROM topk.list WHERE tenant = 'a' ORDER BY 1;

-- values: the first of each day, then nobody; who was let in stays
CREATE FUNCTION pg_temp.admit(vals text[], day date, most integer) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(CASE WHEN a.id IS NULL THEN '-' ELSE vals[a.n] END, ' ' ORDER BY a.n)
    FROM topk.admit_values((SELECT source_id FROM topk.source), array_fill('a'::text, ARRAY[cardinality(vals)]),
        array_fill('url'::text, ARRAY[cardinality(vals)]), array_fill('d'::text, ARRAY[cardinality(vals)]), vals,
        array_fill(day, ARRAY[cardinality(vals)]), array_fill(most, ARRAY[cardinality(vals)])) WITH ORDINALITY AS a(id, n)
$$;
SELECT pg_temp.admit('{v,w}', '2025-01-01', 3);
SELECT pg_temp.admit('{w,x,y,v}', '2025-01-01', 3);
SELECT pg_temp.admit('{y,x}', '2025-01-02', 1);
SELECT pg_temp.admit('{y,v}', '2025-01-01', 3);
SELECT value FROM topk.close_day(:src, 'a', 'url', 'd', '2025-01-01') ORDER BY 1;
SELECT tenant, dimension, day, n_values, other_in_use, max_values FROM topk.stat_dimension ORDER BY day;
SELECT day, value FROM topk.closed_days(:src, '2025-01-01') ORDER BY 1, 2;
SELECT topk.alter_tenant('s', 'a', max_values => 3);
SELECT day, value FROM topk.closed_days(:src, '2025-01-01') ORDER BY 1, 2;
SELECT count(*) FROM topk.list WHERE value = '(other)';
UPDATE topk.closer SET watermark = '2025-01-05 12:00+00';
SELECT topk.forget_days(:src);
SELECT day, n_values FROM topk.dimension_day ORDER BY 1;

-- tenants: the first max_tenants
SELECT * FROM topk.admit_tenants(:src, '{p,q,r}', 2);
SELECT * FROM topk.admit_tenants(:src, '{r,q}', 2);
SELECT tenant FROM topk.tenant_seen ORDER BY 1;

-- all goes with the source
SELECT topk.drop_source('s');
SELECT (SELECT count(*) FROM topk.tenant), (SELECT count(*) FROM topk.tenant_seen), (SELECT count(*) FROM topk.list_day),
       (SELECT count(*) FROM topk.dimension_day);
DROP ROLE topk_regress_acme;
DROP SERVER k;
