# Windows counted again from Kafka: with other rules against a recount and against a fresh source, while late events
# come in, through a killed process and a hard stop of the server; and what is refused.

use strict;
use warnings;

use JSON::PP qw(encode_json);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline qw(reference_rules);
use TopK::Test::Redis;
use TopK::Test::Server qw(spawn stop_process);

my $events = $ENV{TOPK_TEST_EVENTS} // 100_000;
my $dir    = PostgreSQL::Test::Utils::tempdir_short();
my $kafka  = TopK::Test::Kafka->start("$dir/kafka");
my $redis  = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 3);
my @stream = ('--partitions' => 3, '--items' => 3000, '--start' => '2025-03-01T23:55:00Z', '--span' => 600, '--disorder' => 5, '--malformed' => 0.001,
    '--no-rule' => 0.01);
$kafka->generate('events', '--events' => $events, '--late' => 0.005, @stream);

# A source whose rules are wrong: two event types are missing, and a dimension.
my %wrong = %{ (grep { $_->{event_type} eq 'page_view' } reference_rules())[0] };
my %right = map { $_->{event_type} => $_ } reference_rules();
delete $wrong{dimensions};
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis,
    conf => "wal_level = replica\n");    # with minimal, sequences can fall back in a crash of the server
my %source = (idle_timeout => '3 seconds', flush_interval => '200 milliseconds', out_of_orderness => '6 seconds', allowed_lateness => '2 minutes');
$pipeline->setup(source => \%source, rules => [ { %wrong, dimensions => { deviceType => 'payload.pageCategory' } } ]);
$pipeline->wait_until_flushed;

sub replay
{
    my (%options) = @_;
    my $id = $pipeline->value("SELECT topk.replay('clicks', '2025-03-01 23:55+00', '2025-03-02 00:05+00')");
    return $id if $options{no_wait};
    wait_for_replay($id);
    return $id;
}

