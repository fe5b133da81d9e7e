#!/usr/bin/env perl
#
# What a small stream costs with default settings: WAL a day, CPU a second, memory, connections.
#
#   scripts/as_postgres.sh scripts/tap.sh bench/small_bench.pl :: [--rates 0,100,1000] [--seconds 180]
#
# Real Kafka, PostgreSQL and Redis on this machine; events of the reference's schema, Zipf 1.1 over a million items,
# 4 partitions, 2 dimensions and `all`, three item types, times of the wall clock, Redis publishing on.  Each rate
# runs for so many seconds of real time after a warm-up of 75, so that minutes are closed on the way.  WAL is told
# with and without full-page images, whose number depends on how often checkpoints come.  Rate 0: the pipeline idles.

use strict;
use warnings;

use Getopt::Long;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Kafka;
use TopK::Test::Measure qw(cpu_by_kind our_cpu resident_memory wal_position wal_since machine);
use TopK::Test::Pipeline;
use TopK::Test::Redis;
use TopK::Test::Server qw(spawn stop_process);
use TopK::Test::Tools  qw(tool);

use constant WARM_UP => 75;

my ($rates, $seconds) = ('0,100,1000', 180);
GetOptions('rates=s' => \$rates, 'seconds=i' => \$seconds) or die "see the head of this file\n";

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
my $redis = TopK::Test::Redis->start("$dir/redis");

sub start_load
{
    my ($topic, $rate) = @_;
    return spawn("$dir/gen.log", tool('topk_gen'), '--quiet', '--brokers', $kafka->bootstrap, '--topic', $topic,
        '--rate', $rate, '--seconds', 86400, '-X', 'linger.ms=5');
}

sub measure
{
    my ($rate) = @_;
    my $topic = "rate$rate";
    $kafka->create_topic($topic, 4);
    $kafka->generate($topic, '--events' => 1000);    # so that all lists exist
    my $pipeline = TopK::Test::Pipeline->new($topic, kafka => $kafka, redis => $redis);
    $redis->command('FLUSHALL');
    $pipeline->setup(topic => $topic);
    $pipeline->wait_until_flushed;
    my $load = $rate > 0 ? start_load($topic, $rate) : undef;
    sleep WARM_UP;

    $pipeline->value('CHECKPOINT');
    my ($from, $cpu, $start) = (wal_position($pipeline), cpu_by_kind($pipeline), time);
    my $events = $pipeline->value('SELECT sum(events) FROM topk.partition');
    sleep $seconds;
    my ($wal, $later, $took) = (wal_since($pipeline, $from), cpu_by_kind($pipeline), time - $start);
    $events = $pipeline->value('SELECT sum(events) FROM topk.partition') - $events;
    cmp_ok($events, '>=', 0.9 * $rate * $seconds, "$rate events/s were read");

    my $per_day = 86400 / $took / 1e9;
    note sprintf '%d events/s: WAL %.2f GB a day (%.2f without full-page images, %.0f bytes an event), CPU %.1f ms a second of ours (%s), '
      . 'worker %.0f MB, %d connections', $rate, $wal->{all} * $per_day, ($wal->{all} - $wal->{images}) * $per_day,
      $events ? ($wal->{all} - $wal->{images}) / $events : 0, (our_cpu($later) - our_cpu($cpu)) / $took * 1000,
      join(', ', map { sprintf '%s %.1f', $_, ($later->{$_} - ($cpu->{$_} // 0)) / $took * 1000 } grep { /^topk/ } sort keys %{$later}),
      resident_memory($pipeline, 'topk worker'), $pipeline->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'topk%'");
    stop_process($load, 'TERM') if $load;
    $pipeline->node->stop;
    return;
}

note machine();
measure($_) for split /,/, $rates;
done_testing();
