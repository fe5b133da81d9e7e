# Dead letters that are many are kept many in a row.  In topk.dead_letter each is there once, as it came; reading again,
# deleting, dumping and restoring treat it like any other.

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
$kafka->create_topic('events', 2);

# Messages of each partition: [key, payload, reason]; no reason: it can be read.  All of them are there before the
# source, so that a flush has many.
my $odd = 300;    # of each partition, which another rule can read

sub event
{
    my ($metadata, $page) = @_;
    return qq({"metadata":{"eventType":"view"$metadata},"payload":{"page":$page}});
}

sub message
{
    my ($partition, $n) = @_;
    my $key  = $n % 3 == 0 ? undef : "key $n";
    my $time = ',"timestamp":"2025-03-01T10:00:00Z"';
    return [ $key, "not JSON, $n of $partition" . '-' x ($n % 7), 'bad_json' ] if $n % 4 == 0;
    return [ $key, event('', qq("/page-$n/) . 'x' x 300 . '"'), 'no_time' ] if $n % 4 == 1;
    return [ $key, event($time, qq({"path":"/$n"})), 'bad_item' ] if $n % 4 == 2;
    return [ $key, event($time, '"/a"'), undef ];
}

my %log;
for my $partition (0, 1)
{
    my @messages = map { message($partition, $_) } 1 .. 4 * $odd;
    # few of their kind; too long for a block, in the key or in the payload, and beyond what is kept
    splice @messages, 100, 0, map { [ undef, event(',"timestamp":"never"', '"/a"'), 'bad_time' ] } 1 .. 5;
    splice @messages, 200, 0, [ undef, 'not JSON ' . 'y' x 3000, 'bad_json' ], [ 'k' x 3000, 'nor this', 'bad_json' ];
    # a block of these stays too large for a page
    splice @messages, 500, 0, map { [ undef, 'not JSON ' . join('', map { md5_hex("$partition $_") } 50 * $_ .. 50 * $_ + 46), 'bad_json' ] } 1 .. 60;
    splice @messages, 900, 0, [ undef, 'not JSON ' . 'z' x 70_000, 'bad_json' ];
    $kafka->produce('events', [ '-K', '|' ], map { "$partition\t" . (defined $_->[0] ? "$_->[0]|" : '') . $_->[1] } @messages);
    $log{$partition} = \@messages;
}

# Lines as the query below gives them.
my @expected;
for my $partition (sort keys %log)
{
    my $offset = -1;
    for my $m (@{ $log{$partition} })
    {
        $offset++;
        push @expected, join ' ', $partition, $offset, $m->[2], md5_hex($m->[0] // 'none'), length $m->[1], md5_hex(substr $m->[1], 0, 65_536)
          if defined $m->[2];
    }
}
my $letters = q{SELECT concat_ws(' ', partition, kafka_offset, reason, md5(coalesce(key, 'none')), payload_bytes, md5(payload))
    FROM topk.dead_letter ORDER BY partition, kafka_offset};

my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka);
my $node     = $pipeline->node;
$pipeline->setup(
    source => { max_dead_letter_share => 1, pane_size => '1 minute' },
    rules  => [ { event_type => 'view', item_type => 'page', item_path => 'payload.page' } ]);
$pipeline->wait_until_flushed;
sub total { return $pipeline->value('SELECT total FROM topk.top_items_global LIMIT 1'); }

is($pipeline->value($letters), join("\n", @expected), 'each letter is there once, as it came');
is($pipeline->value('SELECT dead_letters FROM topk.stat_source'), scalar @expected, 'the statistics count as many');
is(total(), 2 * $odd, 'what can be read is counted');
is( $pipeline->value(q{SELECT count(*) FROM topk.dead_letter WHERE kafka_time IS NULL OR topic <> 'events' OR queued OR retries > 0
        OR bytes <> 200 + coalesce(octet_length(key), 0) + octet_length(payload) OR created_at NOT BETWEEN now() - interval '5 min' AND now()}),
    0, '... with every column right');
cmp_ok($pipeline->value('SELECT sum(letters) FROM topk.dead_letter_block'), '>', 0.9 * @expected, 'most of them are in blocks');
is($pipeline->value('SELECT count(*) FROM topk.dead_letter_block WHERE letters > 64 OR letters <> ALL (ARRAY[cardinality(keys), cardinality(payloads), cardinality(kafka_times)])'),
    0, '... of at most 64, with arrays of equal length');
is( $pipeline->value('SELECT count(*) FROM topk.dead_letter_block b WHERE bytes <> (SELECT sum(d.bytes) FROM topk.dead_letter d
        WHERE d.source_id = b.source_id AND d.dead_letter_id BETWEEN b.dead_letter_id AND b.dead_letter_id + b.letters - 1)'),
    0, '... and of as many bytes as their letters');
is($pipeline->value(q{SELECT count(*) FROM topk.dead_letter_row WHERE payload_bytes > 2048 OR octet_length(key) > 2048}), 6, 'those that are too long are rows');
is($pipeline->value('SELECT count(DISTINCT dead_letter_id) FROM topk.dead_letter'), scalar @expected, 'each has an id of its own');
is($pipeline->value('SELECT count(*) FROM (SELECT kafka_offset < lag(kafka_offset) OVER (PARTITION BY partition, reason ORDER BY dead_letter_id) AS back FROM topk.dead_letter) s WHERE back'),
    0, 'ids of a partition and reason are in the order of the offsets');
my $lz4 = $pipeline->value(q{SELECT attcompression = 'l' FROM pg_attribute WHERE attrelid = 'topk.dead_letter_block'::regclass AND attname = 'payloads'}) eq 't';
SKIP:
{
    skip 'PostgreSQL has no lz4', 1 if !$lz4;
    is($pipeline->value(q{SELECT bool_and(pg_column_compression(payloads) = 'lz4' AND pg_column_size(b.*) < 8160) FROM topk.dead_letter_block b WHERE reason = 'no_time'}),
        't', 'alike ones are compressed to less than a page');
}

is($pipeline->value(q{SELECT pg_relation_size(reltoastrelid) > 0 FROM pg_class WHERE oid = 'topk.dead_letter_block'::regclass}), 't', 'what does not fit into a page is out of line');

# ---- a check that the blocks violate holds the flush, like any other error ----

$pipeline->value(q{ALTER TABLE topk.dead_letter_block ADD CONSTRAINT brief CHECK (letters < 20) NOT VALID});
$kafka->produce('events', map { "0\tno JSON either, $_" } 1 .. 20);
$pipeline->wait_for(q{SELECT coalesce(last_error, '') LIKE '%violates check constraint "brief"%' FROM topk.stat_worker WHERE worker = 0}, 't');
is($pipeline->value('SELECT count(*) FROM topk.dead_letter'), scalar @expected, 'a check that a block violates holds all of its flush');
$pipeline->value('ALTER TABLE topk.dead_letter_block DROP CONSTRAINT brief');
$pipeline->wait_until_flushed;
is($pipeline->value('SELECT count(*) FROM topk.dead_letter'), @expected + 20, '... until it is gone');
my $end = @{ $log{0} };
is($pipeline->value("SELECT letters FROM topk.dead_letter_block WHERE kafka_offsets[1] = $end"), 20, '... and then they are a block');
$pipeline->value("DELETE FROM topk.dead_letter WHERE partition = 0 AND kafka_offset >= $end");
is($pipeline->value($letters), join("\n", @expected), '... which can be deleted in the view');

# ---- a dump ----

$node->command_ok([ 'pg_dump', '--file', "$dir/dump.sql", $node->connstr('postgres') ], 'the database can be dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/dump.sql", $node->connstr('restored') ], '... and restored');
is($node->safe_psql('restored', $letters), join("\n", @expected), '... with all letters');
my $blocks = 'SELECT count(*), sum(letters), max(dead_letter_id) FROM topk.dead_letter_block';
is($node->safe_psql('restored', $blocks), $pipeline->value($blocks), '... in their blocks');
is($node->safe_psql('restored', q{SELECT nextval('topk.dead_letter_id') >= (SELECT max(dead_letter_id) FROM topk.dead_letter_block) + 64}), 't', '... and with other ids for new ones');

# ---- single ones are deleted ----

$pipeline->value('CREATE ROLE olga IN ROLE topk_operator');
my @left = grep { !/\A1 \d*7 bad_json / } @expected;
is($pipeline->value(q{SET ROLE olga; WITH gone AS (DELETE FROM topk.dead_letter WHERE partition = 1 AND reason = 'bad_json' AND kafka_offset % 10 = 7 RETURNING payload)
    SELECT count(payload) FROM gone}), @expected - @left, 'an operator deletes some, also out of blocks');
is($pipeline->value($letters), join("\n", @left), '... and no others');
my ($status, undef, $refused) = $node->psql('postgres', 'SET ROLE topk_reader; DELETE FROM topk.dead_letter');
isnt($status, 0, 'a reader may not');
like($refused, qr/permission denied for view dead_letter/, '... and is told so');

# ---- some are read again ----

$pipeline->value("SELECT topk.alter_rule('clicks', 'view', item_path => 'payload.page.path')");
is($pipeline->value(q{SELECT queued, truncated FROM topk.retry_dead_letters('clicks', 'bad_item')}), 2 * $odd . '|0', 'those of one reason are queued');
$pipeline->wait_for('SELECT count(*) FROM topk.dead_letter WHERE queued', 0);
$pipeline->wait_until_flushed;
is(total(), 4 * $odd, '... and counted once each');
is($pipeline->value($letters), join("\n", grep { !/bad_item/ } @left), '... and are no dead letters any more');
is($pipeline->value(q{SELECT queued, truncated FROM topk.retry_dead_letters('clicks')}), @left - 2 * $odd - 2 . '|2', 'all others are queued, but for the two that were cut');
$pipeline->wait_for('SELECT count(*) FROM topk.dead_letter WHERE queued', 0);
is($pipeline->value('SELECT count(*), count(*) FILTER (WHERE retries = 1), (SELECT count(*) FROM topk.dead_letter_block) FROM topk.dead_letter'),
    join('|', @left - 2 * $odd, @left - 2 * $odd - 2, 0), '... and are dead again');
is(total(), 4 * $odd, '... and nothing is counted twice');

$pipeline->node->stop;
$kafka->stop;
done_testing();
