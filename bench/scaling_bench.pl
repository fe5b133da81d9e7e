#!/usr/bin/env perl
#
# How cost grows with the shape of the events: dimensions, values of each, distinct items, rules, tenants, size.
#
#   scripts/as_postgres.sh --back bench/results scripts/tap.sh -v bench/scaling_bench.pl :: [--events 500000] [--only values]
#
# Real Kafka and PostgreSQL on this machine, one worker, no Redis.  Each row drains a backlog of events that span ten
# minutes, with all windows; one thing is varied at a time, the others are 2 dimensions of 10 values, 10^6 items
# (Zipf 1.1), one rule, no tenants, 342 bytes.  Figures: events a second from the claim until all is committed, CPU
# seconds per million events of all our processes, peak memory of the worker, WAL bytes an event (full-page images
# apart), lists, and the last flush's milliseconds.  The table goes to bench/results/scaling.md, a plot beside it.

use strict;
use warnings;

use Getopt::Long;
use File::Path qw(make_path);
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Kafka;
use TopK::Test::Measure qw(drain_rate cpu_by_kind our_cpu peak_memory wal_position wal_since machine);
use TopK::Test::Pipeline;
use TopK::Test::Tools qw(tool top_dir run_command);

my ($events, $only) = (500_000, '');
GetOptions('events=i' => \$events, 'only=s' => \$only) or die "see the head of this file\n";

my %usual = (dimensions => 2, values => 10, items => 1_000_000, rules => 1, tenants => 0, bytes => 342);
my @series = (
    [ dimensions => 1, 2, 5, 10 ],
    [ values     => 10, 1_000, 10_000 ],
    [ items      => 10_000, 1_000_000, 100_000_000 ],
    [ rules      => 1, 4, 16 ],
    [ tenants    => 0, 10, 1_000 ],
    [ bytes      => 200, 342, 1_000, 4_000 ]);

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka", heap => '1g');
my $round = 0;

# Each rule has an event type, and an item type, of its own.
sub rules_of
{
    my ($shape) = @_;
    my %dimensions = map { ("d$_" => "payload.d$_") } 0 .. $shape->{dimensions} - 1;
    return map { { event_type => "e$_", item_type => "i$_", item_path => 'payload.item', dimensions => {%dimensions} } } 0 .. $shape->{rules} - 1;
}

sub measure
{
    my ($shape) = @_;
    my $topic = 'shape' . ++$round;
    $kafka->create_topic($topic, 4);
    run_command(tool('shape_gen'), '--brokers', $kafka->bootstrap, '--topic', $topic, '--events', $events,
        map { ('--' . ($_ eq 'rules' ? 'types' : $_), $shape->{$_}) } sort keys %{$shape});
    my $pipeline = TopK::Test::Pipeline->new($topic, kafka => $kafka, conf => "shared_buffers = 512MB\nmax_wal_size = 8GB\n");
    my $from = wal_position($pipeline);
    $pipeline->setup(topic => $topic, rules => [ rules_of($shape) ],
        source => { flush_interval => '200 milliseconds', $shape->{tenants} ? (tenant_path => 'metadata.tenant') : () });
    my $rate = drain_rate($pipeline, $events);
    my $cpu  = our_cpu(cpu_by_kind($pipeline)) / $events * 1e6;
    my $wal  = wal_since($pipeline, $from);
    my $result = {
        rate   => $rate,
        cpu    => $cpu,
        memory => peak_memory($pipeline, 'topk worker'),
        wal    => ($wal->{all} - $wal->{images}) / $events,
        lists  => $pipeline->value('SELECT count(*) FROM topk.list'),
        flush  => $pipeline->value('SELECT max(last_flush_ms) FROM topk.worker'),
    };
    is($pipeline->value('SELECT sum(counted) FROM topk.partition'), $events, "$topic: every event was counted");
    $pipeline->node->stop;
    return $result;
}

# ---- what people see ----

# CPU per million events against each thing varied, as one small SVG: a line for each series, its points in order.
sub plot
{
    my ($rows) = @_;
    my $top   = max(map { $_->[2]{cpu} } @{$rows}) || 1;
    my %lines;
    push @{ $lines{ $_->[0] } }, $_ for @{$rows};
    my @colours = ('#1b6ca8', '#c8553d', '#3a7d44', '#8f2d56', '#e09f3e', '#4a4e69');
    my $svg = qq{<svg xmlns="http://www.w3.org/2000/svg" width="860" height="380" font-family="sans-serif" font-size="12">\n}
      . qq{<text x="10" y="20">CPU seconds per million events, all processes of topk; each line varies one thing</text>\n};
    my $n = 0;
    for my $name (map { $_->[0] } @series)
    {
        my $line = $lines{$name} or next;
        my $colour = $colours[$n];
        my @points = map { [ 40 + $n * 135 + $_ * 32, 340 - 290 * $line->[$_][2]{cpu} / $top ] } 0 .. $#{$line};
        $svg .= sprintf qq{<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>\n}, $colour, join ' ', map { sprintf '%.0f,%.0f', @{$_} } @points;
        $svg .= sprintf qq{<text x="%.0f" y="%.0f" font-size="10">%s: %.2f</text>\n}, $points[$_][0], $points[$_][1] - 6, $line->[$_][1], $line->[$_][2]{cpu} for 0 .. $#points;
        $svg .= sprintf qq{<text x="%d" y="362" fill="%s">%s</text>\n}, 40 + $n * 135, $colour, $name;
        $n++;
    }
    return $svg . "</svg>\n";
}

sub write_file
{
    my ($path, $text) = @_;
    open my $file, '>', $path or die "could not write $path: $!";
    print {$file} $text;
    close $file or die "could not write $path: $!";
    return;
}

my @rows;
for my $line (@series)
{
    my ($name, @values) = @{$line};
    next if $only && $only ne $name;
    push @rows, [ $name, $_, measure({ %usual, $name => $_ }) ] for @values;
}
my $table = "# make bench-scaling, as it was last run\n\n" . machine() . "; one worker, $events events a row.\n\n"
  . "| varied | | events/s | CPU s per million | worker peak, MB | WAL bytes an event | lists | last flush, ms |\n|---|---|---|---|---|---|---|---|\n";
$table .= sprintf "| %s | %d | %.0f | %.2f | %.0f | %.1f | %d | %.1f |\n", $_->[0], $_->[1], @{ $_->[2] }{qw(rate cpu memory wal lists flush)} for @rows;
note $table;
make_path(top_dir() . '/bench/results');
write_file(top_dir() . '/bench/results/scaling.md', $table);
write_file(top_dir() . '/bench/results/scaling.svg', plot(\@rows));
done_testing();
