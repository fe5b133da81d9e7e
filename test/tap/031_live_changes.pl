# The configuration changed 50 times at random under load: rules, tenants, k and capacity, workers, windows,
# pauses.  The recount applies to each message the version that topk.adoption names for its offset, and
# everything is exact; a window that was added on the way, from its first whole one on.
#
# TOPK_TEST_SEED is another sequence of changes, TOPK_TEST_CHANGES another number of them.

use strict;
use warnings;

use JSON::PP   qw(encode_json);
use List::Util qw(sum);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Server qw(process_runs stop_process);

my $changes = $ENV{TOPK_TEST_CHANGES} // 50;
my $seed    = $ENV{TOPK_TEST_SEED} // 1;
my $rate    = 3000;                                       # events a second
my $faster  = 45;                                         # event time goes by as much faster than time
my $longest = 600;                                        # seconds; then there is no load any more
note "seed $seed";

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
$kafka->create_topic('events', 4);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka);

# What a rule may be about; by the item's type, the dimensions that its event types have.
my %event_types = (
    page_view    => { item_type => 'url',      item_path => 'payload.url',       dimensions => [qw(deviceType pageCategory)] },
    product_view => { item_type => 'product',  item_path => 'payload.productId', dimensions => [qw(deviceType productCategory listedIn)] },
    api_request  => { item_type => 'endpoint', item_path => 'payload.endpoint',  dimensions => [qw(method statusClass region)] });
my %windows = (
    '1-minute'   => "'1 minute', '1 day'",
    '5-minutes'  => "'5 minutes', '1 day'",
    '10-minutes' => "'10 minutes', '1 day'",
    '1-hour'     => "'1 hour', '35 days'",
    'berlin'     => "'1 day', '30 days', time_zone => 'Europe/Berlin'",
    'week'       => "'7 days', '700 days'");

# ---- chance ----

my $random = $seed;

sub below
{
    my ($n) = @_;
    $random = ($random * 1_103_515_245 + 12_345) % 2_147_483_648;
    return int($random / 65_536) % $n;
}

sub one_of { my (@list) = @_; return $list[ below(scalar @list) ]; }
sub some_of { my (@list) = @_; return grep { below(2) } @list; }

# ---- the configuration, as the test believes it to be ----

my @rules = map { { %{$_}, name => $_->{event_type} } } TopK::Test::Pipeline::reference_rules();
my @tenants;
my $paused = 0;
my $number = 0;

