/*
 * sketch_property_test.c
 *		Random histories of sketches against an exact oracle.
 *
 * A world is a universe of keys and a few sketches, each with an array that holds the true weight of
 * every key. Steps pick a sketch and update it, merge another into it (from memory or stored), trim it,
 * send it through storage, clone or reset it; the arrays follow. After each step the promises of sketch.h
 * are checked for every key. Arguments: the number of bound checks to reach (default 100,000,000), and
 * the seed of the first world.
 */
#include "sketch_support.h"

#define SKETCHES 5
#define STEPS_PER_WORLD 40
#define MAX_KEY 48

typedef struct World
{
	uint64_t random;
	TkKind kind;
	uint32_t keys; /* size of the universe */
	uint32_t max_capacity;
	int shape;      /* which keys updates favour */
	int weights;    /* how large weights are */
	uint8_t *bytes; /* MAX_KEY for each key */
	size_t *lengths;
	TkSketch *sketches[SKETCHES];
	uint64_t *truth[SKETCHES];
} World;

static uint64_t checks;
static uint64_t merges;
static uint64_t inexact;
static uint64_t guaranteed;
static double worst_ratio;
static uint64_t world_seed;

/* A broken promise: say where, and stop. */
static void __attribute__((noreturn)) broken(const char *what, const World *world, int at)
{
	const TkSketch *s = world->sketches[at];

	printf("not ok 1 - %s\n# seed %llu, sketch %d: m=%u n=%llu theta=%llu count=%u\n1..1\n", what,
		   (unsigned long long) world_seed, at, tk_sketch_capacity(s),
		   (unsigned long long) tk_sketch_total(s), (unsigned long long) tk_sketch_max_error(s),
		   tk_sketch_count(s));
	exit(1);
}

static void
expect(bool holds, const char *what, const World *world, int at)
{
	checks++;
	if (!holds)
		broken(what, world, at);
}

static void
make_key(World *world, uint32_t i)
{
	uint8_t *key = world->bytes + (size_t) i * MAX_KEY;
	uint64_t number = i;

	if (world->kind == TK_KIND_BIGINT)
		tk_bigint_key((int64_t) (i * UINT64_C(0x9E3779B97F4A7C15)), key);
	else if (world->kind == TK_KIND_UUID)
		for (int at = 0; at < 16; at += 8, number = random_next(&number))
			memcpy(key + at, &number, 8);
	else if (i % 3 == 0)
		snprintf((char *) key, MAX_KEY, "%u", i);
	else
		snprintf((char *) key, MAX_KEY, "https://shop.example/%.*s/%u", (int) (i % 7), "segment", i);
	world->lengths[i] = tk_kind_width(world->kind) > 0 ? tk_kind_width(world->kind) : strlen((char *) key);
}

static void
make_world(World *world, uint64_t seed)
{
	static const uint32_t universes[] = {20, 300, 1500, 4000, 15000};

	memset(world, 0, sizeof(*world));
	world->random = seed;
	world->kind = (TkKind) (1 + random_below(&world->random, 3));
	world->keys = universes[random_below(&world->random, 5)];
	world->max_capacity = random_below(&world->random, 8) == 0 ? 3000 : 400;
	world->shape = (int) random_below(&world->random, 4);
	world->weights = (int) random_below(&world->random, 4);
	world->bytes = calloc(world->keys, MAX_KEY);
	world->lengths = calloc(world->keys, sizeof(size_t));
	for (uint32_t i = 0; i < world->keys; i++)
		make_key(world, i);
	for (int at = 0; at < SKETCHES; at++)
	{
		uint32_t capacity = 1 + (uint32_t) random_below(&world->random, world->max_capacity);
		uint32_t k = 1 + (uint32_t) random_below(&world->random, capacity);

		world->sketches[at] = must_create(&alloc, world->kind, k, capacity);
		world->truth[at] = calloc(world->keys, sizeof(uint64_t));
	}
}

static void
free_world(World *world)
{
	for (int at = 0; at < SKETCHES; at++)
	{
		tk_sketch_free(world->sketches[at]);
		free(world->truth[at]);
	}
	free(world->bytes);
	free(world->lengths);
}

/* ---- steps ---- */

static uint32_t
pick_key(World *world, uint64_t i)
{
	uint64_t a = random_below(&world->random, world->keys);
	uint64_t b = random_below(&world->random, world->keys);

	switch (world->shape)
	{
		case 0:
			return (uint32_t) a; /* uniform */
		case 1:
			return (uint32_t) (a * b / world->keys * random_below(&world->random, world->keys) / world->keys);
		case 2:
			return (uint32_t) (i % world->keys); /* round robin: sorted, flat */
		default:
			return (uint32_t) (random_below(&world->random, 3) == 0 ? a
																	: a % 30); /* a heavy few, and noise */
	}
}

