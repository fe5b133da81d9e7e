package TopK::Test::Nemesis::Observer;

# Watches from a process of its own how far the sources have committed, so that
# it sees what happens while the test waits for a server.
#
#   my $observer = TopK::Test::Nemesis::Observer->start($dir);
#   $observer->look_at($node);         # where the primary is
#   $observer->longest_standstill;     # seconds in which nothing was committed, the longest so far
#
# Needs producers that never stop: else it measures their pauses.

use strict;
use warnings;

use Carp        qw(croak);
use Time::HiRes qw(sleep time);
use TopK::Test::Server qw(spawn stop_process);
use TopK::Test::Tools  qw(top_dir);

use constant LOOK_EVERY => 0.3;

sub start
{
    my ($class, $dir) = @_;
    my $self = bless { address => "$dir/observer.address", seen => "$dir/observer.seen" }, $class;
    $self->{pid} = spawn($self->{seen}, $^X, '-I', top_dir() . '/test/perl', '-MTopK::Test::Nemesis::Observer', '-e',
        'TopK::Test::Nemesis::Observer::watch(@ARGV)', $self->{address});
    return $self;
}

sub look_at
{
    my ($self, $node) = @_;
    open my $file, '>', "$self->{address}.new" or croak "could not write $self->{address}: $!";
    print {$file} $node->connstr('postgres');
    close $file or croak "could not write $self->{address}: $!";
    rename "$self->{address}.new", $self->{address} or croak "could not rename $self->{address}: $!";
    return;
}

sub longest_standstill
{
    my ($self) = @_;
    open my $file, '<', $self->{seen} or croak "could not read $self->{seen}: $!";
    my ($longest, $last, $since) = (0, 0);
    while (<$file>)
    {
        my ($time, $offsets) = /\A([\d.]+) (\d+)\Z/ or next;
        next if $offsets <= $last;
        $longest = $time - $since if defined $since && $time - $since > $longest;
        ($last, $since) = ($offsets, $time);
    }
    return $longest;
}

sub stop { my ($self) = @_; stop_process($self->{pid}, 'TERM'); return; }

# ---- the observer's process ----

sub watch
{
    my ($path) = @_;
    $| = 1;
    for (;; sleep LOOK_EVERY)
    {
        open my $file, '<', $path or next;
        my $address = <$file> // next;
        close $file;
        my $offsets = _ask($address);
        printf "%.2f %s\n", time, $offsets if $offsets =~ /\A\d+\z/;
    }
    return;
}

sub _ask
{
    my ($address) = @_;
    open my $pipe, '-|', 'psql', '-XAtq', '-d', "$address connect_timeout=5", '-c', 'SELECT sum(next_offset) FROM topk.partition' or return '';
    my $answer = <$pipe> // '';
    close $pipe;    # it fails where the server is away
    chomp $answer;
    return $answer;
}

1;
