package TopK::Test::Nemesis::World;

# Everything that a nemesis run can break: three brokers and a Redis behind a
# proxy, a primary and its synchronous standby, two sources that read one topic,
# and producers that never stop.
#
#   my $world = TopK::Test::Nemesis::World->new($dir, faults => 25, rate => 2000);
#   $world->pass(2.5);              # let time pass
#   $world->settle;                 # until both sources have read on since now, or die
#   $world->stop_producers;
#
# The source `exact` has room for every item, so each of its counts must be
# right; `small` has not, so its bounds must hold.  `exact` has the sink.

use strict;
use warnings;

use Carp        qw(croak);
use JSON::PP    qw(encode_json);
use List::Util  qw(sum);
use Time::HiRes qw(sleep time);
use TopK::Test::Kafka;
use TopK::Test::Nemesis::Observer;
use TopK::Test::Nemesis::Servers;
use TopK::Test::Pipeline qw(reference_rules);
use TopK::Test::Proxy;
use TopK::Test::Redis;
use TopK::Test::Server qw(free_port process_runs log_tail forget_process);

use constant {
    PARTITIONS  => 4,
    PRODUCERS   => 2,
    ITEMS       => 150,        # of each type; fits the capacity of `exact`
    EVENT_SPAN  => 3000,       # a run's event time in seconds: within the time to live of minutes in Redis
    STARTED     => 1_740_823_200,    # event time of the first event
    PATIENCE    => 90,
    LOOK_EVERY  => 0.25,
};

sub new
{
    my ($class, $dir, %options) = @_;
    my $self = bless { dir => $dir, %options, producers => [], lost_producers => [] }, $class;
    $self->{speed}   = _between(1, 10, EVENT_SPAN / ($options{faults} * 12 + 120));
    $self->{kafka}   = TopK::Test::Kafka->start("$dir/kafka", nodes => 3, heap => '256m', jvm => [qw(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC)],
        proxied => 1);
    $self->{redis}   = TopK::Test::Redis->start("$dir/redis");
    $self->{redis_port} = free_port();
    $self->{proxy}   = TopK::Test::Proxy->start("$dir/proxy.log", $self->{kafka}->links,
        redis => [ $self->{redis_port}, $self->{redis}->port ]);
    $self->{kafka}->create_topic('events', PARTITIONS);
    $self->{servers} = TopK::Test::Nemesis::Servers->new;
    $self->_begin_pipeline;
    $self->{observer} = TopK::Test::Nemesis::Observer->start($dir);
    $self->look_at_primary;
    return $self;
}

sub _between { my ($least, $most, $value) = @_; return $value < $least ? $least : $value > $most ? $most : $value; }

sub kafka    { my ($self) = @_; return $self->{kafka}; }
sub redis    { my ($self) = @_; return $self->{redis}; }
sub proxy    { my ($self) = @_; return $self->{proxy}; }
sub servers  { my ($self) = @_; return $self->{servers}; }
sub pipeline { my ($self) = @_; return $self->{pipeline}; }

sub _begin_pipeline
{
    my ($self) = @_;
    my $servers = $self->{servers};
    # no partition falls idle in the end: windows that close then would hide when Redis was right
    my %source = (flush_interval => '500 milliseconds', idle_timeout => '2 minutes', out_of_orderness => '20 seconds',
        allowed_lateness => '2 minutes');
    $self->{pipeline} = TopK::Test::Pipeline->new($servers->first_name, $servers->options, kafka => $self->{kafka}, redis => $self->{redis});
    $self->{pipeline}->setup(name => 'exact', source => { %source, workers => 2, k => 100, capacity => 300 },
        bootstrap => $self->{kafka}->proxied_bootstrap, redis_port => $self->{redis_port});
    $self->{pipeline}->value($self->_small_source_sql(%source));
    $servers->begin($self->{pipeline});
    return;
}

