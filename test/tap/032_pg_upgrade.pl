# pg_upgrade, with the real program, into a new cluster of the same major version: nothing is lost, nothing runs until
# topk.adopt(), and then the new cluster reads on where the old one stopped.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;
use TopK::Test::Tools qw(capture);

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
my $redis = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 2);
my $pipeline = TopK::Test::Pipeline->new('old', kafka => $kafka, redis => $redis);
my $old      = $pipeline->node;
$pipeline->setup(
    tenants => [ { tenant => 'tenant-1', items_per_second => 5 } ],
    source  => { idle_timeout => '2 seconds', out_of_orderness => '2 seconds', tenant_path => 'metadata.tenant' });

sub generate
{
    my ($hour, $events) = @_;
    $kafka->generate('events', '--events' => $events, '--partitions' => 2, '--items' => 200, '--tenants' => 3, '--malformed' => 0.02, '--seed' => $hour,
        '--start' => "2025-03-01T$hour:00:00Z", '--span' => 300);
    $pipeline->wait_until_flushed;
    return;
}

generate(10, 20_000);
$pipeline->wait_for("SELECT count(*) FROM topk.top_items WHERE window_name = '1-minute' AND NOT final", 0);
compare_redis($pipeline, $redis, 'clicks', 600);

# All that is counted and configured, and who may what.
my $state = <<'SQL';
SELECT concat_ws(' ', window_name, window_start, tenant, item_type, dimension, value, topk_total(sketch)) FROM topk.window_sketch ORDER BY 1;
SELECT concat_ws(' ', partition, next_offset, watermark, events, counted, dead_letters, over_quota) FROM topk.partition ORDER BY 1;
SELECT concat_ws(' ', partition, kafka_offset, reason, payload) FROM topk.dead_letter ORDER BY 1;
SELECT concat_ws(' ', relname, relrowsecurity, coalesce(relacl, acldefault((CASE relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", relowner)), relkind) FROM pg_class WHERE relnamespace = 'topk'::regnamespace ORDER BY 1;
SELECT concat_ws(' ', oid::regprocedure, proacl, prosecdef, proconfig) FROM pg_proc WHERE pronamespace = 'topk'::regnamespace ORDER BY 1;
SELECT concat_ws(' ', polrelid::regclass, polname, polroles::regrole[], pg_get_expr(polqual, polrelid)) FROM pg_policy ORDER BY 1;
TABLE topk.tenant; TABLE topk.source_window; TABLE topk.rule;
SQL
my $before = $pipeline->value($state);
like($before, qr/bad_json/, 'there is a state to be kept');
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$new->append_conf('postgresql.conf', slurp_file($old->data_dir . '/postgresql.conf') =~ /^(shared_preload_libraries.*?)^TimeZone/ms);
my $bin = capture('pg_config', '--bindir');
mkdir "$dir/upgrade";
chdir "$dir/upgrade";    # pg_upgrade before 15 writes where it is
command_ok([ 'pg_upgrade', '--no-sync', '-b' => $bin, '-B' => $bin, '-d' => $old->data_dir, '-D' => $new->data_dir, '-s' => $new->host,
        '-p' => $old->port, '-P' => $new->port ], 'pg_upgrade succeeds with the bridge preloaded in both clusters');
$new->start;
$pipeline->use_node($new);
is($pipeline->value($state), $before, 'configuration, state and rights are those of before');
is($pipeline->value('SELECT state FROM topk.stat_source'), 'not adopted', 'the source does not run');
is($pipeline->value('SELECT state FROM topk.stat_sink'),   'not adopted', '... nor does its sink');
sleep 2;
is($pipeline->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ '^topk (worker|publisher)'"), 0, '... no process of theirs is there');

$pipeline->value('SELECT topk.adopt()');
generate(11, 10_000);
is($pipeline->value('SELECT sum(events) FROM topk.partition'), 30_000, 'adopted, it reads on from its offsets');
my $summary = $pipeline->recount;
compare_counts($pipeline, $summary);
compare_windows($pipeline);
compare_global($pipeline);
compare_redis($pipeline, $redis, 'clicks', 3600);
is($pipeline->value('SELECT count(*) FROM topk.stat_sink WHERE last_error IS NOT NULL'), 0, '... and its fences are higher than those of the old cluster');

$new->stop;
done_testing();
