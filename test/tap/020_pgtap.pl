# The pgTAP tests in test/pgtap, each in a database of its own.

use strict;
use warnings;

use File::Basename qw(basename);
use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Pipeline;
use TopK::Test::Tools qw(top_dir);

my $pipeline = TopK::Test::Pipeline->new('main');
my $node     = $pipeline->node;
my @files    = sort glob(top_dir() . '/test/pgtap/*.sql');
cmp_ok(scalar @files, '>', 0, 'there are tests');

for my $file (@files)
{
    (my $name = basename($file)) =~ s/\.sql\z//;
    $node->safe_psql('postgres', "CREATE DATABASE $name");
    $node->safe_psql($name, 'CREATE EXTENSION pgtap; CREATE EXTENSION topk');
    my @command = ('pg_prove', '--failures', '--host' => $node->host, '--port' => $node->port, '--dbname' => $name, $file);
    my $output = '';
    my $passed = IPC::Run::run \@command, '>', \$output, '2>&1';
    ok($passed, "$name: " . ($output =~ /Files=\d+, Tests=(\d+)/ ? "$1 tests" : 'no result')) or diag $output;
}

$node->stop;
done_testing();
