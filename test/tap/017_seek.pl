# Offsets moved by hand: out of a log that retention has cut, and one that was created again; back, forward, to a time.
# What is skipped or read again is recorded, and nothing is read while Kafka does not hold the stored offset.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use TopK::Test::Kafka;
use TopK::Test::Pipeline;

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
$kafka->create_topic('events', 2);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka);
$pipeline->setup(
    source => { flush_interval => '100 milliseconds', idle_timeout => '10 minutes' }, # a quiet worker must notice too
    rules  => [ { event_type => 'e', item_type => 'thing', item_path => 'item' } ]
);
$pipeline->value("SELECT topk.alter_source('clicks', event_type_path => 'type', time_path => 'at')");

# Events of one minute into a partition.
sub produce
{
    my ($partition, $minute, $item, $times) = @_;
    my $at = sprintf '2025-03-01T10:%02d:00Z', $minute;
    $kafka->produce('events', map { "$partition\t{\"type\":\"e\",\"at\":\"$at\",\"item\":\"$item\"}" } 1 .. $times);
    return;
}

sub wait_for_offsets
{
    my ($expected) = @_;
    $pipeline->wait_for("SELECT string_agg(next_offset::text, ',' ORDER BY partition) FROM topk.partition", $expected, 30);
    return;
}

sub counts
{
    return $pipeline->value(<<'SQL');
SELECT string_agg(item || '=' || estimate, ' ' ORDER BY item) FROM topk.global_sketch g, topk_items(g.sketch, 100)
SQL
}

sub seek_log
{
    return $pipeline->value('SELECT skipped, repeated FROM topk.seek_log ORDER BY seek_id DESC LIMIT 1');
}

sub state { return $pipeline->value('SELECT state FROM topk.stat_source'); }

produce(0, 1, 'a', 10);
produce(1, 1, 'b', 10);
wait_for_offsets('10,10');
is(counts(), 'a=10 b=10', 'both partitions are read');
is($pipeline->value("SELECT string_agg(concat_ws(':', partition, to_char(pane, 'HH24:MI'), first_offset, last_offset), ' ' ORDER BY partition)
    FROM topk.pane_offset"), '0:10:01:0:9 1:10:01:0:9', 'where the panes lie is recorded');

# Retention cuts what is not read yet.
$pipeline->value("SELECT topk.pause('clicks')");
$pipeline->wait_for("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'topk worker'", 0);
produce(0, 2, 'c', 20);
$kafka->trim('events', 0, 15);
$pipeline->value("SELECT topk.resume('clicks')");
$pipeline->wait_for('SELECT state FROM topk.stat_source', 'failed', 30);
like($pipeline->value('SELECT last_error FROM topk.stat_source'),
    qr/stored offset 10 is not in the log, which holds 15 to 30.*topk\.seek\('clicks', 0/, 'the reason, and the way out');
my $pid    = $pipeline->value('SELECT pid FROM topk.stat_worker');
my $epochs = $pipeline->value('SELECT sum(epoch) FROM topk.partition');
sleep 5;
is($pipeline->value('SELECT pid FROM topk.stat_worker'), $pid, 'the worker stays');
is($pipeline->value('SELECT sum(epoch) FROM topk.partition'), $epochs, '... and does not try again and again');
is(counts(), 'a=10 b=10', '... and reads nothing');
is($pipeline->value("SELECT topk.seek('clicks', 0, to_position => 'earliest')"), 1, 'a seek to what Kafka holds');
wait_for_offsets('30,10');
$pipeline->wait_for('SELECT state FROM topk.stat_source', 'running', 30);
is(counts(),   'a=10 b=10 c=15', '... goes on from there');
is(seek_log(), '5|0',            '... and the skipped offsets are recorded');

# Back counts again, and forward skips.
my ($code, $out, $warning) = $pipeline->node->psql('postgres', "SELECT topk.seek('clicks', 1, kafka_offset => 4)");
like($warning, qr/partition 1 goes back by 6 offsets.*counted again.*topk\.replay/s, 'a seek back warns');
$pipeline->wait_for("SELECT epoch > 0 AND next_offset = 10 FROM topk.partition WHERE partition = 1", 't');
$pipeline->wait_for("SELECT estimate FROM topk.global_sketch g, topk_items(g.sketch, 100) WHERE item = 'b'", 16, 30);
is(seek_log(), '0|6', '... counts again, and says how many');
is($pipeline->value('SELECT sum(too_late), sum(late) FROM topk.partition'), '0|0', '... judged by the clock of that offset');
$pipeline->value("SELECT topk.pause('clicks')");
produce(1, 3, 'd', 5);
$pipeline->value("SELECT topk.seek('clicks', 1, to_position => 'latest')");
produce(1, 3, 'x', 5);
$pipeline->value("SELECT topk.resume('clicks')");
$pipeline->wait_for('SELECT count(*) FROM topk.seek_log WHERE to_offset IS NULL', 0, 30);
wait_for_offsets('30,20');
is(seek_log(), '10|0', 'latest is what Kafka holds when the worker asks');
unlike(counts(), qr/[dx]=/, '... and skips');

# To a Kafka timestamp.
my $now = $pipeline->value('SELECT clock_timestamp()');
sleep 0.1;
produce(1, 4, 'e', 3);
wait_for_offsets('30,23');
$pipeline->value("SELECT topk.seek('clicks', at => '$now')");
$pipeline->wait_for("SELECT estimate FROM topk.global_sketch g, topk_items(g.sketch, 100) WHERE item = 'e'", 6, 30);
is($pipeline->value("SELECT string_agg(concat_ws(':', partition, skipped, repeated), ' ' ORDER BY partition) FROM topk.seek_log WHERE at = '$now'"),
    '0:0:0 1:0:3', 'all partitions go to a time');

# The topic is created again: shorter than what was read, then longer.
$pipeline->value("SELECT topk.pause('clicks')");
$kafka->delete_topic('events');
sleep 1;
$kafka->create_topic('events', 2);
produce(0, 5, 'f', 5);
produce(1, 5, 'f', 40);
$pipeline->value("SELECT topk.resume('clicks')");
$pipeline->wait_for('SELECT state FROM topk.stat_source', 'failed', 60);
like($pipeline->value('SELECT last_error FROM topk.stat_source'), qr/partition 0: stored offset 30 .*created again/, 'a shorter log is noticed');
is($pipeline->value('SELECT count(*) FROM topk.pane_offset WHERE partition = 0'), 0, '... and what was recorded of the former is void');
$pipeline->value("SELECT topk.seek('clicks', 0, to_position => 'earliest')");
$pipeline->wait_for("SELECT last_error ~ 'partition 1: the message at offset 22 is not the one that was read' FROM topk.stat_source", 't', 30);
is(state(), 'failed', 'a longer log is noticed by its messages');
$pipeline->value("SELECT topk.seek('clicks', 1, to_position => 'earliest')");
wait_for_offsets('5,40');
$pipeline->wait_for('SELECT state FROM topk.stat_source', 'running', 30);
like(counts(), qr/f=45/, '... and read once it is said from where');

$pipeline->node->stop;
done_testing();
