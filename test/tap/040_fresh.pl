# What a flush commits is soon in Redis, because the worker wakes the publisher; and within a second or so when it
# cannot, because the pid that it knows is nobody's or somebody else's.  The end of a backlog does not wait for the
# next flush interval.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;

use constant { EVENTS => 15, POLL => 1.0 };    # seconds between looks of a publisher that nobody wakes
use constant { BACKLOG => 100_000, LONG => 60 };    # a flush interval, in seconds

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
my $redis = TopK::Test::Redis->start("$dir/redis");
$kafka->create_topic('events', 1);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis);
$pipeline->setup(source => { flush_interval => '100 milliseconds' });
my $session = $pipeline->node->background_psql('postgres');
my $n       = 0;

# Returns once the events are in SQL.
my $wait = <<'SQL';
CREATE PROCEDURE wait_for(events bigint) LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT EXISTS (SELECT FROM topk.top('clicks', '1-day', 'url') t WHERE t.item = '/fresh' AND t.estimate = events) LOOP
        ASSERT now() > clock_timestamp() - interval '30 seconds', 'an event was lost';
        PERFORM pg_sleep(0.002);
    END LOOP;
END
$$;
SQL
$pipeline->value($wait);

# Sends one event.  How long after it was in SQL it is in Redis.
sub delay
{
    my ($now, $day) = (time, int(time / 86400) * 1440);
    $n++;
    $kafka->produce('events', sprintf "0\t" . '{"metadata":{"eventId":"%d","eventType":"page_view","timestamp":%d},"payload":{"url":"/fresh"}}', $n, $now * 1000);
    $pipeline->value("CALL wait_for($n)");
    my $in_sql = time;
    while (1)
    {
        my %score = map { @{$_} } $redis->zrange("topk:1-day:all:$day");
        return time - $in_sql if ($score{'/fresh'} // 0) == $n;
        die "event $n is not in Redis\n" if time > $in_sql + 30;
        sleep 0.002;
    }
    return;
}

sub median { my (@all) = sort { $a <=> $b } @_; return $all[ $#all / 2 ]; }

delay();    # the lists are there, the worker has learnt whom to wake
sleep 2 * POLL;
my $woken = median(map { delay() } 1 .. EVENTS);
cmp_ok($woken, '<', POLL / 2, sprintf 'a woken publisher takes %.0f ms at the median, less than half of its poll, which is what polling would take', $woken * 1000);

# The pid is that of a session here, which does not mind; then that of no process.
my $session_pid = $session->query_safe('SELECT pg_backend_pid()');
for my $pid ($session_pid, 2**30)
{
    $pipeline->value("CREATE OR REPLACE FUNCTION mislead() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.pid := $pid; RETURN NEW; END'");
    $pipeline->value('CREATE OR REPLACE TRIGGER mislead BEFORE INSERT OR UPDATE ON topk.publisher FOR EACH ROW EXECUTE FUNCTION mislead()');
    $pipeline->value("UPDATE topk.publisher SET pid = $pid");
    sleep 2 * POLL;
    my $polled = median(map { delay() } 1 .. EVENTS);
    cmp_ok($polled, '<', 10 * POLL, sprintf 'with a wrong pid it polls: %.0f ms at the median', $polled * 1000);
    cmp_ok($polled, '>', $woken, '... which takes longer');
}
is($session->query_safe('SELECT pg_backend_pid()'), $session_pid, 'the session whose latch was set is well');

# ---- a backlog ----

$pipeline->value(q{SELECT topk.pause('clicks')});
$pipeline->value(q{SELECT topk.alter_source('clicks', flush_interval => '} . LONG . q{ seconds')});
$kafka->generate('events', '--events' => BACKLOG, '--partitions' => 1, '--start' => '2025-03-01T10:00:00Z', '--span' => 60);
my $events  = $pipeline->value('SELECT events FROM topk.partition');
my $resumed = time;
$pipeline->value(q{SELECT topk.resume('clicks')});
$pipeline->wait_for('SELECT events FROM topk.partition', $events + BACKLOG);
cmp_ok(time - $resumed, '<', LONG / 2, sprintf 'a backlog is in SQL as soon as it is read: after %.0f s', time - $resumed);

$session->quit;
$pipeline->node->stop;
done_testing();
