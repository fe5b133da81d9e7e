# Exchange with the Apache DataSketches library itself, in both directions: totals, estimates and bounds, of strings
# and longs, empty, exact, purged and merged.
#
# Needs build/venv (scripts/python-venv.sh).

use strict;
use warnings;

use JSON::PP qw(decode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Tools qw(build_dir top_dir capture);

my @types  = qw(text bigint);
my $dir    = PostgreSQL::Test::Utils::tempdir('datasketches');
my $python = build_dir() . '/venv/bin/python';
-x $python or BAIL_OUT("$python is missing: run scripts/python-venv.sh first, which needs to reach PyPI");

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION topk');

# The rows of a query that yields documents.
sub documents
{
    my ($sql) = @_;
    return map { decode_json($_) } split /\n/, $node->safe_psql('postgres', $sql);
}

# What their library writes, or what it answers to these lines.
sub library
{
    my ($command, $lines) = @_;
    my @run = ($python, '-B', top_dir() . '/test/interop/frequent_items.py', $command);
    return map { decode_json($_) } split /\n/, capture(@run) unless defined $lines;
    append_to_file("$dir/lines", "$lines\n");
    return map { decode_json($_) } split /\n/, capture('sh', '-c', '"$@" < "$0"', "$dir/lines", @run);
}

# What a sketch of ours says, as a query for it.  Items without an entry are not listed.
sub document
{
    my ($sketch) = @_;
    return <<"SQL";
SELECT jsonb_build_object('total', topk_total(s), 'error', topk_max_error(s), 'capacity', topk_capacity(s),
    'exact', topk_is_exact(s), 'items', coalesce((SELECT jsonb_object_agg(i.item, jsonb_build_array(i.lower_bound, i.upper_bound, i.estimate))
        FROM topk_items(s, topk_capacity(s)) i), '{}')) FROM (VALUES ($sketch)) v(s)
SQL
}

# Items whose bounds do not hold the truth, by their bounds or, for those without, by those of the rest.
sub false_bounds
{
    my ($items, $truth, $rest) = @_;
    return [ grep { my $bounds = $items->{$_} // [ 0, $rest ]; $truth->{$_} < $bounds->[0] || $truth->{$_} > $bounds->[1] } sort keys %$truth ];
}

# Read what they wrote.
sub check_import
{
    my ($case)  = @_;
    my $theirs  = $case->{says};
    my ($ours)  = documents(document("topk_from_datasketches('\\x$case->{hex}', '$case->{type}')"));
    my %differs = map { $_ => [ $ours->{items}{$_}, $theirs->{items}{$_} ] }
      grep { "@{ $ours->{items}{$_} }" ne "@{ $theirs->{items}{$_} // [] }" } keys %{ $ours->{items} };

    is($ours->{total}, $theirs->{total}, "$case->{name}: the total");
    is_deeply(\%differs, {}, '... bounds and estimates');
    # a sketch of theirs may have a larger error than one of ours of that size: then it becomes a smaller one
    my $listed = $case->{active} // keys %{ $ours->{items} };
    $listed = $ours->{capacity} if $listed > $ours->{capacity};
    is(scalar(keys %{ $ours->{items} }), $listed, '... all items that fit');
    is_deeply(false_bounds($ours->{items}, $case->{truth}, $ours->{error}), [], '... and the truth within the bounds');
    return;
}

# What they say about what we wrote.
sub check_export
{
    my ($case, $says) = @_;
    my ($ours, $truth) = @$case{qw(ours truth)};
    my @differ;

    is($says->{total}, $ours->{total}, "$case->{name}: the total");
    # to them a sketch is empty, whatever its total, if it has no items; those at the error itself are not exported
    my $exported = grep { $_->[1] > $ours->{error} } values %{ $ours->{items} };
    is(!!$says->{empty}, $exported == 0, '... and whether it has no items');
    for my $item (sort keys %$truth)
    {
        my ($lower, $upper, $estimate) = @{ $says->{items}{$item} };
        # their form has no lower bounds of its own: it is the upper one less the error
        my $ours_upper = ($ours->{items}{$item} // [ 0, $ours->{error} ])->[1];
        push @differ, $item if $upper != $ours_upper || $lower != $ours_upper - $ours->{error};
        push @differ, $item if $estimate != ($ours_upper > $ours->{error} ? $upper : 0);
    }
    is_deeply(\@differ, [], '... upper bounds are ours, and lower ones, estimates what their form makes of them');
    is_deeply(false_bounds($says->{items}, $truth), [], '... and the truth within the bounds');
    return;
}

# ---- from them ----

my @written = library('write');
is(scalar(@written), 26, 'the library has written its sketches');
check_import($_) for @written;
for my $type (@types)
{
    my @cases  = grep { $_->{type} eq $type } @written;
    my $values = join ', ', map { "('\\x$_->{hex}'::bytea)" } @cases;
    my %truth;
    for my $case (@cases)
    {
        $truth{$_} += $case->{truth}{$_} for keys %{ $case->{truth} };
    }
    my ($merged) = documents(document("(SELECT topk_merge(topk_from_datasketches(bytes, '$type')) FROM (VALUES $values) v(bytes))"));
    my $total = 0;
    $total += $_->{says}{total} for @cases;
    is($merged->{total}, $total, "$type, all merged by us: the total");
    is_deeply(false_bounds($merged->{items}, \%truth, $merged->{error}), [], '... and the truth within the bounds');
}

# ---- to them ----

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE event AS
    SELECT stream, number, CASE WHEN i % 9 = 0 THEN 1000 ELSE 1 + i % 3 END AS weight, number % 4 AS part
    FROM (VALUES ('exact', 12, 200), ('purged', 2000, 10000), ('flat', 5000, 5000)) s(stream, items, events),
        generate_series(1, events) i,
        LATERAL (SELECT CASE WHEN stream = 'flat' THEN i ELSE floor(items ^ ((i * 7919 % 10007) / 10007.0))::int END) n(number);
CREATE VIEW text_event AS
    SELECT stream, repeat('ü', number % 3) || 'item ' || repeat(number::text, 1 + number % 5) AS item, weight, part FROM event;
CREATE VIEW bigint_event AS
    SELECT stream, CASE number % 3 WHEN 0 THEN number WHEN 1 THEN 9223372036854775807 - number ELSE number - 9223372036854775807 - 1 END AS item,
        weight, part FROM event;
CREATE TABLE sketch (type text, name text, stream text, s topk);
SQL
for my $type (@types)
{
    $node->safe_psql('postgres', <<"SQL");
INSERT INTO sketch SELECT '$type', stream || ', capacity ' || m, stream, topk_agg(item, 1, weight, m)
    FROM ${type}_event, unnest(ARRAY[1, 10, 96, 300, 5000]) m GROUP BY stream, m;
INSERT INTO sketch SELECT '$type', stream || ', merged', stream, topk_merge(s)
    FROM (SELECT stream, topk_agg(item, 10, weight, 48) AS s FROM ${type}_event GROUP BY stream, part) p GROUP BY stream;
SQL
}
for my $case (grep { $_->{name} =~ /, empty/ } @written)
{
    $node->safe_psql('postgres', "INSERT INTO sketch SELECT '$case->{type}', 'empty', 'none', topk_from_datasketches('\\x$case->{hex}', '$case->{type}')");
}
my %exported;
for my $type (@types)
{
    $exported{ $_->{name} } = $_ for documents(<<"SQL");
SELECT jsonb_build_object('name', type || ', ' || name, 'type', type, 'hex', encode(topk_to_datasketches(s), 'hex'), 'ours', d.said,
        'truth', coalesce((SELECT jsonb_object_agg(item, weight) FROM (SELECT item, sum(weight) AS weight FROM ${type}_event e WHERE e.stream = sketch.stream GROUP BY item) t), '{}'))
    FROM sketch, LATERAL (${\ document('s') }) d(said) WHERE type = '$type'
SQL
}
is(scalar(keys %exported), 38, 'we have written ours');
my $json  = JSON::PP->new->canonical->utf8;
my @lines = map { my $case = $exported{$_}; $json->encode({ map({ $_ => $case->{$_} } qw(name type hex)), items => [ sort keys %{ $case->{truth} } ] }) } sort keys %exported;
my @read  = library('read', join "\n", @lines);
is(scalar(@read), keys(%exported) + @types, 'the library has read them');
for my $answer (grep { !$_->{hex} } @read)
{
    check_export($exported{ $answer->{name} }, $answer->{says});
}

# ---- and back, merged by them ----

for my $answer (grep { $_->{hex} } @read)
{
    my %truth;
    for my $case (grep { $_->{type} eq $answer->{type} } values %exported)
    {
        $truth{$_} += $case->{truth}{$_} for keys %{ $case->{truth} };
    }
    check_import({ %$answer, truth => \%truth });
}

# ---- what is no sketch for them ----

my (undef, undef, $error) = $node->psql('postgres', 'SELECT topk_to_datasketches(topk_agg(gen_random_uuid()))');
like($error, qr/DataSketches has no frequent-items sketch of uuid items/, 'there is none of uuids');

$node->stop;
done_testing();
