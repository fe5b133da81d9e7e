package TopK::Test::Nemesis::Faults;

# The kinds of faults.  Each has
#   name, group   faults of one group are never there together
#   share         how often it comes, beside the once that every kind does
#   hold          seconds from its beginning to its repair, from and to
#   targets       what it may strike
#   inject        sub ($world, $target); what it returns is given to the repair
#   repair        sub ($world, $target, $injected), which may return a remark for the report; left out where the
#                 system has to mend itself
#   trouble       sub ($world): why it cannot be done on this machine, undef if it can
#
# A new kind is one more entry.

use strict;
use warnings;

use Carp        qw(croak);
use Exporter    qw(import);
use Time::HiRes qw(sleep time);
use TopK::Test::Nemesis::Servers;

our @EXPORT = qw(fault_kinds);

use constant PROCESS_PATIENCE => 30;

my @brokers = (1, 2, 3);
my @links   = ((map { "broker$_" } @brokers), 'brokers');

sub fault_kinds
{
    return (_processes(), _fail_points(), _server(), _brokers(), _redis(), _network(), _configuration());
}

# ---- processes of the bridge ----

# The postmaster ends every backend and recovers when one of them is killed.
sub _processes
{
    my @kill = (group => 'server', share => 1, hold => [ 0, 1 ]);
    return (
        { @kill, name => 'kill_worker', share => 3, targets => [ 1 .. 4 ], inject => _signal('topk worker', 'KILL') },
        { @kill, name => 'kill_closer',    targets => [ 1, 2 ], inject => _signal('topk closer',    'KILL') },
        { @kill, name => 'kill_publisher', targets => [1],      inject => _signal('topk publisher', 'KILL') },
        { @kill, name => 'kill_manager',   targets => [1],      inject => _signal('topk manager',   'KILL') },
        { @kill, name => 'kill_launcher',  targets => [1],      inject => _signal('topk launcher',  'KILL') },
        {   name => 'end_process', group => 'server', share => 2, hold => [ 0, 1 ],
            targets => [ 'topk worker', 'topk closer', 'topk publisher', 'topk manager', 'topk launcher' ],
            inject  => sub { my ($world, $type) = @_; kill 'TERM', _pid_of($world, $type, 1); },
        },
        {   name => 'freeze_process', group => 'server', share => 2, hold => [ 1, 5 ],
            targets => [ 'topk worker', 'topk closer', 'topk publisher', 'topk manager' ],
            inject  => sub { my ($world, $type) = @_; my $pid = _pid_of($world, $type, 1); kill 'STOP', $pid; return $pid; },
            repair  => sub { my (undef, undef, $pid) = @_; kill 'CONT', $pid; return; },
        });
}

sub _signal
{
    my ($type, $signal) = @_;
    return sub { my ($world, $number) = @_; kill $signal, _pid_of($world, $type, $number); };
}

# ---- the steps of the commit protocol ----

# Those that a run reaches: nothing is old enough to be rolled up.
my @steps = qw(claim_before_commit claim_after_commit intern_before_commit intern_after_commit
  flush_begin flush_after_partitions flush_before_commit flush_after_commit flush_after_kafka_commit close_before_commit close_after_commit
  publish_before_write publish_after_write publish_after_marker publish_before_commit publish_after_commit);

# A build with fail points does what this file in the data directory says, and takes out of it what it has done
# (bridge/fail_point.h).  Claims and new lists come with a new session, so a worker is ended as well.
sub _fail_points
{
    my @delays = qw(flush_before_commit close_before_commit publish_after_write);
    return {
        name => 'fail_point', group => 'server', share => 8, hold => [ 1.5, 4 ],
        targets => [ (map { "$_=crash" } @steps), (map { "$_=error" } qw(claim_before_commit flush_begin flush_before_commit close_before_commit)),
            (map { "$_=delay:3000" } @delays) ],
        trouble => sub { $_[0]->servers->fail_point_trouble; },
        inject  => sub {
            my ($world, $action) = @_;
            $world->servers->set_fail_point("$action*1");
            kill 'TERM', _pid_of($world, 'topk worker', 1) if $action =~ /\A(?:claim|intern)_/;
        },
        repair => sub {
            my ($world) = @_;
            $world->servers->await_primary;
            return $world->servers->take_fail_point ? undef : 'it was not reached';
        },
    };
}

# The number-th process of a type, counted round; it may be about to be started.
sub _pid_of
{
    my ($world, $type, $number) = @_;
    my $end = time + PROCESS_PATIENCE;
    while (time < $end)
    {
        my @pids = split /\n/, TopK::Test::Nemesis::Servers::answer($world->pipeline->node,
            "SELECT pid FROM pg_stat_activity WHERE backend_type = '$type' ORDER BY application_name, pid");
        return $pids[ ($number - 1) % @pids ] if @pids;
        sleep 0.2;
    }
    croak "no $type runs:\n" . $world->states;
}

# ---- PostgreSQL ----

