/*
 * sketch_ops_fuzz.c
 *		libFuzzer target: the input is a program of updates, merges, trims, round trips and resets over
 *		three sketches, run beside exact counts. Promises, and the bounds of every key, are checked at
 *		the end.
 *
 * An instruction is three bytes: what and where, a key, a weight or another sketch. Bursts count many
 * keys at once, so that short programs reach purges.
 */
#include <string.h>

#include "sketch_fuzz.h"

#define SKETCHES 3
#define KEYS 2048
#define MAX_STEPS 20

typedef struct Machine
{
	TkSketch *sketches[SKETCHES];
	uint64_t truth[SKETCHES][KEYS];
} Machine;

static void
add(Machine *machine, unsigned at, uint32_t number, uint64_t weight)
{
	uint8_t key[8];
	TkStatus status;

	tk_bigint_key((int64_t) number * 7919, key);
	status = tk_sketch_update(machine->sketches[at], key, sizeof(key), weight);
	if (status == TK_OK)
		machine->truth[at][number] += weight;
	else
		REQUIRE(status == TK_OVERFLOW && weight > TK_MAX_TOTAL - tk_sketch_total(machine->sketches[at]));
}

/* Many keys, from `from` on, `step` apart, each with a weight of its own. */
static void
burst(Machine *machine, unsigned at, unsigned from, unsigned step)
{
	for (uint32_t i = 0; i < 1100; i++)
		add(machine, at, (from * 16 + i * (step + 1)) % KEYS, 1 + (i * step) % 5);
}

static void
merge(Machine *machine, unsigned to, unsigned from, bool encoded, TkEncodeMode mode)
{
	TkSketch *dst = machine->sketches[to];
	TkSketch *src = machine->sketches[from];
	TkStatus status;

	if (encoded)
	{
		void *block;
		size_t len;

		REQUIRE(tk_sketch_encode(src, mode, NULL, 0, &block, &len) == TK_OK);
		status = tk_sketch_merge_encoded(dst, block, len);
		free(block);
	}
	else
		status = tk_sketch_merge(dst, src);
	REQUIRE(status == TK_OK || status == TK_OVERFLOW);
	for (uint32_t i = 0; i < KEYS && status == TK_OK; i++)
		machine->truth[to][i] += machine->truth[from][i];
}

static void
store_and_load(Machine *machine, unsigned at, TkEncodeMode mode)
{
	void *block;
	size_t len;
	TkSketch *copy;

	REQUIRE(tk_sketch_encode(machine->sketches[at], mode, NULL, 0, &block, &len) == TK_OK);
	REQUIRE(tk_sketch_decode(&fuzz_heap, block, len, &copy) == TK_OK);
	free(block);
	tk_sketch_free(machine->sketches[at]);
	machine->sketches[at] = copy;
}

static void
execute(Machine *machine, const uint8_t *code)
{
	unsigned at = code[0] / 16 % SKETCHES;

	switch (code[0] % 16)
	{
		case 0:
			merge(machine, at, code[1] % SKETCHES, false, TK_FINAL);
			break;
		case 1:
			merge(machine, at, code[1] % SKETCHES, true, code[2] % 2 ? TK_FINAL : TK_PARTIAL);
			break;
		case 2:
			REQUIRE(tk_sketch_trim(machine->sketches[at]) == TK_OK);
			break;
		case 3:
			store_and_load(machine, at, code[2] % 2 ? TK_FINAL : TK_PARTIAL);
			break;
		case 4:
			tk_sketch_reset(machine->sketches[at]);
			memset(machine->truth[at], 0, sizeof(machine->truth[at]));
			break;
		case 5:
		case 6:
		case 7:
			burst(machine, at, code[1], code[2]);
			break;
		case 8:
			add(machine, at, code[1], UINT64_C(1) << (code[2] % 64));
			break;
		default:
			add(machine, at, (uint32_t) code[1] << 3 | code[0] >> 5, code[2]);
			break;
	}
}

static void
check_bounds(const Machine *machine)
{
	for (unsigned at = 0; at < SKETCHES; at++)
	{
		fuzz_check_promises(machine->sketches[at]);
		for (uint32_t i = 0; i < KEYS; i++)
		{
			uint8_t key[8];
			uint64_t lower;
			uint64_t upper;

			tk_bigint_key((int64_t) i * 7919, key);
			tk_sketch_estimate(machine->sketches[at], key, sizeof(key), &lower, &upper);
			REQUIRE(lower <= machine->truth[at][i] && machine->truth[at][i] <= upper);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Machine machine;

	if (size < SKETCHES)
		return 0;
	memset(&machine, 0, sizeof(machine));
	for (int at = 0; at < SKETCHES; at++)
	{
		uint32_t capacity = 1 + data[at] * 3u;

		REQUIRE(tk_sketch_create(&fuzz_heap, TK_KIND_BIGINT, 1 + data[at] / 2, capacity,
								 &machine.sketches[at]) == TK_OK);
	}
	data += SKETCHES;
	size -= SKETCHES;
	for (int step = 0; step < MAX_STEPS && size >= 3; step++, data += 3, size -= 3)
		execute(&machine, data);
	check_bounds(&machine);
	for (int at = 0; at < SKETCHES; at++)
		tk_sketch_free(machine.sketches[at]);
	return 0;
}
