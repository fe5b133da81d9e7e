package TopK::Test::Nemesis::Check;

# After the faults: what the two sources counted against a recount of the topic.
#
#   my $result = check_counts($world);     # {messages, distinct, lost, duplicated, ...}; asserts with Test::More
#   my $time = await_redis($world, $deadline, 60);    # when Redis was seen to equal topk.mirror; undef if it never was
#
# An event is lost where a minute's list of `all` has less than the recount, and
# counted twice where it has more; every other list of every window must agree as well.

use strict;
use warnings;

use Exporter    qw(import);
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Compare;

our @EXPORT = qw(check_counts await_redis);

my $same = join ' AND ', (map { "s.$_ = o.$_" } qw(window_name window_start tenant item_type dimension)), 's.value IS NOT DISTINCT FROM o.value';

my $prepare = <<'SQL';
CREATE TABLE oracle.sketch AS
    SELECT source, window_name, extract(epoch FROM window_start)::bigint AS window_start, tenant, item_type, dimension, value, sketch
    FROM topk.window_sketch;
CREATE TABLE oracle.entry AS
    SELECT source, window_name, window_start, tenant, item_type, dimension, value, i.item, i.lower_bound, i.upper_bound
    FROM oracle.sketch s, topk_items(s.sketch, topk_capacity(s.sketch)) i;
CREATE TABLE oracle.list AS
    SELECT window_name, window_start, tenant, item_type, dimension, value, sum(count) AS total FROM oracle.win GROUP BY 1, 2, 3, 4, 5, 6;
ANALYZE oracle.sketch, oracle.entry, oracle.list;
SQL

