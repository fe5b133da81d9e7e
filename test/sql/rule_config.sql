-- Rules by SQL: names, dimensions with a missing value of their own, filters; what is refused, with nothing stored.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
SELECT topk.create_source('s', server => 'k', topic => 't') > 0 AS created;

-- several rules for one event type: each has a name, by default that of its event type
SELECT topk.create_rule('s', event_type => 'order placed', item_type => 'country', item_path => 'payload.country') > 0 AS created;
SELECT topk.create_rule('s', event_type => 'order placed', item_type => 'product', item_path => 'payload.items.sku');
SELECT topk.create_rule('s', event_type => 'order placed', item_type => 'product', item_path => 'payload.items.sku', name => 'a b');
SELECT topk.create_rule('s', event_type => 'order placed', item_type => 'product', item_path => 'payload.items.sku', name => 'all');
SELECT topk.create_rule('s', event_type => 'order placed', item_type => 'product', item_path => 'payload.items.sku',
    weight_path => 'payload.items.quantity', name => 'lines') > 0 AS created;
SELECT topk.create_rule('s', event_type => 'return', item_type => 'product', item_path => 'payload.items.sku', name => 'lines');
SELECT source, name, event_type, item_type, counted, items, filtered, no_item FROM topk.stat_rule ORDER BY name;
SELECT topk.alter_rule('s', 'lines', weight => 2, reset => '{weight_path}');
SELECT topk.alter_rule('s', 'order placed', item_path => 'payload.land');
SELECT topk.alter_rule('s', NULL, item_path => 'payload.land');
SELECT name, item_path, weight, weight_path FROM topk.rule ORDER BY name;
SELECT topk.drop_rule('s', 'order placed');
SELECT topk.drop_rule('s', 'order placed');
SELECT name FROM topk.rule;

-- dimensions
SELECT topk.alter_rule('s', 'lines', dimensions => '{"b": "payload.b", "a": {"path": "payload.a", "missing": "??"}, "c": {"path": "payload.c"}}');
SELECT d.* FROM topk.rule r, topk.rule_dimensions(r.dimensions, r.missing_value) d;
SELECT topk.alter_rule('s', 'lines', dimensions => '{"a": {"missing": "x"}}');
SELECT topk.alter_rule('s', 'lines', dimensions => '{"a": {"path": "p", "default": "x"}}');
SELECT topk.alter_rule('s', 'lines', dimensions => '{"a": {"path": "p", "missing": 1}}');
SELECT topk.alter_rule('s', 'lines', dimensions => '{"a": {"path": "p..q"}}');
SELECT topk.alter_rule('s', 'lines', dimensions => '{"a": {"path": "p", "missing": "(other)"}}');
SELECT topk.alter_rule('s', 'lines', dimensions => '{"(other)": "p"}');
SELECT topk.alter_rule('s', 'lines', dimensions => '{"all": {"path": "p"}}');
SELECT topk.alter_rule('s', 'lines', dimensions => '{"a": ["p"]}');
SELECT topk.alter_rule('s', 'lines', missing_value => '(other)');
SELECT jsonb_object_agg(name, dimensions -> 'a') FROM topk.rule;

-- filters
SELECT topk.alter_rule('s', 'lines', filter => '{"payload.country": "DE", "payload.status": ["200", 204, true], "payload.bot": {"not": "true"},
    "payload.ms": {">=": 100, "<": 2.5e3}, "payload.x": {"exists": false}, "payload.y": {"exists": true}, "payload.z": {"=": -1}, "payload.\"a.b\"": {"not": ["x", 7]}}');
SELECT c.* FROM topk.rule r, topk.filter_conditions(r.filter) c;
SELECT config_version AS version FROM topk.stat_source \gset
SELECT topk.alter_rule('s', 'lines', filter => f::jsonb) FROM (VALUES ('[]')) AS v(f);
SELECT topk.alter_rule('s', 'lines', filter => '{}');
SELECT topk.alter_rule('s', 'lines', filter => '"x"');
SELECT topk.alter_rule('s', 'lines', filter => 'null');
SELECT topk.alter_rule('s', 'lines', filter => '{"a..b": "x"}');
SELECT topk.alter_rule('s', 'lines', filter => '{"a": null}');
SELECT topk.alter_rule('s', 'lines', filter => '{"a": []}');
SELECT topk.alter_rule('s', 'lines', filter => '{"a": {}}');
SELECT topk.alter_rule('s', 'lines', filter => '{"a": [["x"]]}');
SELECT topk.alter_rule('s', 'lines', filter => '{"a": {"not": null}}');
SELECT topk.alter_rule('s', 'lines', filter => '{"a": 1.5}');
SELECT topk.alter_rule('s', 'lines', filter => '{"a": 9223372036854775808}');
SELECT topk.alter_rule('s', 'lines', filter => '{"a": {"like": "x"}}');
SELECT topk.alter_rule('s', 'lines', filter => '{"a": {">": "x"}}');
SELECT topk.alter_rule('s', 'lines', filter => '{"a": {"<": 1e301}}');
SELECT topk.alter_rule('s', 'lines', filter => '{"a": {"exists": 1}}');
SELECT topk.alter_rule('s', 'lines', filter => '{"a": "x"}', reset => '{filter}');
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p', filter => '{"a": {"not": {}}}');
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p', weight => -1);
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p', weight_path => 'w.');
SELECT config_version = :version AS unchanged FROM topk.stat_source;
SELECT topk.alter_rule('s', 'lines', reset => '{filter}');
SELECT name, filter FROM topk.rule;
SELECT config_version - :version AS newer FROM topk.stat_source;

-- counts of a rule go with it
INSERT INTO topk.rule_count SELECT rule_id, w, 10, 20, 3, 4 FROM topk.rule, generate_series(0, 1) w;
SELECT counted, items, filtered, no_item FROM topk.stat_rule;
SELECT topk.drop_rule('s', 'lines');
SELECT count(*) FROM topk.rule_count;
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p') > 0 AS created;
INSERT INTO topk.rule_count SELECT rule_id, 0, 10, 20, 3, 4 FROM topk.rule;
SELECT topk.drop_source('s');
SELECT count(*) FROM topk.rule_count;
DROP EXTENSION topk CASCADE;
