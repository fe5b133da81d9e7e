# Faults under load: processes of the bridge killed, the broker killed and frozen, Redis emptied and killed, the server
# stopped hard.  Afterwards every count is that of a recount, and Redis is what topk.mirror says.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;

my $events = 600_000;
my $dir    = PostgreSQL::Test::Utils::tempdir_short();
my $kafka  = TopK::Test::Kafka->start("$dir/kafka");
my $redis  = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 4);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis);
$pipeline->setup(source => { workers => 2, idle_timeout => '5 seconds', flush_interval => '200 milliseconds' });
$kafka->generate_in_background('events', "$dir/generate.log", '--events' => $events, '--rate' => 15_000, '--items' => 2000,
    '--start' => '2025-03-01T10:00:00Z', '--span' => 600, '--disorder' => 5, '--late' => 0.005, '--malformed' => 0.0005);

sub kill_process
{
    my ($type) = @_;
    my ($pid) = split /\n/, $pipeline->value("SELECT pid FROM pg_stat_activity WHERE backend_type = '$type'");
    return $pid ? kill 'KILL', $pid : 0;
}

# The server ends its other backends and recovers when one of them is killed.
sub wait_for_server
{
    $pipeline->wait_for("SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'topk worker'", 't', 60);
    return;
}

my @faults = (
    [ 'a worker is killed',        sub { kill_process('topk worker');    wait_for_server() } ],
    [ 'Redis is emptied',          sub { $redis->command('FLUSHALL') } ],
    [ 'the broker is killed',      sub { $kafka->kill_node(1);           sleep 2; $kafka->start_node(1) } ],
    [ 'a closer is killed',        sub { kill_process('topk closer');    wait_for_server() } ],
    [ 'Redis is killed',           sub { $redis->kill9;                  sleep 2; $redis->restart } ],
    [ 'the broker is frozen',      sub { $kafka->freeze_node(1);         sleep 4; $kafka->thaw_node(1) } ],
    [ 'the launcher is killed',    sub { kill_process('topk launcher');  wait_for_server() } ],
    [ 'the server stops hard',     sub { $pipeline->node->stop('immediate'); $pipeline->node->start; wait_for_server() } ],
    [ 'a worker is terminated',    sub { $pipeline->value("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'topk worker'") } ],
);
my $step = 0;
for my $fault (@faults)
{
    my $read = ++$step * $events / 25;
    $pipeline->wait_for("SELECT coalesce(sum(events), 0) >= $read FROM topk.partition", 't');
    note "$fault->[0], " . $pipeline->value('SELECT sum(events) FROM topk.partition') . ' events read';
    $fault->[1]->();
}
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', $events, 180);
pass('all events were read, through ' . @faults . ' faults');
$pipeline->wait_for("SELECT count(*) FROM topk.top_items WHERE window_name = '1-minute' AND NOT final", 0);
my $summary = $pipeline->recount;
is($summary->{events}, $events, 'the topic holds each event once');
compare_counts($pipeline, $summary);
compare_windows($pipeline);
compare_global($pipeline);
compare_redis($pipeline, $redis, 'clicks', 600);
is($pipeline->value("SELECT state FROM topk.stat_source"), 'running', 'the source runs');

$pipeline->node->stop;
done_testing();
