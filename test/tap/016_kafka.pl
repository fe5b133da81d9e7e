# Kafka as it is run: TLS and SASL, transactional producers, partitions added to a live topic, offsets for lag tools, a
# broker that goes away and comes back, a topic that is deleted.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Tools qw(capture);

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka", secure => { user => 'reader', password => 'opensesame' });
$kafka->create_topic('events', 2);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, conf => "topk.partition_scan_interval = '1s'\n");
my $node     = $pipeline->node;

sub event
{
    my ($url) = @_;
    return qq({"metadata":{"eventType":"page_view","timestamp":"2025-03-01T10:00:30Z"},"payload":{"url":"$url"}});
}

sub errors_of { my ($sql) = @_; my (undef, undef, $error) = $node->psql('postgres', $sql); return $error; }
sub events_read { return $pipeline->value('SELECT coalesce(sum(events), 0) FROM topk.partition'); }
sub log_has { my ($pattern) = @_; return slurp_file($node->logfile) =~ $pattern; }

# ---- TLS and SASL ----

my ($secure, $ca) = ($kafka->secure_bootstrap, $kafka->ca_file);
$pipeline->value('CREATE EXTENSION topk');
$pipeline->value("CREATE SERVER safe FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '$secure', security_protocol 'sasl_ssl',
    sasl_mechanism 'PLAIN', ssl_ca_location '$ca')");
$pipeline->value("CREATE USER MAPPING FOR PUBLIC SERVER safe OPTIONS (username 'reader', password 'wrong')");
like(errors_of("ALTER SERVER safe OPTIONS (SET security_protocol 'tls')"), qr/invalid value for option "security_protocol".*sasl_ssl/s,
    'an unknown protocol is refused, with those that are known');
