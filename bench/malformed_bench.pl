#!/usr/bin/env perl
#
# What dead letters cost: the speed at which the pipeline drains a topic of which a tenth cannot be read, beside one
# without any.
#
#   scripts/as_postgres.sh scripts/tap.sh bench/malformed_bench.pl :: [--quick] [--events N] [--rounds N] [--share S]
#
# Real Kafka, PostgreSQL and Redis on this machine; events as in stream_bench.pl, one worker, the generator's malformed
# messages (21 kinds, of all reasons).  The two kinds of topic take turns and the best round of each counts, because
# other work on a machine only ever makes a round slower.  Beside the speed stands the CPU time of the worker's main
# thread, which is what bounds the speed, and which other work disturbs less.  Every malformed message must be among the dead letters.

use strict;
use warnings;

use Getopt::Long;
use List::Util qw(max min);
use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Kafka;
use TopK::Test::Measure qw(drain_rate cpu_by_kind our_cpu main_cpu machine);
use TopK::Test::Pipeline;
use TopK::Test::Redis;

my ($quick, $events, $rounds, $share) = (0, 5_000_000, 3, 0.1);
GetOptions('quick' => \$quick, 'events=i' => \$events, 'rounds=i' => \$rounds, 'share=f' => \$share) or die "see the head of this file\n";
($events, $rounds) = (100_000, 1) if $quick;

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka", heap => '1g');
my $redis = TopK::Test::Redis->start("$dir/redis");
my %share = (clean => 0, malformed => $share);
my %letters;
for my $topic (sort keys %share)
{
    $kafka->create_topic($topic, 4);
    my $made = $kafka->generate($topic, '--events' => $events, '--start' => '2025-03-01T10:00:00Z', '--span' => 600, '--disorder' => 5,
        '--malformed' => $share{$topic});
    $letters{$topic} = 0;
    $letters{$topic} += $made->{$_} for grep { m{/} } keys %{$made};
}

# A topic once through a fresh pipeline; returns events a second, and CPU seconds per million: of our processes, and of the worker's main thread.
sub drain
{
    my ($topic, $round) = @_;
    my $pipeline = TopK::Test::Pipeline->new("$topic$round", kafka => $kafka, redis => $redis, conf => "shared_buffers = 512MB\n");
    $redis->command('FLUSHALL');
    $pipeline->setup(topic => $topic, source => { max_dead_letter_share => 1 });
    my $rate = drain_rate($pipeline, $events);
    my $cpu  = our_cpu(cpu_by_kind($pipeline)) / $events * 1e6;
    my $main = main_cpu($pipeline, 'topk worker') / $events * 1e6;
    is($pipeline->value('SELECT count(*) FROM topk.dead_letter'), $letters{$topic}, "$topic, round $round: $letters{$topic} dead letters");
    $pipeline->node->stop;
    return ($rate, $cpu, $main);
}

note machine();
my %best  = map { $_ => 0 } keys %share;
my %least = map { $_ => 9e9 } keys %share;
for my $round (1 .. $rounds)
{
    for my $topic (sort keys %share)
    {
        my ($rate, $cpu, $main) = drain($topic, $round);
        note sprintf '%s, round %d: %.0f events/s, %.2f CPU s per million, %.2f in the worker\'s main thread', $topic, $round, $rate, $cpu, $main;
        $best{$topic}  = max($best{$topic}, $rate);
        $least{$topic} = min($least{$topic}, $main);
    }
}
note sprintf 'with %g %% malformed: %.2f of the speed without (%.0f and %.0f events/s, best of %d rounds)',
  100 * $share, $best{malformed} / $best{clean}, $best{malformed}, $best{clean}, $rounds;
note sprintf 'by the CPU time of the main thread: %.2f (%.2f and %.2f s per million, least of %d rounds)',
  $least{clean} / $least{malformed}, $least{malformed}, $least{clean}, $rounds;
done_testing();
