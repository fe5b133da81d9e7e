#!/usr/bin/env perl
#
# Does anything grow?  A steady load for as long as you like, with everything that can be switched on.
#
#   scripts/as_postgres.sh --back bench/results scripts/tap.sh bench/soak.pl :: [--minutes N] [--rate N] [--pace N]
#
# Real Kafka, PostgreSQL and Redis on this machine; 50,000 events a second, with tenants and quotas, dead letters, late
# events that are kept, all windows, global and the mirror.  Event time runs 60 times as fast as the clock (--pace), so
# that retention has something to drop.  Every 10 s: private memory of each process (the largest of its kind), size of
# each table (with its TOAST) and index of schema topk, WAL a second, lag.  What is left of the run after a third of it
# is fitted by a line: a series grows if the line rises by more than a tenth of its mean, and by more than can be noise.
# A window whose leaves retention cannot have dropped yet, by its settings, is told as filling and is no failure.
# Writes bench/results/soak.tsv (second, series, value) and bench/results/soak.svg.

use strict;
use warnings;

use File::Path qw(make_path);
use Getopt::Long;
use List::Util qw(sum max);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Chart   qw(write_charts);
use TopK::Test::Kafka;
use TopK::Test::Measure qw(anonymous_memory wal_position machine);
use TopK::Test::Pipeline;
use TopK::Test::Redis;
use TopK::Test::Server qw(stop_process process_runs);
use TopK::Test::Tools  qw(top_dir);

my ($minutes, $rate, $pace, $interval) = (60, 50_000, 60, 10);
GetOptions('minutes=f' => \$minutes, 'rate=i' => \$rate, 'pace=i' => \$pace, 'interval=f' => \$interval) or die "see the head of this file\n";
my $seconds = int 60 * $minutes;

my @kinds = map { "topk $_" } qw(launcher manager worker closer publisher);
my %noise = (memory => 4, size => 4, lag => 2 * $rate, wal => 1);    # what a line may rise by: MB, MB, messages, MB/s
my %samples;                                                         # {kind => {series => [[second, value], ...]}}

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka", heap => '1g', settings => { 'log.retention.check.interval.ms' => 10_000 });
my $redis = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 4, 'retention.bytes' => 512 << 20, 'segment.bytes' => 64 << 20);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis, conf => <<'CONF');
shared_buffers = 512MB
autovacuum_naptime = 10s
CONF
$pipeline->setup(
    tenants => [ map { { tenant => "tenant-$_", items_per_second => 10 * $_ } } 1 .. 2 ],
    source  => {
        workers          => 2, tenant_path => 'metadata.tenant', late_policy => 'keep', letter_retention => '1 hour', letter_max_bytes => 8 << 20,
        allowed_lateness => '10 minutes', out_of_orderness => '30 seconds' });
$pipeline->value("SELECT topk.alter_window('clicks', '1-minute', retention => '1 hour', redis_ttl => '1 hour')");

# ---- samples ----

sub note_sample
{
    my ($kind, $series, $second, $value) = @_;
    push @{ $samples{$kind}{$series} }, [ $second, $value ];
    return;
}

# The leaves of a window come and go: they count together.
my $sizes = <<'SQL';
SELECT regexp_replace(relname, '^win_(\d+)_\d+t\d+', 'leaves_\1'), sum(CASE relkind WHEN 'i' THEN pg_relation_size(oid) ELSE pg_table_size(oid) END) / 1048576.0
FROM pg_class WHERE relnamespace = 'topk'::regnamespace AND relkind IN ('r', 'i', 'S', 'm') GROUP BY 1
SQL

sub take_samples
{
    my ($second, $wal) = @_;
    note_sample('memory', $_, $second, anonymous_memory($pipeline, $_)) for @kinds;
    for my $row (split /\n/, $pipeline->value($sizes))
    {
        my ($series, $megabytes) = split /\|/, $row;
        note_sample('size', $series, $second, $megabytes);
    }
    note_sample('lag', 'lag', $second, $pipeline->value('SELECT coalesce(lag, 0) FROM topk.stat_source'));
    note_sample('wal', 'WAL', $second, $wal);
    return;
}

