# Dead letters and replay: what a replay counts because today's rules can read it leaves topk.dead_letter in the
# swap, so that reading the letters again afterwards counts nothing twice.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
$kafka->create_topic('events', 1);

# The page of an odd event is an object: no item, until the rule says which part of it is.
sub event
{
    my ($type, $hour, $page) = @_;
    return qq(0\t{"metadata":{"eventType":"$type","timestamp":"2025-03-01T$hour:00:00Z"},"payload":{"page":$page}});
}

# Many, and all before the source: they are in blocks.
my @odd = map { event('odd', '10', '{"path":"/b"}') } 1 .. 200;
$kafka->produce('events', event('view', '10', '"/a"'), @odd[ 0 .. 99 ], event('view', '11', '["x",["y"]]'), @odd[ 100 .. 199 ], event('view', '12', '"/c"'));
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka);
$pipeline->setup(
    source => { flush_interval => '100 milliseconds', max_dead_letter_share => 1 },
    rules  => [
        { event_type => 'view', item_type => 'page', item_path => 'payload.page' },
        { event_type => 'odd',  item_type => 'page', item_path => 'payload.page' } ]);

sub letters { return $pipeline->value("SELECT count(*) || ' of ' || string_agg(DISTINCT reason, ',') || ', the last ' || max(kafka_offset) FROM topk.dead_letter"); }
sub total   { return $pipeline->value('SELECT total FROM topk.top_items_global LIMIT 1'); }

$pipeline->wait_until_flushed;
is(letters(), '201 of bad_item, the last 201', '201 messages cannot be read');
is($pipeline->value('SELECT count(*) FROM topk.dead_letter_block WHERE 101 = ANY (kafka_offsets)'), 1, '... one of them, in a block, never can');
is(total(), 2, 'two are counted');

$pipeline->value("SELECT topk.alter_rule('clicks', 'odd', item_path => 'payload.page.path')");
my $id = $pipeline->value("SELECT topk.replay('clicks', '2025-03-01 10:00+00', '2025-03-01 13:00+00')");
$pipeline->wait_for("SELECT state FROM topk.stat_replay WHERE replay_id = $id", 'done', 120);
is(total(), 202, 'the replay counts what the rules of today can read');
is(letters(), '1 of bad_item, the last 101', 'that is no dead letter any more; what still cannot be read is');

is($pipeline->value("SELECT queued FROM topk.retry_dead_letters('clicks')"), 1, 'one letter is left to be read again');
$pipeline->wait_for('SELECT count(*) FROM topk.dead_letter WHERE NOT queued', 1, 60);
is(letters(), '1 of bad_item, the last 101', 'it is as dead as before');
is(total(), 202, 'and nothing is counted twice');

$pipeline->node->stop;
$kafka->stop;
done_testing();
