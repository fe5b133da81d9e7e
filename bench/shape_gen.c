/*
 * shape_gen.c - events of any shape, for the bench of scaling.
 *
 *	shape_gen --brokers LIST --topic T [--events N] [--dimensions D] [--values V] [--items N] [--tenants T]
 *			  [--types R] [--bytes B] [--span SECONDS] [--partitions P]
 *
 * Each event has a type e0 to e<R-1>, an item (Zipf 1.1 over N, "item-" and its rank), D dimensions d0, d1,
 *... with one of V values each (uniform), one of T tenants (0: no such field), and a pad that brings it to B
 *bytes. Event times are spread evenly over the span, from a fixed day on.  The same options give the same
 *stream.
 */
#include "gen/gen.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_MS INT64_C(1740823200000) /* 2025-03-01 10:00 UTC */

typedef struct Shape
{
	uint64_t events;
	uint32_t dimensions;
	uint32_t values;
	uint32_t items;
	uint32_t tenants;
	uint32_t types;
	uint32_t bytes;
	double span;
} Shape;

static Shape shape = {1000000, 2, 10, 1000000, 0, 1, 342, 600};
static GenOptions options = {.partitions = 4};

static const struct option long_options[] = {
	{"brokers", required_argument, NULL, 'b'},    {"topic", required_argument, NULL, 't'},
	{"events", required_argument, NULL, 'n'},     {"dimensions", required_argument, NULL, 'd'},
	{"values", required_argument, NULL, 'v'},     {"items", required_argument, NULL, 'i'},
	{"tenants", required_argument, NULL, 'T'},    {"types", required_argument, NULL, 'r'},
	{"bytes", required_argument, NULL, 'B'},      {"span", required_argument, NULL, 's'},
	{"partitions", required_argument, NULL, 'p'}, {NULL, 0, NULL, 0}};

static uint32_t
number(const char *text)
{
	return (uint32_t) strtoul(text, NULL, 10);
}

static void
parse(int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
	{
		switch (option)
		{
			case 'b':
				options.brokers = optarg;
				break;
			case 't':
				options.topic = optarg;
				break;
			case 'n':
				shape.events = strtoull(optarg, NULL, 10);
				break;
			case 'd':
				shape.dimensions = number(optarg);
				break;
			case 'v':
				shape.values = number(optarg);
				break;
			case 'i':
				shape.items = number(optarg);
				break;
			case 'T':
				shape.tenants = number(optarg);
				break;
			case 'r':
				shape.types = number(optarg);
				break;
			case 'B':
				shape.bytes = number(optarg);
				break;
			case 's':
				shape.span = strtod(optarg, NULL);
				break;
			case 'p':
				options.partitions = (int) number(optarg);
				break;
			default:
				exit(2);
		}
	}
	if (options.brokers == NULL || options.topic == NULL || shape.values == 0 || shape.types == 0 ||
		shape.bytes > GEN_MAX_EVENT - 1024 || shape.dimensions > 32)
	{
		fputs("shape_gen: see the head of its source\n", stderr);
		exit(2);
	}
}

/* One event's text; returns its length. */
static size_t
make_event(GenRandom *random, const GenZipf *zipf, uint64_t i, char *out)
{
	int64_t time = START_MS + (int64_t) (shape.span * 1000 * (double) i / (double) shape.events);
	size_t n;

	n = (size_t) sprintf(
		out, "{\"metadata\":{\"eventId\":\"%016" PRIx64 "\",\"eventType\":\"e%u\",\"timestamp\":%" PRId64,
		gen_random(random), gen_random_below(random, shape.types), time);
	if (shape.tenants > 0)
		n += (size_t) sprintf(out + n, ",\"tenant\":\"t%u\"", gen_random_below(random, shape.tenants));
	n += (size_t) sprintf(out + n, "},\"payload\":{\"item\":\"item-%u\"", gen_zipf_rank(zipf, random));
	for (uint32_t d = 0; d < shape.dimensions; d++)
		n += (size_t) sprintf(out + n, ",\"d%u\":\"v%u\"", d, gen_random_below(random, shape.values));
	n += (size_t) sprintf(out + n, ",\"pad\":\"");
	for (; n + 3 < shape.bytes; n++)
		out[n] = (char) ('a' + n % 26);
	return n + (size_t) sprintf(out + n, "\"}}");
}

int
main(int argc, char **argv)
{
	static GenZipf zipf;
	char text[GEN_MAX_EVENT];
	GenRandom random;
	GenOutput *out;
	bool ok = true;

	parse(argc, argv);
	gen_random_seed(&random, 1);
	gen_zipf_init(&zipf, shape.items, 1.1);
	out = gen_output_open(&options);
	for (uint64_t i = 0; ok && i < shape.events; i++)
	{
		size_t len = make_event(&random, &zipf, i, text);

		ok = gen_output_send(out, (int) (i % (uint64_t) options.partitions), text, len);
	}
	return gen_output_close(out) && ok ? 0 : 1;
}
