package TopK::Test::Installation;

# A PostgreSQL installation of the test's own that offers another version of topk: what is installed, with one more
# update script and a control file that names it.
#
#   my $path = install_version("$dir/installation", '1.1', from => '1.0', script => 'ALTER TABLE ...');
#   TopK::Test::Pipeline->new('main', install_path => $path, ...);
#
# PostgreSQL finds its files relative to the place of its programs.  So these are copied, and everything else is
# linked, in directories that lie to one another as the installed ones do.

use strict;
use warnings;

use Carp           qw(croak);
use Exporter       qw(import);
use File::Basename qw(basename dirname);
use File::Path     qw(make_path);
use PostgreSQL::Test::Utils;
use TopK::Test::Tools qw(capture run_command);

our @EXPORT_OK = qw(install_version);

my @programs = qw(postgres initdb pg_ctl psql pg_config);

sub _common_parent
{
    my @paths = @_;
    my $parent = dirname($paths[0]);
    $parent = dirname($parent) while grep { index($_, $parent eq '/' ? '/' : "$parent/") != 0 } @paths;
    return $parent;
}

# Links to all entries of a directory but those named.
sub _link_entries
{
    my ($from, $to, %but) = @_;
    make_path($to);
    for my $path (glob "$from/*")
    {
        next if $but{ basename($path) };
        symlink $path, "$to/" . basename($path) or croak "could not link $path: $!";
    }
    return;
}

# Returns the path for install_path: the parent of bin/.
sub install_version
{
    my ($prefix, $version, %options) = @_;
    my ($bin, $share, $lib) = map { capture('pg_config', "--$_") } qw(bindir sharedir pkglibdir);
    my $parent = _common_parent($bin, $share, $lib);
    my ($own_bin, $own_share, $own_lib) = map { $prefix . substr $_, length $parent eq '/' ? 0 : length $parent } $bin, $share, $lib;

    make_path($own_bin, dirname($own_lib));
    run_command('cp', '-L', (map { "$bin/$_" } @programs), $own_bin);
    symlink $lib, $own_lib or croak "could not link $lib: $!";
    _link_entries($share, $own_share, extension => 1);
    _link_entries("$share/extension", "$own_share/extension", 'topk.control' => 1);
    my $control = slurp_file("$share/extension/topk.control");
    $control =~ s/^default_version *=.*/default_version = '$version'/m or croak 'topk.control names no version';
    append_to_file("$own_share/extension/topk.control", $control);
    append_to_file("$own_share/extension/topk--$options{from}--$version.sql", $options{script});
    return dirname($own_bin);
}

1;