sub run_load
{
    my $generator = $kafka->generate_in_background('events', "$dir/generate.log", '--events' => $rate * $seconds, '--rate' => $rate, '--span' => $pace * $seconds,
        '--start' => '2025-03-01T00:00:00Z', '--partitions' => 4, '--tenants' => 5, '--disorder' => 5, '--late' => 0.001, '--late-by' => '700-900', '--malformed' => 0.001);
    my ($began, $next) = (time, $interval);
    my $position = wal_position($pipeline);
    while (process_runs($generator) && time - $began < $seconds + 60)
    {
        sleep max($next - (time - $began), 0.01);
        my $now = wal_position($pipeline);
        take_samples($next, $pipeline->value("SELECT pg_wal_lsn_diff('$now', '$position')") / $interval / 1048576);
        $position = $now;
        $next += $interval;
    }
    stop_process($generator, 'TERM');
    return;
}

# ---- the verdict ----

# By how much the fitted line rises over its points, and their mean.
sub fit
{
    my (@points) = @_;
    my ($x_mean, $y_mean) = (sum(map { $_->[0] } @points) / @points, sum(map { $_->[1] } @points) / @points);
    my $spread = sum(map { ($_->[0] - $x_mean)**2 } @points);
    my $slope  = $spread > 0 ? sum(map { ($_->[0] - $x_mean) * ($_->[1] - $y_mean) } @points) / $spread : 0;
    return ($slope * ($points[-1][0] - $points[0][0]), $y_mean);
}

# Windows of which retention can have dropped two leaves in the first third of the run, so that their size is settled.
sub settled_windows
{
    my $third = $pace * $seconds / 3;
    return map { $_ => 1 } split /\n/, $pipeline->value("SELECT window_id FROM topk.source_window WHERE extract(epoch FROM retention + 2 * topk.leaf_size(size)) < $third");
}

# Retention drops a leaf at once, so the size of leaves is a saw; what is left after each drop says whether they grow.
sub lowest_of_each
{
    my ($width, @points) = @_;
    my %lowest;
    for my $point (@points)
    {
        my $drop = int $point->[0] / $width;
        $lowest{$drop} = $point if !$lowest{$drop} || $point->[1] < $lowest{$drop}[1];
    }
    return map { $lowest{$_} } sort { $a <=> $b } keys %lowest;
}

sub judge
{
    my %settled = settled_windows();
    my %width   = map { split /\|/ } split /\n/, $pipeline->value("SELECT window_id, extract(epoch FROM topk.leaf_size(size)) / $pace FROM topk.source_window");
    for my $kind (sort keys %samples)
    {
        for my $series (sort keys %{ $samples{$kind} })
        {
            my @points = grep { $_->[0] > $seconds / 3 } @{ $samples{$kind}{$series} };
            @points = lowest_of_each($width{$1}, @points) if $series =~ /^leaves_(\d+)/ && $settled{$1};
            next if @points < 3;
            my ($rise, $mean) = fit(@points);
            my $filling = ($series =~ /^leaves_(\d+)/ && !$settled{$1}) || $series =~ /^(win_state|publication|archive|list)/ && !%settled;
            my $grows   = $rise > $noise{$kind} && $rise > 0.1 * $mean;
            my $said    = sprintf '%s %s: mean %.2f, the line rises by %.2f', $kind, $series, $mean, $rise;
            if ($filling) { note "$said (filling)" }
            else          { ok(!$grows, $said) }
        }
    }
    return;
}

sub keep_results
{
    my $path = top_dir() . '/bench/results';
    make_path($path);
    open my $file, '>', "$path/soak.tsv" or die "could not write $path/soak.tsv: $!";
    for my $kind (sort keys %samples)
    {
        for my $series (sort keys %{ $samples{$kind} })
        {
            printf {$file} "%d\t%s %s\t%.3f\n", $_->[0], $kind, $series, $_->[1] for @{ $samples{$kind}{$series} };
        }
    }
    close $file or die "could not write $path/soak.tsv: $!";
    my %large = map { $_ => $samples{size}{$_} } grep { max(map { $_->[1] } @{ $samples{size}{$_} }) > 1 } keys %{ $samples{size} };
    write_charts("$path/soak.svg",
        { title => 'Private memory', unit => 'MB', series => $samples{memory} },
        { title => 'Tables and indexes over 1 MB', unit => 'MB', series => \%large },
        { title => 'WAL', unit => 'MB/s', series => $samples{wal} },
        { title => 'Lag', unit => 'messages', series => $samples{lag} });
    return;
}

note machine();
note "$rate events/s for $minutes minutes, event time $pace times as fast";
run_load();
keep_results();
judge();
$pipeline->wait_until_flushed(120);
is($pipeline->value('SELECT state FROM topk.stat_source'), 'running', 'the source runs at the end');
note 'events: ' . $pipeline->value('SELECT events FROM topk.stat_source');
$pipeline->node->stop;
done_testing();
