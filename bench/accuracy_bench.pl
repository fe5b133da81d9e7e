#!/usr/bin/env perl
#
# Whether the flush interval and the number of workers change what is counted: recall and error beside an exact recount.
#
#   scripts/as_postgres.sh scripts/tap.sh bench/accuracy_bench.pl :: [--rates 200,1000,5000,50000] [--seconds 200]
#
# In real time: events of the reference's schema (Zipf 1.1 over a million items, 4 partitions) with the times of the
# wall clock, at each rate.  Four sources read the same topic at once, with 1 and 2 workers and flush intervals of
# 1 s and 100 ms, k = 100 and the default capacity.  The recount (test/oracle) knows the true counts.  For the
# lists of `all` of each minute, and of the hour: recall@100 (of the 100 listed items, how many weigh at least what
# the true 100th weighs) and the mean relative error of their estimates.

use strict;
use warnings;

use Getopt::Long;
use JSON::PP qw(encode_json);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use TopK::Test::Kafka;
use TopK::Test::Measure  qw(machine);
use TopK::Test::Pipeline qw(reference_rules);

my ($rates, $seconds) = ('200,1000,5000,50000', 200);
GetOptions('rates=s' => \$rates, 'seconds=i' => \$seconds) or die "see the head of this file\n";

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka", heap => '1g');

# [name, workers, flush interval]
my @variants = (
    [ 'w1_1s', 1, '1 second' ],
    [ 'w1_100ms', 1, '100 milliseconds' ],
    [ 'w2_1s', 2, '1 second' ],
    [ 'w2_100ms', 2, '100 milliseconds' ]);

my $measure = <<'SQL';
WITH truth AS (
    SELECT window_name, window_start, item_type, item, count,
           nth_value(count, 100) OVER (PARTITION BY window_name, window_start, item_type ORDER BY count DESC, item
               ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS hundredth
    FROM oracle.win WHERE dimension = 'all' AND window_name IN ('1-minute', '1-hour')
), listed AS (
    SELECT source, window_name, extract(epoch FROM window_start)::bigint AS window_start, item_type, item, estimate
    FROM topk.top_items WHERE dimension = 'all' AND rank <= 100
), hundredth AS (
    SELECT DISTINCT window_name, window_start, item_type, hundredth FROM truth WHERE hundredth IS NOT NULL
)
SELECT l.source, l.window_name, round(avg((coalesce(t.count, 0) >= h.hundredth)::integer), 4),
       round(avg(abs(l.estimate - coalesce(t.count, 0))::numeric / greatest(t.count, 1)), 5)
FROM listed l JOIN hundredth h USING (window_name, window_start, item_type)
LEFT JOIN truth t USING (window_name, window_start, item_type, item)
GROUP BY 1, 2 ORDER BY 2, 1
SQL

sub add_source
{
    my ($pipeline, $topic, $name, $workers, $flush) = @_;
    my @rules = map {
        "SELECT topk.create_rule('$name', '$_->{event_type}', '$_->{item_type}', '$_->{item_path}', '" . encode_json($_->{dimensions}) . "');"
    } reference_rules();
    $pipeline->value(join "\n", 'BEGIN;', "SELECT topk.create_source('$name', 'k', '$topic', workers => $workers, flush_interval => '$flush');", @rules, 'COMMIT;');
    return;
}

sub measure
{
    my ($rate) = @_;
    my $topic = "rate$rate";
    $kafka->create_topic($topic, 4);
    my $pipeline = TopK::Test::Pipeline->new($topic, kafka => $kafka, conf => "work_mem = 256MB\n");
    $pipeline->setup(topic => $topic, name => $variants[0][0], source => { workers => $variants[0][1], flush_interval => $variants[0][2] });
    add_source($pipeline, $topic, @{$_}) for @variants[ 1 .. $#variants ];
    $kafka->generate($topic, '--rate' => $rate, '--seconds' => $seconds, '--disorder' => 2);
    $pipeline->wait_until_flushed;
    my $summary = $pipeline->recount(directory => $dir);
    $pipeline->wait_for('SELECT count(DISTINCT events) || \' \' || min(events) FROM topk.stat_source', "1 $summary->{events}", 60);
    note "$rate events/s for $seconds s:";
    for my $row (split /\n/, $pipeline->value($measure))
    {
        my ($source, $window, $recall, $error) = split /\|/, $row;
        note sprintf '  %-9s %-9s recall@100 %.4f, mean error %.3f %%', $window, $source, $recall, $error * 100;
    }
    $pipeline->node->stop;
    return;
}

note machine();
measure($_) for split /,/, $rates;
ok(1, 'all rates were measured');
done_testing();
