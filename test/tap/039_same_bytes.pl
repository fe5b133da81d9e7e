# Stored windows are a function of the log: with one partition, one worker and no late events a source that followed
# the stream, its replay, and a source that read it all at once with another flush_interval have the same bytes, of
# minutes, hours and days, though next to none is exact.

use strict;
use warnings;

use JSON::PP qw(encode_json);
use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Kafka;
use TopK::Test::Pipeline qw(reference_rules);

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
$kafka->create_topic('events', 1);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka);
my %source   = (capacity => 20, k => 10, idle_timeout => '1 minute', out_of_orderness => '6 seconds');
$pipeline->setup(source => { %source, flush_interval => '100 milliseconds' });

# Two minutes whose larger lists are written whole, which take as long to read as they are; then hours over a midnight
# of small ones, in pieces; and at last what lets all of that become final.
my @stream = ('--partitions' => 1, '--items' => 20_000, '--disorder' => 3);
my $events = 70_000;
$kafka->generate('events', @stream, '--events' => 50_000, '--rate' => 8000, '--start' => '2025-03-01T22:00:00Z', '--span' => 120);
$kafka->generate('events', @stream, '--events' => 20_000, '--rate' => 8000, '--start' => '2025-03-01T22:02:10Z', '--span' => 9000, '--seed' => 2);
$kafka->generate('events', @stream, '--events' => 100, '--start' => '2025-03-03T00:01:00Z', '--span' => 1, '--seed' => 3);

# Another source of the same topic.
sub create_source
{
    my ($name, $interval) = @_;
    my $arguments = join ', ', map { "$_ => '$source{$_}'" } sort keys %source;
    $pipeline->value("SELECT topk.create_source('$name', server => 'k', topic => 'events', flush_interval => '$interval', $arguments);"
          . join ';', map { my $r = $_; "SELECT topk.create_rule('$name', event_type => '$r->{event_type}', item_type => '$r->{item_type}',
            item_path => '$r->{item_path}', dimensions => '" . encode_json($r->{dimensions}) . "')" } reference_rules());
    return;
}

# All before the last events is in stored windows.
sub wait_until_closed
{
    my ($name) = @_;
    $pipeline->wait_for("SELECT sum(events) FROM topk.stat_partition WHERE source = '$name'", $events + 100, 60);
    $pipeline->wait_for("SELECT count(*) FROM topk.live JOIN topk.source s USING (source_id) WHERE s.name = '$name' AND pane < '2025-03-03'", 0, 60);
    is($pipeline->value("SELECT sum(late) FROM topk.stat_partition WHERE source = '$name'"), 0, "$name: no event is late");
    return;
}

# Each stored row of a source, by what it is of.
sub keep
{
    my ($name, $table) = @_;
    $pipeline->value("CREATE TABLE $table AS SELECT d.window_name, w.window_start, l.item_type, l.dimension, l.value, w.sketch::text AS sketch,
        topk_max_error(w.sketch) AS error, topk_total(w.sketch) AS total FROM topk.win w JOIN topk.source_window d USING (window_id)
        JOIN topk.list l USING (list_id) JOIN topk.source s ON s.source_id = d.source_id WHERE s.name = '$name' AND w.window_start < '2025-03-03'");
    return;
}

# Rows of both, rows that differ.
sub compare
{
    my ($a, $b) = @_;
    return $pipeline->value("SELECT count(*), count(*) FILTER (WHERE a.sketch IS DISTINCT FROM b.sketch) FROM $a a FULL JOIN $b b
        ON (a.window_name, a.window_start, a.item_type, a.dimension) = (b.window_name, b.window_start, b.item_type, b.dimension)
        AND a.value IS NOT DISTINCT FROM b.value");
}

wait_until_closed('clicks');
keep('clicks', 'live');
my $rows = $pipeline->value('SELECT count(*) FROM live');
cmp_ok($pipeline->value('SELECT count(*) FROM live WHERE error > 0'), '>', $rows / 10, "many of $rows rows are not exact");
cmp_ok($pipeline->value("SELECT count(*) FROM live WHERE error > 0 AND window_name IN ('1-hour', '1-day')"), '>', 30, '... of hours and days');
cmp_ok($pipeline->value("SELECT max(total) FROM live WHERE window_name = '1-minute'"), '>', 6144, 'some panes are written whole');
cmp_ok($pipeline->value("SELECT count(*) FROM live WHERE window_name = '1-minute' AND error > 0 AND total < 6144"), '>', 30, '... and others in pieces');

create_source('drained', '3 seconds');
wait_until_closed('drained');
keep('drained', 'drained');
is(compare('live', 'drained'), "$rows|0", 'a source that reads it all at once has the same bytes');

my $id = $pipeline->value("SELECT topk.replay('clicks', '2025-03-01 22:00+00', '2025-03-02 22:00+00')");
$pipeline->wait_for("SELECT state FROM topk.stat_replay WHERE replay_id = $id", 'done', 60);
keep('clicks', 'replayed');
is(compare('live', 'replayed'), "$rows|0", 'so has a replay');
note $pipeline->value('SELECT count(*), sum(panes) FROM topk.stat_worker');

$pipeline->node->stop;
done_testing();