like(errors_of("ALTER SERVER safe OPTIONS (ADD password 'x')"),     qr/belongs to a user mapping/, 'a secret does not belong to a server');
like(errors_of("ALTER SERVER safe OPTIONS (ADD group_id 'x')"),     qr/invalid option "group_id".*client_rack/s, 'other properties are refused');
like(errors_of("CREATE ROLE mallory; GRANT ALL ON FOREIGN DATA WRAPPER topk_kafka TO mallory; SET ROLE mallory;
    CREATE SERVER sneaky FOREIGN DATA WRAPPER topk_kafka OPTIONS (ssl_ca_location '/etc/passwd')"), qr/only a superuser/, 'files are for superusers');

$pipeline->{name} = 'clicks';
$pipeline->{topic} = 'events';
$pipeline->{rules} = [ { event_type => 'page_view', item_type => 'url', item_path => 'payload.url' } ];
$pipeline->{source} = {};
$pipeline->value(<<'SQL');
BEGIN;
SELECT topk.create_source('clicks', server => 'safe', topic => 'events', flush_interval => '100 milliseconds', idle_timeout => '2 seconds', out_of_orderness => '2 seconds');
SELECT topk.create_rule('clicks', event_type => 'page_view', item_type => 'url', item_path => 'payload.url');
COMMIT;
SQL
$kafka->produce('events', map { ($_ % 2) . "\t" . event("/p$_") } 1 .. 100);
$pipeline->wait_for('SELECT state FROM topk.stat_source', 'retrying');
ok($node->poll_query_until('postgres', "SELECT last_error ~ 'brokers.*[Aa]uthentication failed' FROM topk.stat_source"), "a wrong password: retrying, and what the broker says");
ok(log_has(qr/topk Kafka: .*(SASL|authentication|Authentication)/), '... with what the broker says in the log');
ok(!log_has(qr/'wrong'|password=wrong|=wrong/),                    '... but not the password');
$pipeline->value("ALTER USER MAPPING FOR PUBLIC SERVER safe OPTIONS (SET password 'opensesame')");
$pipeline->wait_for('SELECT coalesce(sum(events), 0) FROM topk.partition', 100);
is(scalar(my @lines = slurp_file($node->logfile) =~ /topk Kafka:/g) <= 11, 1, '... and the log is not flooded');
pass('the right one: the topic is read, by TLS and SASL');

# ---- SCRAM ----

# That of librdkafka before 2.6.1 is refused by brokers from 3.9 on: it repeats its nonce.
my ($major, $minor, $patch) = capture('kcat', '-V') =~ /librdkafka (\d+)\.(\d+)\.(\d+)/;
my $older = $major * 10_000 + $minor * 100 + $patch < 20601;
note "SCRAM with librdkafka $major.$minor.$patch: ", $older ? 'an older Kafka' : 'the same Kafka';
my $scram = $older ? TopK::Test::Kafka->start("$dir/older", older => 1, secure => { user => 'reader', password => 'opensesame' }) : $kafka;
$scram->create_topic('scrambled', 1);
$scram->produce('scrambled', map { "0\t" . event("/s$_") } 1 .. 100);
$pipeline->value(sprintf q{
    CREATE SERVER scram FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '%s', security_protocol 'sasl_ssl',
        sasl_mechanism 'SCRAM-SHA-256', ssl_ca_location '%s');
    CREATE USER MAPPING FOR PUBLIC SERVER scram OPTIONS (username 'reader', password 'wrong');
    BEGIN;
    SELECT topk.create_source('scrambled', server => 'scram', topic => 'scrambled');
    SELECT topk.create_rule('scrambled', event_type => 'page_view', item_type => 'url', item_path => 'payload.url');
    COMMIT;
}, $scram->secure_bootstrap, $scram->ca_file);
my $scrambled = q{FROM topk.partition p JOIN topk.source s USING (source_id) WHERE s.name = 'scrambled'};
ok($node->poll_query_until('postgres', "SELECT last_error ~ 'brokers.*[Aa]uthentication failed' FROM topk.stat_source WHERE source = 'scrambled'"),
    'SCRAM: a wrong password is told');
$pipeline->value("ALTER USER MAPPING FOR PUBLIC SERVER scram OPTIONS (SET password 'opensesame')");
$pipeline->wait_for("SELECT coalesce(sum(p.events), 0) $scrambled", 100);
pass('... and with the right one the topic is read');
$pipeline->value(q{SELECT topk.drop_source('scrambled')});
$scram->stop if $older;

# ---- transactions ----

$kafka->transact('events', 0, 'commit', map { event('/committed') } 1 .. 50);
$kafka->transact('events', 0, 'abort',  map { event('/aborted') } 1 .. 70);
$kafka->transact('events', 1, 'commit', map { event('/committed') } 1 .. 30);
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', 180);
$kafka->transact('events', 1, 'leave', map { event('/open') } 1 .. 20);
$kafka->produce('events', map { "1\t" . event('/behind') } 1 .. 10);
sleep 2;
is(events_read(), 180, 'aborted messages, and those behind an open transaction, are not read');
is($pipeline->value('SELECT state FROM topk.stat_source'), 'running', '... while the source runs');
$kafka->transact('events', 0, 'commit', event('/committed'));    # which aborts the open one
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', 191);
is($pipeline->value("SELECT string_agg(item || ' ' || estimate, ', ' ORDER BY item) FROM topk.top_items_global WHERE item !~ '^/p'"),
    '/behind 10, /committed 81', '... and those of committed ones are counted exactly');
$pipeline->wait_until_flushed;
is($pipeline->value('SELECT lag FROM topk.stat_source'), 0, 'control records at the end of a log are no lag');

# ---- partitions ----

$kafka->grow_topic('events', 5);
$kafka->produce('events', map { (1 + $_ % 4) . "\t" . event('/grown') } 1 .. 400);
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', 591, 20);
pass('partitions that are added to a live topic are read from their beginning');
$pipeline->value("SELECT topk.set_parallelism('clicks', 2)");
$pipeline->wait_for("SELECT workers_running FROM topk.stat_source", 2);
$kafka->grow_topic('events', 6);
$kafka->produce('events', map { "5\t" . event('/grown') } 1 .. 100);
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', 691, 20);
is($pipeline->value("SELECT estimate FROM topk.top_items_global WHERE item = '/grown'"), 500, '... with two workers, too, each message once');

# ---- lag tools ----

my $stored = $pipeline->value("SELECT string_agg(partition || chr(9) || next_offset, chr(10) ORDER BY partition) FROM topk.partition");
my $committed;
for (1 .. 50)
{
    $committed = $kafka->admin('committed', 'topk.postgres.clicks', 'events', 6);
    last if $committed eq $stored;
    sleep 0.1;
}
is($committed, $stored, 'the offsets are committed to Kafka for lag tools');

# ---- a broker that goes away ----

$kafka->kill_node(1);
sleep 4;
is($pipeline->value('SELECT workers_running FROM topk.stat_source'), 2, 'without a broker the workers stay');
$kafka->start_node(1);
$kafka->produce('events', map { "2\t" . event('/after') } 1 .. 100);
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', 791, 60);
pass('... and read on when it is back');

# ---- a topic that is deleted ----

$kafka->delete_topic('events');
$pipeline->wait_for("SELECT state IN ('retrying', 'failed') AND last_error ~* 'unknown|not in the log' FROM topk.stat_source", 't', 60);
pass('a deleted topic: an error that says so');
is(events_read(), 791, '... what was counted stays');
$kafka->create_topic('events', 2);
$pipeline->wait_for("SELECT last_error ~ 'not in the log' FROM topk.stat_source", 't', 60);
pass('... and made again, its offsets are not taken for those of the old one');

$node->stop;
done_testing();
