/*
 * sketch_bench.c
 *		What the sketch library costs and how well it answers, on the streams that it was chosen by.
 *
 * Times are CPU times of the process, which other work on the machine disturbs less.
 *
 * Usage: sketch_bench [updates (10,000,000)] [capacity (300)] [rounds (3)]
 *
 * For each stream: nanoseconds per update with hashing, over items of 16 bytes read in sequence, the best
 * of the rounds; the floors measured on the same items beside it (reading them; hashing; hashing and one
 * probe of a table as large as the sketch's); recall of the true top 100 (found: an item of the list
 * whose true count is at least the 100th) and theta of the finished sketch. Then merging, encoding and
 * decoding of 1440 panes of the Zipf 1.0 stream.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sketch.h"

#define ITEM_BYTES 16
#define DISTINCT 1000000
#define TOP 100
#define PANES 1440
#define FLOOR_SLOTS 4096

typedef struct Stream
{
	const char *name;
	double skew; /* of a Zipf stream; 0: made by `id` */
	uint64_t (*id)(uint64_t i, uint64_t n);
} Stream;

static uint64_t updates = 10000000;
static uint32_t capacity = 300;
static int rounds = 3;
static uint64_t random_state = 42;
static volatile uint64_t sink;

static void *
heap_alloc(void *arg, size_t size)
{
	(void) arg;
	return malloc(size);
}

static void
heap_release(void *arg, void *block)
{
	(void) arg;
	free(block);
}

static const TkAllocator heap = {heap_alloc, heap_release, NULL};

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

static void *
need(void *block)
{
	if (block == NULL)
	{
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return block;
}

static void
must(TkStatus status)
{
	if (status != TK_OK)
	{
		fprintf(stderr, "%s\n", tk_status_text(status));
		exit(1);
	}
}

static uint64_t
mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

static uint64_t
next_random(void)
{
	return mix(random_state += UINT64_C(0x9E3779B97F4A7C15));
}

/* ---- streams ---- */

static uint64_t
all_distinct(uint64_t i, uint64_t n)
{
	(void) n;
	return i;
}

static uint64_t
uniform(uint64_t i, uint64_t n)
{
	(void) i;
	(void) n;
	return next_random() % DISTINCT;
}

/* 200 heavy items in the first twentieth, then every item once. */
static uint64_t
heavy_then_flood(uint64_t i, uint64_t n)
{
	return i < n / 20 ? i % 200 : i;
}

static uint64_t
flood_then_heavy(uint64_t i, uint64_t n)
{
	return heavy_then_flood(n - 1 - i, n);
}

/* Walker's alias method: one table look-up for a draw. */
typedef struct Alias
{
	double keep;
	uint32_t other;
} Alias;

static Alias *
make_alias(double skew)
{
	Alias *table = need(calloc(DISTINCT, sizeof(*table)));
	uint32_t *order = need(calloc(DISTINCT, sizeof(*order)));
	double sum = 0;
	uint32_t small = 0;
	uint32_t large = DISTINCT;

	for (uint32_t i = 0; i < DISTINCT; i++)
		sum += pow(i + 1, -skew);
	for (uint32_t i = 0; i < DISTINCT; i++)
	{
		table[i].keep = pow(i + 1, -skew) / sum * DISTINCT;
		order[table[i].keep < 1 ? small++ : --large] = i;
	}
	for (uint32_t at = 0; at < small && large < DISTINCT; at++)
	{
		uint32_t from = order[large];

		table[order[at]].other = from;
		table[from].keep -= 1 - table[order[at]].keep;
		if (table[from].keep < 1)
		{
			order[small++] = from;
			large++;
		}
	}
	free(order);
	return table;
}

static int
descending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *) a;
	uint32_t y = *(const uint32_t *) b;

	return (x < y) - (x > y);
}

