# A reader that sits idle for a minute in a transaction over every table: flushes, closes, new leaves and the publisher do
# not wait for it; retention does, tries again, and catches up when it is gone.

use strict;
use warnings;

use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;
use TopK::Test::Server qw(stop_process);

use constant SIT_SECONDS => 62;     # retention is tried once a minute
use constant LOOK_SECONDS => 10;    # how long it is watched without the reader

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
my $redis = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 2);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis, conf => "log_min_messages = debug1\n");
my $node     = $pipeline->node;
$pipeline->setup(
    rules  => [ { event_type => 'page_view', item_type => 'url', item_path => 'payload.url', dimensions => { deviceType => 'payload.deviceType' } } ],
    source => { workers => 2, idle_timeout => '2 seconds', out_of_orderness => '2 seconds', flush_interval => '100 milliseconds' });
$pipeline->value("SELECT topk.alter_window('clicks', '1-minute', retention => '2 hours')");

my ($minutes) = $pipeline->value("SELECT window_id FROM topk.source_window WHERE window_name = '1-minute'");
my $ripe = "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid, topk.closer s
    WHERE inhparent = 'topk.win_$minutes'::regclass
    AND to_timestamp(split_part(relname, '_', 3) || '+00', 'YYYYMMDD\"t\"HH24MITZH') + interval '8 hours' <= s.watermark";

sub leaves { return split /\n/, $pipeline->value("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'topk.win_$minutes'::regclass"); }
sub gave_up { return scalar(my @lines = slurp_file($node->logfile) =~ /topk retention: canceling statement due to lock timeout/g); }

# Watches for some seconds; returns the longest that any worker, and the closer, were seen without a commit.
sub watch
{
    my ($seconds) = @_;
    my ($end, $flush, $close) = (time + $seconds, 0, 0);
    while (time < $end)
    {
        my ($since_flush, $since_close) = split /\|/, $pipeline->value('SELECT (SELECT extract(epoch FROM max(clock_timestamp() - last_flush_at)) FROM topk.stat_worker),
            (SELECT extract(epoch FROM clock_timestamp() - last_close_at) FROM topk.stat_source)');
        $flush = max($flush, $since_flush);
        $close = max($close, $since_close);
        sleep 0.1;
    }
    return ($flush, $close);
}

# A quarter of an hour of event time in a second.
$kafka->generate('events', '--start' => '2025-03-01T00:00:00Z', '--span' => 15 * 3600, '--events' => 20_000, '--partitions' => 2, '--items' => 200);
$pipeline->wait_until_flushed;
my $generator = $kafka->generate_in_background('events', "$dir/generate.log", '--start' => '2025-03-01T15:00:00Z', '--rate' => 1000, '--events' => 180_000,
    '--span' => 180 * 900, '--partitions' => 2, '--items' => 200, '--seed' => 2);
$pipeline->wait_for('SELECT last_close_at IS NOT NULL FROM topk.stat_source', 't');
my @without = watch(LOOK_SECONDS);
note sprintf 'without a reader: at most %.2f s without a flush, %.2f s without a close', @without;

# REPEATABLE READ: it holds back the removal of dead rows, too.
my $reader = $node->background_psql('postgres');
my %before = map { $_ => 1 } leaves();
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$reader->query_safe('SELECT count(*) FROM topk.win, topk.source LIMIT 1');
$reader->query_safe("SELECT count(*) FROM topk.$_") for qw(live partition list archive win_state top_items_global);
my $held = $pipeline->value("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.state = 'idle in transaction' AND relation IN
    (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'topk.win_$minutes'::regclass)");
cmp_ok($held, '>', 0, "an idle reader has locks on $held leaves");
my $gave_up = gave_up();
my @with = watch(SIT_SECONDS);
note sprintf 'with it: %.2f s, %.2f s', @with;
cmp_ok($with[0], '<', 3, 'no flush waits for it');
cmp_ok($with[1], '<', 10, '... no close');
cmp_ok(scalar(grep { !$before{$_} } leaves()), '>=', 1, '... and no new leaf');
cmp_ok(gave_up(), '>', $gave_up, 'retention has tried, and given up');
cmp_ok($pipeline->value($ripe), '>', 0, '... leaves that are due are still there');
is($pipeline->value('SELECT count(*) FROM topk.stat_source WHERE last_error IS NOT NULL'), 0, '... which is no error');
$reader->query_safe('COMMIT');
$reader->quit;

stop_process($generator, 'TERM');
$pipeline->wait_until_flushed;
$pipeline->wait_for($ripe, 0, 90);
pass('retention catches up when the reader is gone');

my $summary = $pipeline->recount;
compare_counts($pipeline, $summary);
compare_global($pipeline);

$node->stop;
done_testing();
