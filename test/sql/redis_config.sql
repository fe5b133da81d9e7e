-- Servers and sinks for Redis: which options go together, key templates of a cluster, topk.resync_sink.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
SET search_path = public;

-- options that go together
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (nodes 'a:1');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (cluster 'true', nodes 'a:1,b');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (cluster 'true', nodes 'a:1,');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (cluster 'true', nodes 'a:1', db '1');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (cluster 'true', sentinels 'a:1', sentinel_master 'm');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (cluster 'perhaps');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (sentinels 'a:1, b:2');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (sentinel_master 'm');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (sentinels 'a:99999', sentinel_master 'm');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (tls 'on');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (tls 'on', tls_ca_file 'ca.pem', tls_cert_file 'c.pem');
CREATE SERVER bad FOREIGN DATA WRAPPER topk_redis OPTIONS (sentinel_password 'x');
CREATE SERVER plain FOREIGN DATA WRAPPER topk_redis OPTIONS (host 'a');
CREATE SERVER cluster FOREIGN DATA WRAPPER topk_redis OPTIONS (cluster 'true', nodes 'a:1, [::1]:2,b:3', db '0');
CREATE SERVER watched FOREIGN DATA WRAPPER topk_redis OPTIONS (sentinels 'a:1,b:2', sentinel_master 'm', db '1');
CREATE SERVER safe FOREIGN DATA WRAPPER topk_redis OPTIONS (host 'a', tls 'on', tls_ca_file 'ca', tls_cert_file 'c', tls_key_file 'k');
ALTER SERVER cluster OPTIONS (SET db '2');
ALTER SERVER plain OPTIONS (ADD nodes 'a:1');
CREATE USER MAPPING FOR PUBLIC SERVER watched OPTIONS (username 'u', password 'p', sentinel_username 'su', sentinel_password 'sp');

-- files are for superusers
CREATE ROLE topk_test_reader;
GRANT USAGE ON FOREIGN DATA WRAPPER topk_redis TO topk_test_reader;
SET ROLE topk_test_reader;
CREATE SERVER theirs FOREIGN DATA WRAPPER topk_redis OPTIONS (tls 'on', tls_ca_file '/etc/passwd');
CREATE SERVER theirs FOREIGN DATA WRAPPER topk_redis OPTIONS (host 'a');
RESET ROLE;
DROP SERVER theirs;
REVOKE USAGE ON FOREIGN DATA WRAPPER topk_redis FROM topk_test_reader;
DROP ROLE topk_test_reader;

-- templates: a zset and its hash share a slot
SELECT topk.hash_tag(t) FROM unnest(ARRAY['a', 'a{b}c', 'a{}b{c}', 'a{b{c}d}', '{a}', 'a{b}c{d}', 'a}b{c}']) t;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
SELECT topk.create_source('s', server => 'k', topic => 't') > 0 AS created;
SELECT topk.create_sink('s', server => 'cluster') > 0 AS created;
SELECT topk.create_sink('s', server => 'plain', name => 'p') > 0 AS created;
SELECT name, window_key, meta_key, item_key, global_key, global_meta_key, sweep_interval FROM topk.sink ORDER BY name;
SELECT topk.alter_sink('s', window_key => 'topk:%window%:%dimension%:%minutes%');
SELECT topk.alter_sink('s', window_key => 'topk:{%window%}:%dimension%:%minutes%');
SELECT topk.alter_sink('s', meta_key => 'meta:%window%:%dimension%:%minutes%');
SELECT topk.alter_sink('s', window_key => '%window%:%dimension%:%minutes%:{%tenant%}', meta_key => 'm:%window%:%dimension%:%minutes%:{%tenant%}');
SELECT topk.alter_sink('s', global_key => 'g:%item_type%', reset => '{global_meta_key}');
SELECT topk.alter_sink('s', global_key => 'g:{%item_type%}', reset => '{global_meta_key}');
SELECT topk.alter_sink('s', window_key => '%window%:%dimension%:%minutes%:{t%tenant%}', meta_key => 'm:%window%:%dimension%:%minutes%:{t%tenant%}');
SELECT topk.alter_sink('s', reset => '{global_key,item_key,sweep_interval}');
SELECT name, window_key, meta_key, item_key, global_key, global_meta_key, sweep_interval FROM topk.sink WHERE name = 's';
SELECT topk.alter_sink('s', sweep_interval => '1 millisecond');
SELECT topk.alter_sink('s', sweep_interval => '1 hour');
SELECT topk.create_sink('s', server => 'cluster', name => 'two', window_key => 'x:%window%:%dimension%:%minutes%');

-- everything anew
CREATE TEMP TABLE before AS SELECT name, incarnation FROM topk.sink;
SELECT topk.resync_sink('p');
SELECT topk.resync_sink('nobody');
SELECT name, s.incarnation > b.incarnation AS newer FROM topk.sink s JOIN before b USING (name) ORDER BY 1;
SELECT sink, state, mode, address, windows_waiting, delay, last_resync_at, keys_mended FROM topk.stat_sink ORDER BY 1;

SELECT topk.drop_source('s');
DROP SERVER k, plain, cluster, watched, safe CASCADE;
