/*-------------------------------------------------------------------------
 *
 * gen_options.c
 *		The command line.  Every mistake in it ends the program with status 2.
 *
 *-------------------------------------------------------------------------
 */
#include "gen.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage_text[] =
	"topk_gen: made-up events, repeatable, to standard output or to Kafka\n"
	"\n"
	"Usage: topk_gen (--events N | --seconds S) [OPTION]...\n"
	"\n"
	"How many, and how fast:\n"
	"  --events N               stop after N events\n"
	"  --seconds S              stop after S seconds\n"
	"  --rate R                 events a second (default 0: as fast as it goes)\n"
	"\n"
	"What:\n"
	"  --seed N                 another seed, another stream (default 1)\n"
	"  --items N                distinct items of each item type (default 1000000)\n"
	"  --skew S                 exponent of the items' Zipf distribution (default 1.1)\n"
	"  --missing SHARE          dimension values that are null or left out (default 0.005)\n"
	"  --no-rule SHARE          events of types that have no rule (default 0)\n"
	"  --no-item SHARE          events whose item is null or left out (default 0)\n"
	"  --malformed SHARE        messages that belong among the dead letters (default 0)\n"
	"  --tenants N              metadata.tenant is one of N (default 0: no such field)\n"
	"  --max-quantity N         payload.quantity is 1 to N (default 0: no such field)\n"
	"\n"
	"Event time:\n"
	"  --start TIME             event time of the first event, as 2025-01-01T00:00:00Z,\n"
	"                           or 'now' (the default): the wall clock throughout\n"
	"  --span SECONDS           spread the event times evenly over so many seconds (needs --events);\n"
	"                           with --start now these are the seconds before now\n"
	"  --disorder SECONDS       each event is earlier by up to so many seconds (default 0)\n"
	"  --late SHARE             events that are earlier by a stretch of --late-by (default 0)\n"
	"  --late-by FROM-TO        in seconds (default 65-300)\n"
	"\n"
	"Where:\n"
	"  --partitions N           (default 4)\n"
	"  --partition-shares A,B.. relative load of each partition; sets their number\n"
	"  --brokers LIST --topic T produce to Kafka; else lines 'partition<TAB>event' on standard output\n"
	"  -X NAME=VALUE            set a librdkafka property (default: lz4, acks=all, idempotent)\n"
	"  --quiet                  no progress on standard error\n"
	"\n"
	"With a fixed --start, and --span or --rate, the stream is a function of the options alone.\n";

/* clang-format off */
enum
{
	OPT_EVENTS = 256, OPT_SECONDS, OPT_RATE, OPT_SEED, OPT_ITEMS, OPT_SKEW, OPT_MISSING, OPT_NO_RULE,
	OPT_NO_ITEM, OPT_MALFORMED, OPT_TENANTS, OPT_MAX_QUANTITY, OPT_START, OPT_SPAN, OPT_DISORDER, OPT_LATE,
	OPT_LATE_BY, OPT_PARTITIONS, OPT_PARTITION_SHARES, OPT_BROKERS, OPT_TOPIC, OPT_QUIET, OPT_HELP
};

static const struct option long_options[] = {
	{"events", required_argument, NULL, OPT_EVENTS},
	{"seconds", required_argument, NULL, OPT_SECONDS},
	{"rate", required_argument, NULL, OPT_RATE},
	{"seed", required_argument, NULL, OPT_SEED},
	{"items", required_argument, NULL, OPT_ITEMS},
	{"skew", required_argument, NULL, OPT_SKEW},
	{"missing", required_argument, NULL, OPT_MISSING},
	{"no-rule", required_argument, NULL, OPT_NO_RULE},
	{"no-item", required_argument, NULL, OPT_NO_ITEM},
	{"malformed", required_argument, NULL, OPT_MALFORMED},
	{"tenants", required_argument, NULL, OPT_TENANTS},
	{"max-quantity", required_argument, NULL, OPT_MAX_QUANTITY},
	{"start", required_argument, NULL, OPT_START},
	{"span", required_argument, NULL, OPT_SPAN},
	{"disorder", required_argument, NULL, OPT_DISORDER},
	{"late", required_argument, NULL, OPT_LATE},
	{"late-by", required_argument, NULL, OPT_LATE_BY},
	{"partitions", required_argument, NULL, OPT_PARTITIONS},
	{"partition-shares", required_argument, NULL, OPT_PARTITION_SHARES},
	{"brokers", required_argument, NULL, OPT_BROKERS},
	{"topic", required_argument, NULL, OPT_TOPIC},
	{"quiet", no_argument, NULL, OPT_QUIET},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0}};
