#!/usr/bin/env perl
#
# How fresh results are: from producing an event to seeing it counted, in SQL and in Redis.
#
#   scripts/as_postgres.sh scripts/tap.sh bench/latency_bench.pl :: [--rate 50000] [--seconds 60] [--flush '1 second,100 milliseconds'] [--late 0.01]
#
# Real Kafka, PostgreSQL and Redis on this machine, under a live load of events of the reference's schema.  Probes go
# into one partition of the same topic twenty times a second; their item is the minute of sending, so that a count of
# n says that the first n of that minute are there.  Two pollers look every few milliseconds: one in the database
# (topk.top of the open hour), one in Redis (the zset of that hour).  A probe's latency runs from just before it is
# handed to the producer to the end of the query that first saw it.  Beside them what a flush takes, and how many rows
# of topk.live one writes.

use strict;
use warnings;

use Getopt::Long;
use IPC::Open2;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Kafka;
use TopK::Test::Measure qw(cpu_by_kind machine);
use TopK::Test::Pipeline qw(reference_rules);
use TopK::Test::Redis;
use TopK::Test::Server qw(spawn stop_process);
use TopK::Test::Tools  qw(tool);

my ($rate, $seconds, $flush, $workers, $late) = (50_000, 60, '1 second,100 milliseconds', 1, 0);
GetOptions('rate=i' => \$rate, 'seconds=i' => \$seconds, 'flush=s' => \$flush, 'workers=i' => \$workers, 'late=f' => \$late) or die "see the head of this file\n";

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka", heap => '1g');
my $redis = TopK::Test::Redis->start("$dir/redis");

# Watches the probes from inside the database, and notes each new count.
my $watch = <<'SQL';
CREATE TABLE seen (item text, count bigint, at timestamptz, PRIMARY KEY (item, count));
CREATE TABLE flush (at timestamptz PRIMARY KEY, ms double precision, rows bigint);
CREATE PROCEDURE watch(seconds integer) LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := clock_timestamp() + seconds * interval '1 second';
BEGIN
    WHILE clock_timestamp() < until LOOP
        INSERT INTO seen SELECT t.item, t.estimate, clock_timestamp() FROM topk.top('clicks', '1-hour', 'probe') t
        ON CONFLICT DO NOTHING;
        INSERT INTO flush SELECT w.last_flush_at, w.last_flush_ms, l.rows FROM topk.worker w,
            LATERAL (SELECT count(*) AS rows FROM topk.live GROUP BY version ORDER BY version DESC LIMIT 1) l
        WHERE w.worker = 0 AND w.last_flush_at > (SELECT coalesce(max(at), '-infinity') FROM flush);
        COMMIT;
        PERFORM pg_sleep(0.003);
    END LOOP;
END
$$;
SQL

