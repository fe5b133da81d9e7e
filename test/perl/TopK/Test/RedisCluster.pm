package TopK::Test::RedisCluster;

# A Redis Cluster of the test's own: three masters with a replica each.
#
#   my $cluster = TopK::Test::RedisCluster->start($dir);
#   $cluster->server_options;              # of a foreign server, in SQL
#   $cluster->command('HGETALL', $key);    # wherever the key is; KEYS and FLUSHALL of all masters
#   $cluster->zrange($key); ...            # as TopK::Test::Redis
#   $cluster->kill_master($slot);          # and wait until its replica has taken over
#   $cluster->begin_move($slot); $cluster->move_keys($slot); $cluster->end_move($slot);
#
# Nodes are instances of TopK::Test::Redis.

use strict;
use warnings;

use Carp        qw(croak);
use Time::HiRes qw(sleep time);
use TopK::Test::Redis;
use TopK::Test::Server qw(free_port);

our @ISA = ('TopK::Test::Redis');

my $masters = 3;
my $timeout = 1500;    # ms, after which a node that does not answer is failed over

sub start
{
    my ($class, $dir) = @_;
    my $self = bless { nodes => [] }, $class;
    for my $number (0 .. 2 * $masters - 1)
    {
        my $bus_port = free_port();
        my $node = TopK::Test::Redis->start(
            "$dir/node$number",
            args => [
                '--cluster-enabled' => 'yes', '--cluster-port' => $bus_port, '--cluster-node-timeout' => $timeout,
                '--repl-diskless-sync-delay' => 0
            ]);
        $node->{bus_port} = $bus_port;
        $node->{id}       = $node->command('CLUSTER', 'MYID');
        push @{ $self->{nodes} }, $node;
    }
    $self->_join;
    return $self;
}

sub _join
{
    my ($self) = @_;
    my @nodes = $self->nodes;
    for my $number (0 .. $masters - 1)
    {
        $nodes[$number]->command('CLUSTER', 'ADDSLOTSRANGE', int(16384 * $number / $masters), int(16384 * ($number + 1) / $masters) - 1);
    }
    $nodes[$_]->command('CLUSTER', 'SET-CONFIG-EPOCH', $_ + 1) for 0 .. $#nodes;
    $nodes[0]->command('CLUSTER', 'MEET', '127.0.0.1', $_->port, $_->{bus_port}) for @nodes[ 1 .. $#nodes ];
    $self->_wait('the nodes know each other', sub { !grep { _info($_, 'cluster_known_nodes') != @nodes } @nodes });
    for my $number (0 .. $masters - 1)
    {
        $nodes[ $masters + $number ]->command('CLUSTER', 'REPLICATE', $nodes[$number]{id});
    }
    $self->_wait('replicas follow', sub {
        !grep { $_->command('INFO', 'replication') !~ /master_link_status:up/ } @nodes[ $masters .. $#nodes ]
    });
    $self->_wait('the cluster is up', sub { !grep { _info($_, 'cluster_state') ne 'ok' } @nodes });
    return;
}

sub _info
{
    my ($node, $name) = @_;
    return $node->command('CLUSTER', 'INFO') =~ /^$name:(\w+)/m ? $1 : '';
}

sub _wait
{
    my ($self, $what, $condition) = @_;
    my $end = time + 30;
    while (!$condition->())
    {
        croak "waited in vain: $what" if time > $end;
        sleep 0.05;
    }
    return;
}

sub nodes { my ($self) = @_; return grep { $_->pid } @{ $self->{nodes} }; }

sub server_options
{
    my ($self) = @_;
    return "cluster 'true', nodes '" . join(',', map { '127.0.0.1:' . $_->port } $self->nodes) . "'";
}

# ---- who serves what ----

sub _node_at
{
    my ($self, $port) = @_;
    my ($node) = grep { $_->port == $port } $self->nodes;
    return $node // croak "no node of the cluster has the port $port";
}

# Rows of first slot, last slot, port of the master.
sub _slots
{
    my ($self) = @_;
    my ($node) = $self->nodes;
    return map { [ $_->[0], $_->[1], $_->[2][1] ] } @{ $node->command('CLUSTER', 'SLOTS') };
}

sub master_of
{
    my ($self, $slot) = @_;
    my ($row) = grep { $_->[0] <= $slot && $slot <= $_->[1] } $self->_slots;
    return $self->_node_at($row->[2]);
}

sub masters
{
    my ($self) = @_;
    my %ports = map { $_->[2] => 1 } $self->_slots;
    return map { $self->_node_at($_) } sort keys %ports;
}

sub slot_of
{
    my ($self, $key) = @_;
    return ($self->nodes)[0]->command('CLUSTER', 'KEYSLOT', $key);
}

# ---- commands ----

sub command
{
    my ($self, @words) = @_;
    return [ map { @{ $_->command(@words) } } $self->masters ] if $words[0] eq 'KEYS';
    return [ map { $_->command(@words) } $self->masters ]      if $words[0] =~ /\A(?:FLUSHALL|DBSIZE|SCRIPT)\z/;
    return $self->_routed($self->master_of($self->slot_of($words[1])), @words);
}

# Once more where an answer sends to.
sub _routed
{
    my ($self, $node, @words) = @_;
    my $answer = eval { $node->command(@words) };
    return $answer unless $@;
    croak $@ unless $@ =~ /Redis: (ASK|MOVED) \d+ \S+:(\d+)/;
    my $other = $self->_node_at($2);
    $other->command('ASKING') if $1 eq 'ASK';
    return $other->command(@words);
}

# ---- faults ----

# SIGKILL to the master of a slot, which stays away; returns when its replica serves the slot.
sub kill_master
{
    my ($self, $slot) = @_;
    my $master = $self->master_of($slot);
    my $port   = $master->port;
    $master->kill9;
    delete $master->{pid};
    $self->_wait('a replica takes over', sub { eval { $self->master_of($slot)->port != $port } });
    $self->_wait('the cluster is up', sub { !grep { _info($_, 'cluster_state') ne 'ok' } $self->nodes });
    return;
}

# A slot goes to the next master, in three steps.
sub begin_move
{
    my ($self, $slot) = @_;
    my $from = $self->master_of($slot);
    my ($to) = grep { $_->port != $from->port } $self->masters;
    $to->command('CLUSTER', 'SETSLOT', $slot, 'IMPORTING', $from->{id});
    $from->command('CLUSTER', 'SETSLOT', $slot, 'MIGRATING', $to->{id});
    $self->{move} = [ $from, $to ];
    return;
}

sub move_keys
{
    my ($self, $slot) = @_;
    my ($from, $to) = @{ $self->{move} };
    my @keys = @{ $from->command('CLUSTER', 'GETKEYSINSLOT', $slot, 10_000) };
    $from->command('MIGRATE', '127.0.0.1', $to->port, '', 0, 5000, 'KEYS', @keys) if @keys;
    return scalar @keys;
}

sub end_move
{
    my ($self, $slot) = @_;
    my (undef, $to) = @{ $self->{move} };
    $_->command('CLUSTER', 'SETSLOT', $slot, 'NODE', $to->{id}) for $to, grep { $_->port != $to->port } $self->masters;
    return;
}

sub stop { my ($self) = @_; $_->stop for $self->nodes; return; }

1;
