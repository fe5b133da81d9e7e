package TopK::Demo::Session;

# One psql for the whole demo, so that a look at the results costs no process.
#
#   my $session = TopK::Demo::Session->new($log, 'psql', '-d', 'demo');
#   $session->load('demo/screen.sql');
#   my $text = $session->ask('EXECUTE status');    # one value; dies if there is none
#
# psql's complaints go to the log.  It ends with its standard input, so with the demo.

use strict;
use warnings;

use Carp  qw(croak);
use POSIX qw(setsid);
use TopK::Test::Server qw(log_tail);

use constant END_OF_ANSWER => '-- end of answer --';

sub new
{
    my ($class, $log, @psql) = @_;
    my $self = bless { log => $log }, $class;
    pipe my $child_in, $self->{to}  or croak "no pipe: $!";
    pipe $self->{from}, my $child_out or croak "no pipe: $!";
    my $pid = fork() // croak "could not fork: $!";
    if ($pid == 0)
    {
        setsid();    # Ctrl-C is for the demo, which still has questions then
        open STDIN,  '<&', $child_in  or POSIX::_exit(126);
        open STDOUT, '>&', $child_out or POSIX::_exit(126);
        open STDERR, '>>', $log       or POSIX::_exit(126);
        { no warnings 'exec'; exec @psql, '-X', '-q', '-A', '-t'; }
        POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    $self->{to}->autoflush(1);
    return $self;
}

sub DESTROY
{
    my ($self) = @_;
    local $?;
    close $self->{to};
    waitpid $self->{pid}, 0;
    return;
}

sub load
{
    my ($self, $file) = @_;
    $self->_send("\\i $file");
    return;
}

sub ask
{
    my ($self, $statement) = @_;
    my @lines = $self->_send("$statement;");
    croak "no answer to \"$statement\":\n" . log_tail($self->{log}) unless @lines;
    return $lines[0];
}

# The lines that a command printed.
sub _send
{
    my ($self, $command) = @_;
    my @lines;
    print { $self->{to} } "$command\n\\echo ", END_OF_ANSWER, "\n";
    while (defined(my $line = readline $self->{from}))
    {
        chomp $line;
        return @lines if $line eq END_OF_ANSWER;
        push @lines, $line;
    }
    croak "psql ended:\n" . log_tail($self->{log});
}

1;
