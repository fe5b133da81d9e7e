package TopK::Test::Redis;

# A redis-server of the test's own: on a free port of 127.0.0.1, with nothing
# kept on disk.
#
#   my $redis = TopK::Test::Redis->start($dir);
#   $redis->port;
#   $redis->cli('SET', 'a', 1);              # text, as redis-cli prints it
#   $redis->zrange('topk:...');              # ([member, score], ...), highest score first
#   $redis->hgetall('meta:...');             # {field => value}
#   $redis->stop; $redis->restart; $redis->kill9; $redis->freeze; $redis->thaw;
#
# Replies with more than one element come by a small RESP reader here, because
# redis-cli cannot tell a line feed in a member from the end of one.

use strict;
use warnings;

use Carp qw(croak);
use File::Path qw(make_path);
use IO::Socket::INET;
use TopK::Test::Server qw(free_port spawn stop_process process_runs wait_for_port forget_process);
use TopK::Test::Tools  qw(capture);

# Options: port, args (an array of further arguments for redis-server), config (a file) and sentinel.
sub start
{
    my ($class, $dir, %options) = @_;
    make_path($dir);
    my $self = bless {
        dir  => $dir,
        log  => "$dir/redis.log",
        port => $options{port} // free_port(),
        args => $options{args} // [],
        options => \%options,
    }, $class;
    $self->restart;
    return $self;
}

# The options of a foreign server for it, in SQL.
sub server_options { my ($self) = @_; return "host '127.0.0.1', port '$self->{port}'"; }

sub port { my ($self) = @_; return $self->{port}; }
sub host { return '127.0.0.1'; }
sub pid  { my ($self) = @_; return $self->{pid}; }

sub restart
{
    my ($self) = @_;
    $self->stop;
    $self->{pid} = spawn(
        $self->{log}, 'redis-server',
        ($self->{options}{config} // ()),
        '--port' => $self->{port},
        '--bind' => '127.0.0.1',
        '--dir'  => $self->{dir},
        $self->{options}{sentinel} ? '--sentinel' : (
            '--save' => '',
            '--appendonly' => 'no',
            '--daemonize'  => 'no',
            '--enable-debug-command' => 'yes',
        ),
        @{ $self->{args} });
    wait_for_port($self->{pid}, $self->{port}, 20, $self->{log});
    return;
}

sub stop   { my ($self) = @_; $self->_end('TERM'); return; }
sub kill9  { my ($self) = @_; $self->_end('KILL'); return; }
sub freeze { my ($self) = @_; kill 'STOP', $self->{pid}; return; }
sub thaw   { my ($self) = @_; kill 'CONT', $self->{pid}; return; }
sub detach { my ($self) = @_; forget_process($self->{pid}); return; }

sub _end
{
    my ($self, $signal) = @_;
    delete $self->{socket};
    stop_process($self->{pid}, $signal) if $self->{pid};
    return;
}

sub cli
{
    my ($self, @command) = @_;
    return capture('redis-cli', '-p', $self->{port}, @command);
}

# ---- replies as Perl values: a string, undef for nil, an array reference ----

sub command
{
    my ($self, @words) = @_;
    my $socket = $self->_socket;
    print {$socket} '*' . @words . "\r\n" . join '', map { '$' . length($_) . "\r\n$_\r\n" } @words
      or croak "could not send to Redis: $!";
    return $self->_reply;
}

sub _socket
{
    my ($self) = @_;
    $self->{socket} //= IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => 5)
      or croak "could not connect to Redis: $@";
    binmode $self->{socket};
    $self->{socket}->autoflush(1);
    return $self->{socket};
}

sub _reply
{
    my ($self) = @_;
    my $socket = $self->{socket};
    my $line   = <$socket> // do { delete $self->{socket}; croak 'Redis closed the connection' };
    $line =~ s/\r\n\z//;
    my ($type, $rest) = (substr($line, 0, 1), substr $line, 1);
    return $rest if $type eq '+' || $type eq ':';
    croak "Redis: $rest" if $type eq '-';
    return undef         if $rest < 0;    ## no critic (an undefined reply is a value in a list)
    return [ map { $self->_reply } 1 .. $rest ] if $type eq '*';
    read($socket, my $text, $rest + 2) == $rest + 2 or croak 'Redis closed the connection';
    return substr $text, 0, $rest;
}

sub zrange
{
    my ($self, $key) = @_;
    my @flat = @{ $self->command('ZREVRANGE', $key, 0, -1, 'WITHSCORES') };
    my @pairs;
    push @pairs, [ splice @flat, 0, 2 ] while @flat;
    return @pairs;
}

sub hgetall
{
    my ($self, $key) = @_;
    return { @{ $self->command('HGETALL', $key) } };
}

# Seconds to live; -1: no expiry, -2: no such key.
sub ttl
{
    my ($self, $key) = @_;
    return $self->command('TTL', $key);
}

# The names of all keys that match, in order.
sub keys
{
    my ($self, $pattern) = @_;
    return sort @{ $self->command('KEYS', $pattern // '*') };
}

1;
