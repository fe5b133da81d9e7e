# Partitions change their leaders under load, on three brokers: the leader of one is killed, another takes over; it comes
# back and is elected again, as it is the preferred one.  The source goes on each time, and every event is counted once.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Server qw(stop_process);

use constant ELECTION_SECONDS => 60;

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka", nodes => 3, heap => '256m', settings => { 'leader.imbalance.check.interval.seconds' => 2, 'leader.imbalance.per.broker.percentage' => 1 });
$kafka->create_topic('events', 3);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka);
$pipeline->setup(source => { workers => 2, idle_timeout => '5 seconds', out_of_orderness => '5 seconds', flush_interval => '100 milliseconds' });
my $generator = $kafka->generate_in_background('events', "$dir/generate.log", '--seconds' => 300, '--rate' => 2000, '--partitions' => 3, '--items' => 250,
    '--disorder' => 3);

# The leader of each partition.
sub leaders { return map { (split /\t/)[1] } split /\n/, $kafka->admin('leaders', 'events'); }

# Until partition 0 is led by another broker than before (or by the one named); returns its id.
sub wait_for_leader
{
    my ($old, $new) = @_;
    my $end = time + ELECTION_SECONDS;
    while (time < $end)
    {
        my ($leader) = eval { leaders() };
        return $leader if defined $leader && $leader > 0 && (defined $new ? $leader == $new : $leader != $old);
        sleep 0.2;
    }
    return 0;
}

# Until each partition has been read on.
sub reads_on
{
    my ($what) = @_;
    my $read = $pipeline->value('SELECT string_agg(events::text, \',\' ORDER BY partition) FROM topk.partition');
    my $began = time;
    $pipeline->wait_for("SELECT bool_and(p.events > o.events + 100) FROM topk.partition p
        JOIN unnest('{$read}'::bigint[]) WITH ORDINALITY o(events, n) ON o.n = p.partition + 1", 't', 60);
    pass(sprintf '%s (%.1f s)', $what, time - $began);
    return;
}

$pipeline->wait_for('SELECT count(*) FROM topk.partition WHERE events > 0', 3, 60);
reads_on('all partitions are read');
my ($preferred) = leaders();
for my $round (1, 2)
{
    $kafka->kill_node($preferred);
    my $other = wait_for_leader($preferred);
    ok($other, "round $round: broker $preferred is killed, $other takes over");
    reads_on('... all partitions are read on');
    $kafka->start_node($preferred);
    is(wait_for_leader($other, $preferred), $preferred, '... broker ' . $preferred . ' is back and elected again');
    reads_on('... all partitions are read on');
}
stop_process($generator, 'TERM');
$pipeline->wait_until_flushed;

my $summary = $pipeline->recount;
note "$summary->{events} events";
compare_counts($pipeline, $summary);
compare_windows($pipeline);
is($pipeline->value('SELECT count(*) FROM topk.stat_worker WHERE last_error IS NOT NULL'), 0, 'no error is left');

$pipeline->node->stop;
done_testing();