/* Any order that has nothing to do with frequency will do for "sorted by item". */
static int
by_item(const void *a, const void *b)
{
	uint64_t x = mix(*(const uint32_t *) a);
	uint64_t y = mix(*(const uint32_t *) b);

	return (x > y) - (x < y);
}

static void
fill_ids(const Stream *stream, uint32_t *ids)
{
	Alias *alias = stream->skew > 0 ? make_alias(stream->skew) : NULL;

	for (uint64_t i = 0; i < updates; i++)
	{
		uint64_t draw;

		if (alias == NULL)
		{
			ids[i] = (uint32_t) stream->id(i, updates);
			continue;
		}
		draw = next_random();
		ids[i] = (uint32_t) (draw % DISTINCT);
		if ((double) (draw >> 40) / 16777216.0 >= alias[ids[i]].keep)
			ids[i] = alias[ids[i]].other;
	}
	free(alias);
	if (strcmp(stream->name, "sorted by item") == 0)
		qsort(ids, updates, sizeof(*ids), by_item);
	if (strcmp(stream->name, "rare to frequent") == 0)
		qsort(ids, updates, sizeof(*ids), descending);
}

/* Item number `id`: sixteen characters in an order that has nothing to do with the number. */
static void
write_item(uint32_t id, uint8_t *item)
{
	uint64_t bits = mix(id + UINT64_C(0x1234567));

	for (int at = 0; at < ITEM_BYTES; at++, bits >>= 4)
		item[at] = (uint8_t) "0123456789abcdef"[bits & 15];
}

/* ---- floors ---- */

static double
time_reading(const uint8_t *items)
{
	double start = now();
	uint64_t sum = 0;

	for (uint64_t i = 0; i < updates; i++)
	{
		uint64_t words[2];

		memcpy(words, items + i * ITEM_BYTES, sizeof(words));
		sum += words[0] ^ words[1];
	}
	sink = sum;
	return (now() - start) / (double) updates;
}

static double
time_hashing(const uint8_t *items, const uint32_t *probe)
{
	double start = now();
	uint64_t sum = 0;

	for (uint64_t i = 0; i < updates; i++)
	{
		uint64_t hash = tk_hash(items + i * ITEM_BYTES, ITEM_BYTES);

		sum += hash;
		if (probe != NULL && probe[hash % FLOOR_SLOTS] == (uint32_t) (hash >> 32))
			sum++;
	}
	sink = sum;
	return (now() - start) / (double) updates;
}

/* ---- the sketch ---- */

static double
time_updates(const uint8_t *items, TkSketch **out)
{
	TkSketch *s;
	double start = now();

	must(tk_sketch_create(&heap, TK_KIND_TEXT, TOP < capacity ? TOP : capacity, capacity, &s));
	for (uint64_t i = 0; i < updates; i++)
		must(tk_sketch_update(s, items + i * ITEM_BYTES, ITEM_BYTES, 1));
	*out = s;
	return (now() - start) / (double) updates;
}

static int
count_descending(const void *a, const void *b)
{
	return descending(a, b);
}

/* True counts by id, and the 100th largest of them. */
static uint32_t *
true_counts(const uint32_t *ids, uint32_t *hundredth)
{
	uint64_t most = updates > DISTINCT ? updates : DISTINCT;
	uint32_t *counts = need(calloc(most, sizeof(*counts)));
	uint32_t *sorted = need(calloc(most, sizeof(*sorted)));

	for (uint64_t i = 0; i < updates; i++)
		counts[ids[i]]++;
	memcpy(sorted, counts, most * sizeof(*sorted));
	qsort(sorted, most, sizeof(*sorted), count_descending);
	*hundredth = sorted[TOP - 1];
	free(sorted);
	return counts;
}

