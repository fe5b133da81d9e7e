package TopK::Test::Compare;

# Compares what the pipeline says with what the oracle recounted (after
# TopK::Test::Pipeline's recount), and what Redis holds with topk.mirror.
#
#   compare_windows($pipeline);     # totals, exact counts, bounds, recall of every list of every window
#   compare_global($pipeline);
#   compare_late_events($pipeline);
#   compare_partitions($pipeline, $summary);            # what became of the messages of each partition
#   compare_tenants($pipeline, $summary);               # whose events were refused
#   compare_redis($pipeline, $redis, $sink);
#   my $contents = redis_contents($redis);             # at this moment, to be compared later:
#   redis_differences($pipeline, $contents, $sink);    # a line for each, at most some ten
#
# Each function makes assertions of Test::More's.

use strict;
use warnings;

use Exporter    qw(import);
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(compare_windows compare_global compare_counts compare_partitions compare_tenants compare_late_events compare_redis redis_contents redis_differences);

my $list = 'window_name, window_start, tenant, item_type, dimension, value';

# The sketches and their entries as tables, and beside them the oracle's totals of each list.
my $prepare = <<'SQL';
DROP TABLE IF EXISTS oracle.sketch, oracle.entry, oracle.list;
CREATE TABLE oracle.sketch AS
    SELECT window_name, extract(epoch FROM window_start)::bigint AS window_start, tenant, item_type, dimension, value,
           topk_total(sketch) AS total, topk_max_error(sketch) AS max_error, topk_capacity(sketch) AS capacity, k, sketch
    FROM topk.window_sketch;
CREATE TABLE oracle.entry AS
    SELECT window_name, window_start, tenant, item_type, dimension, value, i.rank, i.item, i.estimate, i.lower_bound, i.upper_bound
    FROM oracle.sketch s, topk_items(s.sketch, topk_capacity(s.sketch)) i;
CREATE TABLE oracle.list AS
    SELECT window_name, window_start, tenant, item_type, dimension, value, sum(count) AS total, count(*) AS items,
           (array_agg(count ORDER BY count DESC))[100] AS hundredth
    FROM oracle.win
    WHERE window_start >= (SELECT max(extract(epoch FROM d.complete_since)) FROM topk.source_window d WHERE d.window_name = win.window_name)
    GROUP BY 1, 2, 3, 4, 5, 6;
ANALYZE oracle.sketch, oracle.entry, oracle.list;
SQL

sub same_list
{
    my ($a, $b) = @_;
    return join ' AND ', (map { "$a.$_ = $b.$_" } qw(window_name window_start tenant item_type dimension)),
      "$a.value IS NOT DISTINCT FROM $b.value";
}

# A count that must be 0; shows some of the rows if it is not.
sub none
{
    my ($pipeline, $what, $query) = @_;
    my $count = $pipeline->value("SELECT count(*) FROM ($query) q");
    return if is($count, 0, $what);
    diag $pipeline->value("SELECT q::text FROM ($query) q LIMIT 5");
    return;
}

