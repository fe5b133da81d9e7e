#!/usr/bin/env perl
#
# How fast the whole pipeline drains a backlog, beside a bare consumer of the same topic in the same run.
#
#   scripts/as_postgres.sh scripts/tap.sh bench/stream_bench.pl :: [--quick] [--events N]
#
# Real Kafka, PostgreSQL and Redis on this machine; 5 M events of the reference's schema (342 bytes, Zipf 1.1 over a
# million items, 4 partitions, lz4, three item types, 1 % late, 10 minutes of event time), all windows, global, and
# Redis publishing on.  For 1 and 2 workers: events a second from the claim of the partitions until all is committed,
# CPU seconds per million events by process, resident peak of a worker, WAL bytes an event.  --quick: 200,000 events,
# to see that it works.

use strict;
use warnings;

use Getopt::Long;
use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Kafka;
use TopK::Test::Measure qw(drain_rate cpu_by_kind our_cpu main_cpu broker_cpu peak_memory wal_position wal_since machine);
use TopK::Test::Pipeline;
use TopK::Test::Redis;
use TopK::Test::Tools qw(tool capture);

my ($quick, $events, $rounds) = (0, 5_000_000, 2);
GetOptions('quick' => \$quick, 'events=i' => \$events, 'rounds=i' => \$rounds) or die "see the head of this file\n";
($events, $rounds) = (200_000, 1) if $quick;

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka", heap => '1g');
my $redis = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 4);
note 'making events';
$kafka->generate('events', '--events' => $events, '--start' => '2025-03-01T10:00:00Z', '--span' => 600, '--disorder' => 5,
    '--late' => 0.01);

sub floor
{
    my ($count, $seconds, $cpu) = capture(tool('consume_floor'), $kafka->bootstrap, 'events', 4) =~ /messages=(\d+) seconds=([\d.]+) cpu=([\d.]+)/;
    return { rate => $count / $seconds, cpu => $cpu / $count * 1e6 };
}

# The topic once through a fresh pipeline.
sub drain
{
    my ($workers, $round) = @_;
    my $pipeline = TopK::Test::Pipeline->new("w${workers}r$round", kafka => $kafka, redis => $redis, conf => "shared_buffers = 512MB\n");
    $redis->command('FLUSHALL');
    $pipeline->setup(source => { workers => $workers });
    $pipeline->value("CHECKPOINT");
    my $from = wal_position($pipeline);
    my $broker = broker_cpu($kafka);
    my $rate   = drain_rate($pipeline, $events);
    my $cpu    = cpu_by_kind($pipeline);
    $broker = broker_cpu($kafka) - $broker;
    # closing and publishing go on
    $pipeline->wait_for('SELECT count(*) FROM topk.source s, topk.closable(s.source_id, topk.source_watermark(s.source_id))', 0);
    sleep 2;
    my %later = %{ cpu_by_kind($pipeline) };
    $cpu->{$_} = $later{$_} for keys %later;
    my $main = main_cpu($pipeline, 'topk worker');
    my $wal = wal_since($pipeline, $from);
    my $result = {
        rate   => $rate,
        cpu    => { map { $_ => $cpu->{$_} / $events * 1e6 } keys %{$cpu} },
        main   => $main / $events * 1e6,
        broker => $broker / $events * 1e6,
        memory => peak_memory($pipeline, 'topk worker'),
        wal    => ($wal->{all} - $wal->{images}) / $events,
        images => $wal->{images} / $events,
        panes  => $pipeline->value('SELECT count(*) FROM topk.list'),
    };
    is($pipeline->value('SELECT sum(events) FROM topk.partition'), $events, "$workers workers: every event was read once");
    $pipeline->node->stop;
    return $result;
}

note machine();
for my $round (1 .. $rounds)
{
    my $floor = floor();
    note sprintf 'floor: %.0f events/s, %.2f CPU s per million', $floor->{rate}, $floor->{cpu};
    for my $workers (1, 2)
    {
        my $r = drain($workers, $round);
        note sprintf '%d worker%s: %.0f events/s (%.2f of the floor), CPU s per million: %.2f ours (%s; of the workers %.2f in the main threads, %.2f in those of librdkafka), %.2f the broker; worker peak %.0f MB, WAL %.2f bytes an event and %.2f of full-page images, %d lists',
          $workers, $workers > 1 ? 's' : '', $r->{rate}, $r->{rate} / $floor->{rate}, our_cpu($r->{cpu}),
          join(', ', map { sprintf '%s %.2f', $_, $r->{cpu}{$_} } sort keys %{ $r->{cpu} }), $r->{main}, $r->{cpu}{'topk worker'} - $r->{main}, $r->{broker}, $r->{memory}, $r->{wal}, $r->{images}, $r->{panes};
    }
}
done_testing();
