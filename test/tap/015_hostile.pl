# Messages that nobody should send: each is counted as the oracle counts it, or a dead letter with the oracle's reason, and
# none ends a process.  Then what is done with dead letters: read again, exactly once through crashes; thrown away; and
# a source that most of them come from pauses.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use TopK::Test::Compare;
use TopK::Test::Kafka;
use TopK::Test::Pipeline;
use TopK::Test::Tools qw(top_dir);

my $dir   = PostgreSQL::Test::Utils::tempdir_short();
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, fail_points => 1);
my $node     = $pipeline->node;

# ---- the messages ----

# An event; the arguments replace its parts, as JSON.
sub event
{
    my (%part) = @_;
    my ($type, $time) = ($part{type} // '"page_view"', $part{time} // '"2025-03-01T10:00:30Z"');
    my ($url, $device) = ($part{url} // '"/a"', $part{device} // '"mobile"');
    my $more = $part{more} // '"x":1';
    return qq({"metadata":{"eventType":$type,"timestamp":$time},"payload":{"url":$url,"deviceType":$device,"pageCategory":"c"},$more});
}

sub nested { my ($depth, $open, $close, $core) = @_; return $open x $depth . $core . $close x $depth; }

my $good     = event();
my $megabyte = 'x' x (1 << 20);
my @messages = (
    # deep
    (map { event(more => '"x":' . nested($_, '[', ']', '')) } 10, 1000, 1021, 1022, 1023, 1024, 1025, 100_000),
    (map { event(more => '"x":' . nested($_, '{"a":', '}', '1')) } 1000, 1021, 1022, 1023, 1024, 30_000),
    nested(200_000, '[', '', ''), nested(200_000, '{"a":', '', ''),
    # long
    event(more => '"x":"' . $megabyte x 10 . '"'), event(url => '"' . $megabyte x 10 . '"'), event(device => '"' . $megabyte . '"'),
    ' ' x (10 << 20) . $good, $good . "\n" x (1 << 20), '"' . $megabyte, $megabyte,
    event(more => '"x":{' . join(',', map { "\"k$_\":$_" } 1 .. 100_000) . '}'), event(more => '"x":[' . join(',', (1) x 500_000) . ']'),
    (map { event(url => '"' . 'u' x $_ . '"') } 0, 1, 1023, 1024, 1025), (map { event(url => '"' . "\xc3\xa9" x $_ . '"') } 512, 513),
    (map { event(device => '"' . 'd' x $_ . '"') } 0, 511, 512, 513),
    # bytes
    (map { event(url => "\"a${_}b\"") } "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\x80", "\xe2\x82", "\xc3\xa9",
        "\xf0\x9f\x98\x80", "\xef\xbf\xbf", "\x00", "\x07", "\x7f", "\t", "\n", '\\u0000', '\\ud83d', '\\ud83d\\ude00', '\\ude00\\ud83d', '\\u12', '\\x41', '\\/',
        '\\u00e9', "\\", '""'),
    (map { event(device => "\"a${_}b\"") } '\\u0000', "\xc3", "\xe2\x80\xa8"), "$good\x00", "\x00$good", "\xef\xbb\xbf$good", "\xff\xfe$good",
    join('', map { chr } 0 .. 255) x 16, "\x1f\x8b\x08\x00\x00\x00\x00\x00",
    # numbers
    (map { event(url => $_) } qw(0 -0 -0.0 1.50 1e2 1E400 -1e400 1e-400 12345678901234567890 18446744073709551615 18446744073709551616
        9223372036854775808 -9223372036854775808 -9223372036854775809 0123 1. .5 +1 NaN Infinity true false null), '{}', '[]', '0x10', '1e'),
    (map { event(time => $_) } qw(0 -1 1740823230 1740823230000 1740823230000000 1740823230.5 9223372036854775807 99999999999999999999 1e12 1e400 null true),
        '[]', '{}', '""', '"now"', '"2025-03-01"', '"2025-03-01T10:00:60Z"', '"2025-03-01T24:00:00Z"', '"2025-02-29T10:00:00Z"', '"2025-03-01 10:00:00+25:00"',
        '"2025-03-01T10:00:30.123456789+01:00"', '"9999999-01-01T00:00:00Z"', '"-0001-01-01T00:00:00Z"', '"\\u0032025-03-01T10:00:30Z"'),
    event(more => '"x":' . '9' x 100_000), event(more => '"x":1e99999'),
    (map { event(type => $_) } '7', 'null', '{}', '""', '"page_view\\u0000"', '"\\u0070age_view"', '"PAGE_VIEW"'),
    # keys
    event(more => '"metadata":{"eventType":"api_request"},"payload":{"url":"/second"}'), event(url => '"/first","url":"/second"'),
    event(type => '"page_view","eventType":"api_request"'), event(more => '"":1,"":2'), '{"metadata":7,' . substr($good, 1), '{"metadata":null,"payload":null}',
    $good =~ s/metadata/meta\\u0064ata/r, $good =~ s/eventType/\\u0000/r, event(more => '"a.b":1'),
    # pieces, and nothing
    (map { substr $good, 0, $_ * 5 } 0 .. length($good) / 5), '', ' ', 'null', '{}', '[]', '""', '"page_view"', '{', '}', "$good$good", "$good,", "[$good]", "$good//", "/**/$good");

# The same, spoilt at random: bytes changed, taken out, put in, or repeated.
srand 20250301;
my @small = grep { length($_) < 4000 } @messages;
for (1 .. 1500)
{
    my $text = rand() < .6 ? event(url => '"/' . int(rand 9) . '"') : $small[ rand @small ];
    for (0 .. rand 3)
    {
        my ($at, $n) = (int rand(length($text) + 1), 1 + int rand 6);
        my $new = (chr int rand 256, '"', '\\', '{', '}', ',', substr($text, int rand(length($text) + 1), $n), '')[ rand 8 ] // '';
        substr $text, $at, (rand() < .5 ? $n : 0), $new if $at + $n <= length $text;
    }
    push @messages, $text;
}

my @files = map { my $path = "$dir/message.$_"; PostgreSQL::Test::Utils::append_to_file($path, $messages[$_]); $path } 0 .. $#messages;
$kafka->create_topic('events', 1, 'max.message.bytes' => 64 << 20);
$pipeline->setup(source => { idle_timeout => '2 seconds', out_of_orderness => '2 seconds', flush_interval => '100 milliseconds', max_dead_letter_share => 1 });
$kafka->send_files('events', 0, splice @files, 0, 200) while @files;
$kafka->send_files('events', 0, '-', '-');
$pipeline->wait_until_flushed;
my $summary = $pipeline->recount;
is($summary->{events}, @messages + 2, scalar(@messages) . ' hostile messages were produced');
compare_counts($pipeline, $summary);
compare_windows($pipeline);
cmp_ok($pipeline->value('SELECT counted FROM topk.stat_source'), '>', 100, 'some of them are events, too');
is(scalar(my @crashes = slurp_file($node->logfile) =~ /terminated by signal|PANIC|FATAL/g), 0, 'no process crashed');
is($pipeline->value('SELECT max(octet_length(payload)) FROM topk.dead_letter'), 65536, 'of long ones 64 kB are kept');

# ---- the vocabulary ----

my @reasons = slurp_file(top_dir() . '/bridge/extract.c') =~ /\[TK_\w+\] = "(\w+)"/g;
is($pipeline->value("SELECT string_agg(reason, ',' ORDER BY reason) FROM topk.dead_letter_reasons()"), join(',', sort @reasons),
    'topk.dead_letter_reasons() lists all reasons');
my (undef, undef, $error) = $node->psql('postgres', "SELECT topk.retry_dead_letters('clicks', 'no_luck')");
like($error, qr/no reason "no_luck"/, 'an unknown reason is refused');

# ---- read again ----

my $dead = $pipeline->value("SELECT count(*) FROM topk.dead_letter WHERE reason = 'bad_value'");
$kafka->produce('events', map { "0\t" . event(url => "\"/r" . $_ % 40 . '"', device => '{"name":"phone"}') } 1 .. 3000);
$pipeline->wait_for("SELECT count(*) FROM topk.dead_letter WHERE reason = 'bad_value'", $dead + 3000);
is($pipeline->value("SELECT truncated > 0 FROM topk.retry_dead_letters('clicks')"), 't', 'dead letters are queued; those that were cut are not');
$pipeline->wait_for('SELECT count(*) FROM topk.dead_letter WHERE queued', 0);
compare_counts($pipeline, $pipeline->recount);
is($pipeline->value('SELECT count(DISTINCT retries) FROM topk.dead_letter WHERE octet_length(payload) = payload_bytes'), 1, 'by the same rules all are dead again');

$pipeline->value("SELECT topk.alter_rule('clicks', 'page_view', dimensions => '{\"deviceType\": \"payload.deviceType.name\", \"pageCategory\": \"payload.pageCategory\"}')");
$pipeline->fail_at('flush_before_commit=crash*1', 'flush_after_commit=crash*1', 'flush_after_partitions=error*1');
$pipeline->value("SELECT topk.retry_dead_letters('clicks', 'bad_value')");
$pipeline->wait_for_faults;
$pipeline->wait_for('SELECT count(*) FROM topk.dead_letter WHERE queued', 0);
is($pipeline->value("SELECT sum((topk_estimate(sketch, '/r7')).estimate) FROM topk.window_sketch WHERE window_name = '1-day' AND dimension = 'all'"), 75,
    'by other rules they are counted, once, through two crashes');
is($pipeline->value("SELECT sum(topk_total(sketch)) FROM topk.window_sketch WHERE window_name = '1-day' AND dimension = 'deviceType' AND value = 'phone'"),
    3000, '... in all of their lists');
is($pipeline->value('SELECT dead_letters = (SELECT count(*) FROM topk.dead_letter) AND events = counted + too_late + dead_letters + no_rule + no_item + filtered + tombstones FROM topk.stat_source'),
    't', '... and the statistics still add up');

# ---- thrown away ----

is($pipeline->value("SELECT topk.purge_dead_letters('clicks', older_than => '1 hour')"), 0, 'young dead letters are kept');
cmp_ok($pipeline->value("SELECT topk.purge_dead_letters('clicks', 'bad_json')"), '>', 500, 'those of one reason are purged');
is($pipeline->value("SELECT count(*) FROM topk.dead_letter WHERE reason = 'bad_json'"), 0, '... and gone');

# ---- too many ----

$pipeline->value("SELECT topk.alter_source('clicks', max_dead_letter_share => 0.3)");
$pipeline->wait_for('SELECT state FROM topk.stat_source', 'running');
$kafka->generate('events', '--events' => 2000, '--partitions' => 1, '--malformed' => 0.1, '--start' => '2025-03-01T10:00:30Z', '--span' => 60);
$pipeline->wait_until_flushed;
is($pipeline->value('SELECT state FROM topk.stat_source'), 'running', 'a tenth of dead letters is borne');
$kafka->generate('events', '--events' => 30_000, '--partitions' => 1, '--malformed' => 0.8, '--start' => '2025-03-01T10:00:30Z', '--span' => 60);
$pipeline->wait_for('SELECT state FROM topk.stat_source', 'paused', 30);
like($pipeline->value('SELECT last_error FROM topk.stat_source'), qr/^too many dead letters: \d+ of \d+/, 'with too many the source pauses, and says why');
$pipeline->value("SELECT topk.alter_source('clicks', max_dead_letter_share => 1)");
$pipeline->value("SELECT topk.resume('clicks')");
$pipeline->wait_until_flushed;
is($pipeline->value("SELECT state, coalesce(last_error, '-') FROM topk.stat_source"), 'running|-', 'topk.resume goes on');

$node->stop;
done_testing();