/* clang-format on */

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("topk_gen: ", stderr);
	vfprintf(stderr, format, args);
	fputs("\ntopk_gen: see --help\n", stderr);
	va_end(args);
	exit(2);
}

static double
parse_number(const char *name, const char *text, double least, double most)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= least && value <= most))
		fail("--%s must be a number from %.0f to %.0f, not \"%s\"", name, least, most, text);
	return value;
}

static uint64_t
parse_whole(const char *name, const char *text, uint64_t least, uint64_t most)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (end == text || *end != '\0' || *text == '-' || errno != 0 || value < least || value > most)
		fail("--%s must be a whole number from %llu to %llu, not \"%s\"", name, (unsigned long long) least,
			 (unsigned long long) most, text);
	return value;
}

static void
parse_start(GenOptions *o, const char *text)
{
	struct tm tm = {0};
	const char *end;

	o->start_now = strcmp(text, "now") == 0;
	if (o->start_now)
		return;
	end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (end == NULL || *end != '\0')
		fail("--start must be 'now' or like 2025-01-01T00:00:00Z, not \"%s\"", text);
	o->start_ms = (int64_t) timegm(&tm) * 1000;
}

static void
parse_late_by(GenOptions *o, const char *text)
{
	char rest;

	if (sscanf(text, "%lf-%lf%c", &o->late_by[0], &o->late_by[1], &rest) != 2 || !(o->late_by[0] >= 0) ||
		!(o->late_by[1] >= o->late_by[0]))
		fail("--late-by must be FROM-TO in seconds, like 65-300, not \"%s\"", text);
}

static void
set_even_shares(GenOptions *o)
{
	for (int i = 0; i < o->partitions; i++)
		o->partition_share[i] = (i + 1.0) / o->partitions;
}

static void
parse_shares(GenOptions *o, const char *text)
{
	double sum = 0;
	int n = 0;

	for (const char *p = text;; p++)
	{
		char *end;
		double share = strtod(p, &end);

		if (end == p || !(share >= 0 && share < 1e9) || n == GEN_MAX_PARTITIONS)
			fail("--partition-shares must be numbers with commas between, like 4,2,1,0, not \"%s\"", text);
		sum += share;
		o->partition_share[n++] = sum;
		p = end;
		if (*p == '\0')
			break;
		if (*p != ',')
			fail("--partition-shares must be numbers with commas between, like 4,2,1,0, not \"%s\"", text);
	}
	if (!(sum > 0))
		fail("--partition-shares must not all be 0");
	o->partitions = n;
	for (int i = 0; i < n; i++)
		o->partition_share[i] /= sum;
}

static void
add_property(GenOptions *o, const char *text)
{
	if (strchr(text, '=') == NULL)
		fail("-X must be NAME=VALUE, not \"%s\"", text);
	if (o->num_properties == GEN_MAX_KAFKA_PROPERTIES)
		fail("too many -X options: at most %d", GEN_MAX_KAFKA_PROPERTIES);
	o->property[o->num_properties++] = text;
}

/* The options about amounts and places; false for one of the others. */
static bool
parse_flow_option(GenOptions *o, int option, const char *name, const char *value)
{
	switch (option)
	{
		case OPT_EVENTS:
			o->events = parse_whole(name, value, 0, UINT64_C(1000000000000));
			return true;
		case OPT_SECONDS:
			o->seconds = parse_number(name, value, 0, 1e9);
			return true;
		case OPT_RATE:
			o->rate = parse_number(name, value, 0, 1e9);
			return true;
		case OPT_PARTITIONS:
			o->partitions = (int) parse_whole(name, value, 1, GEN_MAX_PARTITIONS);
			set_even_shares(o);
			return true;
		case OPT_PARTITION_SHARES:
			parse_shares(o, value);
			return true;
		case OPT_BROKERS:
			o->brokers = value;
			return true;
		case OPT_TOPIC:
			o->topic = value;
			return true;
		case 'X':
			add_property(o, value);
			return true;
		case OPT_QUIET:
			o->quiet = true;
			return true;
		default:
			return false;
	}
}

