# Exactly once, under every fault: a seeded random mix of faults while producers keep producing, then a recount.
#
#   make nemesis [FAULTS=25] [SEED=1] [RATE=2000] [KINDS="kill_broker kill_launcher"]
#
# Prints the schedule, a line for each fault and a report, all of which is kept in
# tmp_check/log/nemesis_SEED.txt.  test/nemesis/README.md says what is broken and what is checked.

use strict;
use warnings;

use List::Util qw(max);
use PostgreSQL::Test::Utils;
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Nemesis::Check;
use TopK::Test::Nemesis::Faults;
use TopK::Test::Nemesis::Schedule;
use TopK::Test::Nemesis::World;

use constant REDIS_DEADLINE => 5;    # seconds after the last repair, on a machine that is not overloaded

my $faults = $ENV{FAULTS} || 25;
my $seed   = $ENV{SEED} // 1;
my $rate   = $ENV{RATE} || 2000;

open my $report, '>', "$PostgreSQL::Test::Utils::log_path/nemesis_$seed.txt" or die "could not write the report: $!";
$report->autoflush(1);

sub say_line
{
    my (@lines) = @_;
    for my $line (@lines)
    {
        print {$report} "$line\n";
        note $line;
    }
    return;
}

sub clock { my $now = time; return strftime('%H:%M:%S', gmtime $now) . sprintf '.%01d', 10 * ($now - int $now); }

# Processes that want to run, and what there is for them.
sub load  { return (split ' ', slurp_file('/proc/loadavg'))[0]; }
sub cores { my $cores = () = slurp_file('/proc/cpuinfo') =~ /^processor/mg; return $cores || 1; }

# ---- one fault ----

my (%played, %impossible, @remarks);

sub inject
{
    my ($world, $entry) = @_;
    my $kind    = $entry->{kind};
    my $trouble = $kind->{trouble} && $kind->{trouble}->($world);
    say_line(sprintf '%s %4d. %-16s %-28s lag %s%s', clock(), $entry->{number}, $kind->{name}, $entry->{target}, $world->lag,
        $trouble ? ": NOT DONE, $trouble" : '');
    if ($trouble)
    {
        $impossible{"$kind->{name}: $trouble"}++;
        return;
    }
    $entry->{injected} = $kind->{inject}->($world, $entry->{target});
    $entry->{done} = 1;
    $played{ $kind->{name} }++;
    return;
}

sub repair
{
    my ($world, $entry) = @_;
    my $kind = $entry->{kind};
    return unless $entry->{done} && $kind->{repair};
    my $remark = $kind->{repair}->($world, $entry->{target}, $entry->{injected}) // return;
    push @remarks, "$entry->{number}. $kind->{name} $entry->{target}: $remark";
    return;
}

# Faults follow each other, or come while others are there; returns when the last was repaired.
sub play
{
    my ($world, @schedule) = @_;
    my @there;
    while (my $entry = shift @schedule)
    {
        inject($world, $entry);
        push @there, $entry;
        $world->pass($entry->{hold});
        next if @schedule && $schedule[0]{overlaps};
        repair($world, $_) for @there;
        @there = ();
        return time if !@schedule;
        my $took = $entry->{settle} ? $world->settle : 0;
        say_line(sprintf '%s       both sources read on after %.1f s', clock(), $took) if $entry->{settle};
        $world->pass($entry->{pause});
    }
    return;
}

# ---- the run ----

my %only     = map { $_ => 1 } split ' ', $ENV{KINDS} // '';
my @kinds    = grep { !%only || $only{ $_->{name} } } fault_kinds();
my @schedule = make_schedule($seed, $faults, @kinds);
say_line("nemesis: seed $seed, $faults faults of " . @kinds . " kinds, $rate events/s", '', 'the schedule:', describe_schedule(@schedule), '');

my $begun = time;
my $world = TopK::Test::Nemesis::World->new(PostgreSQL::Test::Utils::tempdir_short(), faults => $faults, rate => $rate);
$world->start_producers;
say_line(sprintf 'the sources read %.1f s after the start of the servers', $world->settle);
$world->pass(2);
my $played = time;
my $repaired = play($world, @schedule);
$world->stop_producers;
my $messages = $world->drain(180);
my $drained  = time;
my $overload = max(1, load() / cores());
my $deadline = $repaired + REDIS_DEADLINE * $overload;
my $equal    = await_redis($world, $deadline, 120);
say_line(sprintf('the last repair was at %s; %d messages committed after %.1f s; Redis equal to topk.mirror after %s (%.1f processes wanted each core)', strftime('%H:%M:%S', gmtime $repaired),
        $messages, $drained - $repaired, defined $equal ? sprintf('%.1f s', $equal - $repaired) : 'never', load() / cores()), '');
cmp_ok($equal // 'inf', '<=', $deadline, sprintf 'Redis equals topk.mirror %.1f s after the last repair', $deadline - $repaired);

my $result = check_counts($world);
ok(defined await_redis($world, 0, 60), 'Redis still equals topk.mirror');
my $states = $world->pipeline->value("SELECT string_agg(DISTINCT state, ', ') FROM (SELECT state FROM topk.stat_source UNION ALL SELECT state FROM topk.stat_sink) s");
is($states, 'running', 'both sources and the sink run');

# ---- the report ----

say_line('', 'report', sprintf('  seed %d, %d faults in %.0f s, %.0f s with servers and checks', $seed, $faults, $repaired - $played, time - $begun),
    map({ "  $_ x $played{$_}" } sort keys %played),
    sprintf('  restarts: %d hard stops of a server, %d crashes with recovery', $world->servers->hard_stops, $world->servers->crashes),
    sprintf('  longest stretch in which no source committed anything: %.1f s', $world->longest_standstill),
    $world->lost_producers ? '  producers that gave up, and were replaced, said' : '  no producer gave up',
    map({ "    $_" } $world->lost_producers),
    "  messages $result->{messages}, counted $result->{counted}, in $result->{lists} lists",
    "  lost $result->{lost}, duplicated $result->{duplicated}",
    map({ "  remark: $_" } @remarks),
    map { "  NOT DONE, $impossible{$_} times: $_" } sort keys %impossible);

$world->stop;
done_testing();
