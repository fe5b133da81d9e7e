/*
 * sketch_ops_fuzz.c
 *		libFuzzer target: the input is a program of updates, merges, trims, round trips and resets over
 *		three sketches, run beside exact counts. Promises, and the bounds of keys, are checked at the end.
 *
 * The first bytes say in which state, of a few that take many updates to reach, each sketch begins: one
 * update before a purge, behind one, full of merges. An instruction is three bytes: what and where, a key,
 * a weight or another sketch.
 *
 * Speed matters more than depth here (the property test has the depth): only a few instructions of a
 * program may be those that look at all entries, of the bounds one in STRIDE is checked, another one for
 * each input, and the promises for some inputs.
 */
#include <string.h>

#include "sketch_fuzz.h"

#define SKETCHES 3
#define STATES 5
#define CAPACITIES 4
#define KEYS 2048
#define MAX_STEPS 40
#define MAX_HEAVY 2 /* instructions that look at all entries */
#define STRIDE 32
#define WORKING 1024 /* as many entries as these sketches hold before they purge */

/* A sketch and the exact counts of what it has seen. */
typedef struct Counted
{
	TkSketch *sketch;
	uint64_t truth[KEYS];
} Counted;

typedef struct Machine
{
	Counted counted[SKETCHES];
	int heavy;
	unsigned last; /* the sketch that was last changed */
} Machine;

static void
add(Counted *counted, uint32_t number, uint64_t weight)
{
	uint8_t key[8];
	TkStatus status;

	tk_bigint_key((int64_t) number * 7919, key);
	status = tk_sketch_update(counted->sketch, key, sizeof(key), weight);
	if (status == TK_OK)
		counted->truth[number] += weight;
	else
		REQUIRE(status == TK_OVERFLOW && weight > TK_MAX_TOTAL - tk_sketch_total(counted->sketch));
}

/* Some keys, from `from` on, `step` apart, each with a weight of its own. */
static void
burst(Counted *counted, unsigned from, unsigned step)
{
	for (uint32_t i = 0; i < 24; i++)
		add(counted, (from * 16 + i * (step + 1)) % KEYS, 1 + (i * step) % 5);
}

static void
merge(Counted *to, const Counted *from, bool encoded, TkEncodeMode mode)
{
	TkStatus status;

	if (encoded)
	{
		void *block;
		size_t len;

		REQUIRE(tk_sketch_encode(from->sketch, mode, NULL, 0, &block, &len) == TK_OK);
		status = tk_sketch_merge_encoded(to->sketch, block, len);
		free(block);
	}
	else
		status = tk_sketch_merge(to->sketch, from->sketch);
	REQUIRE(status == TK_OK || status == TK_OVERFLOW);
	if (status == TK_OK)
		for (uint32_t i = 0; i < KEYS; i++)
			to->truth[i] += from->truth[i];
}

static void
store_and_load(Counted *counted, TkEncodeMode mode)
{
	void *block;
	size_t len;
	TkSketch *copy;

	REQUIRE(tk_sketch_encode(counted->sketch, mode, NULL, 0, &block, &len) == TK_OK);
	REQUIRE(tk_sketch_decode(&fuzz_heap, block, len, &copy) == TK_OK);
	free(block);
	tk_sketch_free(counted->sketch);
	counted->sketch = copy;
}

static void
reset(Counted *counted)
{
	tk_sketch_reset(counted->sketch);
	memset(counted->truth, 0, sizeof(counted->truth));
}

/* ---- the states to begin with ---- */

static void
fill_state(Counted *state, unsigned number)
{
	static Counted other;

	if (number == 0)
		return;
	for (uint32_t i = 0; i < WORKING; i++)
		add(state, i, 1 + i % 7);
	for (uint32_t i = 0; i < 400 && number > 1; i++)
		add(state, WORKING - 100 + i, 1 + i % 40);
	if (number < 3)
		return;
	REQUIRE(tk_sketch_clone(state->sketch, NULL, &other.sketch) == TK_OK);
	reset(&other);
	for (uint32_t i = 0; i < (number == 3 ? WORKING - 100 : KEYS); i++)
		add(&other, KEYS - 1 - i, 1 + i % 5);
	merge(state, &other, number == 3, TK_PARTIAL);
	tk_sketch_free(other.sketch);
}

