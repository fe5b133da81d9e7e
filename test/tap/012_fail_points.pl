# A crash, and an error, at each fail point of the flush, the close, the roll-up and the publisher, under load.
# Afterwards every count is that of a recount, global included, and Redis is what topk.mirror says.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;
use TopK::Test::Tools qw(build_dir);

my @points = qw(
  claim_before_commit claim_after_commit intern_before_commit intern_after_commit
  flush_begin flush_after_partitions flush_before_commit flush_after_commit flush_after_kafka_commit
  leaves_before_commit close_before_commit close_after_commit retention_before_commit retention_after_commit
  publish_before_write publish_after_write publish_after_marker publish_before_commit publish_after_commit);

# What is installed has none of them; the variant has them all.
sub names_in
{
    my ($library) = @_;
    my $bytes = slurp_file($library);
    return grep { index($bytes, "$_\0") >= 0 } @points, 'topk.fail_points';
}

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
my $redis = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 2);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis, fail_points => 1);
my $libdir   = $pipeline->node->config_data('--pkglibdir');
is_deeply([ map { names_in("$libdir/$_.so") } qw(topk topk_bridge topk_worker) ], [], 'what is installed has no fail points');
is(scalar names_in(build_dir() . '/fail_points/topk_worker.so'), @points + 1, 'the test build has all');

$pipeline->setup(
    source => { idle_timeout => '2 seconds', out_of_orderness => '5 seconds', flush_interval => '100 milliseconds', workers => 2 });
# A batch is ten minutes, a year after the one before: each lets retention drop the leaves of the last, and roll
# up those of the coarsest window.
$pipeline->value("UPDATE topk.source_window SET retention = '1 minute'");
my $batch = 0;

sub first_of_year { my ($n) = @_; return sprintf '%d-01-01T10:00:00Z', 1970 + $n; }

sub produce_batch
{
    my $start = first_of_year(++$batch);
    $kafka->generate('events', '--events' => 4000, '--partitions' => 2, '--items' => 300, '--seed' => $batch, '--span' => 600,
        '--disorder' => 2, '--start' => $start);
    return;
}

# New data until each fail point has been reached.
sub run_faults
{
    my ($what, @lines) = @_;
    $pipeline->fail_at(@lines);
    while ($batch < 45 && $pipeline->faults_left)
    {
        produce_batch();
        eval { $pipeline->wait_for_faults(4) };
    }
    is($pipeline->faults_left, '', "$what at each fail point");
    return;
}

run_faults('an error', map { "$_=error*2" } @points);
run_faults('a crash',  map { "$_=crash*1" } @points);
run_faults('the end of the process', map { "$_=exit*1" } @points);

produce_batch();
$pipeline->wait_until_flushed;
$pipeline->wait_for("SELECT count(*) FROM topk.top_items WHERE window_name = '1-minute' AND NOT final", 0);
my $summary = $pipeline->recount;
is($summary->{events}, 4000 * $batch, 'the topic holds each event once');
compare_counts($pipeline, $summary);
compare_global($pipeline);
# The day of the last batch is the first that no publisher may have left behind.
my $last_day = $pipeline->value("SELECT extract(epoch FROM date_trunc('day', '" . first_of_year($batch) . "'::timestamptz, 'UTC'))::bigint / 60");
compare_redis($pipeline, $redis, 'clicks', 600, $last_day);
is($pipeline->value('SELECT count(*) > 0 FROM topk.archive'), 't', 'leaves were rolled up');
is($pipeline->value('SELECT state FROM topk.stat_source'), 'running', 'the source runs');

$pipeline->node->stop;
done_testing();
