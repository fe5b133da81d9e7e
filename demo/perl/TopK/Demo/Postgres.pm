package TopK::Demo::Postgres;

# A PostgreSQL of the demo's own, of which nothing is outside its directory.
#
#   my $postgres = TopK::Demo::Postgres->start($dir, port => $port);
#   $postgres->port; $postgres->pid; $postgres->log;
#   $postgres->run_file('demo/setup.sql', topic => 'events');    # psql variables
#   my $session = $postgres->session;                            # TopK::Demo::Session
#   $postgres->stop;
#
# PostgreSQL looks for extensions only in its own directories, which are the
# user's.  But its programs find those directories relative to themselves; so the
# demo makes such an installation of its own: a copy of the two programs that
# look, the extension by `make install DESTDIR=`, and links to the rest.
#
# The superuser can come in through the socket in the directory only, which
# belongs to whoever runs the demo.  From TCP, that is from any user of the
# machine, there is but `demo`, who may read.

use strict;
use warnings;

use Carp       qw(croak);
use File::Copy qw(copy);
use File::Path qw(make_path);
use TopK::Demo::Session;
use TopK::Test::Server qw(free_port spawn stop_process process_runs log_tail);
use TopK::Test::Tools  qw(top_dir capture);

use constant DATABASE      => 'demo';
use constant START_SECONDS => 60;

sub start
{
    my ($class, $dir, %options) = @_;
    my $self = bless {
        dir     => $dir,
        data    => "$dir/data",
        log     => "$dir/log",
        port    => $options{port} // free_port(),
        install => "$dir/install",
    }, $class;
    make_path($dir);
    $self->_install;
    $self->_init;
    $self->_launch;
    $self->_run('-d', 'postgres', '-c', 'CREATE DATABASE ' . DATABASE,
        '-c', 'CREATE ROLE demo LOGIN IN ROLE pg_read_all_data');
    return $self;
}

sub port { my ($self) = @_; return $self->{port}; }
sub pid  { my ($self) = @_; return $self->{pid}; }
sub log  { my ($self) = @_; return $self->{log}; }    ## no critic (the logarithm is not used here)

# The data are removed next, so there is no point in writing them out first.
sub stop
{
    my ($self) = @_;
    stop_process($self->{pid}, 'QUIT', 10) if $self->{pid};
    return;
}

# How to come in as superuser.
sub psql
{
    my ($self) = @_;
    return ('psql', '-h', $self->{dir}, '-p', $self->{port}, '-U', 'postgres');
}

sub run_file
{
    my ($self, $file, %variables) = @_;
    $self->_run('-d', DATABASE, (map { ('-v', "$_=$variables{$_}") } sort keys %variables), '-f', $file);
    return;
}

sub session
{
    my ($self) = @_;
    return TopK::Demo::Session->new("$self->{dir}/psql.log", $self->psql, '-d', DATABASE);
}

sub _run
{
    my ($self, @arguments) = @_;
    $self->_logged($self->psql, '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', @arguments);
    return;
}

# Run a command whose output matters only if it fails.
sub _logged
{
    my ($self, $program, @arguments) = @_;
    my $log = "$self->{dir}/command.log";
    unlink $log;
    return if eval { capture('sh', '-c', 'exec "$@" >"$0" 2>&1', $log, $program, @arguments); 1 };
    croak "$program failed:\n" . log_tail($log);
}

# ---- an installation of its own ----

sub _install
{
    my ($self) = @_;
    my %place = map { $_ => capture($ENV{PG_CONFIG} || 'pg_config', "--$_") } qw(bindir sharedir pkglibdir);
    $self->{bindir} = "$self->{install}$place{bindir}";
    $self->_make_install;
    make_path($self->{bindir});
    for my $program (qw(postgres initdb))
    {
        copy("$place{bindir}/$program", "$self->{bindir}/$program")
          or croak "could not copy $place{bindir}/$program: $!";
        chmod 0755, "$self->{bindir}/$program" or croak "could not make $program executable: $!";
    }
    $self->_link_entries($_) for $place{pkglibdir}, $place{sharedir}, "$place{sharedir}/extension";
    return;
}

sub _make_install
{
    my ($self) = @_;
    delete local @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};
    $self->_logged('make', '-s', '-C', top_dir(), 'install', "DESTDIR=$self->{install}");
    return;
}

# Links to what is in a directory of PostgreSQL's, where there is nothing of ours.
sub _link_entries
{
    my ($self, $from) = @_;
    my $to = "$self->{install}$from";
    make_path($to);
    opendir my $handle, $from or croak "could not read $from: $!";
    for my $name (grep { !/\A\.\.?\z/ } readdir $handle)
    {
        next if -e "$to/$name";
        symlink "$from/$name", "$to/$name" or croak "could not make $to/$name: $!";
    }
    closedir $handle;
    return;
}

# ---- the server ----

sub _init
{
    my ($self) = @_;
    $self->_logged("$self->{bindir}/initdb", '-D', $self->{data},
        qw(-U postgres -A trust -E UTF8 --no-locale -N));
    $self->_write('>>', 'postgresql.conf', <<"CONF");
port = $self->{port}
listen_addresses = '127.0.0.1'
unix_socket_directories = '$self->{dir}'
unix_socket_permissions = 0700
shared_preload_libraries = 'topk_bridge'
CONF
    $self->_write('>', 'pg_hba.conf', <<'CONF');
local all  all  trust
host  demo demo 127.0.0.1/32 trust
CONF
    return;
}

sub _write
{
    my ($self, $mode, $name, $text) = @_;
    open my $file, $mode, "$self->{data}/$name" or croak "could not write $self->{data}/$name: $!";
    print {$file} $text;
    close $file or croak "could not write $self->{data}/$name: $!";
    return;
}

sub _launch
{
    my ($self) = @_;
    my $end = time + START_SECONDS;
    $self->{pid} = spawn($self->{log}, "$self->{bindir}/postgres", '-D', $self->{data});
    until ($self->_ready)
    {
        croak "PostgreSQL ended at once; its log says:\n" . log_tail($self->{log}) unless process_runs($self->{pid});
        croak "PostgreSQL did not start; its log says:\n" . log_tail($self->{log}) if time > $end;
        select undef, undef, undef, 0.1;
    }
    return;
}

# The server says so itself, in the last line of its process id file.
sub _ready
{
    my ($self) = @_;
    open my $file, '<', "$self->{data}/postmaster.pid" or return 0;
    my @lines = <$file>;
    close $file;
    return @lines >= 8 && $lines[7] =~ /\Aready/;
}

1;
