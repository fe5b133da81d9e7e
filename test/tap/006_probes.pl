# What topk.test_rule, topk.check_source and topk.preview say, on a real Kafka; that they consume and keep nothing, load
# no library into the backend, and end when they are cancelled.  Then a stream of orders, with several rules, arrays and
# filters, against the oracle.

use strict;
use warnings;

use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
$kafka->create_topic('orders', 3);

my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka);
my $node     = $pipeline->node;

# Error output of a statement that must fail.
sub error_of
{
    my ($sql) = @_;
    my ($rc, $out, $err) = $node->psql('postgres', $sql);
    return $rc == 0 ? "no error: $out" : $err;
}

# ---- rules of the stream; every price is whole, so that weights are ----

my @rules = (
    {   event_type => 'order', item_type => 'sku', name => 'lines', item_path => 'payload.lines.sku',
        weight_path => 'payload.lines.quantity',
        dimensions  => { kind => { path => 'payload.lines.kind', missing => '??' }, country => 'payload.country' }
    },
    {   event_type => 'order', item_type => 'sku', name => 'gifts', item_path => 'payload.gift',
        dimensions => { kind => 'payload.kind', country => 'payload.country' }
    },
    {   event_type => 'order', item_type => 'tag', item_path => 'payload.tags',
        filter => { 'payload.country' => [ 'nl', 'be' ], 'payload.bot' => { not => 'true' } }
    },
    {   event_type => 'visit', item_type => 'page', item_path => 'payload.page',
        filter => { 'payload.ms' => { '>=' => 100, '<' => 900 }, 'payload.test' => { exists => JSON::PP::false } }
    },
);
$pipeline->setup(name => 'orders', topic => 'orders', rules => \@rules, source => { flush_interval => '100 milliseconds' });

# ---- test_rule ----

sub order
{
    my ($payload) = @_;
    return qq({"metadata":{"eventType":"order","timestamp":"2025-03-01T10:00:30Z"},"payload":$payload});
}

sub yields
{
    my ($event) = @_;
    return $pipeline->value("SELECT concat_ws(' ', outcome, reason, rule, item, weight, dimensions) FROM topk.test_rule('orders', '$event')");
}

is(yields(order('{"country":"nl","lines":[{"sku":"p","quantity":2,"kind":"toy"},{"sku":7,"quantity":1}],"gift":"p","tags":["new","new"]}')),
    join("\n",
        'counted lines p 2 {"kind": "toy", "country": "nl"}',
        'counted lines 7 1 {"kind": "??", "country": "nl"}',
        'counted gifts p 1 {"kind": "unknown", "country": "nl"}',
        'counted order new 1 {}',
        'counted order new 1 {}'),
    'a row for each count of an event');
is(yields(order('{"lines":[{"sku":"p"}],"gift":"p"}')), 'dead_letter bad_weight', 'one unreadable rule: a dead letter and its reason');
is(yields(order('{"country":"de"}')),                     'no_item',              'no item');
is(yields('{"metadata":{"eventType":"visit","timestamp":0},"payload":{"page":"/","ms":99}}'),  'filtered', 'filtered');
is(yields('{"metadata":{"eventType":"visit","timestamp":0},"payload":{"page":"/","ms":100}}'), 'counted visit / 1 {}', 'not filtered');
is(yields('{"metadata":{"eventType":"other","timestamp":0}}'), 'no_rule',              'no rule');
is(yields('{"metadata":'),                                    'dead_letter bad_json', 'what is no JSON');
is($pipeline->value("SELECT outcome FROM topk.test_rule('orders', NULL::jsonb)"),     'tombstone',   'a tombstone');
is($pipeline->value("SELECT reason FROM topk.test_rule('orders', '\\xff00'::bytea)"), 'bad_json',    'any bytes');
is($pipeline->value("SELECT event_time, pane, item_type FROM topk.test_rule('orders', jsonb '" . order('{"gift":"x"}') . "')"),
    '2025-03-01 10:00:30+00|2025-03-01 10:00:00+00|sku', 'times, and an event as jsonb');
is($pipeline->value("SELECT sum(weight) FROM topk.test_rule('orders', '" . order('{"lines":[' . join(',', ('{"sku":"' . 'x' x 200 . '","quantity":1}') x 1000) . ']}') . "')"),
    1000, 'an answer that is longer than the queue');

# ---- check_source and preview, before and after there is something ----

