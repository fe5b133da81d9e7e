#!/usr/bin/env perl
#
# The whole pipeline on this machine: events into Kafka, their top items out of SQL and Redis.
#
# Starts a PostgreSQL, a Redis and a broker of its own in a new directory, sets
# a source up (setup.sql), feeds made-up events in real time, and shows what is
# counted until SECONDS have passed or Ctrl-C is pressed.  Whatever happens, all
# of it is stopped and removed at the end.  README.md has the settings, which
# come from the environment.
#
# Status 0: events went through and each was read.  1: not so.  128 and more: a
# signal before there was anything to see.

use strict;
use warnings;

# Blocks of this kind run last first: this one after the servers' own (TopK::Test::Server).
my $dir;
END
{
    local $?;
    remove_directory() if defined $dir;
}

use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use FindBin;
use IO::Handle;
use IO::Socket::INET;
use JSON::PP    qw(decode_json);
use Time::HiRes qw(sleep time);
use lib "$FindBin::Bin/perl", "$FindBin::Bin/../test/perl";
use TopK::Demo::Broker;
use TopK::Demo::Postgres;
use TopK::Demo::Screen;
use TopK::Test::Redis;
use TopK::Test::Server qw(spawn stop_process process_runs log_tail);
use TopK::Test::Tools  qw(top_dir tool);

use constant {
    RATE            => 2000,
    HISTORY_SECONDS => 120,
    HISTORY_EVENTS  => 20_000,
    SOURCE_SECONDS  => 30,       # for the source to start
    DRAIN_SECONDS   => 30,       # for what was fed to be read
    RATE_SECONDS    => 5,        # over which the rate is taken
    DIMENSIONS      => [qw(all deviceType pageCategory productCategory method statusClass)],
};

# A little out of order, and now and then an event that is late, or broken, or of a type without a rule.
my @stream = ('--items' => 20_000, '--disorder' => 3,
    '--late' => 0.002, '--malformed' => 0.0005, '--no-rule' => 0.002);

my %option;     # from the environment
my $hint;       # what to do if the present step fails
my $stopping;   # the signal that ended the watching
my ($redis, $broker, $postgres, $session, $screen, $feed);
my @seen;       # [time, events read], the last seconds

# ---- settings ----

sub setting
{
    my ($name, $default, $pattern, $what) = @_;
    my $value = $ENV{$name};
    return $default if !defined $value || $value eq '';
    die "$name must be $what, not \"$value\"\n" unless $value =~ /\A(?:$pattern)\z/;
    return $value;
}

sub read_settings
{
    my ($number, $address) = ('0*[1-9][0-9]{0,8}', '[A-Za-z0-9._-]+:[0-9]+');
    $option{seconds}    = setting('SECONDS', undef, $number, 'a whole number of seconds');
    $option{rate}       = setting('RATE',    RATE,  $number, 'a whole number of events a second');
    $option{kafka} =
      setting('KAFKA', 'embedded', "embedded|real|$address(?:,$address)*", 'embedded, real or host:port');
    $option{topic}      = setting('TOPIC', undef, '[A-Za-z0-9._-]{1,249}', 'the name of a topic');
    $option{pg_port}    = setting('DEMO_PGPORT',     undef, $number, 'a port');
    $option{redis_port} = setting('DEMO_REDIS_PORT', undef, $number, 'a port');
    my $max = TopK::Demo::Broker->max_rate($option{kafka});
    die "RATE=$option{rate} is more than the embedded broker can hold; it takes up to $max events a second.\n"
      . "Take KAFKA=real, which starts Apache Kafka.\n"
      if defined $max && $option{rate} > $max;
    delete @ENV{ grep { /\APG/ && $_ ne 'PG_CONFIG' } keys %ENV };    # nothing of the user's
    return;
}

