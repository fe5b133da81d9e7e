# The processes and their database: each comes back when it was ended; the database can be copied, renamed and dropped
# under load; the extension can be dropped; nothing runs under pg_upgrade's server.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;
use TopK::Test::Server qw(stop_process);

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
my $redis = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 2);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis);
my $node     = $pipeline->node;
$pipeline->setup(source => { workers => 2, idle_timeout => '2 seconds', out_of_orderness => '5 seconds', flush_interval => '100 milliseconds' });
my $generator = $kafka->generate_in_background('events', "$dir/generate.log", '--seconds' => 300, '--rate' => 2000, '--partitions' => 2,
    '--items' => 500, '--disorder' => 3);

my @types = map { "topk $_" } qw(launcher manager worker closer publisher);

sub pids
{
    my ($type) = @_;
    return split /\n/, $pipeline->value("SELECT pid FROM pg_stat_activity WHERE backend_type = '$type' ORDER BY pid");
}

# Until the events that a database has read grow.
sub reads_on
{
    my ($database, $what) = @_;
    my $read = $node->safe_psql($database, 'SELECT coalesce(sum(events), 0) FROM topk.partition');
    ok($node->poll_query_until($database, "SELECT coalesce(sum(events), 0) > $read + 1000 FROM topk.partition"), $what);
    return;
}

# From template1, as an administrator would; returns how long it took.
sub administer
{
    my ($sql, $what) = @_;
    my $began = time;
    my ($status, undef, $error) = $node->psql('template1', $sql);
    is($status, 0, $what) or diag $error;
    return time - $began;
}

reads_on('postgres', 'the pipeline runs');

# Each process is started again.
for my $type (@types)
{
    my %old = map { $_ => 1 } pids($type);
    $pipeline->value("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = '$type'");
    my $due = $type eq 'topk manager' ? 1 : keys %old;    # one more may stand by after the launcher's end
    my $end = time + 15;
    my @new;
    while (@new < $due && time < $end)
    {
        sleep 0.1;
        @new = grep { !$old{$_} } pids($type);
    }
    is(scalar @new, $due, "$type: started again after it was ended");
}
reads_on('postgres', 'the pipeline goes on');

# Settings are taken over without a restart.
$pipeline->value("ALTER SYSTEM SET topk.database_scan_interval = '7s'");
$pipeline->value("ALTER SYSTEM SET topk.pane_memory = '2MB'");
$pipeline->value('SELECT pg_reload_conf()');
$pipeline->wait_for("SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN ('topk.database_scan_interval', 'topk.pane_memory')", '7 2048');
reads_on('postgres', 'settings can be changed while it runs');

# A copy, a new name: the processes step aside, and come back.
cmp_ok(administer('CREATE DATABASE copied TEMPLATE postgres', 'the database can be copied while it consumes'), '<', 20, '... in good time');
reads_on('postgres', '... and goes on');
is($node->safe_psql('copied', 'SELECT state FROM topk.stat_source'), 'not adopted', '... the copy does not run');
administer('ALTER DATABASE postgres RENAME TO renamed', 'the database can be renamed while it consumes');
reads_on('renamed', '... and goes on');
administer('ALTER DATABASE renamed RENAME TO postgres', '... and back');
reads_on('postgres', '... and goes on');

# A second database, dropped while it consumes.
sub make_busy
{
    $node->safe_psql('postgres', 'CREATE DATABASE busy TEMPLATE template0');
    my $bootstrap = $kafka->bootstrap;
    my $port      = $redis->port;
    $node->safe_psql('busy', <<"SQL");
CREATE EXTENSION topk;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '$bootstrap');
CREATE SERVER r FOREIGN DATA WRAPPER topk_redis OPTIONS (port '$port', db '1');
BEGIN;
SELECT topk.create_source('busy', server => 'k', topic => 'events', flush_interval => '100 milliseconds');
SELECT topk.create_rule('busy', event_type => 'page_view', item_type => 'url', item_path => 'payload.url');
SELECT topk.create_sink('busy', server => 'r');
COMMIT;
SQL
    reads_on('busy', 'a second database consumes');
    return;
}

make_busy();
cmp_ok(administer('DROP DATABASE busy', 'DROP DATABASE succeeds while it consumes'), '<', 6, '... within its wait');
make_busy();
administer('DROP DATABASE busy WITH (FORCE)', 'so does DROP DATABASE with FORCE');
make_busy();
$node->safe_psql('busy', 'DROP EXTENSION topk CASCADE');
ok( $node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'busy' AND backend_type ~ '^topk (manager|worker|closer|publisher)'"),
    'DROP EXTENSION while it consumes ends all of its processes');
$node->safe_psql('busy', 'CREATE EXTENSION topk');
is($node->safe_psql('busy', 'SELECT count(*) FROM topk.source'), 0, '... and it can be created again');
is(scalar(my @panics = slurp_file($node->logfile) =~ /PANIC|was terminated by signal/g), 0, 'no process crashed');

# Under pg_upgrade's server nothing consumes.
stop_process($generator, 'TERM');
$pipeline->wait_until_flushed;
$node->stop;
command_ok([ 'pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile, '-o', '-b', 'start' ], 'a server for binary upgrades starts');
sleep 3;
is($pipeline->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'topk%'"), 0, '... without any process of topk');
command_ok([ 'pg_ctl', '-w', '-D', $node->data_dir, 'stop' ], '... and stops');
$node->start;

# All of that lost nothing and counted nothing twice.
$pipeline->wait_for("SELECT state FROM topk.stat_source", 'running');
my $summary = $pipeline->recount;
compare_counts($pipeline, $summary);
compare_global($pipeline);
compare_redis($pipeline, $redis, 'clicks', 600);

$node->stop;
done_testing();