/* Empty; full; purged, with a filter; full of merges; two filters merged. For each of a few capacities. */
static Counted *
first_states(void)
{
	static const uint32_t capacities[CAPACITIES] = {1, 20, 300, 512};
	static Counted states[CAPACITIES * STATES];

	if (states[0].sketch != NULL)
		return states;
	for (unsigned i = 0; i < CAPACITIES * STATES; i++)
	{
		uint32_t capacity = capacities[i / STATES];

		REQUIRE(tk_sketch_create(&fuzz_heap, TK_KIND_BIGINT, (capacity + 1) / 2, capacity,
								 &states[i].sketch) == TK_OK);
		fill_state(&states[i], i % STATES);
	}
	return states;
}

static void
start(Machine *machine, const uint8_t *data)
{
	const Counted *states = first_states();

	machine->heavy = 0;
	machine->last = 0;
	for (int at = 0; at < SKETCHES; at++)
	{
		const Counted *state = &states[data[at] % (CAPACITIES * STATES)];

		REQUIRE(tk_sketch_clone(state->sketch, NULL, &machine->counted[at].sketch) == TK_OK);
		memcpy(machine->counted[at].truth, state->truth, sizeof(state->truth));
	}
}

/* ---- running ---- */

/* Instructions that look at all entries. */
static void
execute_heavy(Machine *machine, Counted *counted, const uint8_t *code)
{
	const Counted *other = &machine->counted[code[1] % SKETCHES];
	TkEncodeMode mode = code[2] % 2 ? TK_FINAL : TK_PARTIAL;

	if (machine->heavy++ >= MAX_HEAVY)
		return;
	switch (code[0] % 16)
	{
		case 0:
			merge(counted, other, false, mode);
			break;
		case 1:
			merge(counted, other, true, mode);
			break;
		case 2:
			REQUIRE(tk_sketch_trim(counted->sketch) == TK_OK);
			break;
		default:
			store_and_load(counted, mode);
			break;
	}
}

static void
execute(Machine *machine, const uint8_t *code)
{
	unsigned at = code[0] / 16 % SKETCHES;
	Counted *counted = &machine->counted[at];

	machine->last = at;
	switch (code[0] % 16)
	{
		case 0:
		case 1:
		case 2:
		case 3:
			execute_heavy(machine, counted, code);
			break;
		case 4:
			reset(counted);
			break;
		case 5:
		case 6:
		case 7:
			burst(counted, code[1], code[2]);
			break;
		case 8:
			add(counted, code[1], UINT64_C(1) << (code[2] % 64));
			break;
		default:
			add(counted, (uint32_t) code[1] << 3 | code[0] >> 5, code[2]);
			break;
	}
}

static void
check_bounds(const Machine *machine, uint32_t first)
{
	for (unsigned at = 0; at < SKETCHES; at++)
		for (uint32_t i = first; i < KEYS; i += STRIDE)
		{
			uint8_t key[8];
			uint64_t lower;
			uint64_t upper;

			tk_bigint_key((int64_t) i * 7919, key);
			tk_sketch_estimate(machine->counted[at].sketch, key, sizeof(key), &lower, &upper);
			REQUIRE(lower <= machine->counted[at].truth[i] && machine->counted[at].truth[i] <= upper);
		}
}

/* Freed blocks are large here: keeping few of them from being used again saves a tenth of the time. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "quarantine_size_mb=4";
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Machine machine;
	uint32_t first;

	if (size < SKETCHES)
		return 0;
	first = (uint32_t) (size + data[size - 1]) % STRIDE;
	start(&machine, data);
	data += SKETCHES;
	size -= SKETCHES;
	for (int step = 0; step < MAX_STEPS && size >= 3; step++, data += 3, size -= 3)
		execute(&machine, data);
	if (first % 4 == 0)
		fuzz_check_promises(machine.counted[machine.last].sketch);
	check_bounds(&machine, first);
	for (int at = 0; at < SKETCHES; at++)
		tk_sketch_free(machine.counted[at].sketch);
	return 0;
}