sub wait_for_replay
{
    my ($id) = @_;
    $pipeline->wait_for("SELECT state FROM topk.stat_replay WHERE replay_id = $id", 'done', 180);
    note 'replay: ' . $pipeline->value("SELECT attempts, offsets_read, offsets_total, counted, late, too_late, finished_at - started_at
        FROM topk.stat_replay WHERE replay_id = $id");
    return;
}

sub wait_until_final
{
    $pipeline->wait_for("SELECT count(*) FROM topk.top_items WHERE window_name = '1-minute' AND NOT final", 0);
    return;
}

wait_until_final();
my $revision = $pipeline->value('SELECT max(revision) FROM topk.win_state');
my $counts   = 'SELECT sum(events), sum(counted), sum(no_rule), sum(next_offset) FROM topk.partition';
my $before   = $pipeline->value($counts);

# The right rules, and what is there already counted by them: first the second day, which begins in the middle of the
# log, with the clocks of there, then the first.
$pipeline->value(<<"SQL");
BEGIN;
SELECT topk.alter_rule('clicks', 'page_view', dimensions => '{"deviceType": "payload.deviceType", "pageCategory": "payload.pageCategory"}');
SELECT topk.create_rule('clicks', event_type => 'product_view', item_type => 'product', item_path => 'payload.productId',
    dimensions => '{"deviceType": "payload.deviceType", "productCategory": "payload.productCategory"}');
SELECT topk.create_rule('clicks', event_type => 'api_request', item_type => 'endpoint', item_path => 'payload.endpoint',
    dimensions => '{"method": "payload.method", "statusClass": "payload.statusClass"}');
COMMIT;
SQL
my ($code, $out, $notice) = $pipeline->node->psql('postgres', "SELECT topk.replay('clicks', '2025-03-02 00:03+00', '2025-03-02 00:04+00')");
like($notice, qr/widened to whole windows: from 2025-03-02 00:00:00\+00 to 2025-03-03 00:00:00\+00/, 'a stretch is widened to whole days');
wait_for_replay($out);
cmp_ok($pipeline->value('SELECT sum(first_offset) FROM topk.replay_ranges(1)'), '>', $events / 3, 'only the offsets of the second day are read');
is($pipeline->value("SELECT count(*) FROM topk.window_sketch WHERE item_type = 'product' AND window_start < '2025-03-02'"), 0,
    'the first day stays as it was');
wait_for_replay($pipeline->value("SELECT topk.replay('clicks', '2025-03-01 23:58+00', '2025-03-02 00:00+00')"));
$pipeline->{rules} = [ reference_rules() ];
my $summary = $pipeline->recount;
compare_windows($pipeline);
compare_global($pipeline);
is($pipeline->value('SELECT sum(counted), sum(late) FROM topk.stat_replay'),
    join('|', @{$summary}{qw(counted late)}), 'the replays counted what the oracle did');
cmp_ok($summary->{late}, '>', 0, '... late events among them');
my $too_late = $pipeline->value('SELECT sum(too_late) FROM topk.stat_replay');
ok($too_late > 0 && $too_late <= $summary->{too_late}, '... and left out what is too late, as far as it lies among the others');
is($pipeline->value($counts), $before, 'what workers have read stays as it was');
cmp_ok($pipeline->value('SELECT max(revision) FROM topk.win_state'), '>', $revision, 'final windows have another revision');
is($pipeline->value("SELECT count(*) FROM topk.win_state WHERE NOT final AND window_start < '2025-03-02 00:04+00' AND window_id =
    (SELECT window_id FROM topk.source_window WHERE window_name = '1-minute')"), 0, '... and stay final');
is($pipeline->value('SELECT count(*) FROM topk.replay_win'), 0, 'nothing is left of the staging');
compare_redis($pipeline, $redis, 'clicks', 600);

# The same as a fresh source: bytes where all is exact, and of every minute that was not late.
$pipeline->value("SELECT topk.create_source('fresh', server => 'k', topic => 'events', idle_timeout => '3 seconds',
        flush_interval => '5 seconds', out_of_orderness => '6 seconds', allowed_lateness => '2 minutes');
    " . join ';', map { my $r = $_; "SELECT topk.create_rule('fresh', event_type => '$r->{event_type}', item_type => '$r->{item_type}',
        item_path => '$r->{item_path}', dimensions => '" . encode_json($r->{dimensions}) . "')" } reference_rules());
$pipeline->wait_for("SELECT coalesce(sum(events), 0) FROM topk.partition JOIN topk.source USING (source_id) WHERE name = 'fresh'", $events);
my $pairs = "FROM topk.window_sketch a FULL JOIN topk.window_sketch b ON (a.tenant, a.item_type, a.dimension, a.window_name, a.window_start)
    = (b.tenant, b.item_type, b.dimension, b.window_name, b.window_start) AND a.value IS NOT DISTINCT FROM b.value AND b.source = 'fresh'
    WHERE a.source = 'clicks'";
is($pipeline->value("SELECT count(*) $pairs AND topk_total(a.sketch) IS DISTINCT FROM topk_total(b.sketch)"), 0, 'a fresh source has the same totals');
is($pipeline->value("SELECT count(*) $pairs AND topk_max_error(a.sketch) = 0 AND a.sketch::text <> b.sketch::text"), 0, '... the same bytes where all is exact');
cmp_ok($pipeline->value("SELECT count(*) $pairs AND topk_max_error(a.sketch) = 0"), '>', 100, '... which is not rare');
$pipeline->value("SELECT topk.drop_source('fresh')");

# Late events while it replays; the process is killed, the server stopped hard: all or nothing, and once.
my $log = "$dir/late.log";
$kafka->generate_in_background('events', $log, '--events' => 60_000, '--rate' => 2000, '--seed' => 3, @stream,
    '--start' => '2025-03-02T00:00:00Z', '--span' => 900);

# A fault at the very end of the swap, which a trigger makes wait for a lock.
$pipeline->value(<<'SQL');
CREATE FUNCTION wait_for_locker() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$;
CREATE TRIGGER wait_for_locker BEFORE UPDATE ON topk.replay_job FOR EACH ROW WHEN (NEW.state = 'done') EXECUTE FUNCTION wait_for_locker();
SQL
sub fault_in_swap
{
    my ($what, $fault) = @_;
    my $locker = spawn("$dir/locker.log", 'psql', '-XAtq', '-d', $pipeline->node->connstr('postgres'), '-c',
        'SELECT pg_advisory_lock(1), pg_sleep(300)');
    $pipeline->wait_for("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", 1);
    my $id = replay(no_wait => 1);
    $pipeline->wait_for("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'topk replay' AND wait_event = 'advisory'", 1);
    is($pipeline->value("SELECT state FROM topk.stat_replay WHERE replay_id = $id"), 'swapping', "$what during the swap");
    $fault->();
    stop_process($locker, 'KILL');
    wait_for_replay($id);
    cmp_ok($pipeline->value("SELECT attempts FROM topk.stat_replay WHERE replay_id = $id"), '>', 1, '... and it begins anew');
    return;
}
fault_in_swap('the process is killed', sub { kill 'KILL', $pipeline->value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'topk replay'") });
fault_in_swap('the server stops hard', sub { $pipeline->node->stop('immediate'); $pipeline->node->start });
replay() for 1 .. 2;
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', $events + 60_000);
wait_until_final();
$summary = $pipeline->recount;
is($summary->{events}, $events + 60_000, 'all of it is in Kafka');
compare_windows($pipeline);
compare_global($pipeline);
compare_redis($pipeline, $redis, 'clicks', 1800);
is($pipeline->value('SELECT count(*) FROM topk.replay_pane'), 0, 'nothing is left of the staging');

# A paused source can be replayed; a cancelled replay changes nothing.
$pipeline->value("SELECT topk.pause('clicks')");
my $digest = 'SELECT md5(string_agg(md5(w::text), $$$$ ORDER BY window_id, window_start, list_id)) FROM topk.win w';
my $state  = $pipeline->value($digest);
my $id = replay(no_wait => 1);
$pipeline->value("SELECT topk.cancel_replay($id)");
$pipeline->wait_for("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'topk replay'", 0);
is($pipeline->value($digest), $state, 'a cancelled replay changes nothing');
replay();
compare_windows($pipeline);

# One partition, one worker, no restart: the same bytes of each minute, whose panes are the same, though no list is exact.
$kafka->create_topic('one', 1);
$kafka->generate('one', '--events' => 50_000, @stream, '--partitions' => 1, '--disorder' => 3, '--start' => '2025-03-01T10:00:00Z');
$pipeline->value("SELECT topk.create_source('one', server => 'k', topic => 'one', capacity => 100, idle_timeout => '3 seconds', out_of_orderness => '6 seconds');
    SELECT topk.create_rule('one', event_type => 'page_view', item_type => 'url', item_path => 'payload.url', dimensions => '{\"deviceType\": \"payload.deviceType\"}')");
my $one = "FROM topk.window_sketch WHERE source = 'one' AND window_name = '1-minute'";
$pipeline->wait_for("SELECT count(*) > 0 AND bool_and(final) $one", 't');
my $bytes = "SELECT md5(string_agg(sketch::text, ',' ORDER BY window_start, dimension, value)) $one";
$state = $pipeline->value($bytes);
cmp_ok($pipeline->value("SELECT count(*) $one AND topk_max_error(sketch) > 0"), '>', 30, 'lists that are not exact');
wait_for_replay($pipeline->value("SELECT topk.replay('one', '2025-03-01 10:00+00', '2025-03-01 10:10+00')"));
is($pipeline->value($bytes), $state, '... have the same bytes after a replay');
$pipeline->value("SELECT topk.drop_source('one')");

# What Kafka holds no more.
my ($first) = $kafka->offsets('events');
$kafka->trim('events', 0, $first->[0] + 100);
$id = replay(no_wait => 1);
$pipeline->wait_for("SELECT state FROM topk.stat_replay WHERE replay_id = $id", 'failed');
like($pipeline->value("SELECT error FROM topk.stat_replay WHERE replay_id = $id"), qr/partition 0: Kafka holds offsets 100 to/, 'offsets that are gone are an error');
is($pipeline->value('SELECT count(*) FROM topk.replay_win'), 0, '... which leaves nothing');
compare_windows($pipeline);

$pipeline->node->stop;
done_testing();