/* How many of the first 100 items listed are among the true 100, ties included. */
static int
recall(const TkSketch *s, const uint32_t *counts, uint32_t hundredth, double *error)
{
	TkItem *items;
	size_t listed;
	int found = 0;
	uint64_t most = updates > DISTINCT ? updates : DISTINCT;
	uint8_t item[ITEM_BYTES];

	must(tk_sketch_items(s, &heap, TOP, &items, &listed));
	*error = 0;
	for (uint64_t id = 0; id < most; id++)
	{
		if (counts[id] < hundredth || counts[id] == 0)
			continue;
		write_item((uint32_t) id, item);
		for (size_t i = 0; i < listed; i++)
		{
			if (memcmp(items[i].key, item, ITEM_BYTES) != 0)
				continue;
			found++;
			*error += fabs((double) items[i].upper - (double) counts[id]) / (double) counts[id];
		}
	}
	*error /= found > 0 ? found : 1;
	free(items);
	return found;
}

static void
bench_stream(const Stream *stream, uint32_t *ids, uint8_t *items)
{
	uint32_t *probe = need(calloc(FLOOR_SLOTS, sizeof(*probe)));
	double best[4] = {1e9, 1e9, 1e9, 1e9};
	uint32_t hundredth;
	uint32_t *counts;
	TkSketch *s = NULL;
	double error;
	int found;

	fill_ids(stream, ids);
	for (uint64_t i = 0; i < updates; i++)
		write_item(ids[i], items + i * ITEM_BYTES);
	for (int round = 0; round < rounds; round++)
	{
		double times[4];

		tk_sketch_free(s);
		times[0] = time_reading(items);
		times[1] = time_hashing(items, NULL);
		times[2] = time_hashing(items, probe);
		times[3] = time_updates(items, &s);
		for (int at = 0; at < 4; at++)
			best[at] = times[at] < best[at] ? times[at] : best[at];
	}
	counts = true_counts(ids, &hundredth);
	must(tk_sketch_trim(s));
	found = recall(s, counts, hundredth, &error);
	printf("%-18s %7.1f %7.1f %7.1f %7.1f %7.2f %9d %9u %9llu %9llu\n", stream->name, best[0], best[1],
		   best[2], best[3], best[3] / best[2], found, hundredth, (unsigned long long) tk_sketch_max_error(s),
		   (unsigned long long) (updates / (capacity + 1)));
	tk_sketch_free(s);
	free(counts);
	free(probe);
}

/* ---- merging ---- */

typedef struct Pane
{
	void *bytes;
	size_t len;
} Pane;

static double
encode_panes(const uint8_t *items, Pane *panes)
{
	double spent = 0;

	for (uint64_t pane = 0; pane < PANES; pane++)
	{
		uint64_t from = updates * pane / PANES;
		uint64_t to = updates * (pane + 1) / PANES;
		TkSketch *s;
		double start;

		must(tk_sketch_create(&heap, TK_KIND_TEXT, TOP, capacity, &s));
		for (uint64_t i = from; i < to; i++)
			must(tk_sketch_update(s, items + i * ITEM_BYTES, ITEM_BYTES, 1));
		start = now();
		must(tk_sketch_encode(s, TK_FINAL, NULL, 0, &panes[pane].bytes, &panes[pane].len));
		spent += now() - start;
		tk_sketch_free(s);
	}
	return spent / PANES;
}

static double
decode_panes(const Pane *panes)
{
	double start = now();

	for (int pane = 0; pane < PANES; pane++)
	{
		TkSketch *s;

		must(tk_sketch_decode(&heap, panes[pane].bytes, panes[pane].len, &s));
		tk_sketch_free(s);
	}
	return (now() - start) / PANES;
}

static double
list_panes(const Pane *panes)
{
	double start = now();

	for (int pane = 0; pane < PANES; pane++)
	{
		TkView view;
		TkItem *listed;
		size_t count;

		must(tk_view_open(panes[pane].bytes, panes[pane].len, &view));
		must(tk_view_items(&view, &heap, TOP, &listed, &count));
		free(listed);
	}
	return (now() - start) / PANES;
}

