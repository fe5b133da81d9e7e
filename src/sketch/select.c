/*
 * select.c
 *		Order statistics by radix: linear time for any values, so no input can make a purge slow.
 */
#include "internal.h"

#define DIGIT_BITS 8
#define DIGITS 256
#define DIGITS_OF_A_VALUE 8

/* The position of the highest byte in which any two of the values differ, in bits; -1 if all are equal. */
static int
highest_difference(const uint64_t *values, size_t count)
{
	uint64_t difference = 0;
	int shift = -DIGIT_BITS;

	for (size_t i = 1; i < count; i++)
		difference |= values[i] ^ values[0];
	for (; difference != 0; difference >>= DIGIT_BITS)
		shift += DIGIT_BITS;
	return shift < 0 ? -1 : shift;
}

/* The number of a value's highest digit that is not 0; 0 if there is none. */
static inline int
highest_digit(uint64_t value)
{
#if defined(__GNUC__)
	return (63 - __builtin_clzll(value | 1)) / DIGIT_BITS;
#else
	int digit = 0;

	while ((value >>= DIGIT_BITS) != 0)
		digit++;
	return digit;
#endif
}

/*
 * The lowest digit, from `shift` down, to begin with: the value sought has zeros between the two, below what
 * all values have in common. Mostly a few values are large and the one sought is small.
 */
static int
first_digit(const uint64_t *values, size_t count, size_t rank, int shift)
{
	uint64_t varying = UINT64_MAX >> (64 - DIGIT_BITS - shift);
	size_t by_size[DIGITS_OF_A_VALUE] = {0};
	int digit = 0;

	for (size_t i = 0; i < count; i++)
		by_size[highest_digit(values[i] & varying)]++;
	for (; rank >= by_size[digit]; digit++)
		rank -= by_size[digit];
	return digit * DIGIT_BITS;
}

/* The value that would stand at `rank` (from 0) if the values were sorted upwards. They are left as they are.
 */
uint64_t
tk_select(const uint64_t *values, size_t count, size_t rank)
{
	int top = highest_difference(values, count);
	int shift;
	uint64_t prefix = values[0];

	if (top < 0)
		return prefix;
	shift = first_digit(values, count, rank, top);
	prefix = prefix >> top >> DIGIT_BITS << (top - shift);
	for (;; shift -= DIGIT_BITS)
	{
		uint32_t histogram[DIGITS] = {0};
		uint32_t digit = 0;

		for (size_t i = 0; i < count; i++)
			if (values[i] >> shift >> DIGIT_BITS == prefix)
				histogram[(values[i] >> shift) & (DIGITS - 1)]++;
		for (; rank >= histogram[digit]; digit++)
			rank -= histogram[digit];
		prefix = prefix << DIGIT_BITS | digit;
		if (shift == 0)
			return prefix;
	}
}

/* Eight bytes of a key from `offset` on as a sortable number, zeros behind its end. */
static uint64_t
key_chunk(const TkSketch *s, uint32_t position, uint32_t offset)
{
	const uint8_t *key = tk_entry_key(s, position);
	uint32_t len = tk_entry_length(s, position);

	return len > offset ? tk_prefix(key + offset, len - offset) : 0;
}

/* Fill `values` with what the keys are compared by in this round; returns false when it was the last round.
 */
static bool
load_chunks(const TkSketch *s, const uint32_t *positions, uint32_t count, uint32_t offset, uint64_t *values)
{
	uint32_t longest = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		uint32_t len = tk_entry_length(s, positions[i]);

		longest = len > longest ? len : longest;
		values[i] = key_chunk(s, positions[i], offset);
	}
	if (longest > offset)
		return true;
	/* they differ in nothing but zero bytes at their ends: the shorter comes first */
	for (uint32_t i = 0; i < count; i++)
		values[i] = tk_entry_length(s, positions[i]);
	return false;
}

/* Swap what lies below the pivot to the front, and what equals it next; returns how many those are. */
static void
partition(uint32_t *positions, uint64_t *values, uint32_t count, uint64_t pivot, uint32_t *below,
		  uint32_t *equal)
{
	uint32_t low = 0;
	uint32_t high = count;

	for (uint32_t i = 0; i < high;)
	{
		uint64_t value = values[i];
		uint32_t position = positions[i];
		uint32_t to;

		if (value == pivot)
		{
			i++;
			continue;
		}
		to = value < pivot ? low++ : --high;
		positions[i] = positions[to];
		values[i] = values[to];
		positions[to] = position;
		values[to] = value;
		/* what came from the front has been looked at already */
		i += value < pivot;
	}
	*below = low;
	*equal = high - low;
}

/*
 * Rearrange `positions` so that the `wanted` (< count) entries with the smallest keys come first. Eight
 * bytes of the keys are compared at a time, and only the keys that have been equal so far go on. `values`
 * is scratch for count values.
 */
void
tk_select_keys(const TkSketch *s, uint32_t *positions, uint32_t count, uint32_t wanted, uint64_t *values)
{
	bool more = true;

	for (uint32_t offset = 0; more && wanted > 0; offset += 8)
	{
		uint32_t below;
		uint32_t equal;

		more = load_chunks(s, positions, count, offset, values);
		partition(positions, values, count, tk_select(values, count, wanted - 1), &below, &equal);
		positions += below;
		wanted -= below;
		count = equal;
		more = more && wanted < count;
	}
}
