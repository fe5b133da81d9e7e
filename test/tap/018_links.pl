# A link that falls silent: nothing is closed, nothing is answered.  A worker notices, can still be asked to stop, and
# goes on where it was; the publisher says so and mends Redis, and what was under way does no harm when it arrives late.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Proxy;
use TopK::Test::Redis;
use TopK::Test::Server qw(free_port);

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka", proxied => 1);
my $redis = TopK::Test::Redis->start("$dir/redis");
my $port  = free_port();
my $proxy = TopK::Test::Proxy->start("$dir/proxy.log", $kafka->links, redis => [ $port, $redis->port ]);
$kafka->create_topic('events', 4);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis);
$pipeline->setup(source => { idle_timeout => '3 seconds', flush_interval => '200 milliseconds' },
    bootstrap => $kafka->proxied_bootstrap, redis_port => $port);

sub generate
{
    my ($seed) = @_;
    $kafka->generate('events', '--seed' => $seed, '--events' => 20_000, '--items' => 200, '--start' => "2025-03-01T1$seed:00:00Z", '--span' => 600);
    return;
}

generate(0);
$pipeline->wait_until_flushed;
$pipeline->wait_for("SELECT bool_and(idle) FROM topk.partition", 't', 30);

# ---- the brokers fall silent ----

# A question about the end of a log is under way for ever, so a worker that waits for its answer would not see this.
$proxy->set('broker1', 'stall');
sleep 3;
my $asked = time;
$pipeline->value("SELECT topk.pause('clicks')");
$pipeline->wait_for("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'topk worker'", 0, 60);
cmp_ok(time - $asked, '<', 15, 'a worker stops when it is asked to, though the broker does not answer');

$pipeline->value("SELECT topk.resume('clicks')");
$pipeline->wait_for("SELECT state FROM topk.stat_source", 'retrying', 60);
pass('a worker that finds silent brokers says so');
generate(1);
$proxy->set('broker1', 'open');
$pipeline->wait_until_flushed(60);

# ---- Redis falls silent ----

$proxy->set('redis', 'deaf');
generate(2);
$pipeline->wait_until_flushed;
$pipeline->wait_for('SELECT state FROM topk.stat_sink', 'retrying', 30);
pass('the publisher says that Redis does not answer');
$proxy->set('redis', 'open');

my $summary = $pipeline->recount;
is($summary->{events}, 60_000, 'the topic holds every event');
compare_counts($pipeline, $summary);
compare_redis($pipeline, $redis, 'clicks', 7200);

$pipeline->node->stop;
done_testing();
