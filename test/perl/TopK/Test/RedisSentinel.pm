package TopK::Test::RedisSentinel;

# A Redis master with two replicas, watched by three sentinels, of the test's own.
#
#   my $redis = TopK::Test::RedisSentinel->start($dir, args => [...]);    # of the servers
#   $redis->server_options;              # of a foreign server, in SQL
#   $redis->command('HGETALL', $key);    # of the master
#   $redis->zrange($key); ...            # as TopK::Test::Redis
#   $redis->kill_master;                 # and wait until the sentinels have another
#
# Servers are instances of TopK::Test::Redis.

use strict;
use warnings;

use Carp        qw(croak);
use Time::HiRes qw(sleep time);
use TopK::Test::Redis;
use TopK::Test::Server qw(free_port);

our @ISA = ('TopK::Test::Redis');

sub start
{
    my ($class, $dir) = @_;
    my $self = bless { servers => [], sentinels => [] }, $class;
    for my $number (0 .. 2)
    {
        my $master = $self->{servers}[0];
        push @{ $self->{servers} }, TopK::Test::Redis->start("$dir/server$number",
            args => [ '--repl-diskless-sync-delay' => 0, $master ? ('--replicaof' => '127.0.0.1 ' . $master->port) : () ]);
    }
    $self->_wait('replicas follow', sub { $self->{servers}[0]->command('INFO', 'replication') =~ /connected_slaves:2/ });
    push @{ $self->{sentinels} }, $self->_start_sentinel("$dir/sentinel$_") for 0 .. 2;
    $self->_wait('the sentinels know each other and the replicas', sub {
        !grep { ($self->_watched($_)->{'num-other-sentinels'} // 0) != 2 || $self->_watched($_)->{'num-slaves'} != 2 }
          @{ $self->{sentinels} }
    });
    return $self;
}

# A sentinel keeps what it learns in its configuration file.
sub _start_sentinel
{
    my ($self, $dir) = @_;
    my $port = free_port();
    mkdir $dir;
    open my $file, '>', "$dir/sentinel.conf" or croak "could not write $dir/sentinel.conf: $!";
    print {$file} "sentinel monitor main 127.0.0.1 " . $self->{servers}[0]->port . " 2\n",
      "sentinel down-after-milliseconds main 1000\n", "sentinel failover-timeout main 5000\n";
    close $file or croak "could not write $dir/sentinel.conf: $!";
    return TopK::Test::Redis->start($dir, port => $port, config => "$dir/sentinel.conf", sentinel => 1);
}

sub _watched
{
    my ($self, $sentinel) = @_;
    return { @{ $sentinel->command('SENTINEL', 'MASTER', 'main') } };
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

sub server_options
{
    my ($self) = @_;
    return "sentinels '" . join(', ', map { '127.0.0.1:' . $_->port } @{ $self->{sentinels} }) . "', sentinel_master 'main'";
}

sub master
{
    my ($self) = @_;
    my $port = $self->{sentinels}[0]->command('SENTINEL', 'get-master-addr-by-name', 'main')->[1];
    my ($server) = grep { $_->port == $port } @{ $self->{servers} };
    return $server;
}

sub command
{
    my ($self, @words) = @_;
    my $answer = eval { $self->master->command(@words) };
    croak $@ if $@ && $@ !~ /closed the connection/;
    return $@ ? $self->master->command(@words) : $answer;    # sentinels close the connections of whom they promote
}

# SIGKILL to the master, which stays away; returns when the sentinels agree on another.
sub kill_master
{
    my ($self) = @_;
    my $old = $self->master;
    $old->kill9;
    $self->_wait('the sentinels name another master', sub {
        my %ports = map { $_->command('SENTINEL', 'get-master-addr-by-name', 'main')->[1] => 1 } @{ $self->{sentinels} };
        return keys(%ports) == 1 && !$ports{ $old->port };
    });
    return;
}

sub stop { my ($self) = @_; $_->stop for @{ $self->{sentinels} }, grep { $_->pid } @{ $self->{servers} }; return; }

1;