sub _server
{
    return (
        {   name => 'stop_primary', group => 'server', share => 2, hold => [ 0.5, 4 ], targets => ['primary'],
            inject => sub { $_[0]->servers->stop_primary; },
            repair => sub { $_[0]->servers->start_primary; },
        },
        {   name => 'stop_standby', group => 'server', share => 1, hold => [ 1, 5 ], targets => ['standby'],
            inject => sub { $_[0]->servers->stop_standby; },
            repair => sub { $_[0]->servers->start_standby; },
        },
        {   name => 'promote_standby', group => 'server', share => 1, hold => [ 0.5, 3 ], targets => ['standby'],
            inject => sub { $_[0]->servers->promote; $_[0]->look_at_primary; },
            repair => sub { $_[0]->servers->build_standby; },
        },
        {   name => 'fill_disk', group => 'server', share => 2, hold => [ 2, 6 ], targets => ['primary'],
            trouble => sub { $_[0]->servers->disk_trouble; },
            inject  => sub { $_[0]->servers->fill_disk; },
            repair  => sub { $_[0]->servers->free_disk; },
        });
}

# ---- Kafka ----

sub _brokers
{
    return (
        {   name => 'kill_broker', group => 'Kafka', share => 2, hold => [ 1, 8 ], targets => \@brokers,
            inject => sub { my ($world, $id) = @_; $world->kafka->kill_node($id); },
            repair => sub { my ($world, $id) = @_; $world->kafka->start_node($id); },
        },
        {   name => 'freeze_broker', group => 'Kafka', share => 2, hold => [ 1, 8 ], targets => \@brokers,
            inject => sub { my ($world, $id) = @_; $world->kafka->freeze_node($id); },
            repair => sub { my ($world, $id) = @_; $world->kafka->thaw_node($id); return; },
        });
}

# ---- Redis ----

sub _redis
{
    my @redis = (group => 'Redis', share => 1, targets => ['redis']);
    return (
        {   @redis, name => 'kill_redis', hold => [ 0.2, 3 ],
            inject => sub { $_[0]->redis->kill9; },
            repair => sub { $_[0]->redis->restart; },
        },
        { @redis, name => 'empty_redis', hold => [ 0, 1 ], inject => sub { $_[0]->redis->command('FLUSHALL'); } },
        {   @redis, name => 'freeze_redis', hold => [ 1, 4 ],
            inject => sub { $_[0]->redis->freeze; },
            repair => sub { $_[0]->redis->thaw; return; },
        });
}

# ---- the network ----

# A link cut: resets; stalled: silence; deaf: requests arrive, answers do not.
sub _network
{
    my %modes = (cut => 'cut', stall => 'stall', deafen => 'deaf');
    return map {
        my $mode = $modes{$_};
        (   { _link($mode), name => "${_}_brokers", group => 'Kafka', share => 1, hold => [ 1, 8 ], targets => \@links },
            { _link($mode), name => "${_}_redis",   group => 'Redis', share => 1, hold => [ 1, 4 ], targets => ['redis'] })
    } sort keys %modes;
}

sub _link
{
    my ($mode) = @_;
    return (
        inject => sub { my ($world, $target) = @_; $world->proxy->set($_, $mode)  for _links_of($target); return; },
        repair => sub { my ($world, $target) = @_; $world->proxy->set($_, 'open') for _links_of($target); return; });
}

sub _links_of { my ($target) = @_; return $target eq 'brokers' ? map { "broker$_" } @brokers : ($target); }

# ---- changes that are no faults, and must do no harm either ----

sub _configuration
{
    return (
        {   name => 'set_parallelism', group => 'source', share => 2, hold => [ 0, 1 ], targets => [ 1 .. 4 ],
            inject => sub { my ($world, $workers) = @_; _change($world, "SELECT topk.set_parallelism('exact', $workers)"); },
        },
        {   name => 'pause_source', group => 'source', share => 1, hold => [ 0.5, 4 ], targets => [ 'exact', 'small' ],
            inject => sub { my ($world, $source) = @_; _change($world, "SELECT topk.pause('$source')"); },
            repair => sub { my ($world, $source) = @_; _change($world, "SELECT topk.resume('$source')"); },
        });
}

# The server may be away just now, and an answer that got lost does not say whether it was done: all can be
# repeated.  Without a standby a synchronous commit would wait for the repair that is still to come.
sub _change
{
    my ($world, $sql) = @_;
    my $end    = time + 2 * PROCESS_PATIENCE;
    my $commit = $world->servers->has_standby ? 'on' : 'local';
    while (time < $end)
    {
        $world->servers->make_room;
        $world->servers->await_primary;
        my $status = eval { $world->pipeline->node->psql('postgres', "SET synchronous_commit = $commit; $sql", timeout => 10, stdout => \my $output, stderr => \my $error) };
        return if defined $status && $status == 0;
        sleep 0.3;
    }
    croak "could not be done: $sql\n" . $world->states;
}

1;
