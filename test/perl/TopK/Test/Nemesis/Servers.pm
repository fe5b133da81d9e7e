package TopK::Test::Nemesis::Servers;

# A primary and its synchronous standby, each on a small disk of its own where
# there are such (test/nemesis/small_disks.sh says so in NEMESIS_DISKS).
#
#   my $servers = TopK::Test::Nemesis::Servers->new;
#   my $pipeline = TopK::Test::Pipeline->new($servers->first_name, $servers->options, ...);
#   $servers->begin($pipeline);              # builds the standby
#   $servers->stop_primary; $servers->start_primary; $servers->stop_standby; $servers->start_standby;
#   $servers->promote; $servers->build_standby;
#   $servers->fill_disk; $servers->free_disk;
#   $servers->set_fail_point('flush_begin=crash*1'); $servers->take_fail_point;
#
# A promotion stops the old primary first: two primaries that both write are
# nothing that a database can prevent, so fencing is the operator's duty.

use strict;
use warnings;

use Carp        qw(croak);
use File::Path  qw(remove_tree);
use Time::HiRes qw(sleep time);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils qw(system_or_bail slurp_file);
use TopK::Test::Tools qw(build_dir);

use constant PATIENCE => 60;

my $settings = <<'CONF';
synchronous_commit = on
wal_keep_size = 128MB
max_wal_size = 192MB
shared_buffers = 64MB
wal_retrieve_retry_interval = '200ms'
wal_receiver_status_interval = 1
CONF

sub new
{
    my ($class) = @_;
    my @disks = split /:/, $ENV{NEMESIS_DISKS} // '';
    return bless { built => 0, disks => \@disks, logs => [], hard_stops => 0 }, $class;
}

# Why disks cannot be filled here; undef if they can.
sub disk_trouble
{
    my ($self) = @_;
    return if @{ $self->{disks} } >= 2;
    return $ENV{NEMESIS_NO_DISKS} // 'not run by test/nemesis/small_disks.sh, which makes small disks';
}

sub first_name { return 'primary'; }

sub options
{
    my ($self) = @_;
    my $library = fail_point_trouble() ? '' : "dynamic_library_path = '" . _fail_point_library() . ":\$libdir'\n";
    return (conf => $settings . $library, init => { allows_streaming => 1 }, before_init => sub { $self->_place($_[0]) });
}

# Gives a node that has no data yet its disk.  Primary and standby take turns.
sub _place
{
    my ($self, $node) = @_;
    push @{ $self->{logs} }, $node->logfile;
    my $number = $self->{built}++;
    return unless @{ $self->{disks} } >= 2;
    $node->{nemesis_disk} = $self->{disks}[ $number % 2 ];
    my $directory = "$node->{nemesis_disk}/pgdata";
    remove_tree($directory);
    mkdir $directory, 0700 or croak "could not make $directory: $!";
    symlink $directory, $node->data_dir or croak "could not link to $directory: $!";
    return;
}

sub begin
{
    my ($self, $pipeline) = @_;
    $self->{pipeline} = $pipeline;
    $self->{primary}  = $pipeline->node;
    $self->build_standby;
    return;
}

sub build_standby
{
    my ($self) = @_;
    $self->await_primary;
    my $node = PostgreSQL::Test::Cluster->new("standby$self->{built}");
    $self->_place($node);
    system_or_bail('pg_basebackup', '-D', $node->data_dir, '-h', $self->{primary}->host, '-p', $self->{primary}->port,
        '--checkpoint=fast', '--no-sync', '-X', 'stream');
    $node->append_conf('postgresql.conf', 'port = ' . $node->port);
    $node->enable_streaming($self->{primary});
    $node->start;
    $self->{standby} = $node;
    $self->_await_standby;
    $self->{primary}->append_conf('postgresql.conf', "synchronous_standby_names = '*'");
    $self->{primary}->reload;
    return;
}

