/*
 * sketch_columns_test.c
 *		The reader of stored columns takes eight numbers at once where it can. Here it meets many columns at
 *		the edge of what is allowed, and must accept just those that the rules (wire.h) allow, which are
 *		applied here to one number after the other.
 *
 * Argument: how many columns (default 300,000).
 */
#include "sketch_support.h"

#define MAX_ENTRIES 60
#define CAPACITY 5

/* A sketch as its numbers, right or wrong. */
typedef struct Columns
{
	uint32_t count;
	uint64_t total;
	uint64_t theta;
	uint64_t steps[MAX_ENTRIES]; /* the first excess, then what each is less than the one before */
	uint64_t gaps[MAX_ENTRIES];
	bool text; /* else bigint */
	uint64_t lengths[MAX_ENTRIES];
	int excess_bytes; /* key bytes beyond (or, below 0, short of) the lengths' sum */
} Columns;

static uint8_t *
put(uint8_t *at, uint64_t value)
{
	for (; value > 0x7F; value >>= 7)
		*at++ = (uint8_t) (value | 0x80);
	*at++ = (uint8_t) value;
	return at;
}

static uint8_t *
put_keys(uint8_t *at, const Columns *columns)
{
	for (uint32_t i = 0; i < columns->count; i++)
	{
		if (columns->text)
		{
			memset(at, (int) (0x21 + i), columns->lengths[i]);
			at += columns->lengths[i];
			continue;
		}
		tk_bigint_key(i, at);
		at += 8;
	}
	for (int i = 0; i < columns->excess_bytes; i++)
		*at++ = 'x';
	return columns->excess_bytes < 0 ? at - 1 : at;
}

static size_t
write_columns(const Columns *columns, uint8_t *bytes)
{
	uint8_t *at = bytes;

	*at++ = 1;
	*at++ = (uint8_t) ((columns->theta == 0 ? 1 : 0) | (columns->count > CAPACITY ? 2 : 0));
	*at++ = columns->text ? TK_KIND_TEXT : TK_KIND_BIGINT;
	at = put(put(at, 1), CAPACITY);
	at = put(put(put(at, columns->total), columns->theta), columns->count);
	for (uint32_t i = 0; i < columns->count; i++)
		at = put(at, columns->steps[i]);
	for (uint32_t i = 0; i < columns->count && columns->theta > 0; i++)
		at = put(at, columns->gaps[i]);
	for (uint32_t i = 0; i < columns->count && columns->text; i++)
		at = put(at, columns->lengths[i]);
	return (size_t) (put_keys(at, columns) - bytes);
}

/* May these be the numbers of a sketch? */
static bool
numbers_allowed(const Columns *columns)
{
	uint64_t excess = columns->count > 0 ? columns->steps[0] : 0;
	uint64_t excesses = excess;
	uint64_t gaps = 0;

	for (uint32_t i = 1; i < columns->count; i++)
	{
		if (columns->steps[i] > excess)
			return false;
		excess -= columns->steps[i];
		excesses += excess;
	}
	if (columns->theta == 0)
		return excesses == columns->total && (columns->count == 0 || excess > 0);
	for (uint32_t i = 0; i < columns->count; i++)
	{
		if (columns->gaps[i] > columns->theta)
			return false;
		gaps += columns->gaps[i];
	}
	return (CAPACITY + 1) * columns->theta + excesses <= columns->total && excesses + gaps <= columns->total;
}

/* Text of one length throughout must say so by a flag, which is never set here. */
static bool
lengths_allowed(const Columns *columns)
{
	bool differ = !columns->text || columns->count == 0;

	for (uint32_t i = 1; i < columns->count; i++)
		differ |= columns->lengths[i] != columns->lengths[0];
	return differ && columns->excess_bytes == 0;
}

/* Mostly `usual`, now and then up to `most`. */
static uint64_t
pick(uint64_t *random, uint64_t usual, uint64_t most)
{
	return random_below(random, 30) > 0 ? random_below(random, usual + 1) : random_below(random, most + 1);
}

/* Numbers that are allowed or nearly so. */
static void
make_columns(Columns *columns, uint64_t *random)
{
	static const uint64_t thetas[] = {0, 1, 3, 100, 126, 127, 128, 129, 1000};
	uint64_t excess;
	uint64_t least;

	memset(columns, 0, sizeof(*columns));
	columns->text = random_below(random, 4) == 0;
	columns->count = (uint32_t) random_below(random, MAX_ENTRIES + 1);
	columns->theta = thetas[random_below(random, 9)];
	excess = columns->steps[0] = 1 + random_below(random, 300);
	least = (CAPACITY + 1) * columns->theta + (columns->count > 0 ? excess : 0);
	for (uint32_t i = 0; i < columns->count; i++)
	{
		uint64_t step = pick(random, columns->text || random_below(random, 4) == 0, 40);

		columns->gaps[i] = pick(random, columns->theta, columns->theta + 2);
		columns->lengths[i] = pick(random, 2, 200) + (i > 0);
		if (i == 0)
			continue;
		/* equal text keys of no length aside, keys ascend as they come, so equal excesses are fine */
		columns->steps[i] = random_below(random, 100) > 0 && step > excess ? excess : step;
		excess -= columns->steps[i] <= excess ? columns->steps[i] : 0;
		least += excess;
	}
	columns->total = least + pick(random, 0, 100) - (random_below(random, 10) == 0 && least > 0);
	if (columns->text && random_below(random, 30) == 0)
		columns->excess_bytes = random_below(random, 2) > 0 || columns->count < 2 ? 1 : -1;
}

static bool
try_columns(const Columns *columns, bool allowed)
{
	uint8_t bytes[MAX_ENTRIES * 300];
	size_t len = write_columns(columns, bytes);
	uint8_t *exact = malloc(len);
	TkSketch *s = NULL;
	TkView view;
	void *back = NULL;
	bool right;

	/* the sanitizer sees a step beyond these */
	memcpy(exact, bytes, len);
	right = (tk_sketch_decode(&alloc, exact, len, &s) == TK_OK) == allowed &&
			(tk_view_open(exact, len, &view) == TK_OK) == allowed;
	if (right && allowed)
		right =
			tk_sketch_encode(s, TK_PARTIAL, NULL, 0, &back, &len) == TK_OK && memcmp(back, exact, len) == 0;
	if (back != NULL)
		heap_release(&heap, back);
	tk_sketch_free(s);
	free(exact);
	return right;
}

int
main(int argc, char **argv)
{
	uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000;
	uint64_t random = 5;
	uint64_t accepted = 0;
	uint64_t wrong = 0;

	for (uint64_t round = 0; round < rounds; round++)
	{
		Columns columns;
		bool allowed;

		make_columns(&columns, &random);
		allowed = numbers_allowed(&columns) && lengths_allowed(&columns);
		accepted += allowed;
		wrong += !try_columns(&columns, allowed);
	}
	ok(wrong == 0, "%llu columns allowed, %llu not, and the reader knows which",
	   (unsigned long long) accepted, (unsigned long long) (rounds - accepted));
	ok(accepted > rounds / 10 && accepted < rounds * 9 / 10, "there are many of either");
	is_number(heap.live, 0, "no memory is lost");
	return tap_end();
}
