package TopK::Test::Tools;

# Where the programs that were built for the tests are, and how to run a command.
#
# Everything is found from this file's own place in the tree, so that the tests
# run in a copy of it just as well; TOPK_BUILD names another build directory.

use strict;
use warnings;

use Carp           qw(croak);
use Cwd            qw(abs_path);
use Exporter       qw(import);
use File::Basename qw(dirname);

our @EXPORT_OK = qw(top_dir build_dir tool run_command capture);

my $top = abs_path(dirname(__FILE__) . '/../../../..');

sub top_dir
{
    return $top;
}

sub build_dir
{
    return $ENV{TOPK_BUILD} // "$top/build";
}

# The path of a program in the build directory.
sub tool
{
    my ($name) = @_;
    my $path = build_dir() . "/$name";
    croak "$path is missing: run make first" unless -x $path;
    return $path;
}

# Run a command to its end; dies if it fails.
sub run_command
{
    my (@command) = @_;
    system { $command[0] } @command;
    croak "@command: " . ($? == -1 ? $! : "status " . ($? >> 8) . ($? & 127 ? ", signal " . ($? & 127) : ''))
      if $? != 0;
    return;
}

# The same, and return what it wrote to standard output, less the last line feed.
sub capture
{
    my (@command) = @_;
    open my $pipe, '-|', @command or croak "could not run $command[0]: $!";
    local $/;
    my $output = <$pipe> // '';
    close $pipe or croak "@command: " . ($! ? $! : 'status ' . ($? >> 8)) . "\n$output";
    $output =~ s/\n\z//;
    return $output;
}

1;