static uint64_t
pick_weight(World *world)
{
	switch (world->weights)
	{
		case 0:
			return 1;
		case 1:
			return random_below(&world->random, 10);
		case 2:
			return 1 + (random_next(&world->random) >> (24 + random_below(&world->random, 40)));
		default:
			return random_below(&world->random, 1000) == 0 ? 100000 : 1;
	}
}

static void
update_some(World *world, int at)
{
	uint64_t count = random_below(&world->random, 8 * (uint64_t) world->keys);

	for (uint64_t i = 0; i < count; i++)
	{
		uint32_t key = pick_key(world, i);
		uint64_t weight = pick_weight(world);
		const uint8_t *bytes = world->bytes + (size_t) key * MAX_KEY;
		TkStatus status = tk_sketch_update(world->sketches[at], bytes, world->lengths[key], weight);

		expect(status == TK_OK, "an update succeeds", world, at);
		world->truth[at][key] += weight;
	}
}

static void
add_truth(World *world, int to, int from)
{
	for (uint32_t i = 0; i < world->keys; i++)
		world->truth[to][i] += world->truth[from][i];
}

static void
merge_memory(World *world, int to, int from)
{
	if (tk_sketch_total(world->sketches[to]) + tk_sketch_total(world->sketches[from]) > TK_MAX_TOTAL / 2)
		return;
	expect(tk_sketch_merge(world->sketches[to], world->sketches[from]) == TK_OK, "a merge succeeds", world,
		   to);
	add_truth(world, to, from);
	merges++;
}

static void
merge_stored(World *world, int to, int from, TkEncodeMode mode)
{
	void *block;
	size_t len;

	if (tk_sketch_total(world->sketches[to]) + tk_sketch_total(world->sketches[from]) > TK_MAX_TOTAL / 2)
		return;
	expect(tk_sketch_encode(world->sketches[from], mode, &alloc, 0, &block, &len) == TK_OK, "it encodes",
		   world, from);
	expect(tk_sketch_merge_encoded(world->sketches[to], block, len) == TK_OK, "a stored merge succeeds",
		   world, to);
	heap_release(&heap, block);
	add_truth(world, to, from);
	merges++;
}

/* Replace a sketch by what comes back from storage. */
static void
store_and_load(World *world, int at, TkEncodeMode mode)
{
	void *block;
	size_t len;
	TkSketch *copy;

	expect(tk_sketch_encode(world->sketches[at], mode, &alloc, 4, &block, &len) == TK_OK, "it encodes", world,
		   at);
	expect(tk_sketch_decode(&alloc, (char *) block + 4, len, &copy) == TK_OK, "its bytes decode", world, at);
	heap_release(&heap, block);
	tk_sketch_free(world->sketches[at]);
	world->sketches[at] = copy;
}

static void
replace_by_clone(World *world, int at)
{
	TkSketch *copy;

	expect(tk_sketch_clone(world->sketches[at], NULL, &copy) == TK_OK, "it clones", world, at);
	tk_sketch_free(world->sketches[at]);
	world->sketches[at] = copy;
}

static void
reset_one(World *world, int at)
{
	tk_sketch_reset(world->sketches[at]);
	memset(world->truth[at], 0, world->keys * sizeof(uint64_t));
}

/* ---- checks ---- */

static void
check_bounds(World *world, int at)
{
	const TkSketch *s = world->sketches[at];
	uint64_t theta = tk_sketch_max_error(s);

	for (uint32_t i = 0; i < world->keys; i++)
	{
		uint64_t truth = world->truth[at][i];
		uint64_t lower;
		uint64_t upper;
		bool found;

		found = tk_sketch_estimate(s, world->bytes + (size_t) i * MAX_KEY, world->lengths[i], &lower, &upper);
		expect(lower <= truth && truth <= upper, "lower <= true <= upper", world, at);
		expect(upper - lower <= theta, "upper - lower <= theta", world, at);
		expect(found || truth <= theta, "an item above theta is present", world, at);
	}
}

static void
check_totals(World *world, int at)
{
	const TkSketch *s = world->sketches[at];
	unsigned __int128 potential = (unsigned __int128) tk_sketch_max_error(s) * (tk_sketch_capacity(s) + 1);
	uint64_t sum = 0;
	TkItem *items;
	size_t count;

	for (uint32_t i = 0; i < world->keys; i++)
		sum += world->truth[at][i];
	expect(tk_sketch_total(s) == sum, "the total is the sum", world, at);
	if (tk_sketch_items(s, &alloc, SIZE_MAX, &items, &count) != TK_OK)
		broken("items are listed", world, at);
	for (size_t i = 0; i < count; i++)
	{
		expect(items[i].upper >= tk_sketch_max_error(s), "an upper bound is at least theta", world, at);
		potential += items[i].upper - tk_sketch_max_error(s);
	}
	expect(potential <= sum, "(m+1) theta + sum of excess <= n", world, at);
	if (sum > 0 && tk_sketch_max_error(s) > 0 && (double) potential / (double) sum > worst_ratio)
		worst_ratio = (double) potential / (double) sum;
	inexact += tk_sketch_max_error(s) > 0;
	if (items != NULL)
		heap_release(&heap, items);
}

