# Redis in every form: a cluster of six nodes, one behind sentinels, one with an ACL user, one with TLS; each mirrors the
# same source, whose panes are written here as a worker's flush would write them.  Nodes die, slots move, keys are
# deleted, fences are in the way; after each, Redis is what topk.mirror says.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Compare;
use TopK::Test::Pipeline;
use TopK::Test::Redis;
use TopK::Test::RedisCluster;
use TopK::Test::RedisSentinel;
use TopK::Test::Server qw(free_port);

my $dir      = PostgreSQL::Test::Utils::tempdir_short();
my $cluster  = TopK::Test::RedisCluster->start("$dir/cluster");
my $sentinel = TopK::Test::RedisSentinel->start("$dir/sentinel");
my $single   = TopK::Test::Redis->start("$dir/single");
my $pipeline = TopK::Test::Pipeline->new('main');
my %redis    = (cluster => $cluster, sentinel => $sentinel, single => $single);

# What the README says that a user needs; a cluster and sentinels want a little more.
my $rights = '~topk:* ~meta:* ~item:* +evalsha +script|load +type +del +persist +pexpireat +hget +hmget +hset +hdel +hkeys +hlen '
  . '+zadd +zcard +zremrangebyscore';
$single->command('ACL', 'SETUSER', 'publisher', 'on', '>s3cret', split / /, $rights);
$single->command('CONFIG', 'SET', 'requirepass', 'hush');
$single->command('AUTH', 'hush');
for my $server ($cluster->nodes, @{ $sentinel->{servers} })
{
    $server->command('ACL', 'SETUSER', 'publisher', 'on', '>s3cret', split(/ /, $rights), '+cluster|slots', '+asking', '+role');
}

# ---- the source: nobody reads it ----

$pipeline->value(<<"SQL");
BEGIN;
CREATE EXTENSION topk;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
SELECT topk.create_source('clicks', server => 'k', topic => 'events');
SELECT topk.create_rule('clicks', event_type => 'e', item_type => 'url', item_path => 'u', dimensions => '{"device": "d"}');
SELECT topk.pause('clicks');
CREATE FUNCTION list_of(dimension text, value text) RETURNS bigint LANGUAGE sql AS
    \$\$ SELECT topk.intern_list(1, '', 'url', dimension, value, NULL) \$\$;
CREATE FUNCTION feed(minute integer, n integer, sealed boolean) RETURNS void LANGUAGE sql AS \$\$
    INSERT INTO topk.live (source_id, pane, list_id, incarnation, worker, sealed, version, sketch)
    SELECT 1, '2025-03-01 10:00+00'::timestamptz + minute * interval '1 minute', list_of(d.dimension, d.value),
           nextval('topk.run'), 0, sealed, 1, (SELECT topk_agg('/page/' || (i * i % n)) FROM generate_series(1, 10 * n) i)
    FROM (VALUES ('all', NULL), ('device', NULL), ('device', 'mobile')) AS d(dimension, value)
\$\$;
CREATE FUNCTION close_up_to(minute integer) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
    UPDATE topk.live SET sealed = true WHERE pane < '2025-03-01 10:00+00'::timestamptz + minute * interval '1 minute';
    UPDATE topk.partition SET watermark = '2025-03-01 10:00+00'::timestamptz + minute * interval '1 minute';
    PERFORM topk.make_leaves(1);
    PERFORM topk.close(1);
END
\$\$;
INSERT INTO topk.partition (source_id, partition, next_offset) VALUES (1, 0, 0);
SELECT feed(m, 20 + m, true) FROM generate_series(0, 9) m;
SELECT feed(10, 7, false);
SELECT close_up_to(10);
COMMIT;
SQL

for my $kind (sort keys %redis)
{
    my $options = $redis{$kind}->server_options;
    $pipeline->value(<<"SQL");
BEGIN;
CREATE SERVER $kind FOREIGN DATA WRAPPER topk_redis OPTIONS ($options);
CREATE USER MAPPING FOR PUBLIC SERVER $kind OPTIONS (username 'publisher', password 's3cret');
SELECT topk.create_sink('clicks', server => '$kind', name => '$kind', sweep_interval => '2 seconds');
COMMIT;
SQL
}