sub report
{
    my ($where, @all) = @_;
    my @ms = sort { $a <=> $b } grep { defined } @all;
    is(scalar @ms, scalar @all, "$where saw every probe");
    note sprintf '  to %s: p50 %.0f, p99 %.0f, max %.0f ms (%d probes)', $where, $ms[ $#ms * 0.5 ], $ms[ $#ms * 0.99 ], $ms[-1], scalar @ms if @ms;
    return;
}

# Sends probes and polls Redis.  Returns when each was sent, {minute => [time, ...]}, and when which count was first
# in Redis, {minute => {count => time}}.
sub probe
{
    my ($topic, $until) = @_;
    my $pid = open2(my $out, my $producer, tool('line_producer'), $kafka->bootstrap, $topic, 0);
    $producer->autoflush(1);
    my (%sent, %seen);
    my $next = time;
    while (time < $until + 3)
    {
        my $now    = time;
        my $minute = int($now / 60);
        if ($now >= $next && $now < $until)
        {
            printf {$producer} '{"metadata":{"eventId":"%.6f","eventType":"probe","timestamp":%d},"payload":{"id":"%d"}}' . "\n", $now, $now * 1000, $minute;
            push @{ $sent{$minute} }, $now;
            $next += 0.05;
        }
        for my $hour (int($minute / 60) * 60, int(($minute - 1) / 60) * 60)
        {
            $seen{ $_->[0] }{ $_->[1] } //= time for $redis->zrange("topk:1-hour:all:probe:$hour");
        }
        sleep 0.003;
    }
    close $producer;
    waitpid $pid, 0;
    return (\%sent, \%seen);
}

# The latency of each probe in ms, undef for one that was never seen.
sub latencies
{
    my ($sent, $seen) = @_;
    my @ms;
    for my $minute (sort keys %{$sent})
    {
        my @counts = sort { $a <=> $b } keys %{ $seen->{$minute} // {} };
        my $n = 0;
        for my $at (@{ $sent->{$minute} })
        {
            $n++;
            shift @counts while @counts && $counts[0] < $n;
            push @ms, @counts ? ($seen->{$minute}{ $counts[0] } - $at) * 1000 : undef;
        }
    }
    return @ms;
}

sub measure
{
    my ($interval, $topic) = @_;
    $kafka->create_topic($topic, 4);
    my $pipeline = TopK::Test::Pipeline->new($topic, kafka => $kafka, redis => $redis);
    $redis->command('FLUSHALL');
    $pipeline->setup(
        topic  => $topic,
        source => { flush_interval => $interval, workers => $workers },
        rules  => [ reference_rules(), { event_type => 'probe', item_type => 'probe', item_path => 'payload.id', dimensions => {} } ],
        sink   => { window_key => 'topk:%window%:%dimension%:%item_type%:%minutes%', meta_key => 'meta:%window%:%dimension%:%item_type%:%minutes%' });
    $pipeline->value($watch);
    my $load = spawn("$dir/gen.log", tool('topk_gen'), '--quiet', '--brokers', $kafka->bootstrap, '--topic', $topic, '--rate', $rate,
        '--seconds', $seconds + 60, '--late', $late, '-X', 'linger.ms=5');
    sleep 10;
    my ($cpu, $start) = (cpu_by_kind($pipeline), time);
    my $watcher = spawn("$dir/watch.log", 'psql', '-XAtq', '-c', "CALL watch($seconds + 3)", $pipeline->node->connstr('postgres'));
    my ($sent, $in_redis) = probe($topic, time + $seconds);
    my ($later, $took) = (cpu_by_kind($pipeline), time - $start);
    stop_process($load, 'TERM');
    sleep 3;
    my %in_sql;
    for my $row (split /\n/, $pipeline->value('SELECT item, count, extract(epoch FROM at) FROM seen'))
    {
        my ($minute, $count, $at) = split /\|/, $row;
        $in_sql{$minute}{$count} = $at;
    }
    note "flush interval $interval, $rate events/s, $workers worker(s), lag at the end ",
      $pipeline->value('SELECT lag FROM topk.stat_source');
    note '  CPU in ms a second: ', join ', ', map { sprintf '%s %.0f', $_, ($later->{$_} - ($cpu->{$_} // 0)) / $took * 1000 } grep { /^topk/ } sort keys %{$later};
    note '  a flush of the first worker: ', $pipeline->value(q{SELECT format('p50 %s, p99 %s ms; rows written: p50 %s', ms[1]::numeric(9, 1), ms[2]::numeric(9, 1), rows)
        FROM (SELECT percentile_cont('{0.5, 0.99}'::float8[]) WITHIN GROUP (ORDER BY ms) AS ms, percentile_disc(0.5) WITHIN GROUP (ORDER BY rows) AS rows FROM flush) f});
    report('SQL', latencies($sent, \%in_sql));
    report('Redis', latencies($sent, $in_redis));
    $pipeline->node->stop;
    return;
}

note machine();
my $n = 0;
measure($_, 'latency' . ++$n) for split /,/, $flush;
done_testing();
