# The main job, end to end: a million events of the reference's schema from Apache Kafka to PostgreSQL to Redis,
# every window of every list against an independent recount of the topic; with a restart of PostgreSQL in the
# middle, malformed messages, and what is mapped into an ordinary backend.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;

my $events = $ENV{TOPK_TEST_EVENTS} // 1_000_000;
my $dir    = PostgreSQL::Test::Utils::tempdir_short();
my $kafka  = TopK::Test::Kafka->start("$dir/kafka");
my $redis  = TopK::Test::Redis->start("$dir/redis");

# 12 minutes of event time on 4 partitions, 5 s of disorder, Zipf 1.1 over a million items.
$kafka->create_topic('events', 4);
$kafka->generate('events', '--events' => $events, '--start' => '2025-03-01T10:00:00Z', '--span' => 720, '--disorder' => 5,
    '--malformed' => 0.001, '--no-rule' => 0.01, '--no-item' => 0.01);

my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis);
my $started  = time;
$pipeline->setup(source => { idle_timeout => '5 seconds' });
$pipeline->wait_until_flushed;
note sprintf '%d events flushed after %.1f s', $events, time - $started;

my $summary = $pipeline->recount;
is($pipeline->value('SELECT state, lag, events FROM topk.stat_source'), "running|0|$events", 'all events are read');
$pipeline->wait_until_closed('1-minute');
compare_counts($pipeline, $summary);
compare_windows($pipeline);
compare_global($pipeline);
is($pipeline->value("SELECT count(*) FROM topk.top_items WHERE rank = 1 AND dimension = 'all' AND window_name = '1-minute'"),
    $pipeline->value("SELECT count(*) FROM oracle.list WHERE dimension = 'all' AND window_name = '1-minute'"),
    'each minute has a top list');

# A quiet topic: the watermark goes on with the wall clock, and the last minutes become final.
$pipeline->wait_for("SELECT count(*) FROM topk.top_items WHERE window_name = '1-minute' AND NOT final", 0);
is($pipeline->value('SELECT count(*) FROM topk.live l JOIN topk.list USING (list_id) WHERE NOT sealed'), 0,
    'all panes are sealed');
compare_windows($pipeline);
compare_redis($pipeline, $redis, 'clicks', 720);

# Restart in the middle of a stream, some of it late: nothing lost, nothing twice.
my $log = "$dir/generate.log";
$kafka->generate_in_background('events', $log, '--events' => $events / 2, '--rate' => 100_000, '--seed' => 2,
    '--start' => '2025-03-01T10:12:00Z', '--span' => 300, '--disorder' => 5, '--late' => 0.01);
for my $mode ('fast', 'immediate')
{
    my $read = $pipeline->value('SELECT sum(events) FROM topk.partition') + $events / 10;
    $pipeline->wait_for("SELECT sum(events) >= $read FROM topk.partition", 't');
    $pipeline->node->restart if $mode eq 'fast';
    $pipeline->node->stop('immediate'), $pipeline->node->start if $mode eq 'immediate';
}
my $whole = $events + $events / 2;
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', $whole);
$summary = $pipeline->recount;
is($summary->{events}, $whole, 'the topic holds both streams');
cmp_ok($summary->{late}, '>', 0, '... and late events');
compare_counts($pipeline, $summary);
compare_windows($pipeline);
compare_global($pipeline);
cmp_ok($pipeline->value('SELECT max(revision) FROM topk.win_state'), '>', 1, 'late events have changed final windows');
compare_redis($pipeline, $redis, 'clicks', 1200);

# What stays out of ordinary backends.
my $maps = $pipeline->value("SELECT pg_read_file('/proc/' || pg_backend_pid() || '/maps')");
unlike($maps, qr/rdkafka|hiredis|simdjson/, 'no client library is mapped into an ordinary backend');
like($maps, qr/topk_bridge/, '... which has the preloaded library');
my $libraries = $pipeline->value('SHOW dynamic_library_path') eq '$libdir' ? `pg_config --pkglibdir` : '';
chomp $libraries;
for my $library ('topk', 'topk_bridge')
{
    my @foreign = grep { !m{linux-vdso|/ld-linux|libc\.so|libm\.so} } map { /^\s*(\S+)/ ? $1 : () } `ldd $libraries/$library.so`;
    is("@foreign", '', "$library.so needs libc and libm only");
}

$pipeline->node->stop;
done_testing();