sub compare
{
    my ($kind, $what) = @_;
    note "$kind: $what";
    compare_redis($pipeline, $redis{$kind}, $kind, 3600);
    return;
}

my $step = 10;

# A minute more, closed, and an open one.
sub feed
{
    my $open = $step + 1;
    $pipeline->value("SELECT feed($step, 30, true), feed($open, 5, false), close_up_to($open)");
    $step = $open;
    return;
}

sub shown
{
    my ($kind, $column) = @_;
    return $pipeline->value("SELECT $column FROM topk.stat_sink WHERE sink = '$kind'");
}

compare($_, 'at first') for sort keys %redis;
for my $kind (sort keys %redis)
{
    $pipeline->wait_for("SELECT last_resync_at IS NOT NULL AND state = 'running' FROM topk.stat_sink WHERE sink = '$kind'", 't');
    is(shown($kind, 'mode'), $kind, "the mode is shown: $kind");
}
like(shown('cluster', 'address'), qr/\A127\.0\.0\.1:\d+ 127\.0\.0\.1:\d+ 127\.0\.0\.1:\d+\z/, 'the addresses of all masters');
is(shown('sentinel', 'address'), '127.0.0.1:' . $sentinel->master->port, 'the address of the master');
feed();
compare($_, 'one more minute') for sort keys %redis;

# ---- the sweep ----

for my $kind (sort keys %redis)
{
    my $redis = $redis{$kind};
    my @lists = grep { !/global/ } sort @{ $redis->command('KEYS', 'topk:*1-minute*') };
    my @others = map { my $key = $_; $key =~ s/^topk:/meta:/; $key } @lists;
    my ($item) = sort @{ $redis->command('KEYS', 'item:*') };
    my ($global) = @{ $redis->command('KEYS', 'topk:global:*') };
    my $mended = shown($kind, 'keys_mended');
    $redis->command('DEL',  $lists[0]);
    $redis->command('DEL',  $others[1]);
    $redis->command('ZREM', $lists[2], $redis->command('ZRANGE', $lists[2], 0, 0)->[0]);
    $redis->command('HDEL', $others[3], 'total');
    $redis->command('DEL',  $_) for $item, $global;
    $pipeline->wait_for("SELECT keys_mended >= $mended + 5 FROM topk.stat_sink WHERE sink = '$kind'", 't', 30); # an item may be written anyway
    compare($kind, 'after keys were deleted');
}

# ---- a user and a fence ----

$pipeline->value("ALTER USER MAPPING FOR PUBLIC SERVER single OPTIONS (SET password 'wr0ng')");
$pipeline->wait_for("SELECT state FROM topk.stat_sink WHERE sink = 'single'", 'retrying', 30);
like(shown('single', 'last_error'), qr/WRONGPASS/, 'a wrong password is told');
unlike(shown('single', 'last_error'), qr/wr0ng|s3cret/, '... without showing it');
feed();
cmp_ok(shown('single', 'extract(epoch FROM delay)'), '>', 0, '... and the delay is shown');
$pipeline->value("ALTER USER MAPPING FOR PUBLIC SERVER single OPTIONS (SET password 's3cret')");
compare('single', 'with the right password');
is(shown('single', 'delay'), '00:00:00', 'no delay is left');

my ($meta) = grep { !/global/ } sort @{ $single->command('KEYS', 'meta:*1-minute*') };
$single->command('HSET', $meta, 'fence', '4102444800/1/1');
$pipeline->wait_for("SELECT last_error FROM topk.stat_sink WHERE sink = 'single'",
    "Redis: a newer publisher has written key \"$meta\": 4102444800/1/1", 30);
pass('a newer fence is respected, and told');
$single->command('HSET', $meta, 'fence', $pipeline->value("SELECT incarnation + 1 FROM topk.sink WHERE name = 'single'") . '/0/0');
my $before = shown('single', 'last_resync_at');
$pipeline->value("SELECT topk.resync_sink('single')");
$pipeline->wait_for("SELECT last_resync_at > '$before' FROM topk.stat_sink WHERE sink = 'single'", 't', 30);
compare('single', 'after topk.resync_sink');

