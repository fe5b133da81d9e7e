# Tenants and the guard, end to end: one tenant over its quota, one disabled, one with a single dimension, others
# without settings; a user id as a dimension, by mistake; two workers, a midnight, and a crash in between.  All
# totals are exact, and every event that is in no list is counted where it belongs.  Then too many tenants.

use strict;
use warnings;

use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;

my $events     = 60_000;
my $partitions = 4;
my $max_values = 40;
my $dir        = PostgreSQL::Test::Utils::tempdir_short();
my $kafka      = TopK::Test::Kafka->start("$dir/kafka");
$kafka->create_topic('events', $partitions);

my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka);
$pipeline->setup(
    source => {
        workers => 2, tenant_path => 'tenant', flush_interval => '50 milliseconds', idle_timeout => '5 seconds',
        max_values => $max_values, max_tenants => 10
    },
    rules => [
        {   event_type => 'view', item_type => 'url', item_path => 'url',
            dimensions => { device => 'device', user => 'user' } },
        { event_type => 'scroll', item_type => 'url', item_path => 'url', dimensions => { device => 'device' } }
    ],
    tenants => [
        { tenant => 'acme',   items_per_second => 30 },
        { tenant => 'basic',  dimensions => ['device'], k => 3, capacity => 400 },
        { tenant => 'closed', enabled => JSON::PP::false },
        { tenant => undef,    items_per_second => 45 }
    ]);

# Ten minutes of event time around a midnight, a few seconds out of order, 1 % of it late or too late.
my $seed = 42;