/* The universe's number of a key, by search in the sketch's own list: keys are found by equality only. */
static uint64_t
truth_of(const World *world, int at, const TkItem *item)
{
	for (uint32_t i = 0; i < world->keys; i++)
		if (world->lengths[i] == item->key_len &&
			memcmp(world->bytes + (size_t) i * MAX_KEY, item->key, item->key_len) == 0)
			return world->truth[at][i];
	return 0;
}

static bool
in_order(const TkItem *a, const TkItem *b)
{
	size_t shared = a->key_len < b->key_len ? a->key_len : b->key_len;
	int order = memcmp(a->key, b->key, shared);

	if (a->upper != b->upper)
		return a->upper > b->upper;
	if (a->lower != b->lower)
		return a->lower > b->lower;
	return order < 0 || (order == 0 && a->key_len < b->key_len);
}

/* What a query of the finished sketch sees, from its stored bytes. */
static void
check_finished(World *world, int at)
{
	void *block;
	size_t len;
	TkView view;
	TkItem *items;
	size_t count;
	uint32_t k = tk_sketch_k(world->sketches[at]);

	expect(tk_sketch_encode(world->sketches[at], TK_FINAL, &alloc, 0, &block, &len) == TK_OK, "it encodes",
		   world, at);
	expect(tk_view_open(block, len, &view) == TK_OK, "its bytes open", world, at);
	expect(view.summary.max_error <= view.summary.total / (view.summary.capacity + 1), "theta <= n/(m+1)",
		   world, at);
	if (tk_view_items(&view, &alloc, SIZE_MAX, &items, &count) != TK_OK)
		broken("viewed items are listed", world, at);
	expect(count == (tk_sketch_count(world->sketches[at]) < view.summary.capacity
						 ? tk_sketch_count(world->sketches[at])
						 : view.summary.capacity),
		   "trimming keeps m entries", world, at);
	for (size_t i = 0; i < count; i++)
	{
		uint64_t truth = i < 40 || items[i].guaranteed ? truth_of(world, at, &items[i]) : items[i].lower;
		uint32_t above = 0;

		expect(items[i].lower <= truth && truth <= items[i].upper, "bounds of a listed item", world, at);
		expect(i == 0 || in_order(&items[i - 1], &items[i]), "items are in order", world, at);
		if (!items[i].guaranteed)
			continue;
		for (uint32_t key = 0; key < world->keys; key++)
			above += world->truth[at][key] > truth;
		expect(above < k, "a guaranteed item is among the top k", world, at);
		guaranteed++;
	}
	heap_release(&heap, block);
	if (items != NULL)
		heap_release(&heap, items);
}

static void
step(World *world)
{
	int at = (int) random_below(&world->random, SKETCHES);
	int other = (int) random_below(&world->random, SKETCHES);

	switch (random_below(&world->random, 14))
	{
		case 0:
		case 1:
			merge_memory(world, at, other);
			break;
		case 2:
			merge_stored(world, at, other, TK_FINAL);
			break;
		case 3:
			merge_stored(world, at, other, TK_PARTIAL);
			break;
		case 4:
			expect(tk_sketch_trim(world->sketches[at]) == TK_OK, "it trims", world, at);
			break;
		case 5:
			store_and_load(world, at, TK_FINAL);
			break;
		case 6:
			store_and_load(world, at, TK_PARTIAL);
			break;
		case 7:
			replace_by_clone(world, at);
			break;
		case 8:
			if (random_below(&world->random, 4) == 0)
				reset_one(world, at);
			break;
		default:
			update_some(world, at);
			break;
	}
	check_bounds(world, at);
	check_totals(world, at);
	if (random_below(&world->random, 8) == 0)
		check_finished(world, at);
}

int
main(int argc, char **argv)
{
	uint64_t wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000000;
	uint64_t worlds = 0;

	world_seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	for (; checks < wanted; world_seed++, worlds++)
	{
		World world;

		make_world(&world, world_seed);
		for (int i = 0; i < STEPS_PER_WORLD; i++)
			step(&world);
		free_world(&world);
	}
	ok(true, "%llu checks in %llu worlds with %llu merges hold", (unsigned long long) checks,
	   (unsigned long long) worlds, (unsigned long long) merges);
	ok(worst_ratio <= 1.0, "the worst ratio of the potential to the total is %.4f", worst_ratio);
	ok(inexact > 0 && guaranteed > 0, "%llu states were inexact, %llu items guaranteed",
	   (unsigned long long) inexact, (unsigned long long) guaranteed);
	is_number(heap.live, 0, "no block is left");
	return tap_end();
}
