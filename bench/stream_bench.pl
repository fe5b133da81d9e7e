#!/usr/bin/env perl
#
# How fast the whole pipeline drains a backlog, beside a bare consumer of the same topic in the same run.
#
#   scripts/as_postgres.sh scripts/tap.sh bench/stream_bench.pl :: [--quick] [--events N]
#
# Real Kafka, PostgreSQL and Redis on this machine; 5 M events of the reference's schema (342 bytes, Zipf 1.1 over a
# million items, 4 partitions, lz4, three item types, 1 % late, 10 minutes of event time), all windows, global, and
# Redis publishing on.  For 1 and 2 workers: events a second from the first to the last committed, CPU seconds per
# million events by process, resident peak of a worker, WAL bytes an event.  --quick: 200,000 events, to see that it works.

use strict;
use warnings;

use Getopt::Long;
use PostgreSQL::Test::Utils;
use POSIX       qw(sysconf _SC_CLK_TCK);
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Kafka;
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

# CPU seconds of each process so far, by what it is: {kind => seconds}.
sub cpu_by_kind
{
    my ($pipeline) = @_;
    my %cpu;
    for my $row (split /\n/, $pipeline->value('SELECT pid, backend_type FROM pg_stat_activity'))
    {
        my ($pid, $kind) = split /\|/, $row;
        open my $stat, '<', "/proc/$pid/stat" or next;
        my @fields = split ' ', (<$stat> =~ /\) (.*)/)[0];
        $cpu{ $kind =~ /^topk|walwriter|checkpointer/ ? $kind : 'other' } += ($fields[11] + $fields[12]) / sysconf(_SC_CLK_TCK);
    }
    return \%cpu;
}

sub peak_memory
{
    my ($pipeline) = @_;
    my $peak = 0;
    for my $pid (split /\n/, $pipeline->value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'topk worker'"))
    {
        open my $status, '<', "/proc/$pid/status" or next;
        local $/;
        my ($kb) = <$status> =~ /VmHWM:\s+(\d+)/;
        $peak = $kb if $kb > $peak;
    }
    return $peak / 1024;
}

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
    my $lsn = $pipeline->value('SELECT pg_current_wal_lsn()');
    my ($first, $first_events, $last, $seen) = (0, 0, 0, 0);
    while ($seen < $events)
    {
        my ($read, $at) = split /\|/, $pipeline->value('SELECT coalesce(sum(events), 0), coalesce(extract(epoch FROM max(updated_at)), 0) FROM topk.partition');
        ($first, $first_events) = ($at, $read) if !$first && $read > 0;
        ($seen, $last) = ($read, $at);
        sleep 0.1;
    }
    my $cpu = cpu_by_kind($pipeline);
    sleep 2;    # closing and publishing go on
    my %later = %{ cpu_by_kind($pipeline) };
    $cpu->{$_} = $later{$_} for keys %later;
    my $result = {
        rate   => $last > $first ? ($events - $first_events) / ($last - $first) : 0,
        cpu    => { map { $_ => $cpu->{$_} / $events * 1e6 } keys %{$cpu} },
        memory => peak_memory($pipeline),
        wal    => $pipeline->value("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '$lsn')") / $events,
        panes  => $pipeline->value('SELECT count(*) FROM topk.list'),
    };
    is($pipeline->value('SELECT sum(events) FROM topk.partition'), $events, "$workers workers: every event was read once");
    $pipeline->node->stop;
    return $result;
}

sub machine
{
    my ($cpu) = `cat /proc/cpuinfo` =~ /model name\s*:\s*(.*)/;
    my $cores = () = `cat /proc/cpuinfo` =~ /^processor/mg;
    chomp(my $postgres = `postgres --version`);
    my ($rdkafka) = `kcat -V` =~ /librdkafka ([\d.]+)/;
    return "$cores x $cpu; $postgres; librdkafka $rdkafka; Apache Kafka 4.3.1 and Redis on the same machine";
}

note machine();
for my $round (1 .. $rounds)
{
    my $floor = floor();
    note sprintf 'floor: %.0f events/s, %.2f CPU s per million', $floor->{rate}, $floor->{cpu};
    for my $workers (1, 2)
    {
        my $r = drain($workers, $round);
        my $ours = 0;
        $ours += $r->{cpu}{$_} for grep { /^topk/ } keys %{ $r->{cpu} };
        note sprintf '%d worker%s: %.0f events/s (%.2f of the floor), CPU s per million: %.2f ours (%s), worker peak %.0f MB, WAL %.2f bytes an event, %d lists',
          $workers, $workers > 1 ? 's' : '', $r->{rate}, $r->{rate} / $floor->{rate}, $ours,
          join(', ', map { sprintf '%s %.2f', $_, $r->{cpu}{$_} } sort keys %{ $r->{cpu} }), $r->{memory}, $r->{wal}, $r->{panes};
    }
}
done_testing();
