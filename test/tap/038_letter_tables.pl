# The tables of letters are filled past SQL, and yet are tables: what somebody adds to them (columns, indexes, checks,
# triggers) holds for the letters that workers write.  These are too long for blocks (041_letter_blocks.pl).

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
$kafka->create_topic('events', 1);
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka);
$pipeline->setup(source => { flush_interval => '100 milliseconds', max_dead_letter_share => 1, late_policy => 'keep', allowed_lateness => '0' });

my $long = '-' x 2100;
sub bad     { my ($n) = @_; return map { "0\tnot JSON, number $_ $long" } 1 .. $n; }
sub letters { return $pipeline->value('SELECT count(*) FROM topk.dead_letter_row'); }

sub view
{
    my ($time) = @_;
    return qq(0\t{"metadata":{"eventType":"page_view","timestamp":"2025-03-01T$time:00Z"},"payload":{"url":"/a","deviceType":"d","pageCategory":"c"}});
}

# ---- columns, indexes, a trigger for each statement ----

$pipeline->value($_) for
  q{ALTER TABLE topk.dead_letter_row ADD luck double precision DEFAULT random(), ADD place text DEFAULT 'here', ADD nothing text},
  q{ALTER TABLE topk.dead_letter_row ADD whole text GENERATED ALWAYS AS (reason || ' of ' || topic) STORED},
  q{CREATE INDEX by_text ON topk.dead_letter_row (left(encode(payload, 'escape'), 30))},
  q{CREATE TABLE alert (letters bigint)},
  q{CREATE FUNCTION alert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.alert SELECT count(*) FROM fresh; RETURN NULL; END $$},
  q{CREATE TRIGGER alert AFTER INSERT ON topk.dead_letter_row REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION alert()};
$kafka->produce('events', bad(1000));
$pipeline->wait_until_flushed;
is(letters(), 1000, 'all letters are there');
is($pipeline->value('SELECT count(DISTINCT dead_letter_id), min(kafka_offset), max(kafka_offset), count(DISTINCT kafka_offset) FROM topk.dead_letter_row'),
    '1000|0|999|1000', 'each once, with an id of its own');
is($pipeline->value(q{SELECT bool_and(payload = convert_to('not JSON, number ' || kafka_offset + 1 || ' ' || repeat('-', 2100), 'UTF8') AND payload_bytes = octet_length(payload)
        AND bytes = 200 + octet_length(payload) AND NOT queued AND retries = 0 AND key IS NULL AND created_at BETWEEN now() - interval '5 min' AND now())
        FROM topk.dead_letter_row}), 't', '... and every column right');
is($pipeline->value('SELECT count(*) FROM (SELECT kafka_offset - lag(kafka_offset) OVER (ORDER BY dead_letter_id) AS step FROM topk.dead_letter_row) s WHERE step <> 1'),
    0, 'ids are in the order of the offsets');
is($pipeline->value(q{SELECT count(DISTINCT luck), bool_and(place = 'here'), count(nothing), string_agg(DISTINCT whole, ',') FROM topk.dead_letter_row}),
    '1000|t|0|bad_json of events', 'columns that somebody has added have their defaults, each row its own where that varies');
is($pipeline->value(q{SET enable_seqscan = off; SELECT count(*) FROM topk.dead_letter_row WHERE left(encode(payload, 'escape'), 30) = 'not JSON, number 129 ---------'}),
    "1", 'an index that somebody has added finds them');
is($pipeline->value('SELECT sum(letters) FROM alert'), 1000, 'a trigger for each statement sees them');

# ---- a check, which fails the flush and not the letter ----

$pipeline->value(q{ALTER TABLE topk.dead_letter_row ADD CONSTRAINT brief CHECK (payload_bytes < 2200)});
$kafka->produce('events', bad(3), "0\tthis is no JSON either, and it is longer $long$long");
$pipeline->wait_for(q{SELECT coalesce(last_error, '') LIKE '%violates check constraint "brief"%' FROM topk.stat_worker}, 't');
is(letters(), 1000, 'a check that a letter violates holds all of its flush');
$pipeline->value('ALTER TABLE topk.dead_letter_row DROP CONSTRAINT brief');
$pipeline->wait_until_flushed;
is(letters(), 1004, '... until it is gone');

# ---- triggers for each row ----

$pipeline->value($_) for
  q{CREATE FUNCTION choose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.payload = convert_to('not JSON, number 7 ' || repeat('-', 2100), 'UTF8') THEN RETURN NULL; END IF;
        NEW.topic := 'chosen'; NEW.key := '\x0102'; RETURN NEW; END $$},
  q{CREATE TRIGGER choose BEFORE INSERT ON topk.dead_letter_row FOR EACH ROW EXECUTE FUNCTION choose()},
  q{CREATE TABLE seen (id bigint, whole text, bytes integer)},
  q{CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (NEW.dead_letter_id, NEW.whole, NEW.bytes); RETURN NULL; END $$},
  q{CREATE TRIGGER see AFTER INSERT ON topk.dead_letter_row FOR EACH ROW EXECUTE FUNCTION see()};
$kafka->produce('events', bad(200));
$pipeline->wait_until_flushed;
is(letters(), 1203, 'a trigger before a row can refuse it');
is($pipeline->value(q{SELECT count(*), string_agg(DISTINCT s.whole, ','), bool_and(s.bytes = d.bytes AND d.bytes = 202 + octet_length(d.payload))
        FROM seen s JOIN topk.dead_letter_row d ON dead_letter_id = id WHERE d.topic = 'chosen'}), '199|bad_json of chosen|t',
    '... or change it, also what is generated from it; one after a row sees that');
is($pipeline->value('SELECT dead_letters FROM topk.stat_source'), 1204, 'the statistics count what came');

# ---- late events ----

$kafka->produce('events', view('12:00'), (map { view('10:00') } 1 .. 300), view('10:01'));
$pipeline->wait_until_flushed;
is($pipeline->value(q{SELECT count(*), count(DISTINCT late_event_id), min(event_type), max(tenant) = '', count(key), bool_and(bytes = 200 + octet_length(payload) + coalesce(octet_length(key), 0)),
        min(event_time) AT TIME ZONE 'UTC', max(watermark) AT TIME ZONE 'UTC' FROM topk.late_event}),
    '301|301|page_view|t|0|t|2025-03-01 10:00:00|2025-03-01 11:59:00', 'late events are kept likewise');

$pipeline->node->stop;
done_testing();