# In root's throw-away copy of the tree the directory is inside that copy, so that what ends it ends this too.
sub make_directory
{
    my @where = ($ENV{TOPK_TOP} // top_dir()) eq top_dir() ? (TMPDIR => 1) : (DIR => top_dir());
    $dir = tempdir('topk-demo.XXXXXX', @where);
    return;
}

# A program that was interrupted (initdb is one) may be removing things there, too: again until it is gone.
sub remove_directory
{
    for (1 .. 50)
    {
        remove_tree($dir, { error => \my $failures });
        last unless -e $dir;
        sleep 0.1;
    }
    say_step(-e $dir ? "stopped, but $dir could not be removed" : 'stopped and removed');
    return;
}

# ---- steps ----

sub say_step
{
    my ($text) = @_;
    print STDERR "==> $text\n";
    return;
}

# Begin a step, with what to do should it fail.
sub step
{
    my ($text, $advice) = @_;
    say_step($text);
    $hint = $advice;
    return;
}

# Or it would be somebody else's server that answers, and is written to.
sub check_free
{
    my ($port) = @_;
    return unless defined $port;
    die "$port is not a port\n" if $port > 65535;
    die "something listens on port $port of this machine\n"
      if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 2);
    return;
}

sub start_servers
{
    step('starting Redis', 'Without DEMO_REDIS_PORT a free port is taken.');
    check_free($option{redis_port});
    $redis = TopK::Test::Redis->start("$dir/redis", port => $option{redis_port});

    my %start = (embedded => 'starting the embedded broker', real => 'starting Apache Kafka (some 10 seconds)');
    my $own = $start{ $option{kafka} };
    step($own // "connecting to Kafka at $option{kafka}",
        defined $own ? 'The demo can start two brokers: KAFKA=embedded and KAFKA=real.'
        : 'Does it answer there, without TLS and password, and may you create a topic?');
    $broker = TopK::Demo::Broker->start($option{kafka}, $dir, $option{topic});

    step('starting PostgreSQL, with the extension installed in a directory of its own',
        'Without DEMO_PGPORT a free port is taken.');
    check_free($option{pg_port});
    $postgres = TopK::Demo::Postgres->start("$dir/pg", port => $option{pg_port});
    return;
}

sub set_up
{
    step('setting up a source, three rules and a sink (demo/setup.sql)', undef);
    $postgres->run_file("$FindBin::Bin/setup.sql", kafka => $broker->bootstrap, topic => $broker->topic,
        start_at => $broker->start_at, redis_port => $redis->port);
    $session = $postgres->session;
    $session->load("$FindBin::Bin/screen.sql");

    return;
}

sub await_source
{
    step('waiting for the source to read', 'Can the broker be reached at the address that it advertises itself?');
    my $end = time + SOURCE_SECONDS;
    my $s;
    until (source_reads($s = status()))
    {
        die source_state($s), "the log of PostgreSQL says:\n", log_tail($postgres->log) if time > $end;
        sleep 0.2;
    }
    return;
}

sub source_reads
{
    my ($s) = @_;
    return $s->{state} eq 'running' && $s->{partitions} == $broker->partitions;
}

sub source_state
{
    my ($s) = @_;
    my $error = $s->{last_error} // '(none)';
    return "the source does not read; topk.stat_source says\n  state       $s->{state}\n  last_error  $error\n";
}

# ---- events ----

sub generate
{
    my ($log, @how) = @_;
    my @where =
      ('--brokers' => $broker->bootstrap, '--topic' => $broker->topic, '--partitions' => $broker->partitions);
    return { log => $log, pid => spawn($log, tool('topk_gen'), '--quiet', @where, @stream, @how) };
}

# How many the generator says that it has sent; it says so at its end.
sub generated
{
    my ($generator) = @_;
    return $1 if log_tail($generator->{log}) =~ /done: events=(\d+)/;
    die "the generator failed:\n" . log_tail($generator->{log});
}

# Two minutes thinly, so that there is a closed minute to look at from the first second on; then in real time.
sub feed
{
    my $events = $option{rate} * 10 < HISTORY_EVENTS ? $option{rate} * 10 : HISTORY_EVENTS;
    my $seconds = $option{seconds} // 1_000_000_000;
    step("feeding $events events of the last two minutes, then $option{rate} a second",
        'RATE=500 asks less of the machine.');
    my $history = generate("$dir/history.log", '--events' => $events, '--span' => HISTORY_SECONDS, '--seed' => 1);
    sleep 0.05 while process_runs($history->{pid});
    my $before = generated($history);
    $feed = generate("$dir/feed.log", '--rate' => $option{rate}, '--seconds' => $seconds, '--seed' => 2);
    $feed->{before} = $before;
    $feed->{started} = time;
    return;
}

