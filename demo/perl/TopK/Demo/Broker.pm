package TopK::Demo::Broker;

# The Kafka that the demo reads from: embedded, real, or the user's.
#
#   my $broker = TopK::Demo::Broker->start($kafka, $dir, $topic);
#       # $kafka: embedded, real or HOST:PORT[,...]; $topic may be undef
#   $broker->bootstrap; $broker->topic; $broker->partitions;
#   $broker->start_at;       # where the source begins: a topic that was there before is read from its end
#   $broker->title;          # for people
#   $broker->max_rate;       # events a second that it is good for; undef: as many as you like
#   $broker->pid;            # undef if it is not ours
#   $broker->stop;           # ends what is ours: a server, or a topic on the user's

use strict;
use warnings;

use Carp  qw(croak);
use POSIX qw(strftime);
use TopK::Test::Kafka;
use TopK::Test::Server qw(spawn stop_process process_runs log_tail);
use TopK::Test::Tools  qw(tool capture);

use constant TOPIC             => 'topk-demo';
use constant PARTITIONS        => 4;
use constant EMBEDDED_MAX_RATE => 5000;
use constant WAIT_SECONDS      => 15;

# What is started is noted before it is ready, so that stop finds it after a failure, too.
sub start
{
    my ($class, $kafka, $dir, $topic) = @_;
    my $self = bless {
        dir        => $dir,
        topic      => $topic // TOPIC,
        partitions => PARTITIONS,
        start_at   => 'earliest',
    }, $class;
    return $self->_start_embedded if $kafka eq 'embedded';
    return $self->_start_real     if $kafka eq 'real';
    return $self->_use($kafka, defined $topic);
}

sub bootstrap  { my ($self) = @_; return $self->{bootstrap}; }
sub topic      { my ($self) = @_; return $self->{topic}; }
sub partitions { my ($self) = @_; return $self->{partitions}; }
sub start_at   { my ($self) = @_; return $self->{start_at}; }
sub title      { my ($self) = @_; return $self->{title}; }
sub pid        { my ($self) = @_; return $self->{pid}; }
sub log        { my ($self) = @_; return $self->{log}; }    ## no critic (the logarithm is not used here)

sub max_rate
{
    my ($class, $kafka) = @_;
    return $kafka eq 'embedded' ? EMBEDDED_MAX_RATE : undef;
}

sub stop
{
    my ($self) = @_;
    stop_process($self->{pid}, $self->{end_signal}, 10) if $self->{pid};
    if ($self->{made_topic})
    {
        eval { $self->_admin('delete', $self->{topic}); 1 }
          or print STDERR "the topic $self->{topic} on $self->{bootstrap} could not be removed: $@";
    }
    return;
}

# ---- embedded: librdkafka's mock cluster ----

sub _start_embedded
{
    my ($self) = @_;
    my $end = time + WAIT_SECONDS;
    @{$self}{qw(title end_signal log)} = ('embedded broker', 'TERM', "$self->{dir}/mock_broker.log");
    $self->{pid} = spawn($self->{log}, tool('mock_broker'), $self->{topic}, PARTITIONS);
    until (($self->{bootstrap}) = log_tail($self->{log}) =~ /^bootstrap\.servers=(\S+)$/m)
    {
        croak "the embedded broker did not start; its log says:\n" . log_tail($self->{log})
          if time > $end || !process_runs($self->{pid});
        select undef, undef, undef, 0.05;
    }
    return $self;
}

# ---- real: Apache Kafka ----

sub _start_real
{
    my ($self) = @_;
    my $kafka = TopK::Test::Kafka->start("$self->{dir}/kafka");
    $kafka->create_topic($self->{topic}, PARTITIONS);
    @{$self}{qw(title end_signal log)} = ('Apache Kafka', 'KILL', "$self->{dir}/kafka/node1/log");
    @{$self}{qw(bootstrap pid)} = ($kafka->bootstrap, $kafka->node_pid(1));
    return $self;
}

# ---- the user's ----

sub _use
{
    my ($self, $address, $topic_given) = @_;
    @{$self}{qw(title bootstrap)} = ("Kafka at $address", $address);
    $self->{topic} .= strftime('-%Y%m%d-%H%M%S', localtime) unless $topic_given;
    $self->_admin('wait', 1, WAIT_SECONDS);
    $self->_find_topic unless $self->{made_topic} = $self->_create_topic;
    return $self;
}

# False if it was there before.  Its replicas are as many as the cluster says.
sub _create_topic
{
    my ($self) = @_;
    return 1 if eval { $self->_admin('create', $self->{topic}, PARTITIONS, -1); 1 };
    return 0 if $@ =~ /already exists/;
    croak $@;
}

sub _find_topic
{
    my ($self) = @_;
    $self->{partitions} = () = $self->_admin('offsets', $self->{topic}) =~ /^\d+\t/mg;
    $self->{start_at} = 'latest';
    return;
}

# What kafka_admin prints; dies with its complaint.
sub _admin
{
    my ($self, @command) = @_;
    my @admin  = (tool('kafka_admin'), $self->{bootstrap}, @command);
    my $output = eval { capture('sh', '-c', 'exec "$0" "$@" 2>&1', @admin) };
    return $output if defined $output;
    my ($call, $complaint) = split /\n/, $@, 2;
    croak $complaint || $call;
}

1;