# The rules of `exact` again, and hardly any room.
sub _small_source_sql
{
    my ($self, %source) = @_;
    my $options = join ', ', map { "$_ => '$source{$_}'" } sort keys %source;
    my @rules = map {
        my $rule = $_;
        my $dimensions = encode_json($rule->{dimensions} // {});
        "SELECT topk.create_rule(source => 'small', dimensions => '$dimensions', " . join(', ', map { "$_ => '$rule->{$_}'" } grep { $_ ne 'dimensions' } sort keys %{$rule}) . ');';
    } reference_rules();
    return join "\n", 'BEGIN;', "SELECT topk.create_source('small', 'k', 'events', k => 20, capacity => 40, $options);", @rules, 'COMMIT;';
}

# ---- producers ----

sub start_producers
{
    my ($self) = @_;
    $self->{begun} = time;
    $self->_start_producer($_) for 1 .. PRODUCERS;
    return;
}

# Each life of a producer has a seed of its own, and so its own event ids; its event time goes on where it is now.
sub _start_producer
{
    my ($self, $number) = @_;
    my $rate   = $self->{rate} / PRODUCERS;
    my $events = int $rate * 86400;
    my @start  = gmtime STARTED + (time - $self->{begun}) * $self->{speed};
    my $life   = ++$self->{lives};
    my $log    = "$self->{dir}/producer$life.log";
    my $pid    = $self->{kafka}->generate_in_background('events', $log, '--seed' => 1000 + $life,
        '--events' => $events, '--rate' => $rate, '--span' => int 86400 * $self->{speed}, '--items' => ITEMS, '--disorder' => 5,
        '--late' => 0.02, '--late-by' => '30-300', '--malformed' => 0.001, '--no-item' => 0.002, '--partitions' => PARTITIONS,
        '--start' => sprintf('%04d-%02d-%02dT%02d:%02d:%02dZ', $start[5] + 1900, $start[4] + 1, @start[ 3, 2, 1, 0 ]));
    $self->{producers}[$number] = { pid => $pid, log => $log };
    return;
}

sub keep_producers
{
    my ($self) = @_;
    for my $number (1 .. PRODUCERS)
    {
        next if process_runs($self->{producers}[$number]{pid});
        push @{ $self->{lost_producers} }, split /\n/, log_tail($self->{producers}[$number]{log});
        $self->_start_producer($number);
    }
    return;
}

# In order: each waits until what it has sent is acknowledged, or gives up and says so.
sub stop_producers
{
    my ($self) = @_;
    my @pids = map { $_->{pid} } @{ $self->{producers} }[ 1 .. PRODUCERS ];
    kill 'TERM', @pids;
    for my $pid (@pids)
    {
        sleep 0.02 while process_runs($pid);
    }
    return;
}

# ---- how far it is ----

# How many messages each source has committed: {exact => n, small => n}; nothing while the server does not answer.
sub read_so_far
{
    my ($self) = @_;
    my $answer = TopK::Test::Nemesis::Servers::answer($self->{pipeline}->node,
        'SELECT name, sum(next_offset) FROM topk.partition JOIN topk.source USING (source_id) GROUP BY 1');
    return { map { split /\|/ } split /\n/, $answer };
}

# The primary may be another one now.
sub look_at_primary { my ($self) = @_; $self->{observer}->look_at($self->{pipeline}->node); return; }

sub pass
{
    my ($self, $seconds) = @_;
    my $end = time + $seconds;
    do
    {
        $self->keep_producers;
        sleep _between(0, LOOK_EVERY, $end - time);
    } while (time < $end);
    return;
}

# Both sources have to read on, by themselves.  Returns how long it took.
sub settle
{
    my ($self) = @_;
    my $begun = time;
    my $before;
    while (time < $begun + PATIENCE)
    {
        my $now = $self->read_so_far;
        $before = $now if !$before && keys %{$now} == 2;
        return time - $begun if $before && keys %{$now} == 2 && !grep { $now->{$_} <= $before->{$_} } qw(exact small);
        $self->pass(LOOK_EVERY);
    }
    croak 'the sources do not read on after ' . PATIENCE . " s:\n" . $self->states;
}

sub states
{
    my ($self) = @_;
    return join "\n", map { TopK::Test::Nemesis::Servers::answer($self->{pipeline}->node, $_) || "(no answer to $_)" }
      'SELECT now(), * FROM topk.stat_source', 'SELECT * FROM topk.stat_worker', 'SELECT * FROM topk.stat_sink',
      'SELECT source_id, partition, epoch, next_offset, log_end, updated_at FROM topk.partition ORDER BY 1, 2',
      "SELECT pid, backend_type, application_name, state, wait_event_type, wait_event, query FROM pg_stat_activity WHERE backend_type LIKE 'topk%'";
}

# Messages in the topic that `exact` has not committed yet, as far as it knows.
sub lag
{
    my ($self) = @_;
    my $lag = TopK::Test::Nemesis::Servers::answer($self->{pipeline}->node, "SELECT lag FROM topk.stat_source WHERE source = 'exact'");
    return $lag eq '' ? 'unknown' : $lag;
}

# Until both sources have committed everything that the topic holds.
sub drain
{
    my ($self, $seconds) = @_;
    my $wanted = sum(map { $_->[1] } $self->{kafka}->offsets('events'));
    my $end    = time + $seconds;
    while (time < $end)
    {
        my $read = $self->read_so_far;
        return $wanted if ($read->{exact} // 0) == $wanted && ($read->{small} // 0) == $wanted;
        sleep 0.1;
    }
    croak "not everything was read ($wanted messages) within $seconds s:\n" . $self->states;
}

# What producers said that ended before they were told to.
sub lost_producers { my ($self) = @_; return @{ $self->{lost_producers} }; }
sub longest_standstill { my ($self) = @_; return $self->{observer}->longest_standstill; }

sub stop
{
    my ($self) = @_;
    $self->{observer}->stop;
    $self->{servers}->stop;
    $self->{proxy}->stop;
    return;
}

1;
