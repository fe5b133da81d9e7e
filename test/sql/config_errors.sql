-- Configuration by SQL: what is refused, and with which error.  (The launcher is off here: nothing runs.)
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;

-- servers and user mappings
CREATE SERVER bad FOREIGN DATA WRAPPER topk_kafka OPTIONS (brokers 'x:1');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_kafka OPTIONS (password 'secret');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (port '70000');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (port '6379x');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (tls 'perhaps');
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
CREATE SERVER r FOREIGN DATA WRAPPER topk_redis OPTIONS (host '127.0.0.1', port '1');
CREATE USER MAPPING FOR PUBLIC SERVER k OPTIONS (bootstrap_servers 'x:1');
CREATE ROLE topk_regress_plain;
GRANT USAGE ON FOREIGN SERVER r TO topk_regress_plain;
SET ROLE topk_regress_plain;
CREATE USER MAPPING FOR topk_regress_plain SERVER r OPTIONS (password_file '/etc/passwd');
CREATE USER MAPPING FOR topk_regress_plain SERVER r OPTIONS (username 'u', password 'p');
DROP USER MAPPING FOR topk_regress_plain SERVER r;
RESET ROLE;

-- paths
SELECT path, topk.path_error(path) FROM unnest(ARRAY['a', 'a.b', 'a."b.c".d', '"a""b"', '', 'a.', '.a', 'a..b', 'a."b', 'a"b"',
    array_to_string(array_fill('x'::text, ARRAY[17]), '.')]) path;

-- sources
SELECT topk.create_source('a b', server => 'k', topic => 't');
SELECT topk.create_source('all', server => 'k', topic => 't');
SELECT topk.create_source(NULL, server => 'k', topic => 't');
SELECT topk.create_source('s', server => 'nowhere', topic => 't');
SELECT topk.create_source('s', server => 'r', topic => 't');
SELECT topk.create_source('s', server => 'k', topic => 'a b');
SELECT topk.create_source('s', server => 'k', topic => 't', start_at => 'now');
SELECT topk.create_source('s', server => 'k', topic => 't', workers => 0);
SELECT topk.create_source('s', server => 'k', topic => 't', k => -1);
SELECT topk.create_source('s', server => 'k', topic => 't', k => 100, capacity => 50);
SELECT topk.create_source('s', server => 'k', topic => 't', time_path => 'a..b');
SELECT topk.create_source('s', server => 'k', topic => 't', event_type_path => NULL);
SELECT topk.create_source('s', server => 'k', topic => 't', flush_interval => '1 month');
SELECT topk.create_source('s', server => 'k', topic => 't', out_of_orderness => '-1 second');
SELECT topk.create_source('s', server => 'k', topic => 't', pane_size => '7 minutes');
SELECT topk.create_source('s', server => 'k', topic => 't', pane_size => '40 seconds');
SELECT topk.create_source('s', server => 'k', topic => 't', pane_size => '90 seconds');
SELECT count(*) FROM topk.source;
SELECT topk.create_source('s', server => 'k', topic => 't') > 0 AS created;
SELECT topk.create_source('s', server => 'k', topic => 't');
SELECT window_name, size, retention, redis_ttl FROM topk.source_window ORDER BY size;
SELECT state, lag, events FROM topk.stat_source;

-- rules
SELECT topk.create_rule('nowhere', event_type => 'e', item_type => 'i', item_path => 'p');
SELECT topk.create_rule('s', event_type => '', item_type => 'i', item_path => 'p');
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i i', item_path => 'p');
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => NULL);
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p.');
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p', weight => 0);
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p', dimensions => '["d"]');
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p', dimensions => '{"all": "x"}');
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p', dimensions => '{"d": 1}');
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p', dimensions => '{"d": "x..y"}');
SELECT count(*) FROM topk.rule;
SELECT config_version FROM topk.stat_source;
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p', dimensions => '{"d": "x"}') > 0 AS created;
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p');
SELECT config_version, state FROM topk.stat_source;

-- sinks
SELECT topk.create_sink('nowhere', server => 'r');
SELECT topk.create_sink('s', server => 'k');
SELECT topk.create_sink('s', server => 'r', k => 101);
SELECT topk.create_sink('s', server => 'r', window_key => 'topk:%window%');
SELECT topk.create_sink('s', server => 'r', window_key => 'topk:%window%:%dimension%:%minutes%:%colour%');
SELECT topk.create_sink('s', server => 'r', meta_key => 'meta:%window%:%dimension%:%minutes%:%value%');
SELECT topk.create_sink('s', server => 'r') > 0 AS created;
SELECT topk.create_source('s2', server => 'k', topic => 't') > 0 AS created;
SELECT topk.create_sink('s2', server => 'r');
SELECT name, window_key FROM topk.sink;
SELECT count(*) FROM topk.mirror('s');
SELECT topk.mirror('nowhere');
SELECT topk.redis_key('topk:%window%:%value%', 'window', 'a:b%value%', 'value', '{x}');

-- pause, workers, drop
SELECT topk.pause('s');
SELECT state FROM topk.stat_source WHERE source = 's';
SELECT topk.resume('s');
SELECT topk.set_parallelism('s', 65);
SELECT topk.set_parallelism('s', 2);
SELECT workers, config_version FROM topk.stat_source WHERE source = 's';
SELECT topk.drop_rule('s', 'x');
SELECT topk.drop_rule('s', 'e');
SELECT topk.drop_sink('x');
SELECT topk.drop_sink('s');
SELECT topk.drop_source('x');
SELECT topk.drop_source('s'), topk.drop_source('s2');
SELECT count(*) FROM topk.source;
SELECT relname FROM pg_class WHERE relname LIKE 'win\_%' AND relkind IN ('r', 'p') AND relnamespace = 'topk'::regnamespace ORDER BY 1;
DROP SERVER k;
DROP SERVER r;
DROP ROLE topk_regress_plain;
