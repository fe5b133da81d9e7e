package TopK::Test::Proxy;

# TCP links that a test can cut, stall and make deaf: one process that listens on
# a port of 127.0.0.1 for each link and passes bytes to another port.
#
#   my $proxy = TopK::Test::Proxy->start("$dir/proxy.log", redis => [ $listen, $target ], ...);
#   $proxy->set('redis', 'cut');      # connections are reset, new ones too
#   $proxy->set('redis', 'stall');    # nothing is closed, nothing passes
#   $proxy->set('redis', 'deaf');     # requests pass, answers do not
#   $proxy->set('redis', 'open');     # what was held back passes now, in order
#
# Bytes of a stalled link wait in the kernel and in at most HELD bytes here, so a
# request may arrive long after its sender has given it up.

use strict;
use warnings;

use Carp     qw(croak);
use Errno    qw(EAGAIN EWOULDBLOCK EINTR);
use Exporter qw(import);
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_ERROR SO_LINGER);
use TopK::Test::Server qw(free_port spawn wait_for_port stop_process);
use TopK::Test::Tools  qw(top_dir);

use constant { HELD => 1_048_576, PIECE => 65_536, CLIENT => 0, SERVER => 1 };

# From which sides bytes pass.
my %passes = (open => [ 1, 1 ], stall => [ 0, 0 ], deaf => [ 1, 0 ], cut => [ 0, 0 ]);

# ---- the test's side ----

sub start
{
    my ($class, $log, %links) = @_;
    my $self = bless { control => free_port() }, $class;
    my @links = map { join ':', $_, @{ $links{$_} } } sort keys %links;
    $self->{pid} = spawn($log, $^X, '-I', top_dir() . '/test/perl', '-MTopK::Test::Proxy', '-e',
        'TopK::Test::Proxy::serve(@ARGV)', $self->{control}, @links);
    wait_for_port($self->{pid}, $self->{control}, 20, $log);
    return $self;
}

# Returns once the link is in that mode.
sub set
{
    my ($self, $link, $mode) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{control}, Timeout => 5)
      or croak "the proxy does not answer: $@";
    print {$socket} "$link $mode\n";
    my $answer = <$socket> // 'nothing';
    croak "the proxy answered $answer" if $answer ne "ok\n";
    return;
}

sub stop { my ($self) = @_; stop_process($self->{pid}, 'TERM'); return; }

# ---- the proxy's process ----

my %links;    # name => {mode, listener, target}
my @pairs;    # {link, ends => [client, server], waiting => [bytes for client, for server], ended => [...], connecting}

sub serve
{
    my ($control_port, @specs) = @_;
    $SIG{PIPE} = 'IGNORE';
    my $control = _listen($control_port);
    for my $spec (@specs)
    {
        my ($name, $listen, $target) = split /:/, $spec;
        $links{$name} = { mode => 'open', listener => _listen($listen), target => $target };
    }
    _turn($control) while 1;
    return;
}

sub _listen
{
    my ($port) = @_;
    return IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Proto => 'tcp', Listen => 64, ReuseAddr => 1)
      // die "could not listen on $port: $@\n";
}

# One round: wait, then do whatever has become possible.
sub _turn
{
    my ($control) = @_;
    my ($read, $write) = ('', '');
    vec($read, fileno $_, 1) = 1 for $control, map { $_->{listener} } values %links;
    for my $pair (@pairs)
    {
        for my $from (CLIENT, SERVER)
        {
            vec($read,  fileno $pair->{ends}[$from],     1) = 1 if _may_read($pair, $from);
            vec($write, fileno $pair->{ends}[ 1 - $from ], 1) = 1 if _may_write($pair, $from);
        }
    }
    return if select($read, $write, undef, undef) < 0;
    for my $pair (@pairs)
    {
        _connected($pair) if $pair->{connecting} && vec($write, fileno $pair->{ends}[SERVER], 1);
        for my $from (CLIENT, SERVER)
        {
            _read($pair, $from) if _may_read($pair, $from) && vec($read, fileno $pair->{ends}[$from], 1);
            _write($pair, $from) if !$pair->{connecting} && _may_write($pair, $from);
        }
    }
    @pairs = grep { !_finished($_) } @pairs;
    _command($control) if vec($read, fileno $control, 1);
    _accept($_) for grep { vec($read, fileno $_->{listener}, 1) } values %links;
    return;
}