sub compare_windows
{
    my ($pipeline) = @_;
    $pipeline->value($prepare);
    my $same   = same_list('s', 'o');
    my $lists  = $pipeline->value('SELECT count(*) FROM oracle.list');
    my $exact  = $pipeline->value('SELECT count(*) FROM oracle.list WHERE items <= 300');
    cmp_ok($lists, '>', 0, "the oracle counted $lists lists, $exact of them of at most 300 items");
    none($pipeline, 'each list has the exact total, none is missing and none too many',
        "SELECT * FROM oracle.sketch s FULL JOIN oracle.list o ON $same WHERE s.total IS DISTINCT FROM o.total");
    my $matched = same_list('e', 'o');
    none($pipeline, 'every count is exact where the items fit the capacity',
        "SELECT o.* FROM oracle.list l JOIN oracle.win o ON " . same_list('l', 'o') . "
         LEFT JOIN oracle.entry e ON $matched AND e.item = o.item
         WHERE l.items <= 300 AND (e.lower_bound, e.upper_bound) IS DISTINCT FROM (o.count, o.count)");
    none($pipeline, 'the bounds hold for every item of every list',
        "SELECT o.* FROM oracle.win o JOIN oracle.sketch s ON $same LEFT JOIN oracle.entry e ON $matched AND e.item = o.item
         WHERE o.count < coalesce(e.lower_bound, 0) OR o.count > coalesce(e.upper_bound, s.max_error)");
    none($pipeline, 'the bounds are within total / capacity',
        'SELECT * FROM oracle.sketch WHERE max_error > total / capacity');
    _compare_recall($pipeline, $matched);
    return;
}

# Found: the true count is at least the 100th.  Required where that is at least 2n/(m+1).
sub _compare_recall
{
    my ($pipeline, $matched) = @_;
    my $found = "SELECT l.*, count(*) FILTER (WHERE o.count >= l.hundredth) AS found
        FROM oracle.list l JOIN oracle.entry e ON " . same_list('l', 'e') . " AND e.rank <= 100
        LEFT JOIN oracle.win o ON $matched AND o.item = e.item
        WHERE l.hundredth IS NOT NULL GROUP BY l.window_name, l.window_start, l.tenant, l.item_type, l.dimension, l.value,
            l.total, l.items, l.hundredth";
    none($pipeline, 'recall@100 is 1.0 wherever the 100th count is at least 2n/(m+1)',
        "SELECT * FROM ($found) f WHERE hundredth >= 2.0 * total / 301 AND found < 100");
    note 'recall@100 of the flatter lists, not required: '
      . $pipeline->value("SELECT count(*) || ' lists, mean ' || round(avg(found) / 100, 4)
            FROM ($found) f WHERE hundredth < 2.0 * total / 301");
    return;
}

# What topk.late_event holds, of a source that keeps what is too late.
sub compare_late_events
{
    my ($pipeline) = @_;
    none($pipeline, 'the late events are those of the oracle, each with its time, tenant and type',
        'SELECT * FROM topk.late_event l FULL JOIN oracle.late_event o USING (partition, kafka_offset, tenant, event_type)
         WHERE l.late_event_id IS NULL OR o.event_us IS DISTINCT FROM topk.us(l.event_time - timestamptz \'epoch\')');
    return;
}

sub compare_global
{
    my ($pipeline) = @_;
    none($pipeline, 'global totals are those of all that was counted',
        'SELECT * FROM (SELECT tenant, item_type, sum(count) AS total FROM oracle.total GROUP BY 1, 2) o
         FULL JOIN (SELECT tenant, item_type, topk_total(sketch) AS total FROM topk.global_sketch) g USING (tenant, item_type)
         WHERE o.total IS DISTINCT FROM g.total');
    none($pipeline, 'global bounds hold for every item',
        'SELECT o.* FROM oracle.total o JOIN topk.global_sketch g USING (tenant, item_type)
         LEFT JOIN (SELECT tenant, item_type, i.* FROM topk.global_sketch, topk_items(sketch, topk_capacity(sketch)) i) i USING (tenant, item_type, item)
         WHERE o.count < coalesce(i.lower_bound, 0) OR o.count > coalesce(i.upper_bound, topk_max_error(g.sketch))');
    return;
}

# The counts of topk.partition, summed, against the oracle's summary.
sub compare_counts
{
    my ($pipeline, $summary) = @_;
    for my $count (qw(events counted late too_late no_rule no_item filtered over_quota tenant_disabled))
    {
        is($pipeline->value("SELECT coalesce(sum($count), 0) FROM topk.partition"), $summary->{$count} // 0, "$count is exact");
    }
    none($pipeline, 'the dead letters are those of the oracle, each with its reason',
        'SELECT * FROM topk.dead_letter d FULL JOIN oracle.dead_letter o USING (partition, kafka_offset, reason)
         WHERE d.reason IS NULL OR o.reason IS NULL OR d.dead_letter_id IS NULL');
    return;
}

# Each count of each partition, and that its events are the sum of their outcomes.
sub compare_partitions
{
    my ($pipeline, $summary) = @_;
    my @counts = qw(events counted late too_late no_rule no_item filtered tombstones dead_letters over_quota tenant_disabled);
    my $columns = join ', ', @counts;
    for my $partition (sort { $a <=> $b } split /\n/, $pipeline->value('SELECT partition FROM topk.partition'))
    {
        my $oracle = $summary->{partitions}{$partition} // {};
        is($pipeline->value("SELECT $columns FROM topk.partition WHERE partition = $partition"),
            join('|', map { $oracle->{$_} // 0 } @counts), "partition $partition: every event is counted in its place");
    }
    none($pipeline, 'each event has one outcome',
        'SELECT * FROM topk.partition WHERE events <> counted + too_late + no_rule + no_item + filtered + tombstones + dead_letters
            + over_quota + tenant_disabled');
    return;
}

# Events over a quota or of a tenant that was disabled, by tenant.
sub compare_tenants
{
    my ($pipeline, $summary) = @_;
    my $tenants = $summary->{tenants};
    my @refused = grep { ($tenants->{$_}{over_quota} // 0) + ($tenants->{$_}{disabled} // 0) > 0 } sort keys %{$tenants};
    is($pipeline->value('SELECT tenant, sum(over_quota), sum(disabled) FROM topk.tenant_use GROUP BY 1
            HAVING sum(over_quota) + sum(disabled) > 0 ORDER BY tenant COLLATE "C"'),
        join("\n", map { join '|', $_, $tenants->{$_}{over_quota} // 0, $tenants->{$_}{disabled} // 0 } @refused),
        'the events that were refused are counted by tenant');
    return;
}

# ---- Redis ----

# What topk.mirror says: {key => {type, members => {member => score}, fields => {field => value}, ttl}}.
sub _mirror
{
    my ($pipeline, $sink) = @_;
    my %keys;
    my $rows = $pipeline->value("SELECT key, type, encode(convert_to(member, 'UTF8'), 'hex'), score,
        encode(convert_to(value, 'UTF8'), 'hex'), CASE WHEN isfinite(expire_at) THEN extract(epoch FROM expire_at - now()) END
        FROM topk.mirror('$sink')");
    for my $row (split /\n/, $rows)
    {
        my ($key, $type, $member, $score, $value, $ttl) = split /\|/, $row, -1;
        my $entry = $keys{$key} //= { type => $type, ttl => $ttl eq '' ? undef : $ttl, content => {} };
        $entry->{content}{ pack 'H*', $member } = $type eq 'zset' ? $score : pack 'H*', $value;
    }
    return \%keys;
}

my %volatile = map { $_ => 1 } qw(lastUpdated lastSeen fence);

# All that Redis holds at this moment but the publisher's markers and fences: {key => {member or field => value}}.
sub redis_contents
{
    my ($redis) = @_;
    my %contents;
    for my $key (grep { !/\Atopk:marker:/ } $redis->keys)
    {
        my $type = $redis->command('TYPE', $key);
        my $hash = $type eq 'hash' ? $redis->hgetall($key) : {};
        $contents{$key} = $type eq 'zset' ? { map { @{$_} } $redis->zrange($key) } : { map { $_ => $hash->{$_} } grep { !$volatile{$_} } keys %{$hash} };
    }
    return \%contents;
}

# Lists what differs, at most some ten.
sub _differences
{
    my ($mirror, $contents) = @_;
    my @differences;
    for my $key (sort keys %{$mirror})
    {
        my ($expected, $got) = ($mirror->{$key}{content}, $contents->{$key} // {});
        for my $name (sort keys %{ { %{$expected}, %{$got} } })
        {
            my ($want, $have) = ($expected->{$name} // 'nothing', $got->{$name} // 'nothing');
            push @differences, "$key $name: $have instead of $want" if $want ne $have;
        }
        return @differences if @differences >= 10;
    }
    push @differences, "$_: not in topk.mirror" for grep { !$mirror->{$_} } sort keys %{$contents};
    return @differences;
}

sub redis_differences
{
    my ($pipeline, $contents, $sink) = @_;
    return _differences(_mirror($pipeline, $sink), $contents);
}

# Keys of windows that start before the minute $before, if they will expire.
sub _drop_left_behind
{
    my ($redis, $contents, $mirror, $before) = @_;
    for my $key (grep { !$mirror->{$_} } keys %{$contents})
    {
        my ($minute) = $key =~ /:(\d+)\z/;
        delete $contents->{$key} if defined $minute && $minute < $before && $redis->command('PTTL', $key) >= 0;
    }
    return $contents;
}

# Waits until Redis holds what topk.mirror says, and nothing else; then looks at the times to live, which are
# those of the moment of publishing: later than now's by what event time advanced since, at most $span seconds.
# Keys of windows before the minute $before may be there, if they will expire: those that a publisher wrote which
# did not live to see event time leave them.
sub compare_redis
{
    my ($pipeline, $redis, $sink, $span, $before) = @_;
    my $end = time + 60;
    my ($mirror, @differences);
    do
    {
        $mirror = _mirror($pipeline, $sink);
        my $contents = redis_contents($redis);
        _drop_left_behind($redis, $contents, $mirror, $before) if defined $before;
        @differences = _differences($mirror, $contents);
        sleep 0.5 if @differences;
    } while (@differences && time < $end);
    is(scalar @differences, 0, 'Redis equals topk.mirror, ' . keys(%{$mirror}) . ' keys') or diag join "\n", @differences;
    my @wrong;
    for my $key (sort keys %{$mirror})
    {
        my ($want, $have) = ($mirror->{$key}{ttl}, $redis->command('PTTL', $key) / 1000);
        my $right = defined $want ? $have > $want - 30 && $have < $want + 30 + ($span // 0) : $have < 0;
        push @wrong, "$key: " . ($want // 'none') . " expected, $have found" if !$right;
    }
    is(scalar @wrong, 0, 'the times to live are right') or diag join "\n", @wrong[ 0 .. ($#wrong < 9 ? $#wrong : 9) ];
    return;
}

1;
