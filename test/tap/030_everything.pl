# Everything at once, on Apache Kafka, PostgreSQL and Redis, against an independent recount of the topic: one
# partition idle and one slow; late, too late, future and malformed messages; three tenants, one over its quota
# and one with settings of its own, and a fourth that is disabled; windows of five minutes, and days of a time
# zone over one of its midnights; two workers.

use strict;
use warnings;

use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
my $redis = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 4);

my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis);
$pipeline->setup(
    source => {
        workers => 2, tenant_path => 'metadata.tenant', flush_interval => '200 milliseconds', idle_timeout => '3 seconds',
        out_of_orderness => '10 seconds', allowed_lateness => '2 minutes', late_policy => 'keep'
    },
    sink => {
        window_key => 'topk:%tenant%:%window%:%dimension%:%minutes%', meta_key => 'meta:%tenant%:%window%:%dimension%:%minutes%',
        global_key => 'topk:%tenant%:global:%item_type%', global_meta_key => 'meta:%tenant%:global:%item_type%'
    },
    tenants => [
        { tenant => 'tenant-1', items_per_second => 80 },
        { tenant => 'tenant-2', dimensions => ['deviceType'], k => 20, capacity => 400 },
        { tenant => 'closed',   enabled => JSON::PP::false }
    ]);
$pipeline->value("SELECT topk.create_window('clicks', '5-minutes', '5 minutes', '1 day');
    SELECT topk.create_window('clicks', 'india', '1 day', '30 days', time_zone => 'Asia/Kolkata')");

# Twenty minutes around midnight in India: fast on partitions 0 and 1, slow on 2, nothing on 3.
my ($fast, $slow) = (80_000, 4_000);
my @stream = ('--start' => '2025-06-01T18:20:00Z', '--span' => 1200, '--disorder' => 5, '--late' => 0.01, '--late-by' => '65-300',
    '--malformed' => 0.001, '--no-rule' => 0.01, '--no-item' => 0.01, '--tenants' => 3, '--items' => 5000);
$kafka->generate_in_background('events', "$dir/slow.log", @stream, '--events' => $slow, '--rate' => 400, '--seed' => 2,
    '--partition-shares' => '0,0,1,0');
my $generated = $kafka->generate('events', @stream, '--events' => $fast, '--partition-shares' => '6,4,0,0');
my $kinds = grep { m{/} && $generated->{$_} > 0 } keys %{$generated};
cmp_ok($kinds, '>=', 10, "messages are malformed in $kinds ways");

# Meanwhile: the source waits for its slow partition, and not for the idle one.
$pipeline->wait_for("SELECT reason FROM topk.stat_watermark WHERE partition = 3", 'idle');
$pipeline->wait_for("SELECT string_agg(partition::text, ',') FROM topk.stat_watermark WHERE holds_back", '2');
is($pipeline->value("SELECT count(*) FROM topk.top_items WHERE final AND window_end > (SELECT watermark FROM topk.partition WHERE partition = 2)"),
    0, 'no window is final that the slow partition has not passed');
cmp_ok($pipeline->value("SELECT count(*) FROM topk.top_items WHERE NOT final AND window_name = '1-minute'"), '>', 0, '... and those are there to be read');

# What the generator does not make, in small numbers, between the other messages.
sub event
{
    my ($partition, $tenant, $time) = @_;
    return qq($partition\t{"metadata":{"eventType":"page_view","tenant":"$tenant","timestamp":"$time"},"payload":{"url":"/by/hand"}});
}

my @by_hand;
for my $n (1 .. 6)
{
    my $partition = $n % 3;
    my @messages  = (
        (map { event($partition, "tenant-$_", '2099-01-01T00:00:00Z') } (1 .. 3) x 6),
        (map { event($partition, "tenant-$_", '2025-06-01T12:00:00Z') } (1 .. 3) x 3),
        (map { event($partition, 'closed', '2025-06-01T18:39:30Z') } 1 .. 8));
    $kafka->produce('events', @messages);
    push @by_hand, @messages;
}

my $events = $fast + $slow + @by_hand;
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', $events);
$pipeline->wait_for("SELECT count(*) FROM topk.top_items WHERE window_name IN ('1-minute', '5-minutes') AND NOT final", 0);

my $summary = $pipeline->recount;
is($summary->{events}, $events, 'all events are in the topic');
for my $least ([ late => 250 ], [ too_late => 100 ], [ dead_letters => 150 ], [ no_rule => 500 ], [ no_item => 500 ], [ over_quota => 300 ],
    [ tenant_disabled => 40 ])
{
    my ($count, $n) = @{$least};
    cmp_ok($summary->{$count}, '>=', $n, "the topic has enough events for $count");
}
cmp_ok($summary->{reasons}{future_time}, '>=', $events / 1000, '... and enough of the far future');
compare_counts($pipeline, $summary);
compare_partitions($pipeline, $summary);
compare_tenants($pipeline, $summary);
compare_late_events($pipeline);
is($pipeline->value('SELECT string_agg(window_name, \' \' ORDER BY window_name) FROM (SELECT DISTINCT window_name FROM oracle.win) w'),
    '1-day 1-hour 1-minute 5-minutes india', 'every window is compared');
is($pipeline->value("SELECT count(DISTINCT window_start) FROM topk.top_items WHERE window_name = 'india'"), 2, '... two days of India among them');
compare_windows($pipeline);
compare_global($pipeline);
is($pipeline->value("SELECT max(k), min(k), max(capacity), min(capacity) FROM topk.window_sketch, topk_capacity(sketch) capacity WHERE tenant = 'tenant-2'"),
    '20|20|400|400', 'a tenant has its own k and capacity');
is($pipeline->value("SELECT string_agg(DISTINCT dimension, ' ' ORDER BY dimension) FROM topk.window_sketch WHERE tenant = 'tenant-2'"), 'all deviceType',
    '... and dimensions');
is($pipeline->value("SELECT string_agg(DISTINCT tenant, ' ' ORDER BY tenant) FROM topk.list"), 'tenant-1 tenant-2 tenant-3',
    'who is disabled has no lists');
compare_redis($pipeline, $redis, 'clicks', 1200);

$pipeline->node->stop;
done_testing();