sub _may_read
{
    my ($pair, $from) = @_;
    return if $pair->{broken} || $pair->{ended}[$from] || ($from == SERVER && $pair->{connecting});
    return $passes{ $pair->{link}{mode} }[$from] && length $pair->{waiting}[ 1 - $from ] < HELD;
}

# Bytes from one side that the other can be given; a connection that comes about is a chance to write as well.
sub _may_write
{
    my ($pair, $from) = @_;
    return if $pair->{broken};
    return $from == CLIENT if $pair->{connecting};
    return $passes{ $pair->{link}{mode} }[$from] && length $pair->{waiting}[ 1 - $from ];
}

sub _connected
{
    my ($pair) = @_;
    $pair->{connecting} = 0;
    $pair->{broken} = 1 if $pair->{ends}[SERVER]->getsockopt(SOL_SOCKET, SO_ERROR);
    return;
}

sub _must_wait { return $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR; }

sub _read
{
    my ($pair, $from) = @_;
    my $to = 1 - $from;
    my $n = sysread $pair->{ends}[$from], $pair->{waiting}[$to], PIECE, length $pair->{waiting}[$to];
    if (!defined $n) { $pair->{broken} = 1 unless _must_wait(); }
    elsif ($n == 0)  { $pair->{ended}[$from] = 1; }
    return;
}

sub _write
{
    my ($pair, $from) = @_;
    my $to = 1 - $from;
    my $n = syswrite $pair->{ends}[$to], $pair->{waiting}[$to];
    if (defined $n) { substr $pair->{waiting}[$to], 0, $n, ''; }
    else            { $pair->{broken} = 1 unless _must_wait(); }
    return;
}

# Neither client here ever closes one direction alone, so the end of one is the end of both.
sub _finished
{
    my ($pair) = @_;
    my $drained = grep { $pair->{ended}[$_] && !length $pair->{waiting}[ 1 - $_ ] } CLIENT, SERVER;
    return 0 unless $pair->{broken} || $drained;
    _reset($pair) if $pair->{broken};
    close $_ for @{ $pair->{ends} };
    return 1;
}

# The peers shall see a reset, not an orderly end.
sub _reset
{
    my ($pair) = @_;
    setsockopt $_, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) for @{ $pair->{ends} };
    return;
}

sub _accept
{
    my ($link) = @_;
    my $client = $link->{listener}->accept or return;
    my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $link->{target}, Proto => 'tcp', Blocking => 0);
    my $pair = { link => $link, ends => [ $client, $server // () ], waiting => [ '', '' ], ended => [ 0, 0 ], connecting => 1 };
    if ($link->{mode} eq 'cut' || !$server)
    {
        _reset($pair);
        close $_ for @{ $pair->{ends} };
        return;
    }
    $client->blocking(0);
    push @pairs, $pair;
    return;
}

sub _command
{
    my ($control) = @_;
    my $socket = $control->accept or return;
    my ($name, $mode) = split ' ', <$socket> // '';
    if (defined $mode && $links{$name} && $passes{$mode})
    {
        $links{$name}{mode} = $mode;
        for my $pair (grep { $mode eq 'cut' && $_->{link} == $links{$name} } @pairs)
        {
            $pair->{broken} = 1;
        }
        @pairs = grep { !_finished($_) } @pairs;
        print {$socket} "ok\n";
    }
    else { print {$socket} "no such link or mode\n" if defined $name; }
    close $socket;
    return;
}

1;
