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
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka);
$pipeline->setup(
    source => { flush_interval => '100 milliseconds', max_dead_letter_share => 1 },
    rules  => [
        { event_type => 'view', item_type => 'page', item_path => 'payload.page' },
        { event_type => 'odd',  item_type => 'page', item_path => 'payload.page' } ]);

# The page of an odd event is an object: no item, until the rule says which part of it is.
sub event
{
    my ($type, $hour, $page) = @_;
    return qq(0\t{"metadata":{"eventType":"$type","timestamp":"2025-03-01T$hour:00:00Z"},"payload":{"page":$page}});
}

sub letters { return $pipeline->value("SELECT coalesce(string_agg(reason || ' ' || kafka_offset, ',' ORDER BY kafka_offset), 'none') FROM topk.dead_letter"); }
sub total   { return $pipeline->value('SELECT total FROM topk.top_items_global LIMIT 1'); }

$kafka->produce('events',
    event('view', '10', '"/a"'),
    event('odd', '10', '{"path":"/b"}'),
    event('view', '11', '["x",["y"]]'),
    event('odd', '12', '{"path":"/b"}'),
    event('view', '12', '"/c"'));
$pipeline->wait_until_flushed;
is(letters(), 'bad_item 1,bad_item 2,bad_item 3', 'three messages cannot be read');
is(total(), 2, 'two are counted');

$pipeline->value("SELECT topk.alter_rule('clicks', 'odd', item_path => 'payload.page.path')");
my $id = $pipeline->value("SELECT topk.replay('clicks', '2025-03-01 10:00+00', '2025-03-01 13:00+00')");
$pipeline->wait_for("SELECT state FROM topk.stat_replay WHERE replay_id = $id", 'done', 120);
is(total(), 4, 'the replay counts what the rules of today can read');
is(letters(), 'bad_item 2', 'that is no dead letter any more; what still cannot be read is');

is($pipeline->value("SELECT queued FROM topk.retry_dead_letters('clicks')"), 1, 'one letter is left to be read again');
$pipeline->wait_for('SELECT count(*) FROM topk.dead_letter WHERE NOT queued', 1, 60);
is(letters(), 'bad_item 2', 'it is as dead as before');
is(total(), 4, 'and nothing is counted twice');

$pipeline->node->stop;
$kafka->stop;
done_testing();