# Until the standby has all that the primary had when it was asked.
sub _await_standby
{
    my ($self) = @_;
    $self->await_primary;
    my $lsn = answer($self->{primary}, 'SELECT pg_current_wal_lsn()');
    my $end = time + PATIENCE;
    while (time < $end)
    {
        $self->{has_standby} = answer($self->{primary}, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND flush_lsn >= '$lsn'") eq '1';
        return if $self->{has_standby};
        sleep 0.1;
    }
    croak 'the standby does not follow: ' . $self->{standby}->logfile;
}

sub has_standby { my ($self) = @_; return $self->{has_standby}; }

# ---- stopping and starting ----

sub stop_primary { my ($self) = @_; $self->_stop($self->{primary}); return; }
sub stop_standby { my ($self) = @_; $self->{has_standby} = 0; $self->_stop($self->{standby}); return; }
sub start_primary { my ($self) = @_; $self->_start($self->{primary}); $self->await_primary; return; }
sub start_standby { my ($self) = @_; $self->_start($self->{standby}); $self->_await_standby; return; }

sub _stop
{
    my ($self, $node) = @_;
    $node->_update_pid(-1);    # it may have ended by itself
    $node->stop('immediate', fail_ok => 1);
    $self->{hard_stops}++;
    return;
}

sub _start
{
    my ($self, $node) = @_;
    my $end = time + PATIENCE;
    while (time < $end)
    {
        $node->_update_pid(-1);
        return if defined $node->{_pid} || $node->start(fail_ok => 1);
        sleep 0.5;
    }
    croak 'a server did not start: ' . $node->logfile;
}

# Until the primary takes statements, wherever it is in a recovery; it is started if it gave up.
sub await_primary
{
    my ($self) = @_;
    my $end = time + PATIENCE;
    while (time < $end)
    {
        return if answer($self->{primary}, 'SELECT pg_is_in_recovery()') eq 'f';
        $self->_start($self->{primary});
        sleep 0.2;
    }
    croak 'the primary does not come back: ' . $self->{primary}->logfile;
}

# What a server answers, '' if it does not.
sub answer
{
    my ($node, $sql) = @_;
    my $output = '';
    my $status = eval { $node->psql('postgres', $sql, stdout => \$output, stderr => \my $error, timeout => 20) };
    return defined $status && $status == 0 ? $output : '';
}

# ---- promotion ----

sub promote
{
    my ($self) = @_;
    my $old = $self->{primary};
    $self->_stop($old);
    $self->{standby}->promote;
    $self->{primary} = $self->{standby};
    @{$self}{qw(standby has_standby)} = (undef, 0);
    $self->{pipeline}->use_node($self->{primary});
    remove_tree($old->data_dir . '/') if !$old->{nemesis_disk};
    $self->await_primary;
    return;
}

# ---- the primary's disk ----

sub fill_disk
{
    my ($self) = @_;
    my $path = $self->_ballast;
    open my $file, '>', $path or croak "could not write $path: $!";
    for my $size (1 << 20, 4096)
    {
        1 while defined syswrite $file, "\0" x $size;
    }
    close $file;
    return;
}

# A server that found no room for its log has given up, and did not start again.
sub free_disk
{
    my ($self) = @_;
    unlink $self->_ballast;
    $self->await_primary;
    return;
}

# A server that its full disk keeps from starting would wait for a repair that is still to come.
sub make_room
{
    my ($self) = @_;
    unlink $self->_ballast if $self->{primary}{nemesis_disk} && answer($self->{primary}, 'SELECT 1') eq '';
    return;
}

sub _ballast { my ($self) = @_; return "$self->{primary}{nemesis_disk}/ballast"; }

# ---- fail points ----

# The library that has them, which a server finds before the installed one; see bridge/fail_point.h.
sub _fail_point_library { return build_dir() . '/fail_points'; }

# Why there are none; undef if there are.
sub fail_point_trouble
{
    return -e _fail_point_library() . '/topk_worker.so' ? undef : 'no build with fail points (make fail-points)';
}

sub set_fail_point
{
    my ($self, $line) = @_;
    my $path = $self->_fail_point_file;
    open my $file, '>', "$path.new" or croak "could not write $path: $!";
    print {$file} "$line\n";
    close $file or croak "could not write $path: $!";
    rename "$path.new", $path or croak "could not rename $path: $!";
    return;
}

# True if it was reached meanwhile, and so is no longer in the file.
sub take_fail_point
{
    my ($self) = @_;
    my $path    = $self->_fail_point_file;
    my $reached = !-s $path;
    unlink $path;
    return $reached;
}

sub _fail_point_file { my ($self) = @_; return $self->{primary}->data_dir . '/topk.fail_points'; }

# ---- for the report ----

# How often a server had all of its processes end because one was killed or a disk was full.
sub crashes
{
    my ($self) = @_;
    my $crashes = 0;
    for my $log (@{ $self->{logs} })
    {
        $crashes += () = slurp_file($log) =~ /all server processes terminated; reinitializing|PANIC:  could not/g;
    }
    return $crashes;
}

sub hard_stops { my ($self) = @_; return $self->{hard_stops}; }

sub stop
{
    my ($self) = @_;
    for my $node (grep { defined } @{$self}{qw(primary standby)})
    {
        $self->_stop($node);
    }
    return;
}

1;
