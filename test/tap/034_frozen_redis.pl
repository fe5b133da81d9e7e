# A Redis that has frozen: its publisher can still be ended, and its database be dropped, at once; a second publisher that
# waits for it does no harm.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
my $redis = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 2);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis);
my $node     = $pipeline->node;
$pipeline->setup(source => { idle_timeout => '2 seconds', out_of_orderness => '2 seconds' });
$pipeline->value("ALTER SERVER r OPTIONS (ADD command_timeout '60000', ADD connect_timeout '60000')");
$kafka->generate('events', '--events' => 10_000, '--partitions' => 2, '--items' => 100, '--start' => '2025-03-01T10:00:00Z', '--span' => 120);
$pipeline->wait_until_flushed;
compare_redis($pipeline, $redis, 'clicks', 600);

my $publisher = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'topk publisher'";

# Ended while it waits, five times more often than the timeout would let it.
$redis->freeze;
sleep 2;
my $pid   = $pipeline->value($publisher);
my $began = time;
$pipeline->value("SELECT pg_terminate_backend($pid)");
$pipeline->wait_for("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", 0, 20);
cmp_ok(time - $began, '<', 5, 'a publisher that waits for a frozen Redis ends when it is asked to');
$pipeline->wait_for("SELECT count(*) FROM ($publisher) p", 1, 20);
sleep 2;
$pid = $pipeline->value($publisher);

# Copying a database needs all of its processes to leave, as dropping it does.
$began = time;
my ($status, undef, $error) = $node->psql('template1', 'CREATE DATABASE copied TEMPLATE postgres');
is($status, 0, 'the database can be copied while its publisher waits') or diag $error;
cmp_ok(time - $began, '<', 6, '... at the first try');
isnt($pipeline->value("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid"), 1, '... the publisher has left');

$redis->thaw;
$kafka->generate('events', '--events' => 10_000, '--partitions' => 2, '--items' => 100, '--seed' => 2, '--start' => '2025-03-01T10:02:00Z', '--span' => 120);
$pipeline->wait_until_flushed;
compare_redis($pipeline, $redis, 'clicks', 600);
is(scalar(my @lines = slurp_file($node->logfile) =~ /not waiting for Redis any longer/g), 0, 'an orderly end is no failure in the log');

$node->stop;
done_testing();