# ---- the cluster ----

($cluster->masters)[1]->command('FLUSHALL');
compare('cluster', 'after one master lost everything');

sub slot_in_use
{
    my ($open) = grep { !/global/ } reverse sort @{ $cluster->command('KEYS', 'topk:*1-day*') };
    return ($cluster->slot_of($open), $open);
}

my ($slot, $key) = slot_in_use();
my $old_master = $cluster->master_of($slot);
$cluster->begin_move($slot);
feed();
compare('cluster', 'while a slot begins to move');
cmp_ok($cluster->move_keys($slot), '>=', 2, 'its keys move');
is(scalar @{ $old_master->command('KEYS', $key) }, 0, '... away');
feed();
compare('cluster', 'while its keys are there and the slot is here');
$cluster->end_move($slot);
isnt($cluster->master_of($slot)->port, $old_master->port, 'the slot has moved');
feed();
compare('cluster', 'when the slot has moved');

($slot) = slot_in_use();
my $addresses = shown('cluster', 'address');
$cluster->kill_master($slot);
feed();
compare('cluster', 'after a failover');
$pipeline->wait_for("SELECT state = 'running' AND address <> '$addresses' FROM topk.stat_sink WHERE sink = 'cluster'", 't', 30);
pass('the addresses are those of the masters now');

# ---- sentinels ----

my $port = $sentinel->master->port;
$sentinel->kill_master;
feed();
compare('sentinel', 'after a failover');
isnt(shown('sentinel', 'address'), "127.0.0.1:$port", 'the address is that of the new master');

# ---- TLS: where hiredis has it, else a clear error ----

sub openssl { system_log("openssl", @_) == 0 or die "openssl failed"; return; }

mkdir "$dir/tls";
openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', 2, '-subj', '/CN=test authority', '-keyout', "$dir/tls/ca.key",
    '-out', "$dir/tls/ca.pem", '-batch');
openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=redis', '-keyout', "$dir/tls/redis.key", '-out', "$dir/tls/redis.csr", '-batch');
openssl('x509', '-req', '-in', "$dir/tls/redis.csr", '-CA', "$dir/tls/ca.pem", '-CAkey', "$dir/tls/ca.key", '-set_serial', 1,
    '-days', 2, '-out', "$dir/tls/redis.pem");
my $tls_port = free_port();
$redis{safe} = TopK::Test::Redis->start("$dir/safe", args => [
    '--tls-port' => $tls_port, '--tls-cert-file' => "$dir/tls/redis.pem", '--tls-key-file' => "$dir/tls/redis.key",
    '--tls-ca-cert-file' => "$dir/tls/ca.pem" ]);
my $files = "tls_cert_file '$dir/tls/redis.pem', tls_key_file '$dir/tls/redis.key'";
$pipeline->value(<<"SQL");
CREATE SERVER safe FOREIGN DATA WRAPPER topk_redis OPTIONS (host '127.0.0.1', port '$tls_port', tls 'on', tls_ca_file '$dir/tls/ca.pem', $files);
SELECT topk.create_sink('clicks', server => 'safe', name => 'safe');
SQL
$pipeline->wait_for("SELECT state IN ('running', 'retrying') FROM topk.stat_sink WHERE sink = 'safe'", 't', 30);
if (shown('safe', 'state') eq 'running')
{
    compare('safe', 'with TLS');
    $pipeline->value("ALTER SERVER safe OPTIONS (SET tls_ca_file '$dir/tls/redis.pem')");
    $pipeline->wait_for("SELECT state FROM topk.stat_sink WHERE sink = 'safe'", 'retrying', 30);
    like(shown('safe', 'last_error'), qr/TLS/, 'a certificate of another authority is refused');
}
else
{
    like(shown('safe', 'last_error'), qr/TLS is not supported by this build/, 'TLS is refused clearly');
}

$pipeline->node->stop;
done_testing();