# ---- looking ----

sub status { return decode_json($session->ask('EXECUTE status')); }

# Events a second, over the last seconds, once the history has been read.
sub rate_of
{
    my ($s) = @_;
    return 0 if $s->{events} < $feed->{before};
    push @seen, [ $s->{now}, $s->{events} ];
    shift @seen while $seen[0][0] < $s->{now} - RATE_SECONDS && @seen > 2;
    my $span = $s->{now} - $seen[0][0];
    return $span > 0 ? ($s->{events} - $seen[0][1]) / $span : 0;
}

sub look_at
{
    my ($s, @dimensions) = @_;
    my $arguments = $s->{minute} * 60 . ", '{" . join(',', @dimensions) . "}'";
    my $top       = decode_json($session->ask("EXECUTE top10($arguments)"));
    my $values    = decode_json($session->ask("EXECUTE by_value($arguments)"));
    return map {
        { dimension => $_, sql => $top->{$_} // [], values => $values->{$_} // [], redis_list($_, $s) }
    } @dimensions;
}

sub redis_list
{
    my ($dimension, $s) = @_;
    my $name    = "1-minute:$dimension:$s->{minute}";
    my @flat    = @{ $redis->command('ZREVRANGE', "topk:$name", 0, 9, 'WITHSCORES') };
    my $updated = $redis->command('HGET', "meta:$name", 'lastUpdated');
    my @pairs;
    push @pairs, [ splice @flat, 0, 2 ] while @flat;
    return (key => "topk:$name", redis => \@pairs, age => defined $updated ? time - $updated / 1000 : undef);
}

sub closed_total
{
    my ($s) = @_;
    return defined $s->{closed_minute} ? $session->ask("EXECUTE minute_total($s->{closed_minute})") : 0;
}

sub look_around
{
    my $end = defined $option{seconds} ? "after $option{seconds} seconds, or " : '';
    return (
        'psql -h 127.0.0.1 -p ' . $postgres->port . q{ -U demo -xc 'TABLE topk.stat_source'},
        'redis-cli -p ' . $redis->port . ' ZREVRANGE topk:global:url 0 9 WITHSCORES',
        "The end: ${end}with Ctrl-C; it stops and removes everything.");
}

sub open_screen
{
    my @hints = look_around();
    my $superuser = join ' ', $postgres->psql, 'demo';
    print STDERR "==> to look around, from another terminal:\n",
      map { "    $_\n" } @hints[ 0, 1 ], "$superuser    (as superuser)", $hints[-1];
    $screen = TopK::Demo::Screen->new(
        title      => $broker->title . ', topic ' . $broker->topic . ", $option{rate} events/s",
        footer     => [ '', @hints ],
        dimensions => DIMENSIONS);
    return;
}

# ---- the watching ----

sub next_second
{
    sleep 1 - (time - int time);
    return;
}

sub check_servers
{
    my %server = (
        Redis      => [ $redis->pid,    "$dir/redis/redis.log" ],
        PostgreSQL => [ $postgres->pid, $postgres->log ]);
    $server{ $broker->title } = [ $broker->pid, $broker->log ] if $broker->pid;
    for my $name (sort keys %server)
    {
        my ($pid, $log) = @{ $server{$name} };
        die "$name has ended; its log says:\n" . log_tail($log) unless process_runs($pid);
    }
    return;
}

# The generator ends by itself only when the SECONDS are over, or after an error.
sub feeding
{
    return 1 if process_runs($feed->{pid});
    generated($feed);
    return 0;
}

sub watch
{
    open_screen();
    $hint = undef;
    my $next = time + $screen->pause;
    local @SIG{qw(INT TERM)} = map { my $name = $_; sub { $stopping = $name; } } qw(INT TERM);
    while (!$stopping && feeding())
    {
        my $s = status();
        my $look = { status => $s, rate => rate_of($s), closed_total => closed_total($s) };
        if (time >= $next)
        {
            $look->{lists} = [ look_at($s, $screen->wanted(time - $feed->{started})) ];
            $screen->show($look);
            $next = int(time) + $screen->pause;
        }
        check_servers();
        next_second() unless $stopping;
    }
    $screen->close;
    return;
}

# ---- the end ----

# Until Redis holds the same top scores of the minute as SQL does: it follows within a second or two.
sub equal_lists
{
    my ($s) = @_;
    my $equal = 0;
    for (1 .. 10)
    {
        $equal = grep { lists_agree($_) } look_at($s, @{ +DIMENSIONS });
        last if $equal == @{ +DIMENSIONS };
        sleep 0.5;
    }
    return $equal;
}

# By the scores: which of two equals is the tenth is not of interest.
sub lists_agree
{
    my ($list) = @_;
    my ($sql, $redis) = map { join ' ', map { $_->[1] } @{ $list->{$_} } } qw(sql redis);
    return $sql ne '' && $sql eq $redis;
}

sub drain
{
    my ($expected) = @_;
    my $end = time + DRAIN_SECONDS;
    sleep 0.2 while (status()->{events} // 0) < $expected && time < $end;
    return status();
}

# True if all is well: something went through, and each event was read.  On a topic of the user's others may
# write, too.
sub finish
{
    my $last_look = status();    # its minute has events
    say_step('stopping the events');
    stop_process($feed->{pid}, 'TERM', 20);
    my $expected = $feed->{before} + generated($feed);
    say_step('waiting until all of them have been read');
    my $s     = drain($expected);
    my $equal = equal_lists($last_look);
    my $keys  = $redis->command('DBSIZE');
    my $read  = $s->{events} == $expected || $broker->start_at eq 'latest' && $s->{events} > $expected;
    my $whole = $read ? '' : '   NOT EACH ONE ONCE';
    my $all   = @{ +DIMENSIONS };
    print <<"SUMMARY";

topk demo: the end
  events generated     $expected
  events read          $s->{events}$whole
    of them            $s->{counted} counted, $s->{late} of these late
                       $s->{dead_letters} dead letters, $s->{no_rule} without a rule, $s->{too_late} too late
  minutes closed       $s->{closed}
  keys in Redis        $keys
  SQL and Redis agree  on the top 10 of $equal of $all dimensions

SUMMARY
    print source_state($s) if $s->{state} ne 'running';
    return $read && $s->{counted} > 0 && $keys > 0;
}

# A signal at any other time than while watching.  Commands that are being waited for are ended, or perl would
# wait for them first.
sub give_up
{
    my ($name) = @_;
    my %number = (HUP => 1, INT => 2, PIPE => 13, TERM => 15);
    if (open my $children, '<', "/proc/$$/task/$$/children")
    {
        kill 'TERM', split ' ', <$children> // '';
    }
    exit 128 + $number{$name};
}

sub stop_everything
{
    local $SIG{$_} = 'IGNORE' for qw(HUP INT PIPE TERM);
    say_step('stopping and removing everything') if defined $dir;
    $screen->close if $screen;
    stop_process($feed->{pid}, 'TERM', 5) if $feed;
    undef $session;
    $_->stop for grep { defined } $postgres, $broker, $redis;
    return;
}

END
{
    local $?;
    stop_everything();
}

sub explain
{
    my ($error) = @_;
    $error =~ s/ at \S+ line \d+\.?\n?//g;
    chomp $error;
    $screen->close if $screen;
    print STDERR "\ndemo: $error\n";
    print STDERR "demo: $hint\n" if defined $hint;
    return 1;
}

$SIG{$_} = \&give_up for qw(HUP INT PIPE TERM);
STDERR->autoflush(1);
my $well = eval
{
    read_settings();
    make_directory();
    start_servers();
    set_up();
    await_source();
    feed();
    watch();
    finish();
};
exit($@ ne '' ? explain($@) : $well ? 0 : 1);