sub check_counts
{
    my ($world) = @_;
    my $pipeline = $world->pipeline;
    my $summary  = $pipeline->recount;
    my %result   = (messages => $summary->{events}, counted => $summary->{counted}, _distinct_ids($world));
    $pipeline->value($prepare);
    cmp_ok($result{counted}, '>', 0, "the topic holds $result{messages} messages, $result{counted} of them to be counted");
    is($result{repeated}, 0, 'the topic holds each event once');
    $result{lists} = $pipeline->value('SELECT count(*) FROM oracle.list');
    @result{qw(lost duplicated)} = split /\|/, $pipeline->value(_difference_sql());
    is($result{lost},       0, 'events lost');
    is($result{duplicated}, 0, 'events counted twice');
    _none($pipeline, "every count of every one of $result{lists} lists is exact",
        'SELECT * FROM (SELECT * FROM oracle.entry WHERE source = \'exact\') s FULL JOIN oracle.win o ON ' . "$same AND s.item = o.item
         WHERE (s.lower_bound, s.upper_bound) IS DISTINCT FROM (o.count, o.count)");
    _check_bounds($pipeline);
    _check_statistics($pipeline, $summary, $_) for qw(exact small);
    return \%result;
}

# In the lists of `all` of the minutes, where each event is in exactly one.
sub _difference_sql
{
    return "SELECT coalesce(sum(greatest(coalesce(o.count, 0) - coalesce(s.lower_bound, 0), 0)), 0),
                   coalesce(sum(greatest(coalesce(s.upper_bound, 0) - coalesce(o.count, 0), 0)), 0)
        FROM (SELECT * FROM oracle.entry WHERE source = 'exact' AND window_name = '1-minute' AND dimension = 'all') s
        FULL JOIN (SELECT * FROM oracle.win WHERE window_name = '1-minute' AND dimension = 'all') o ON $same AND s.item = o.item";
}

sub _check_bounds
{
    my ($pipeline) = @_;
    for my $source (qw(exact small))
    {
        _none($pipeline, "$source: every list has the exact total, none is missing and none too many",
            "SELECT * FROM (SELECT * FROM oracle.sketch WHERE source = '$source') s FULL JOIN oracle.list o ON $same
             WHERE topk_total(s.sketch) IS DISTINCT FROM o.total");
        _none($pipeline, "$source: the global totals are those of all that was counted",
            "SELECT * FROM (SELECT tenant, item_type, sum(count) AS total FROM oracle.total GROUP BY 1, 2) o
             FULL JOIN (SELECT tenant, item_type, topk_total(sketch) AS total FROM topk.global_sketch WHERE source = '$source') g USING (tenant, item_type)
             WHERE o.total IS DISTINCT FROM g.total");
    }
    _none($pipeline, 'small: the bounds hold for every item of every list',
        "SELECT o.* FROM oracle.win o JOIN oracle.sketch s ON $same LEFT JOIN oracle.entry e
             ON (e.source, e.window_name, e.window_start, e.tenant, e.item_type, e.dimension, e.item)
              = ('small', o.window_name, o.window_start, o.tenant, o.item_type, o.dimension, o.item)
             AND e.value IS NOT DISTINCT FROM o.value
         WHERE s.source = 'small' AND (o.count < coalesce(e.lower_bound, 0) OR o.count > coalesce(e.upper_bound, topk_max_error(s.sketch)))");
    return;
}

sub _check_statistics
{
    my ($pipeline, $summary, $source) = @_;
    my @names = qw(events counted late too_late no_rule no_item tombstones dead_letters);
    my $sums  = join ', ', map { "sum($_)" } @names;
    is($pipeline->value("SELECT $sums FROM topk.partition JOIN topk.source USING (source_id) WHERE name = '$source'"),
        join('|', map { $summary->{$_} } @names), "$source: " . join(', ', @names) . ' are exact');
    _none($pipeline, "$source: the dead letters are those of the recount, each with its reason",
        "SELECT * FROM (SELECT d.* FROM topk.dead_letter d JOIN topk.source USING (source_id) WHERE name = '$source') d
         FULL JOIN oracle.dead_letter o USING (partition, kafka_offset, reason)
         WHERE d.dead_letter_id IS NULL OR o.partition IS NULL");
    return;
}

sub _none
{
    my ($pipeline, $what, $query) = @_;
    my $count = $pipeline->value("SELECT count(*) FROM ($query) q");
    diag $pipeline->value("SELECT q::text FROM ($query) q LIMIT 5") unless is($count, 0, $what);
    return;
}

# The generator's ids end in a counter, so a bit for each is enough.
sub _distinct_ids
{
    my ($world) = @_;
    my (%seen, $ids, $repeated);
    $ids = $repeated = 0;
    open my $pipe, '-|', 'kcat', '-C', '-q', '-e', '-b', $world->kafka->bootstrap, '-t', 'events', '-o', 'beginning' or die "could not run kcat: $!";
    while (<$pipe>)
    {
        my ($head, $number) = /"eventId":"([\da-f-]+-)([\da-f]{12})"/ or next;    # malformed ones may have none
        $repeated++ if vec $seen{$head} //= '', hex $number, 1;
        vec($seen{$head}, hex $number, 1) = 1;
        $ids++;
    }
    close $pipe or die "kcat failed: status $?";
    return (ids => $ids, repeated => $repeated);
}

# When Redis was first seen to equal topk.mirror, which must have no reason to change any more.  Redis is read again
# and again until the deadline and compared afterwards: it was right when it was read, however long that takes.
sub await_redis
{
    my ($world, $deadline, $seconds) = @_;
    my $end = time + $seconds;
    my @differences;
    do
    {
        for my $reading (_readings($world->redis, $deadline))
        {
            @differences = redis_differences($world->pipeline, $reading->{contents}, 'exact');
            return $reading->{time} if !@differences;
        }
    } while (time < $end);
    diag join "\n", 'Redis differs from topk.mirror:', @differences;
    return;
}

# At least one.
sub _readings
{
    my ($redis, $until) = @_;
    my @readings;
    do
    {
        sleep 0.2;
        my $contents = redis_contents($redis);
        push @readings, { time => time, contents => $contents };
    } while (time < $until);
    return @readings;
}

1;
