# A PostgreSQL that is slow or refuses: consuming stops, memory stays, nothing is dropped, and afterwards every count is
# that of a recount.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Server qw(spawn);

my $events = 200_000;
my $dir    = PostgreSQL::Test::Utils::tempdir_short();
my $kafka  = TopK::Test::Kafka->start("$dir/kafka");
$kafka->create_topic('events', 2);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, conf => "topk.prefetch_memory = '2MB'\n");
my $node     = $pipeline->node;
$pipeline->setup(source => { idle_timeout => '2 seconds', out_of_orderness => '5 seconds', flush_interval => '100 milliseconds', flush_timeout => '1 second',
        max_flush_failures => 4, retry_interval => '2 seconds' });
my $generator = $kafka->generate_in_background('events', "$dir/generate.log", '--events' => $events, '--rate' => 12_000,
    '--partitions' => 2, '--items' => 2000, '--start' => '2025-03-01T10:00:00Z', '--span' => 600, '--disorder' => 5);

sub events_read { return $pipeline->value('SELECT coalesce(sum(events), 0) FROM topk.partition'); }
sub state       { return $pipeline->value('SELECT state FROM topk.stat_source'); }

sub lag
{
    my $end = 0;
    $end += $_->[1] for $kafka->offsets('events');
    return $end - $pipeline->value('SELECT coalesce(sum(next_offset), 0) FROM topk.partition');
}

# Resident memory of the worker, in kB.
sub worker_memory
{
    my $pid = $pipeline->value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'topk worker'");
    my ($kb) = slurp_file("/proc/$pid/status") =~ /VmRSS:\s+(\d+) kB/;
    return $kb;
}

sub log_lines
{
    my ($pattern) = @_;
    my @lines = slurp_file($node->logfile) =~ /$pattern/g;
    return scalar @lines;
}

# Somebody's lock on a table that a flush needs.
$pipeline->wait_for('SELECT coalesce(sum(events), 0) > 20000 FROM topk.partition', 't');
my $memory = worker_memory();
spawn("$dir/lock.log", 'psql', '-X', '-d', $node->connstr('postgres'), '-c',
    'LOCK TABLE topk.live IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(8);');
$pipeline->wait_for("SELECT count(*) FROM pg_locks WHERE relation = 'topk.live'::regclass AND mode = 'AccessExclusiveLock' AND granted", 1);
my ($read, $lag) = (events_read(), lag());
$pipeline->wait_for('SELECT state FROM topk.stat_source', 'retrying', 10);
like($pipeline->value('SELECT last_error FROM topk.stat_source'), qr/timeout/, 'a flush that waits longer than flush_timeout is given up, and says so');
sleep 3;
is(events_read(), $read, '... nothing is read on meanwhile');
cmp_ok(lag(), '>', $lag + 20_000, '... the lag grows');
cmp_ok(worker_memory(), '<', $memory + 32 * 1024, '... memory does not');
$pipeline->wait_for('SELECT state FROM topk.stat_source', 'running', 20);
$pipeline->wait_for("SELECT sum(events) > $read FROM topk.partition", 't');
pass('... and it goes on when the lock is gone');
is(log_lines(qr/topk could not flush, and will/), 1, '... said once in the log');
is(log_lines(qr/topk flushes again/),             1, '... and its end too');

# A flush that fails for longer: the source is failed, tries on at a slow pace, and goes on when the cause is gone.
$pipeline->value('ALTER TABLE topk.live ADD CONSTRAINT broken CHECK (source_id < 0) NOT VALID');
$pipeline->wait_for('SELECT state FROM topk.stat_source', 'failed', 20);
like($pipeline->value('SELECT last_error FROM topk.stat_source'), qr/"broken"/, 'after max_flush_failures the source is failed, with the reason');
$read = events_read();
sleep 5;
is(state(),       'failed', '... it stays so while the cause does');
is(events_read(), $read,    '... nothing is read');
is(log_lines(qr/topk could not flush/), 3, '... two more lines in the log, however long it lasts');
$pipeline->value('ALTER TABLE topk.live DROP CONSTRAINT broken');
$pipeline->wait_for('SELECT state FROM topk.stat_source', 'running', 10);
pass('... and it resumes by itself');

# Less memory than the open panes need: they are written and sealed early.
$pipeline->value("ALTER SYSTEM SET topk.pane_memory = '1MB'");
$pipeline->value('SELECT pg_reload_conf()');
waitpid $generator, 0;
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', $events);
is($pipeline->value('SELECT lag FROM topk.stat_source'), 0, 'all is read');
$pipeline->wait_for("SELECT count(*) FROM topk.top_items WHERE window_name = '1-minute' AND NOT final", 0);
my $summary = $pipeline->recount;
is($summary->{events}, $events, 'the topic holds each event once');
compare_counts($pipeline, $summary);
compare_windows($pipeline);
compare_global($pipeline);

$node->stop;
done_testing();
