# The tools that the other tests rely on: the generator, the oracle, and servers
# that start, hold what they are given, and stop.

use strict;
use warnings;

use Test::More;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use TopK::Test::Kafka;
use TopK::Test::Redis;
use TopK::Test::Tools qw(tool capture top_dir);

my $dir = PostgreSQL::Test::Utils::tempdir('harness');
my @stream = (
    '--events' => 50000, '--start' => '2025-01-01T00:00:00Z', '--span' => 7200, '--seed' => 7, '--disorder' => 5,
    '--late' => 0.02, '--late-by' => '65-7000', '--malformed' => 0.05, '--no-rule' => 0.01, '--no-item' => 0.01,
    '--tenants' => 3, '--max-quantity' => 9, '--quiet');

sub slurp_sorted
{
    my ($file) = @_;
    return join "\n", sort split /\n/, slurp_file($file);
}

# ---- the generator ----

my $generator = tool('topk_gen');
run_log([ 'sh', '-c', '"$0" "$@" > ' . "$dir/one 2> $dir/one.log", $generator, @stream ]);
run_log([ 'sh', '-c', '"$0" "$@" > ' . "$dir/two 2> $dir/two.log", $generator, @stream ]);
is(slurp_file("$dir/one"), slurp_file("$dir/two"), 'the same options give the same stream');
my %made = slurp_file("$dir/one.log") =~ /([\w\/]+)=([\d.]+)/g;
is($made{events}, 50000, 'as many events as asked for');
cmp_ok(scalar(grep { m{/} } keys %made), '>=', 29, 'malformed in every way there is');

# ---- Kafka ----

my $kafka = TopK::Test::Kafka->start("$dir/kafka");
$kafka->create_topic('events', 4);
my $sent = $kafka->generate('events', @stream);
my @offsets = $kafka->offsets('events');
my $held = 0;
$held += $_->[1] - $_->[0] for @offsets;
is($held, 50000, 'Kafka holds what was sent');

$kafka->dump('events', "$dir/dump");
run_log([ 'sh', '-c', "cut -f 1,4 $dir/dump > $dir/lines" ]);
is(slurp_sorted("$dir/lines"), slurp_sorted("$dir/one"), 'the stream in Kafka is that on standard output');

# ---- the oracle ----

my $config = "$dir/config.json";
my $rules = slurp_file(top_dir() . '/test/oracle/rules.json');
$rules =~ s/\{/{"source": {"tenant_path": "metadata.tenant"},/;
$rules =~ s/("item_path")/"weight_path": "payload.quantity", $1/g;
append_to_file($config, $rules);
my @recount = ('python3', top_dir() . '/test/oracle/recount.py', $config);
run_log([ 'sh', '-c', '"$@"' . " --columns partition,offset,size,payload < $dir/dump", 'sh', @recount, "$dir/from_kafka" ]);
run_log([ 'sh', '-c', '"$@"' . " --columns partition,payload < $dir/one", 'sh', @recount, "$dir/from_lines" ]);
for my $file (qw(panes.tsv windows.tsv global.tsv summary.json))
{
    is(slurp_sorted("$dir/from_kafka/$file"), slurp_sorted("$dir/from_lines/$file"), "the same recount by both ways: $file");
}
my $summary = JSON::PP::decode_json(slurp_file("$dir/from_kafka/summary.json"));
my %reasons;
m{(\w+)/} and $reasons{$1} += $made{$_} for keys %made;
is_deeply($summary->{reasons}, \%reasons, 'each malformed message is dead for the reason it was made for');
is($summary->{$_}, $made{$_}, "$_ as generated") for qw(no_rule no_item);
cmp_ok($summary->{late},     '>', 0, 'some are late');
cmp_ok($summary->{too_late}, '>', 0, 'some are too late');
is($summary->{counted} + $summary->{too_late} + $summary->{no_rule} + $summary->{no_item} + $summary->{dead_letters},
    50000, 'every message has one outcome');

# ---- Kafka, when it breaks ----

$kafka->kill_node(1);
$kafka->start_node(1);
is_deeply([ $kafka->offsets('events') ], \@offsets, 'Kafka keeps its log over a SIGKILL');
$kafka->trim('events', 0, 100);
is(($kafka->offsets('events'))[0][0], 100, 'a partition can be trimmed');
$kafka->grow_topic('events', 6);
is(scalar(@{ [ $kafka->offsets('events') ] }), 6, 'partitions can be added');
$kafka->produce('events', "5\tone\ttab", "5\ttwo");
is(($kafka->offsets('events'))[5][1], 2, 'single messages can be produced');
$kafka->delete_topic('events');
ok(!eval { $kafka->offsets('events'); 1 }, 'a topic can be deleted');

# ---- Redis ----

my $redis = TopK::Test::Redis->start("$dir/redis");
$redis->command('ZADD', 'z', 2.5, "line\nfeed", 7, 'x');
is_deeply([ $redis->zrange('z') ], [ [ 'x', 7 ], [ "line\nfeed", 2.5 ] ], 'a sorted set comes highest first');
$redis->command('HSET', 'h', 'field', 'value');
$redis->command('EXPIRE', 'h', 100);
is_deeply($redis->hgetall('h'), { field => 'value' }, 'a hash');
cmp_ok($redis->ttl('h'), '>', 90, 'its time to live');
is($redis->ttl('z'), -1, 'none');
is($redis->cli('DBSIZE'), 2, 'redis-cli');
ok(!eval { $redis->command('NONSENSE'); 1 }, 'an error of Redis dies');
$redis->kill9;
$redis->restart;
is_deeply([ $redis->keys ], [], 'nothing is kept over a restart');

# ---- the end ----

my ($kafka_pid, $redis_pid) = ($kafka->node_pid(1), $redis->pid);
$redis->stop;
ok(!kill(0, $redis_pid), 'Redis has stopped');

# Another program that starts a server and dies must leave nothing behind.
my $program = q{use TopK::Test::Redis; my $r = TopK::Test::Redis->start($ARGV[0]); print $r->pid, "\n"; close STDOUT; die "on purpose\n"};
my ($pid) = `$^X -I @{[ top_dir() ]}/test/perl -e '$program' $dir/dying 2>/dev/null` =~ /(\d+)/;
ok($pid, 'the other program ran');
ok(!kill(0, $pid), 'a server ends when its test dies');

done_testing();