static double
merge_panes(const Pane *panes, TkSketch **out)
{
	double start = now();
	TkSketch *s;

	must(tk_sketch_create(&heap, TK_KIND_TEXT, TOP, capacity, &s));
	for (int pane = 0; pane < PANES; pane++)
		must(tk_sketch_merge_encoded(s, panes[pane].bytes, panes[pane].len));
	must(tk_sketch_trim(s));
	*out = s;
	return now() - start;
}

static void
bench_panes(uint32_t *ids, uint8_t *items)
{
	static const Stream zipf = {"Zipf 1.0", 1.0, NULL};
	Pane *panes = need(calloc(PANES, sizeof(*panes)));
	TkSketch *merged = NULL;
	double best = 1e18;
	double encode;
	double error;
	uint32_t hundredth;
	uint32_t *counts;
	size_t bytes = 0;

	fill_ids(&zipf, ids);
	for (uint64_t i = 0; i < updates; i++)
		write_item(ids[i], items + i * ITEM_BYTES);
	encode = encode_panes(items, panes);
	for (int pane = 0; pane < PANES; pane++)
		bytes += panes[pane].len;
	for (int round = 0; round < 3 * rounds; round++)
	{
		double spent;

		tk_sketch_free(merged);
		spent = merge_panes(panes, &merged);
		best = spent < best ? spent : best;
	}
	printf("\n%d panes of the Zipf 1.0 stream, %zu bytes each:\n", PANES, bytes / PANES);
	printf("merge all %.2f ms; a pane: encode %.1f us, decode %.1f us, list its top %d %.1f us\n", best / 1e6,
		   encode / 1e3, decode_panes(panes) / 1e3, TOP, list_panes(panes) / 1e3);
	counts = true_counts(ids, &hundredth);
	printf("merged: recall@100 %d", recall(merged, counts, hundredth, &error));
	printf(", mean error of the top 100 %.3f %%, theta %llu\n", 100 * error,
		   (unsigned long long) tk_sketch_max_error(merged));
	tk_sketch_free(merged);
	for (int pane = 0; pane < PANES; pane++)
		free(panes[pane].bytes);
	free(panes);
	free(counts);
}

int
main(int argc, char **argv)
{
	static const Stream streams[] = {
		{"Zipf 0.8", 0.8, NULL},
		{"Zipf 1.0", 1.0, NULL},
		{"Zipf 1.5", 1.5, NULL},
		{"uniform", 0, uniform},
		{"all distinct", 0, all_distinct},
		{"sorted by item", 1.0, NULL},
		{"rare to frequent", 1.0, NULL},
		{"heavy, then flood", 0, heavy_then_flood},
		{"flood, then heavy", 0, flood_then_heavy},
	};
	uint32_t *ids;
	uint8_t *items;

	updates = argc > 1 ? strtoull(argv[1], NULL, 10) : updates;
	capacity = argc > 2 ? (uint32_t) strtoul(argv[2], NULL, 10) : capacity;
	rounds = argc > 3 ? atoi(argv[3]) : rounds;
	if (updates < PANES || updates > UINT32_MAX || capacity < TOP || rounds < 1)
	{
		fprintf(stderr, "usage: sketch_bench [updates >= %d] [capacity >= %d] [rounds]\n", PANES, TOP);
		return 2;
	}
	ids = need(calloc(updates, sizeof(*ids)));
	items = need(calloc(updates, ITEM_BYTES));
	printf("%llu updates, capacity %u; ns per update, best of %d\n", (unsigned long long) updates, capacity,
		   rounds);
	printf("%-18s %7s %7s %7s %7s %7s %9s %9s %9s %9s\n", "stream", "read", "hash", "+probe", "sketch",
		   "ratio", "recall100", "100th", "theta", "n/(m+1)");
	for (size_t at = 0; at < sizeof(streams) / sizeof(streams[0]); at++)
		bench_stream(&streams[at], ids, items);
	bench_panes(ids, items);
	free(ids);
	free(items);
	return 0;
}
