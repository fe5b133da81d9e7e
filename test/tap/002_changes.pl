# Under load: workers added and taken away, a pause, workers terminated, a Redis that goes away and comes back
# empty.  Nothing is lost or counted twice.  Then rules that part a list from the one it was shared with.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;

my $events = 500_000;
my $dir    = PostgreSQL::Test::Utils::tempdir_short();
my $kafka  = TopK::Test::Kafka->start("$dir/kafka");
my $redis  = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 5);

my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis);
$pipeline->setup(source => { idle_timeout => '5 seconds', flush_interval => '200 milliseconds' });
$kafka->generate_in_background('events', "$dir/generate.log", '--events' => $events, '--rate' => 25_000, '--partitions' => 5,
    '--items' => 5000, '--start' => '2025-03-01T10:00:00Z', '--span' => 600, '--disorder' => 5, '--tenants' => 2,
    '--malformed' => 0.001);

# Waits for the next share of the stream.
my $step = 0;

sub wait_for_share
{
    my $read = ++$step * $events / 10;
    $pipeline->wait_for("SELECT coalesce(sum(events), 0) >= $read FROM topk.partition", 't');
    return;
}

sub worker_pids
{
    return "SELECT pid FROM pg_stat_activity WHERE backend_type = 'topk worker'";
}

wait_for_share();
$pipeline->value("SELECT topk.set_parallelism('clicks', 2)");
wait_for_share();
$pipeline->wait_for('SELECT count(*) FROM (' . worker_pids() . ') w', 2);
pass('a second worker has started');
$pipeline->value('SELECT pg_terminate_backend(pid) FROM (' . worker_pids() . ') w');
wait_for_share();
my $launcher = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'topk launcher'";
my $first    = $pipeline->value($launcher);
$pipeline->value("SELECT pg_terminate_backend($first)");
$pipeline->wait_for("SELECT count(*) FROM ($launcher) l WHERE pid <> $first", 1, 20);
pass('a launcher that was terminated is started again');
$pipeline->value("SELECT topk.pause('clicks')");
$pipeline->wait_for('SELECT count(*) FROM (' . worker_pids() . ') w', 0);
is($pipeline->value('SELECT state FROM topk.stat_source'), 'paused', 'a paused source has no workers and says so');
$redis->stop;
$pipeline->value("SELECT topk.resume('clicks')");
wait_for_share();
$pipeline->value("SELECT topk.set_parallelism('clicks', 5)");
wait_for_share();
$pipeline->wait_for('SELECT state FROM topk.stat_sink', 'retrying');
like($pipeline->value('SELECT last_error FROM topk.stat_sink'), qr/Redis/, 'the lost Redis is shown');
$redis->restart;
$pipeline->value("SELECT topk.set_parallelism('clicks', 1)");
wait_for_share();
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', $events);
$pipeline->wait_for("SELECT count(*) FROM topk.top_items WHERE window_name = '1-minute' AND NOT final", 0);
my $summary = $pipeline->recount;
compare_counts($pipeline, $summary);
compare_windows($pipeline);
compare_global($pipeline);
compare_redis($pipeline, $redis, 'clicks', 600);
is($pipeline->value('SELECT count(DISTINCT config_version) > 4 FROM topk.adoption'), 't', 'each configuration was adopted');

# Rules.  While every event of an item type has a dimension, the list across its values is that of all items;
# an event type without it parts them, and a dimension that is added later begins with nothing.
sub sell
{
    my ($type, $minute, $payload, $times) = @_;
    $kafka->produce('sales', map { "0\t{\"metadata\":{\"eventType\":\"$type\",\"timestamp\":\"2025-03-01T10:0$minute:00Z\"},"
              . "\"payload\":$payload}" } 1 .. $times);
    return;
}

sub lists
{
    return $pipeline->value(<<'SQL');
SELECT dimension, coalesce(value, '-'), sum(topk_total(sketch)) FROM topk.window_sketch
WHERE source = 'sales' AND window_name = '1-day' GROUP BY 1, 2 ORDER BY 1, 2
SQL
}

sub wait_for_sales
{
    my ($count) = @_;
    $pipeline->wait_for("SELECT sum(events) FROM topk.partition JOIN topk.source USING (source_id) WHERE name = 'sales'", $count);
    return;
}

$kafka->create_topic('sales', 1);
$pipeline->value(<<'SQL');
BEGIN;
SELECT topk.create_source('sales', server => 'k', topic => 'sales', flush_interval => '100 milliseconds');
SELECT topk.create_rule('sales', event_type => 'online', item_type => 'thing', item_path => 'payload.thing',
    dimensions => '{"country": "payload.country"}', weight_path => 'payload.pieces');
COMMIT;
SQL
sell('online', 1, '{"thing":"lamp","country":"nl","pieces":3}', 10);
sell('online', 1, '{"thing":"lamp","pieces":0}', 1);
wait_for_sales(11);
is(lists(), "all|-|30\ncountry|-|30\ncountry|nl|30", 'a shared list, and weights');
is($pipeline->value("SELECT count(*) FROM topk.list WHERE list_id <> base_id AND dimension = 'country'"), 1, '... it is shared');
is($pipeline->value("SELECT reason FROM topk.dead_letter JOIN topk.source USING (source_id) WHERE name = 'sales'"), 'bad_weight',
    '... and a dead letter');
$pipeline->value(<<'SQL');
SELECT topk.create_rule('sales', event_type => 'shop', item_type => 'thing', item_path => 'payload.thing',
    dimensions => '{"town": "payload.town"}');
SQL
sell('shop',   1, '{"thing":"lamp","town":"delft"}',         5);
sell('online', 2, '{"thing":"chair","country":"be","pieces":1}', 2);
wait_for_sales(18);
is(lists(), "all|-|37\ncountry|-|32\ncountry|be|2\ncountry|nl|30\ntown|-|5\ntown|delft|5", 'a rule without the dimension parts the lists');
$pipeline->value("SELECT topk.drop_rule('sales', 'online')");
sell('online', 2, '{"thing":"chair","country":"be","pieces":1}', 3);
sell('shop',   2, '{"thing":"chair"}', 1);
wait_for_sales(22);
is(lists(), "all|-|38\ncountry|-|32\ncountry|be|2\ncountry|nl|30\ntown|-|6\ntown|delft|5\ntown|unknown|1", 'a dropped rule counts no more');
is($pipeline->value("SELECT no_rule FROM topk.stat_source WHERE source = 'sales'"), 3, '... and its events are counted as without a rule');
is($pipeline->value("SELECT string_agg(first_offset::text, ',' ORDER BY config_version) FROM topk.adoption JOIN topk.source USING (source_id)
    WHERE name = 'sales'"), '0,11,18', 'the first offset of each configuration is recorded');

$pipeline->value("SELECT topk.drop_source('sales')");
is($pipeline->value("SELECT count(*) FROM topk.list JOIN topk.source USING (source_id) WHERE name = 'sales'"), 0, 'a source is dropped');
$pipeline->value('DROP EXTENSION topk CASCADE');
$pipeline->wait_for("SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ '^topk (manager|worker|closer|publisher)'", 0);
pass('no process stays after DROP EXTENSION');

$pipeline->node->stop;
done_testing();
