# The README's SQL, run as it is written there; only the addresses of Kafka and Redis are those of this test.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Redis;
use TopK::Test::Tools qw(top_dir);

sub read_file
{
    my ($path) = @_;
    open my $file, '<', $path or die "could not read $path: $!";
    local $/;
    return <$file>;
}

# The README asks for the hour of now; the event must not be of the hour before.
sleep 3601 - time % 3600 if time % 3600 > 3540;

my $dir      = PostgreSQL::Test::Utils::tempdir_short();
my $kafka    = TopK::Test::Kafka->start("$dir/kafka");
my $redis    = TopK::Test::Redis->start("$dir/redis");
my $pipeline = TopK::Test::Pipeline->new('main');
my $readme   = read_file(top_dir() . '/README.md');
my ($event)  = $readme =~ /```json\n(.*?)```/s or die 'no event in the README';
$event =~ s/\n\s*//g;
$event =~ s/"timestamp": "[^"]*"/sprintf '"timestamp": %d', time/e;
$kafka->create_topic('events', 1);
$kafka->produce('events', map { "0\t$event" } 1 .. 7);

my ($kafka_address, $redis_port) = ($kafka->bootstrap, $redis->port);
my %answer;
my $section = '';
while ($readme =~ /^\#\#+ (.*?)$|^```sql\n(.*?)^```/msg)
{
    $section = $1, next if defined $1;
    my $sql = $2;
    $sql =~ s/localhost:9092/$kafka_address/;
    $sql =~ s/host 'localhost', port '6379'/host '127.0.0.1', port '$redis_port'/;
    $sql =~ s/^CREATE EXTENSION topk;$/CREATE EXTENSION IF NOT EXISTS topk;/m;
    my ($status, $out, $err) = $pipeline->node->psql('postgres', $sql, on_error_stop => 1);
    is($status, 0, "\"$section\" runs") or diag "$sql\n$err";
    push @{ $answer{$section} }, $out;
    if ($section eq 'The pipeline in one transaction')
    {
        $pipeline->wait_for('SELECT events FROM topk.stat_source', 7);
        $pipeline->wait_for('SELECT keys_published > 0 FROM topk.stat_sink', 't');
    }
}

is(scalar(grep { /\A1\|/m } @{ $answer{'The type in one minute'} }), 1, 'the type answers');
like($answer{'Reading results'}[0], qr{\|f\|1\|/pricing\|7$}m, 'the current minute is shown');
like($answer{'Reading results'}[0], qr{^mobile\|1\|/pricing\|7$}m, '... and by value');
like($answer{'Reading results'}[0], qr{^clicks\|\|url\|1\|/pricing\|7\|7\|7\|t\|7$}m, '... and for ever');
like($answer{'What is going on'}[0], qr{^clicks\|running\|}m, 'the source runs');
my $end = time + 60;    # global keys are published every ten seconds
sleep 1 while time < $end && !$redis->zrange('topk:global:url');
is_deeply([ $redis->zrange('topk:global:url') ], [ [ '/pricing', 7 ] ], 'Redis has it');

$pipeline->node->stop;
done_testing();