sub below
{
    my ($n) = @_;
    $seed = ($seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return int($seed / 65_536) % $n;
}

sub event
{
    my ($i) = @_;
    my $begin  = 1_740_786_900;    # 2025-02-28T23:55:00Z
    my $time   = $begin + int(600 * $i / $events) - below(4);
    $time -= 65 + below(4000) if below(100) == 0;
    my $tenant = ('acme', 'acme', 'acme', 'basic', 'closed', 'free', 'other one')[ below(7) ];
    my $type   = below(5) ? 'view' : 'scroll';
    my $user   = below(3) ? below(10) : below(5000);
    my $device = ('mobile', 'desktop')[ below(2) ];
    return below($partitions) . "\t" . qq({"metadata":{"eventType":"$type","timestamp":$time},"tenant":"$tenant","url":"/)
      . below(40) . qq(","device":"$device","user":"u$user"});
}

$kafka->produce('events', map { event($_) } 1 .. $events / 2);
$pipeline->wait_for('SELECT sum(events) > 1000 FROM topk.partition', 't');
$pipeline->node->stop('immediate');
$pipeline->node->start;
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', $events / 2);
$pipeline->value('CREATE TABLE admitted AS SELECT day, list_id FROM topk.list_day');
$pipeline->value(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'topk worker'});
$kafka->produce('events', map { event($_) } $events / 2 + 1 .. $events);
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', $events);
$pipeline->wait_for("SELECT count(*) FROM topk.top_items WHERE window_name = '1-minute' AND NOT final", 0);

my $summary = $pipeline->recount;
compare_counts($pipeline, $summary);
cmp_ok($summary->{$_}, '>', 20, "the stream has events that are $_") for qw(over_quota tenant_disabled late too_late);
is($pipeline->value('SELECT count(*) FROM topk.partition WHERE events <> counted + too_late + dead_letters + no_rule + no_item
    + tombstones + over_quota + tenant_disabled'), 0, 'each event has one outcome');
for my $tenant ('acme', 'basic', 'closed', 'free', 'other one')
{
    my $counts = $summary->{tenants}{$tenant};
    is($pipeline->value("SELECT counted, over_quota, disabled FROM topk.stat_tenant WHERE tenant = '$tenant'"),
        join('|', map { $counts->{$_} // 0 } qw(counted over_quota disabled)), "tenant $tenant: its events are counted in their place");
}

# A count that must be 0; shows some of the rows if it is not.
sub none
{
    my ($what, $query) = @_;
    my $count = $pipeline->value("SELECT count(*) FROM ($query) q");
    return if is($count, 0, $what);
    diag $pipeline->value("SELECT q::text FROM ($query) q LIMIT 5");
    return;
}

# Lists of values of `user` are compared by their sum: which values are kept apart is for the workers to agree on.
my $grouped = "window_name, window_start, tenant, item_type, dimension, CASE WHEN dimension = 'user' AND value IS NOT NULL THEN '*' ELSE value END";
$pipeline->value(<<"SQL");
CREATE TABLE oracle.got AS SELECT window_name, extract(epoch FROM window_start)::bigint AS window_start, tenant, item_type, dimension, value,
    topk_total(sketch) AS total, topk_capacity(sketch) AS capacity, sketch, k FROM topk.window_sketch;
CREATE TABLE oracle.got_total AS SELECT $grouped AS value, sum(total) AS total FROM oracle.got GROUP BY 1, 2, 3, 4, 5, 6;
CREATE TABLE oracle.want_total AS SELECT $grouped AS value, sum(count) AS total FROM oracle.win GROUP BY 1, 2, 3, 4, 5, 6;
SQL
my $same = join ' AND ', (map { "g.$_ = o.$_" } qw(window_name window_start tenant item_type dimension)), 'g.value IS NOT DISTINCT FROM o.value';
cmp_ok($pipeline->value("SELECT count(*) FROM oracle.want_total WHERE value = '*'"), '>', 20, 'there are lists of users');
none('every total of every window, tenant, dimension and value is exact',
    "SELECT * FROM oracle.got_total g FULL JOIN oracle.want_total o ON $same WHERE g.total IS DISTINCT FROM o.total");
none('no user has more than it should',
    "SELECT g.* FROM oracle.got g LEFT JOIN (SELECT window_name, window_start, tenant, item_type, dimension, value, sum(count) AS total
        FROM oracle.win GROUP BY 1, 2, 3, 4, 5, 6) o ON $same
     WHERE g.dimension = 'user' AND g.value IS DISTINCT FROM '(other)' AND g.total > coalesce(o.total, 0)");
is($pipeline->value("SELECT min(n), max(n) FROM (SELECT count(*) AS n FROM oracle.got WHERE window_name = '1-day' AND dimension = 'user'
    AND value <> '(other)' AND tenant = 'acme' GROUP BY window_start) d"), "$max_values|$max_values", 'each day has its first values apart');
is($pipeline->value("SELECT DISTINCT n_values, other_in_use, max_values FROM topk.stat_dimension WHERE dimension = 'user' AND tenant = 'acme'"),
    "$max_values|t|$max_values", '... and says that there are more');
is($pipeline->value("SELECT DISTINCT n_values, other_in_use FROM topk.stat_dimension WHERE dimension = 'device'"), '2|f',
    '... which is not so of a dimension with two values');
is($pipeline->value('SELECT count(*) FROM (TABLE admitted EXCEPT SELECT day, list_id FROM topk.list_day) a'), 0, 'who was let in stays');
is($pipeline->value("SELECT count(*) FROM topk.list WHERE tenant = 'closed'"), 0, 'a disabled tenant has no lists');
is($pipeline->value("SELECT count(*) FROM topk.list WHERE tenant = 'basic' AND dimension = 'user'"), 0, 'a tenant has the dimensions of its settings only');
is($pipeline->value("SELECT DISTINCT k, capacity FROM oracle.got WHERE tenant = 'basic'"), '3|400', '... and its own k and capacity');
is($pipeline->value("SELECT max(rank) FROM topk.top_items WHERE tenant = 'basic'"), 3, '... which views go by');
is($pipeline->value("SELECT count(*) FROM topk.top('clicks', '1-day', tenant => 'basic')"), 3, '... and topk.top');

# Changes of settings: from their first offset on.
sub send_views
{
    my ($tenant, $count, $user) = @_;
    my $read = $pipeline->value('SELECT sum(events) FROM topk.partition') + $count;
    $kafka->produce('events', map { qq(0\t{"metadata":{"eventType":"view","timestamp":1740788000},"tenant":"$tenant","url":"/x","device":"tv","user":"$user"}) } 1 .. $count);
    $pipeline->wait_for('SELECT sum(events) FROM topk.partition', $read);
    return;
}

sub total
{
    my ($tenant, $dimension) = @_;
    return $pipeline->value("SELECT coalesce(sum(topk_total(sketch)), 0) FROM topk.window_sketch
        WHERE window_name = '1-day' AND tenant = '$tenant' AND dimension = '$dimension' AND value IS NULL");
}

my $before = total('basic', 'device');
is($before, total('basic', 'all'), 'a list that is shared');
$pipeline->value("SELECT topk.alter_tenant('clicks', 'basic', dimensions => '{user}')");
send_views('basic', 5, 'u1');
is(total('basic', 'all'), $before + 5, 'a dimension taken away: the events are counted');
is(total('basic', 'device'), $before, '... and its list keeps what it had');
is(total('basic', 'user'), 5, '... while one that is added begins with nothing');
$pipeline->value("SELECT topk.alter_tenant('clicks', 'basic', enabled => false)");
send_views('basic', 3, 'u1');
is(total('basic', 'all'), $before + 5, 'a tenant that is disabled counts no more');
is($pipeline->value("SELECT disabled FROM topk.stat_tenant WHERE tenant = 'basic'"), 3, '... and its events are counted as such');
$pipeline->value("SELECT topk.drop_tenant('clicks', 'basic')");
send_views('basic', 2, 'u1');
is(total('basic', 'all'), $before + 7, 'without settings it is like any other');

# Too many tenants: together.
send_views("t$_", 1, 'u1') for 1 .. 4;
$kafka->produce('events', map { qq(1\t{"metadata":{"eventType":"view","timestamp":1740788010},"tenant":"many$_","url":"/x","device":"tv","user":"u1"}) } 1 .. 300);
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', $events + 314);
is($pipeline->value('SELECT count(*) FROM topk.tenant_seen'), 10, 'no more tenants than may be are kept apart');
is($pipeline->value("SELECT count(DISTINCT tenant) FROM topk.list WHERE tenant LIKE 'many%'"), 10 - 7, '... the first ones');
is(total('(other)', 'all') + $pipeline->value("SELECT sum(over_quota) FROM topk.stat_tenant WHERE tenant = '(other)'"), 297,
    '... and the others are counted together');
$pipeline->value("SELECT topk.alter_tenant('clicks', NULL, enabled => false)");
$kafka->produce('events', map { qq(1\t{"metadata":{"eventType":"view","timestamp":1740788010},"tenant":"new$_","url":"/x","device":"tv","user":"u1"}) } 1 .. 20);
$pipeline->wait_for("SELECT disabled FROM topk.stat_tenant WHERE tenant = '(other)'", 20);
is($pipeline->value("SELECT count(*) FROM topk.list WHERE tenant LIKE 'new%'"), 0, 'tenants without settings can be refused');
is($pipeline->value('SELECT count(*) FROM topk.partition WHERE events <> counted + too_late + dead_letters + no_rule + no_item
    + tombstones + over_quota + tenant_disabled'), 0, 'each event has one outcome');

$pipeline->node->stop;
done_testing();
