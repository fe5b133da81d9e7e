# Late and too late events, kept or not, while windows come and go under load: the too late ones against an
# independent recount of the topic, and every window, also days of a time zone over the end of the day on which its
# clocks went forward, and weeks that take global over.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;

my $events = 200_000;
my $dir    = PostgreSQL::Test::Utils::tempdir_short();
my $kafka  = TopK::Test::Kafka->start("$dir/kafka");
my $redis  = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 4);

my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis);
$pipeline->setup(source => { idle_timeout => '5 seconds', flush_interval => '200 milliseconds', workers => 2,
    allowed_lateness => '3 minutes', late_policy => 'keep' });

# 20 minutes around the midnight of Berlin (22:00 in UTC), 5 % of the events late by up to 10 minutes
sub generate
{
    my ($seed, $log) = @_;
    my @options = ('--seed' => $seed, '--events' => $events, '--start' => '2025-03-30T21:50:00Z', '--span' => 1200, '--disorder' => 5,
        '--late' => 0.05, '--late-by' => '65-600', '--items' => 5000, '--tenants' => 2, '--malformed' => 0.001, '--partitions' => 4);
    return $log ? $kafka->generate_in_background('events', $log, @options, '--rate' => 15_000) : $kafka->generate('events', @options);
}

sub wait_for_events
{
    my ($read) = @_;
    $pipeline->wait_for("SELECT coalesce(sum(events), 0) >= $read FROM topk.partition", 't');
    return;
}

generate(1, "$dir/generate.log");
wait_for_events($events * 0.2);
$pipeline->value("SELECT topk.create_window('clicks', '5-minutes', '5 minutes', '1 day')");
wait_for_events($events * 0.4);
$pipeline->value("SELECT topk.create_window('clicks', 'berlin', '1 day', '30 days', time_zone => 'Europe/Berlin')");
$pipeline->value("SELECT topk.alter_window('clicks', '1-minute', retention => '1 day', redis_ttl => '2 hours')");
wait_for_events($events * 0.6);
$pipeline->value("SELECT topk.create_window('clicks', 'week', '7 days', '700 days')");
wait_for_events($events * 0.7);
$pipeline->value("SELECT topk.drop_window('clicks', '1-day')");
wait_for_events($events);

my $summary = $pipeline->recount;
is($summary->{events}, $events, 'all events are in the topic');
cmp_ok($summary->{late}, '>', 1000, '... many of them late');
cmp_ok($summary->{too_late}, '>', 1000, '... or too late');
$pipeline->wait_for("SELECT count(*) FROM topk.top_items WHERE window_name = '1-minute' AND NOT final", 0);
is($pipeline->value("SELECT string_agg(window_name, ' ' ORDER BY size) FROM topk.source_window"), '1-minute 5-minutes 1-hour berlin week',
    'the windows are those that were asked for');
is($pipeline->value("SELECT count(DISTINCT window_start) FROM topk.top_items WHERE window_name = 'berlin'"), 2, 'two days of Berlin');
compare_counts($pipeline, $summary);
compare_late_events($pipeline);
compare_windows($pipeline);
compare_global($pipeline);
compare_redis($pipeline, $redis, 'clicks', 1200);
is($pipeline->value('SELECT count(*) FROM topk.late_event WHERE topk.us(watermark - event_time) < topk.us(\'3 minutes\')'), 0,
    'what is kept was beyond the allowed lateness');
is($pipeline->value("SELECT count(*) FROM topk.late_event WHERE convert_from(payload, 'UTF8')::jsonb -> 'metadata' ->> 'eventType' = event_type"),
    $summary->{too_late}, '... with its payload');
is($pipeline->value('SELECT sum(late) || \' \' || sum(too_late) FROM topk.stat_partition'), "$summary->{late} $summary->{too_late}",
    'both kinds are counted by partition');

# A restart, and the other policy: counted, and not kept.
$pipeline->value("SELECT topk.alter_source('clicks', late_policy => 'drop')");
$pipeline->node->restart;
generate(2);
wait_for_events(2 * $events);
my $kept = $summary->{too_late};
$summary = $pipeline->recount;
cmp_ok($summary->{too_late}, '>', $kept + 1000, 'more are too late');
is($pipeline->value('SELECT count(*) FROM topk.late_event'), $kept, '... and are not kept');
compare_counts($pipeline, $summary);
compare_windows($pipeline);
compare_global($pipeline);

$pipeline->node->stop;
done_testing();
