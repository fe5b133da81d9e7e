# ALTER EXTENSION topk UPDATE, to a made-up version whose script changes the tables and functions that the processes
# use, while events flow: nothing is lost, nothing is counted twice, and nobody has to restart anything.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Compare;
use TopK::Test::Installation qw(install_version);
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;
use TopK::Test::Server qw(stop_process);

# Every table of the commit protocol gets another row type; what flush, close and the publisher call is replaced.
my $script = <<'SQL';
ALTER TABLE topk.source ADD COLUMN made_up integer NOT NULL DEFAULT 1;
ALTER TABLE topk.partition ADD COLUMN made_up integer NOT NULL DEFAULT 1;
ALTER TABLE topk.live ADD COLUMN made_up integer NOT NULL DEFAULT 1;
ALTER TABLE topk.win ADD COLUMN made_up integer NOT NULL DEFAULT 1;
CREATE FUNCTION topk.made_up() RETURNS text LANGUAGE sql AS $$ SELECT 'new' $$;
DO $$
DECLARE
    f regprocedure;
BEGIN
    FOREACH f IN ARRAY ARRAY['topk.close(integer, integer)', 'topk.lock_windows(integer)']::regprocedure[]
    LOOP
        EXECUTE pg_catalog.pg_get_functiondef(f);
    END LOOP;
END
$$;
SELECT pg_sleep(1); -- what a longer script would hold up
SQL

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $path  = install_version("$dir/installation", '1.1', from => '1.0', script => $script);
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
my $redis = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 4);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis, install_path => $path);
my $node     = $pipeline->node;

sub events_read { return $pipeline->value('SELECT coalesce(sum(events), 0) FROM topk.partition'); }

sub reads_on
{
    my ($what) = @_;
    my $read = events_read();
    ok($node->poll_query_until('postgres', "SELECT sum(events) > $read + 2000 FROM topk.partition"), $what);
    return;
}

$pipeline->setup(
    version => '1.0',
    source  => { workers => 2, idle_timeout => '2 seconds', out_of_orderness => '5 seconds', flush_interval => '50 milliseconds' });
my $generator = $kafka->generate_in_background('events', "$dir/generate.log", '--seconds' => 120, '--rate' => 2000, '--partitions' => 4,
    '--items' => 250, '--disorder' => 3);
reads_on('version 1.0 reads');
is($pipeline->value("SELECT default_version || ' ' || installed_version FROM pg_available_extensions WHERE name = 'topk'"), '1.1 1.0',
    'an update is on offer');
my $pids = $pipeline->value("SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity WHERE backend_type ~ '^topk'");

my $began = time;
my ($status, undef, $error) = $node->psql('postgres', 'ALTER EXTENSION topk UPDATE');
is($status, 0, 'ALTER EXTENSION topk UPDATE under load') or diag $error;
note sprintf 'it took %.1f s', time - $began;
is($pipeline->value("SELECT extversion || ' ' || topk.made_up() FROM pg_extension WHERE extname = 'topk'"), '1.1 new', 'the extension is of the new version');
reads_on('its workers read on');
is($pipeline->value("SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity WHERE backend_type ~ '^topk'"), $pids,
    '... and are the same processes');
is($pipeline->value("SELECT count(*) FROM topk.partition WHERE made_up = 1 AND counted > 0"), 4, '... in the new tables');
my $closed = $pipeline->value('SELECT last_close_at FROM topk.stat_source');
ok($node->poll_query_until('postgres', "SELECT last_close_at > '$closed' FROM topk.stat_source"), 'windows are closed');

# And again with a restart in the middle, as after new libraries.
$node->restart('immediate');
reads_on('after a restart');
stop_process($generator, 'TERM');
$pipeline->wait_until_flushed;
$pipeline->wait_for('SELECT bool_and(idle) FROM topk.partition', 't', 30);
$pipeline->wait_until_closed('1-minute');

my $summary = $pipeline->recount;
cmp_ok($summary->{events}, '>', 5000, "$summary->{events} events were produced");
compare_counts($pipeline, $summary);
compare_windows($pipeline);
compare_global($pipeline);
compare_redis($pipeline, $redis, 'clicks', 600);

$node->stop;
done_testing();