is($pipeline->value("SELECT string_agg(concat_ws(' ', reachable, partition, low_offset, high_offset, reason), ',' ORDER BY partition)
    FROM topk.check_source('orders')"), 't 0 0 0,t 1 0 0,t 2 0 0', 'an empty topic');
is($pipeline->value("SELECT DISTINCT brokers FROM topk.check_source('orders')"), $kafka->bootstrap, 'the brokers');
is($pipeline->value("SELECT count(*) FROM topk.preview('orders')"), 0, 'nothing to preview');

srand(20250301);
my $serial = 0;

sub random_message
{
    my ($minute) = @_;
    my $second    = sprintf '2025-03-01T10:%02d:%02d', $minute, int rand 60;
    my $country   = (qw(nl be de), '')[ rand 4 ];
    my @fields    = $country eq '' ? () : qq("country":"$country");
    my $sku       = sub { my $n = int rand 40; return rand() < 0.2 ? $n : qq("sku $n") };
    my @lines     = map {
        my @line = rand() < 0.05 ? () : ('"sku":' . (rand() < 0.03 ? 'null' : $sku->()), '"quantity":' . (rand() < 0.003 ? 0 : 1 + int rand 5));
        push @line, '"kind":' . (qw("toy" "book" 3 null))[ rand 4 ] if rand() < 0.7;
        '{' . join(',', @line) . '}'
    } 1 .. rand 5;
    $serial++;
    return qq({"metadata":{"eventType":"visit","timestamp":"$second"},"payload":{"page":"/$serial","ms":) . int(rand 1000)
      . (rand() < 0.1 ? ',"test":1' : '') . '}}' if rand() < 0.2;
    return '{"metadata":' if rand() < 0.002;
    push @fields, '"lines":[' . join(',', @lines) . ']' if rand() < 0.8;
    push @fields, '"gift":' . $sku->()                  if rand() < 0.2;
    push @fields, '"bot":' . (qw(true "true" false))[ rand 3 ] if rand() < 0.3;
    push @fields, '"tags":' . ('["a","b","a"]', '[1,null,2.50]', '"c"', '[]', '[["x"]]')[ rand() < 0.01 ? 4 : rand 4 ] if rand() < 0.6;
    return qq({"metadata":{"eventType":"order","timestamp":"$second"},"payload":{) . join(',', @fields) . '}}';
}

my $messages = 20_000;
$kafka->produce('orders', map { int(rand 3) . "\t" . random_message(int($_ * 20 / $messages)) } 1 .. $messages);
$pipeline->wait_until_flushed;
is($pipeline->value("SELECT bool_and(reachable), sum(high_offset), sum(next_offset), sum(lag) FROM topk.check_source('orders')"),
    "t|$messages|$messages|0", 'offsets and lag');

# ---- the stream, recounted ----

my $summary = $pipeline->recount;
compare_counts($pipeline, $summary);
compare_windows($pipeline);
compare_global($pipeline);
cmp_ok($summary->{$_}, '>', 10, "the stream had some that were $_") for qw(no_item filtered dead_letters);
is($pipeline->value('SELECT counted + filtered + no_item FROM topk.stat_rule WHERE name = \'visit\''),
    $pipeline->value("SELECT sum(events - dead_letters - no_rule - too_late) - (SELECT counted + filtered + no_item FROM topk.stat_rule WHERE name = 'gifts') FROM topk.partition"),
    'each event is in the counts of its rules');
is($pipeline->value("SELECT sum(items) FROM topk.stat_rule WHERE item_type = 'tag'"),
    $pipeline->value("SELECT sum(count) FROM oracle.total WHERE item_type = 'tag'"), 'items are counted by rule');

# ---- preview ----

my $last = $pipeline->value("SELECT string_agg(partition || ':' || kafka_offset, ',' ORDER BY kafka_time, partition, kafka_offset) FROM topk.preview('orders', 5)");
like($last, qr/^(\d:\d+,){4}\d:\d+$/, 'the last five messages');
is($pipeline->value("SELECT count(*) FROM topk.preview('orders', 5) WHERE payload IS NOT NULL AND raw_payload = convert_to(payload, 'UTF8') AND kafka_time > now() - interval '1 hour'"),
    5, '... with payload and time');
is($pipeline->value("SELECT min(kafka_offset), count(*) FROM topk.preview('orders', 20, start_at => 'earliest') WHERE kafka_offset < 20"), '0|20', 'the first');
is($pipeline->value("SELECT count(*) FROM topk.preview('orders', 20, start_at => 'next')"), 0, 'the next: all has been read');
is( $pipeline->value("SELECT bool_and((outcome = 'counted') = (jsonb_array_length(items) > 0)), bool_or(outcome = 'counted') FROM topk.preview('orders', 100)"),
    't|t', 'what each would yield');
my $before = $pipeline->value('SELECT sum(events), sum(next_offset), sum(epoch) FROM topk.partition');
$pipeline->value("SELECT topk.pause('orders')");
$pipeline->wait_for("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'topk worker'", 0);
$kafka->produce('orders', "0\t" . order('{"gift":"later"}'), "1\t" . order('{"gift":"later"}'));
is($pipeline->value("SELECT count(*) FROM topk.preview('orders', 10, start_at => 'next') WHERE payload ~ 'later'"), 2, 'a paused source shows what comes next');
is($pipeline->value("SELECT sum(lag) FROM topk.check_source('orders')"), 2, '... and how much it is');
is($pipeline->value('SELECT sum(events), sum(next_offset) FROM topk.partition'), join('|', (split /\|/, $before)[ 0, 1 ]), 'nothing was consumed');
$pipeline->value("SELECT topk.resume('orders')");
$pipeline->wait_until_flushed;
is($pipeline->value('SELECT sum(events) FROM topk.partition'), $messages + 2, '... until the source goes on');
$kafka->trim('orders', 0, 100);
is($pipeline->value("SELECT low_offset FROM topk.check_source('orders') WHERE partition = 0"), 100, 'the low end of a log');
is($pipeline->value("SELECT count(*) FROM topk.preview('orders', 100, start_at => 'earliest') WHERE partition = 0 AND kafka_offset < 100"),
    0, '... where a preview begins');

# ---- what is wrong is said ----

$pipeline->value(<<'SQL');
CREATE SERVER nowhere FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
SELECT topk.create_source('lost', server => 'nowhere', topic => 'orders');
SELECT topk.create_source('untitled', server => 'k', topic => 'untitled');
SQL
like($pipeline->value("SELECT reachable, reason FROM topk.check_source('lost')"), qr/^f\|.*(refused|timed out)/i, 'brokers that are not there');
like($pipeline->value("SELECT reachable, reason FROM topk.check_source('untitled')"), qr/^f\|untitled: .*unknown topic/i, 'a topic that is not there');
like(error_of("SELECT topk.preview('untitled')"), qr/ERROR:  untitled: .*unknown topic/i, '... which has no messages');
like(error_of("SELECT topk.preview('orders', 101)"),                      qr/n must be from 1 to 100/,              'too many messages');
like(error_of("SELECT topk.preview('orders', start_at => 'yesterday')"), qr/start_at must be earliest, next or latest/, 'a wrong start');
like(error_of("SELECT topk.check_source('nobody')"),                     qr/there is no source 'nobody'/,          'no source');
like(error_of("BEGIN; SELECT topk.create_source('mine', server => 'k', topic => 'orders'); SELECT topk.preview('mine'); COMMIT"),
    qr/not committed yet/, 'a source in the making');
like(error_of("BEGIN; LOCK TABLE topk.rule; SELECT topk.probe('check', source_id, timeout_ms => 500) FROM topk.source WHERE name = 'lost'"),
    qr/did not answer within 500 ms/, 'a probe that waits for its caller');
my $start = time;
like(error_of("SET statement_timeout = '1s'; SELECT topk.check_source('lost')"), qr/statement timeout/, 'a cancel');
cmp_ok(time - $start, '<', 3, '... is heard at once');
$pipeline->wait_for("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'topk probe'", 0, 10);
pass('no probe stays behind');
$pipeline->value('CREATE ROLE somebody; GRANT USAGE ON SCHEMA topk TO somebody; GRANT SELECT ON topk.source, topk.partition TO somebody');
for my $call ("check_source('orders')", "preview('orders')", "test_rule('orders', '{}')", "probe('check', 1)")
{
    like(error_of("SET ROLE somebody; SELECT topk.$call"), qr/permission denied for function/, "not for everybody: $call");
}
$pipeline->value('GRANT EXECUTE ON FUNCTION topk.check_source, topk.probe TO somebody');
is($pipeline->value("SET ROLE somebody; SELECT count(*) FROM topk.check_source('orders')"), 3, 'for who it is granted to');

# ---- brokers that do not answer ----

$kafka->freeze_node(1);
$start = time;
like($pipeline->value("SELECT reachable, reason FROM topk.check_source('orders')"), qr/^f\|.*(brokers|timed out)/i, 'a broker that does not answer');
like(error_of("SELECT topk.preview('orders')"), qr/ERROR:  .*(brokers|timed out)/i, '... and has no messages to show');
cmp_ok(time - $start, '<', 22, '... each within its time');
$kafka->thaw_node(1);
$pipeline->wait_for("SELECT bool_and(reachable) FROM topk.check_source('orders')", 't', 60);

# ---- the backend maps neither library ----

is( $pipeline->value("SELECT count(*) FROM topk.check_source('orders');
    SELECT count(*) FROM regexp_split_to_table(pg_read_file('/proc/' || pg_backend_pid() || '/maps'), E'\\n') m WHERE m ~ 'rdkafka|simdjson|topk_worker'"),
    "3\n0", 'no library of the workers in the backend');

# ---- no worker slot is free ----

$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
$node->restart;
like(error_of("SELECT topk.check_source('orders')"), qr/no background worker slot is free.*HINT:.*max_worker_processes/s, 'no slot');

$node->stop;
done_testing();