/* The options about event time; false for one of the others. */
static bool
parse_time_option(GenOptions *o, int option, const char *name, const char *value)
{
	switch (option)
	{
		case OPT_START:
			parse_start(o, value);
			return true;
		case OPT_SPAN:
			o->span = parse_number(name, value, 0, 1e9);
			return true;
		case OPT_DISORDER:
			o->disorder = parse_number(name, value, 0, 1e6);
			return true;
		case OPT_LATE:
			o->late = parse_number(name, value, 0, 1);
			return true;
		case OPT_LATE_BY:
			parse_late_by(o, value);
			return true;
		default:
			return false;
	}
}

/* The options about what is in an event; false for one of the others. */
static bool
parse_event_option(GenOptions *o, int option, const char *name, const char *value)
{
	switch (option)
	{
		case OPT_SEED:
			o->seed = parse_whole(name, value, 0, UINT64_MAX);
			return true;
		case OPT_ITEMS:
			o->items = (uint32_t) parse_whole(name, value, 1, 1000000000);
			return true;
		case OPT_SKEW:
			o->skew = parse_number(name, value, 0, 10);
			return true;
		case OPT_MISSING:
			o->missing = parse_number(name, value, 0, 1);
			return true;
		case OPT_NO_RULE:
			o->no_rule = parse_number(name, value, 0, 1);
			return true;
		case OPT_NO_ITEM:
			o->no_item = parse_number(name, value, 0, 1);
			return true;
		case OPT_MALFORMED:
			o->malformed = parse_number(name, value, 0, 1);
			return true;
		case OPT_TENANTS:
			o->tenants = (uint32_t) parse_whole(name, value, 0, 40);
			return true;
		case OPT_MAX_QUANTITY:
			o->max_quantity = (uint32_t) parse_whole(name, value, 0, 1000000);
			return true;
		default:
			return false;
	}
}

static void
set_defaults(GenOptions *o)
{
	memset(o, 0, sizeof(*o));
	o->events = UINT64_MAX;
	o->partitions = 4;
	set_even_shares(o);
	o->seed = 1;
	o->skew = 1.1;
	o->items = 1000000;
	o->missing = 0.005;
	o->start_now = true;
	o->late_by[0] = 65;
	o->late_by[1] = 300;
}

static void
check_together(const GenOptions *o)
{
	if (o->events == UINT64_MAX && o->seconds == 0)
		fail("say when to stop: --events or --seconds");
	if (o->span > 0 && o->events == UINT64_MAX)
		fail("--span is spread over a known number of events: give --events");
	if (!o->start_now && o->span == 0 && o->rate == 0)
		fail("a fixed --start needs --span or --rate, which say how fast event time goes");
	if ((o->brokers != NULL) != (o->topic != NULL))
		fail("--brokers and --topic go together");
}

/* @param o	filled; keeps pointers into argv */
void
gen_options_parse(GenOptions *o, int argc, char **argv)
{
	int option;
	int index = 0;

	set_defaults(o);
	while ((option = getopt_long(argc, argv, "X:h", long_options, &index)) != -1)
	{
		const char *name = option >= 256 ? long_options[index].name : "X";

		if (option == OPT_HELP || option == 'h')
		{
			fputs(usage_text, stdout);
			fputs("\nKinds of malformed message, and the reason that each is a dead letter:\n", stdout);
			for (int kind = 0; gen_malformed_name(kind) != NULL; kind++)
				printf("  %-20s %s\n", gen_malformed_name(kind), gen_malformed_reason(kind));
			exit(0);
		}
		if (!parse_flow_option(o, option, name, optarg) && !parse_time_option(o, option, name, optarg) &&
			!parse_event_option(o, option, name, optarg))
			exit(2); /* getopt has said what it did not understand */
	}
	if (optind < argc)
		fail("what is \"%s\"?", argv[optind]);
	check_together(o);
}
