package TopK::Test::Measure;

# What benches read off a running pipeline: CPU seconds and memory of each kind of
# process, WAL, and what machine this is.
#
#   my $cpu = cpu_by_kind($pipeline);          # {'topk worker' => 1.25, ..., 'other' => 0.1}, seconds so far
#   my $cpu = main_cpu($pipeline, 'topk worker');   # of the main threads alone: what bounds the speed, however busy the machine is
#   my $mb  = peak_memory($pipeline, 'topk worker');
#   my $rate = drain_rate($pipeline, $events); # until so many are committed: events a second, from the first claim on
#   my $from = wal_position($pipeline); ... wal_since($pipeline, $from);   # {all, images}, bytes
#   note machine();

use strict;
use warnings;

use Exporter qw(import);
use POSIX    qw(sysconf _SC_CLK_TCK);
use Time::HiRes qw(sleep);

our @EXPORT_OK = qw(drain_rate cpu_by_kind our_cpu main_cpu broker_cpu peak_memory resident_memory anonymous_memory wal_position wal_since machine);

# The rate of a drain by the server's clock, from the claim of the first partition until all is seen committed.  Not
# from the first commit: workers make few in a backlog.
sub drain_rate
{
    my ($pipeline, $events) = @_;
    my ($seen, $seconds) = (0, 0);
    while ($seen < $events)
    {
        sleep 0.05;
        ($seen, $seconds) = split /\|/, $pipeline->value('SELECT coalesce(sum(events), 0),
            extract(epoch FROM clock_timestamp() - (SELECT min(adopted_at) FROM topk.adoption)) FROM topk.partition');
    }
    return $events / $seconds;
}

# CPU seconds so far of each process of the server, by what it is; what belongs to nobody above is 'other'.
sub cpu_by_kind
{
    my ($pipeline) = @_;
    my %cpu;
    for my $row (split /\n/, $pipeline->value('SELECT pid, backend_type FROM pg_stat_activity'))
    {
        my ($pid, $kind) = split /\|/, $row;
        $cpu{ $kind =~ /^topk|walwriter|checkpointer/ ? $kind : 'other' } += _cpu("/proc/$pid/stat");
    }
    return \%cpu;
}

# User and system time in such a file, in seconds; 0 once the process has ended.
sub _cpu
{
    my ($path) = @_;
    open my $stat, '<', $path or return 0;
    my @fields = split ' ', (<$stat> =~ /\) (.*)/)[0];
    return ($fields[11] + $fields[12]) / sysconf(_SC_CLK_TCK);
}

# CPU seconds so far of the brokers.
sub broker_cpu
{
    my ($kafka) = @_;
    my $sum = 0;
    $sum += _cpu("/proc/$_/stat") for $kafka->pids;
    return $sum;
}

# The sum over our own processes.
sub our_cpu
{
    my ($cpu) = @_;
    my $sum = 0;
    $sum += $cpu->{$_} for grep { /^topk/ } keys %{$cpu};
    return $sum;
}

# CPU seconds so far of the main threads of the processes of a kind.
sub main_cpu
{
    my ($pipeline, $kind) = @_;
    my $sum = 0;
    for my $pid (split /\n/, $pipeline->value("SELECT pid FROM pg_stat_activity WHERE backend_type = '$kind'"))
    {
        $sum += _cpu("/proc/$pid/task/$pid/stat");
    }
    return $sum;
}

sub _memory
{
    my ($pipeline, $kind, $field) = @_;
    my $most = 0;
    for my $pid (split /\n/, $pipeline->value("SELECT pid FROM pg_stat_activity WHERE backend_type = '$kind'"))
    {
        open my $status, '<', "/proc/$pid/status" or next;
        local $/;
        my ($kb) = <$status> =~ /$field:\s+(\d+)/;
        $most = $kb if $kb > $most;
    }
    return $most / 1024;
}

# The largest process of a kind, in MB: its peak, what it has now, and that less what is shared or of files.
sub peak_memory     { my ($pipeline, $kind) = @_; return _memory($pipeline, $kind, 'VmHWM'); }
sub resident_memory { my ($pipeline, $kind) = @_; return _memory($pipeline, $kind, 'VmRSS'); }
sub anonymous_memory { my ($pipeline, $kind) = @_; return _memory($pipeline, $kind, 'RssAnon'); }

sub wal_position
{
    my ($pipeline) = @_;
    return $pipeline->value('SELECT pg_current_wal_insert_lsn()');
}

# WAL since a position: {all => bytes, images => bytes of full-page images in it}.
sub wal_since
{
    my ($pipeline, $position) = @_;
    $pipeline->value('CREATE EXTENSION IF NOT EXISTS pg_walinspect');
    my ($all, $images) = split /\|/, $pipeline->value(
        "SELECT pg_wal_lsn_diff(now.lsn, '$position'),
                (SELECT coalesce(sum(fpi_size), 0)::bigint FROM pg_get_wal_stats('$position', now.lsn))
         FROM (SELECT pg_current_wal_flush_lsn() AS lsn) now");
    return { all => $all, images => $images };
}

sub machine
{
    my ($cpu) = `cat /proc/cpuinfo` =~ /model name\s*:\s*(.*)/;
    my $cores = () = `cat /proc/cpuinfo` =~ /^processor/mg;
    chomp(my $postgres = `postgres --version`);
    my ($rdkafka) = `kcat -V` =~ /librdkafka ([\d.]+)/;
    return "$cores x $cpu; $postgres; librdkafka $rdkafka; Apache Kafka 4.3.1 and Redis on the same machine";
}

1;
