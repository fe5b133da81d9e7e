# Copies of a database: a restored dump, and one made from a template, keep what was counted, and do not consume or
# publish until they are adopted.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
my $redis = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 2);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis);
my $node     = $pipeline->node;
$pipeline->setup(source => { idle_timeout => '2 seconds', out_of_orderness => '2 seconds' });
$kafka->generate('events', '--events' => 20_000, '--partitions' => 2, '--items' => 100, '--start' => '2025-03-01T10:00:00Z', '--span' => 300);
$pipeline->wait_until_flushed;
$pipeline->wait_for("SELECT count(*) FROM topk.top_items WHERE window_name = '1-minute' AND NOT final", 0);

my $totals  = "SELECT string_agg(concat_ws(' ', window_name, window_start, item_type, dimension, value, topk_total(sketch)), chr(10)
    ORDER BY window_name, window_start, item_type, dimension, value) FROM topk.window_sketch";
my $counted = $pipeline->value($totals);

# Who may do what: rights on tables, columns and functions, policies, and the tenants' roles.
$pipeline->value("CREATE ROLE acme IN ROLE topk_tenant; SELECT topk.create_tenant('clicks', 'acme', role => 'acme')");
$pipeline->value('REVOKE SELECT ON topk.partition FROM topk_reader');
my $rights = <<'SQL';
SELECT concat_ws(' ', relname, relrowsecurity, relacl) FROM pg_class WHERE relnamespace = 'topk'::regnamespace AND relkind <> 'i' ORDER BY 1;
SELECT concat_ws(' ', attrelid::regclass, attname, attacl) FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid::regclass::text LIKE 'topk.%' ORDER BY 1;
SELECT concat_ws(' ', oid::regprocedure, proacl, prosecdef, proconfig) FROM pg_proc WHERE pronamespace = 'topk'::regnamespace ORDER BY 1;
SELECT concat_ws(' ', polrelid::regclass, polname, polroles::regrole[], pg_get_expr(polqual, polrelid)) FROM pg_policy ORDER BY 1;
TABLE topk.tenant;
SQL
my $granted = $pipeline->value($rights);
like($granted, qr/list t /, 'row security is on');

# A dump keeps everything; it can be taken while the pipeline runs.
$node->command_ok([ 'pg_dump', '--file', "$dir/dump.sql", $node->connstr('postgres') ], 'the database can be dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/dump.sql", $node->connstr('restored') ], '... and restored');

# A template must have no connections.
$pipeline->value('ALTER SYSTEM SET topk.enabled = off');
$pipeline->value('SELECT pg_reload_conf()');
$pipeline->wait_for("SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type LIKE 'topk %'", 0);
$node->safe_psql('template1', 'CREATE DATABASE cloned TEMPLATE postgres');
$pipeline->value('ALTER SYSTEM RESET topk.enabled');
$pipeline->value('SELECT pg_reload_conf()');
$pipeline->wait_for('SELECT state FROM topk.stat_source', 'running');
pass('topk.enabled stops and starts all processes');

for my $copy ('restored', 'cloned')
{
    is($node->safe_psql($copy, $totals), $counted, "$copy: all windows are there");
    is($node->safe_psql($copy, $rights), $granted, '... and everybody may what he might');
    is($node->safe_psql($copy, 'SELECT state FROM topk.stat_source'), 'not adopted', '... its source does not run');
    is($node->safe_psql($copy, 'SELECT state FROM topk.stat_sink'),   'not adopted', '... nor does its sink');
    my ($status, undef, $error) = $node->psql($copy, "SELECT topk.create_source('another', server => 'k', topic => 'events')");
    like($error, qr/is a copy.*topk\.adopt/s, '... and no source can be created by mistake');
}
sleep 2;
is($pipeline->value("SELECT count(*) FROM pg_stat_activity WHERE datname IN ('restored', 'cloned') AND backend_type ~ 'worker|publisher'"), 0,
    'nothing runs in the copies');

# Adopted, a copy reads on from its own offsets and takes Redis over.
$pipeline->value("SELECT topk.pause('clicks')");
$pipeline->value("SELECT topk.drop_sink('clicks')");
$node->safe_psql('restored', 'SELECT topk.adopt()');
$kafka->generate('events', '--events' => 10_000, '--partitions' => 2, '--items' => 100, '--seed' => 2, '--start' => '2025-03-01T10:05:00Z', '--span' => 60);
ok($node->poll_query_until('restored', 'SELECT events = 30000 FROM topk.stat_source'), 'an adopted copy reads on');
ok($node->poll_query_until('restored', "SELECT state = 'running' AND last_publish_at > now() - interval '5 seconds' FROM topk.stat_sink"),
    '... and publishes');
is($pipeline->value('SELECT events FROM topk.stat_source'), 20_000, 'the original is paused');

$node->stop;
done_testing();