sub literal { my ($value) = @_; return defined $value ? "'" . $value =~ s/'/''/gr . "'" : 'NULL'; }

# name => value, ...; hashes are JSON.
sub arguments
{
    my (%values) = @_;
    return join ', ', map { "$_ => " . literal(ref $values{$_} eq 'HASH' ? encode_json($values{$_}) : $values{$_}) } sort keys %values;
}

sub dimensions_of { my ($type) = @_; return { map { $_ => "payload.$_" } some_of(@{ $event_types{$type}{dimensions} }) }; }

sub random_filter
{
    return one_of(
        { 'payload.durationMs' => { '<'  => 1000 + 500 * below(4) } },
        { 'payload.deviceType' => { not  => 'mobile' } },
        { 'payload.deviceType' => { exists => JSON::PP::true } },
        { 'metadata.tenant'    => [ 'tenant-1', 'tenant-3' ] });
}

# As it is now.
sub configuration { return (rules => [ map { { %{$_} } } @rules ], tenants => [ map { { %{$_} } } @tenants ]); }

# ---- changes: each returns SQL, and what of rules and tenants is new ----

sub create_rule
{
    my $type = one_of(sort keys %event_types);
    my %rule = (
        name => 'rule' . ++$number, event_type => $type,
        (map { $_ => $event_types{$type}{$_} } qw(item_type item_path)),
        dimensions => dimensions_of($type), weight => 1 + below(3));
    $rule{filter}      = random_filter()    if below(2);
    $rule{weight_path} = 'payload.quantity' if !below(3);
    push @rules, \%rule;
    return "SELECT topk.create_rule('clicks', " . arguments(%rule) . ');';
}

sub alter_rule
{
    my $rule = one_of(@rules) or return create_rule();
    my %new  = one_of(
        [ dimensions    => dimensions_of($rule->{event_type}) ],
        [ filter        => random_filter() ],
        [ missing_value => 'none' . below(3) ],
        [ weight        => 1 + below(5) ],
        [ item_path     => one_of($event_types{ $rule->{event_type} }{item_path}, 'payload.userId') ])->@*;
    %{$rule} = (%{$rule}, %new);
    return "SELECT topk.alter_rule('clicks', " . arguments(name => $rule->{name}, %new) . ');';
}

sub drop_rule
{
    my $rule = one_of(@rules) or return create_rule();
    @rules = grep { $_ != $rule } @rules;
    return "SELECT topk.drop_rule('clicks', '$rule->{name}');";
}

# The settings of a tenant, or of all that have none (undef): made, changed or dropped.
sub change_tenant
{
    my $name = one_of('tenant-1', 'tenant-2', 'tenant-3', undef);
    my ($tenant) = grep { ($_->{tenant} // '') eq ($name // '') } @tenants;
    my $which = "'clicks', " . literal($name);
    if ($tenant && !below(4))
    {
        @tenants = grep { $_ != $tenant } @tenants;
        return "SELECT topk.drop_tenant($which);";
    }
    my $function = $tenant ? 'alter_tenant' : 'create_tenant';
    push @tenants, $tenant = { tenant => $name } if !$tenant;
    my $what = below(4);
    $tenant->{enabled} = below(2) ? JSON::PP::true : JSON::PP::false if $what == 0;
    $tenant->{items_per_second} = 20 + below(60) if $what == 1;
    $tenant->{dimensions} = [ some_of(qw(deviceType pageCategory method productCategory)) ] if $what == 2;
    my %sql = ($what == 0 ? (enabled => $tenant->{enabled} ? 'true' : 'false')
        : $what == 1 ? (items_per_second => $tenant->{items_per_second})
        : $what == 2 ? (dimensions => '{' . join(',', @{ $tenant->{dimensions} }) . '}')
        : (k => 20 + below(100), capacity => 300 + below(300)));
    return "SELECT topk.$function($which, " . arguments(%sql) . ');';
}

sub change_sizes { return "SELECT topk.alter_source('clicks', k => " . (50 + below(150)) . ', capacity => ' . (300 + below(500)) . ');'; }
sub change_workers { return "SELECT topk.set_parallelism('clicks', " . (1 + below(3)) . ');'; }

sub change_windows
{
    my @present  = split / /, $pipeline->value("SELECT string_agg(window_name, ' ' ORDER BY window_id) FROM topk.source_window");
    my @droppable = split / /, $pipeline->value("SELECT coalesce(string_agg(window_name, ' ' ORDER BY window_id), '')
        FROM topk.source_window WHERE window_id <> topk.coarsest_window(source_id)");
    my %present = map { $_ => 1 } @present;
    my @absent  = grep { !$present{$_} } sort keys %windows;
    return "SELECT topk.drop_window('clicks', '" . one_of(@droppable) . "');" if !@absent || @present > 3 && !below(3);
    my $name = one_of(@absent);
    return "SELECT topk.create_window('clicks', '$name', $windows{$name});";
}

sub pause_or_resume { $paused = !$paused; return $paused ? "SELECT topk.pause('clicks');" : "SELECT topk.resume('clicks');"; }

my @kinds = (\&create_rule) x 3;
push @kinds, (\&alter_rule) x 4, (\&drop_rule) x 2, (\&change_tenant) x 5, (\&change_sizes) x 2, (\&change_workers) x 2, (\&change_windows) x 4,
  \&pause_or_resume;

sub change
{
    my ($kind) = @_;
    my $sql = $kind->();
    note $sql;
    $pipeline->change($sql, configuration());
    return;
}

# ---- the run ----

# Some half an hour of event time over the midnight of Berlin.
$pipeline->setup(
    source => {
        tenant_path => 'metadata.tenant', flush_interval => '200 milliseconds', idle_timeout => '3 seconds',
        allowed_lateness => '2 minutes', late_policy => 'keep', max_dead_letter_share => 1
    },
    configuration());
my $generator = $kafka->generate_in_background('events', "$dir/generate.log", '--events' => $rate * $longest, '--rate' => $rate,
    '--start' => '2025-03-30T21:45:00Z', '--span' => $faster * $longest, '--disorder' => 5, '--late' => 0.01, '--late-by' => '65-300', '--items' => 3000,
    '--tenants' => 3, '--max-quantity' => 5, '--malformed' => 0.001, '--no-rule' => 0.01, '--no-item' => 0.01);
$pipeline->wait_for('SELECT coalesce(sum(events), 0) > 0 FROM topk.partition', 't');

my $started = time;
for my $n (1 .. $changes)
{
    change($paused && below(2) ? \&pause_or_resume : $kinds[ below(scalar @kinds) ]);
    my $due = $started + 0.7 * $n;
    sleep $due - time if $due > time && below(4);    # one in four comes at once, before it has been adopted
}
change(\&create_rule) if !@rules;
change(\&pause_or_resume) if $paused;
note sprintf '%d changes in %.1f s', $changes, time - $started;
ok(process_runs($generator), 'every change was made under load');
stop_process($generator, 'TERM');
my $events = sum map { $_->[1] } $kafka->offsets('events');
$pipeline->wait_for('SELECT sum(events) FROM topk.partition', $events);
$pipeline->wait_until_closed($_) for grep { /minute/ } keys %windows;

cmp_ok($pipeline->value('SELECT count(DISTINCT config_version) FROM topk.adoption'), '>', $changes / 4, 'many versions were adopted');
is($pipeline->value('SELECT count(*) FROM topk.adoption a JOIN topk.adoption b USING (source_id, partition)
    WHERE a.config_version < b.config_version AND a.first_offset > b.first_offset'), 0, '... one after the other on each partition');
my $summary = $pipeline->recount;
compare_counts($pipeline, $summary);
compare_partitions($pipeline, $summary);
compare_tenants($pipeline, $summary);
compare_late_events($pipeline);
cmp_ok($pipeline->value('SELECT count(*) FROM topk.source_window'), '>=', 3, 'there are several windows');
note $pipeline->value("SELECT string_agg(window_name || ' since ' || complete_since, ', ' ORDER BY size) FROM topk.source_window");
compare_windows($pipeline);
compare_global($pipeline);

$pipeline->node->stop;
done_testing();
