/*
 * extract_bench.c - ns an event of decode, extract and count, without Kafka and without a database.
 *
 *     extract_bench [events]
 *
 * The events are made beforehand in the reference's schema, 342 bytes each: three event types, items by
 * Zipf 1.1 over a million, two dimensions with 3 and 8 values, a minute of event time for every tenth of the
 * run.  Each stage is measured in a run of its own over the same events, so a stage's cost is the difference
 * to the one before.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../bridge/pane.h"

#define EVENT_BYTES 342
#define N_ITEMS 1000000
#define NOW INT64_C(1710000000000000)
#define START INT64_C(1709208000) /* 2024-02-29 12:00:00, in s */
#define RUN_MINUTES 10

typedef struct Bench
{
	char *events; /* n * EVENT_BYTES */
	int n;
	TkPath paths[8];
	char path_texts[8][32];
	TkDimension dimensions[2];
	TkRule rules[3];
	TkExtractConfig config;
} Bench;

static const char *const path_names[] = {"metadata.eventType",  "metadata.timestamp", "payload.url",
										 "payload.productId",   "payload.endpoint",   "payload.deviceType",
										 "payload.pageCategory"};

static uint64_t random_state = 42;

static double
random_unit(void)
{
	uint64_t x = random_state += UINT64_C(0x9E3779B97F4A7C15);

	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	return (double) ((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

/* Zipf 1.1 by inverting the continuous distribution: near enough for a benchmark. */
static int
random_item(void)
{
	double top = pow(N_ITEMS, -0.1);

	return (int) pow(1 - random_unit() * (1 - top), -10.0);
}

static void
write_event(char *out, int i, int n)
{
	static const char *const types[] = {"page_view", "product_view", "api_request"};
	static const char *const fields[] = {"url", "productId", "endpoint"};
	static const char *const devices[] = {"mobile", "desktop", "tablet"};
	static const char *const categories[] = {"home", "search", "product", "cart",
											 "help", "news",   "blog",    "account"};
	char text[2 * EVENT_BYTES];
	int type = (int) (random_unit() * 3);
	time_t second = START + (time_t) ((double) i / n * RUN_MINUTES * 60);
	struct tm tm;
	int len;

	gmtime_r(&second, &tm);
	len = snprintf(text, sizeof(text),
				   "{\"metadata\":{\"eventId\":\"%08x-7a61-4c3e-9f0a-%012x\",\"eventType\":\"%s\","
				   "\"source\":\"web-frontend\",\"timestamp\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\"},"
				   "\"payload\":{\"userId\":\"user-%06d\",\"sessionId\":\"%016x\",\"%s\":\"/item/%07d\","
				   "\"deviceType\":\"%s\",\"pageCategory\":\"%s\",\"referrer\":\"",
				   i, i, types[type], tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
				   tm.tm_sec, i % 1000, i % 999983, i, fields[type], random_item(),
				   devices[(int) (random_unit() * 3)], categories[(int) (random_unit() * 8)]);
	memset(text + len, 'r', sizeof(text) - (size_t) len);
	memcpy(text + EVENT_BYTES - 3, "\"}}", 3);
	memcpy(out, text, EVENT_BYTES);
}

static void
set_up(Bench *bench, int n)
{
	static const char *const types[] = {"page_view", "product_view", "api_request"};
	static const char *const item_types[] = {"url", "product", "endpoint"};

	bench->n = n;
	bench->events = malloc((size_t) n * EVENT_BYTES);
	if (bench->events == NULL)
		abort();
	for (int i = 0; i < n; i++)
		write_event(bench->events + (size_t) i * EVENT_BYTES, i, n);
	for (int i = 0; i < 7; i++)
		tk_path_parse(path_names[i], bench->path_texts[i], &bench->paths[i]);
	bench->dimensions[0] = (TkDimension){"deviceType", 5, "unknown"};
	bench->dimensions[1] = (TkDimension){"pageCategory", 6, "unknown"};
	for (int i = 0; i < 3; i++)
		bench->rules[i] = (TkRule){.rule_id = i,
								   .event_type = types[i],
								   .item_type = item_types[i],
								   .item_path = 2 + i,
								   .weight_path = -1,
								   .weight = 1,
								   .n_dimensions = 2,
								   .dimensions = bench->dimensions};
	bench->config =
		(TkExtractConfig){.paths = bench->paths,
						  .n_paths = 7,
						  .event_type_path = 0,
						  .time_path = 1,
						  .tenant_path = -1,
						  .rules = bench->rules,
						  .n_rules = 3,
						  .time = {TK_US_PER_MINUTE, TK_US_PER_MINUTE, 60 * TK_US_PER_MINUTE, 0, 0},
						  .max_message_bytes = 1 << 20};
}

static double
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

/* ---- the stages: each returns something that depends on all its work ---- */

static uint64_t
touch(Bench *bench)
{
	uint64_t sum = 0;
	size_t bytes = (size_t) bench->n * EVENT_BYTES;

	for (size_t i = 0; i + 8 <= bytes; i += 8)
	{
		uint64_t word;

		memcpy(&word, bench->events + i, 8);
		sum += word;
	}
	return sum;
}

static uint64_t
decode(Bench *bench)
{
	TkDecoder *decoder = tk_decode_json_create(bench->paths, 7, 1 << 20);
	uint64_t sum = 0;

	for (int i = 0; i < bench->n; i++)
		sum +=
			(uint64_t) decoder->methods->read(decoder, bench->events + (size_t) i * EVENT_BYTES, EVENT_BYTES);
	decoder->methods->free(decoder);
	return sum;
}

static uint64_t
extract(Bench *bench)
{
	TkExtractor *extractor = tk_extractor_create(&bench->config);
	uint64_t counted = 0;
	TkEvent event;

	for (int i = 0; i < bench->n; i++)
	{
		tk_extract(extractor, bench->events + (size_t) i * EVENT_BYTES, EVENT_BYTES, -1, NOW, &event);
		counted += event.outcome == TK_COUNTED;
	}
	tk_extractor_free(extractor);
	return counted;
}

static void *
bench_alloc(void *arg, size_t size)
{
	(void) arg;
	return malloc(size);
}

static void
bench_release(void *arg, void *block)
{
	(void) arg;
	free(block);
}

/* The whole of what the worker does for an event, with a flush that writes nothing twice a minute of event
 * time. */
static uint64_t
count(Bench *bench)
{
	static const TkAllocator allocator = {bench_alloc, bench_release, NULL};
	TkExtractor *extractor = tk_extractor_create(&bench->config);
	TkPaneSet *set = tk_pane_set_create(&allocator, &bench->config, 100, 300, 1);
	const TkTimeRules *rules = &bench->config.time;
	TkPartitionClock clock;
	uint64_t counted = 0;
	TkEvent event;

	tk_clock_init(&clock);
	for (int i = 0; i < bench->n; i++)
	{
		tk_extract(extractor, bench->events + (size_t) i * EVENT_BYTES, EVENT_BYTES, -1, NOW, &event);
		if (event.outcome != TK_COUNTED || tk_clock_judge(&clock, rules, event.time) == TK_TOO_LATE)
			continue;
		tk_clock_observe(&clock, rules, event.time, NOW);
		counted += tk_pane_add(set, &event) == TK_OK;
		if (i % (bench->n / RUN_MINUTES / 2 + 1) == 0)
		{
			tk_pane_seal(set, clock.watermark);
			tk_pane_flushed(set);
		}
	}
	printf("(%d panes, %zu bytes)\n", tk_pane_count(set), tk_pane_set_bytes(set));
	tk_pane_set_free(set);
	tk_extractor_free(extractor);
	return counted;
}

static void
measure(Bench *bench, const char *name, uint64_t (*stage)(Bench *bench))
{
	double best = INFINITY;
	uint64_t result = 0;

	for (int i = 0; i < 3; i++)
	{
		double begin = cpu_ns();
		double ns;

		result = stage(bench);
		ns = (cpu_ns() - begin) / bench->n;
		best = ns < best ? ns : best;
	}
	printf("%-28s %7.1f ns/event   (%llx)\n", name, best, (unsigned long long) result);
}

int
main(int argc, char **argv)
{
	Bench bench;

	set_up(&bench, argc > 1 ? atoi(argv[1]) : 500000);
	measure(&bench, "touch the bytes", touch);
	measure(&bench, "decode", decode);
	measure(&bench, "decode, extract", extract);
	measure(&bench, "decode, extract, judge, count", count);
	free(bench.events);
	return 0;
}
