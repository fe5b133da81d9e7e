package TopK::Test::Server;

# What the servers of the tests have in common: a free port, a process of their
# own, a log file, and an end.
#
# Every process started here is noted in %running and ended when the program
# ends, however it ends: normally, by die, by a test's bail-out or by a signal.
# A forked child of the test (IPC::Run has some) ends nothing: the note says
# which process made it.

use strict;
use warnings;

use Carp        qw(croak);
use Exporter    qw(import);
use IO::Socket::INET;
use POSIX       qw(:sys_wait_h setsid);
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(free_port spawn stop_process process_runs wait_for_port forget_process log_tail);

my %running;    # process id => id of the process that started it

# A TCP port of 127.0.0.1 that nobody listens on.  The kernel hands them out in
# turn, so that another test is hardly ever given the same one meanwhile.
sub free_port
{
    my $socket = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1',
        LocalPort => 0,
        Proto     => 'tcp',
        Listen    => 1,
        ReuseAddr => 1) or croak "no free port: $!";
    my $port = $socket->sockport;
    close $socket;
    return $port;
}

# Start a command with its output appended to a log file; returns its process id.
# It gets a session of its own, so that Ctrl-C in a terminal reaches the
# test only, which then ends its servers in order.
sub spawn
{
    my ($log, @command) = @_;
    my $pid = fork() // croak "could not fork: $!";
    if ($pid == 0)
    {
        setsid();
        open STDIN,  '<',  '/dev/null' or POSIX::_exit(126);
        open STDOUT, '>>', $log        or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT    or POSIX::_exit(126);
        { no warnings 'exec'; exec { $command[0] } @command; }
        print STDERR "could not run $command[0]: $!\n";
        POSIX::_exit(127);
    }
    $running{$pid} = $$;
    return $pid;
}

sub process_runs
{
    my ($pid) = @_;
    return 0 unless $pid && exists $running{$pid};
    return 1 if waitpid($pid, WNOHANG) == 0;
    delete $running{$pid};
    return 0;
}

# Send a signal and wait for the end; after so many seconds, SIGKILL.  A stopped
# process (SIGSTOP) is let go on first, or it would never see the signal.
sub stop_process
{
    my ($pid, $signal, $seconds) = @_;
    return unless process_runs($pid);
    kill $signal, $pid;
    kill 'CONT', $pid;
    my $end = time + ($seconds // 20);
    while (process_runs($pid))
    {
        kill 'KILL', $pid if time > $end;
        sleep 0.02;
    }
    return;
}

# Leave a process running after the end of this program (`make dev`).
sub forget_process
{
    my ($pid) = @_;
    delete $running{$pid};
    return;
}

# Wait until something accepts connections; dies if the process ends before.
sub wait_for_port
{
    my ($pid, $port, $seconds, $log) = @_;
    my $end = time + $seconds;
    while (time < $end)
    {
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 1);
        return if $socket;
        croak "the server ended at once; its log says:\n" . log_tail($log) unless process_runs($pid);
        sleep 0.02;
    }
    croak "nothing listens on port $port after $seconds s; the log says:\n" . log_tail($log);
}

sub log_tail
{
    my ($log) = @_;
    open my $file, '<', $log or return "(no log: $!)";
    my @lines = <$file>;
    close $file;
    splice @lines, 0, -20 if @lines > 20;
    return join '', @lines;
}

# $? is what the test leaves behind; waiting for children must not change it.
sub _stop_all
{
    local $?;
    for my $pid (grep { $running{$_} == $$ } keys %running)
    {
        stop_process($pid, 'TERM', 5);
    }
    return;
}

END { _stop_all(); }

# Without a handler these signals would end the program past its END blocks.
for my $signal (qw(HUP INT TERM))
{
    $SIG{$signal} //= sub { exit 1; };
}

1;
