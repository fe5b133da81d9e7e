/*
 * bridge_pane_offset_test.c - the notes of which offsets hold which panes, against a naive model.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge_tap.h"
#include "pane_offset.h"

#define MINUTE (60 * TK_US_PER_SECOND)
#define PANES 300

static int allocations_left = -1; /* -1: no limit */

static void *
limited_alloc(void *arg, size_t size)
{
	(void) arg;
	if (allocations_left == 0)
		return NULL;
	if (allocations_left > 0)
		allocations_left--;
	return malloc(size);
}

static void
plain_release(void *arg, void *block)
{
	(void) arg;
	free(block);
}

static const TkAllocator allocator = {limited_alloc, plain_release, NULL};

static TkPartitionClock
clock_of(int64_t time)
{
	TkPartitionClock clock;

	tk_clock_init(&clock);
	tk_clock_restore(&clock, time, time);
	return clock;
}

static void
test_one_pane(void)
{
	TkPaneOffsets offsets;
	TkPartitionClock none;
	TkPartitionClock later = clock_of(7 * MINUTE);

	tk_pane_offsets_init(&offsets, &allocator);
	tk_clock_init(&none);
	tap_ok(tk_pane_offset_note(&offsets, MINUTE, 5 * MINUTE, 10, &none, 99), "the first event of a pane");
	tap_ok(tk_pane_offset_note(&offsets, MINUTE, 6 * MINUTE - 1, 12, &later, 100), "and another one");
	tap_ok(offsets.n == 1 && offsets.entries[0].pane == 5 * MINUTE, "are of one pane");
	tap_ok(offsets.entries[0].first == 10 && offsets.entries[0].last == 12, "with their offsets");
	tap_ok(offsets.entries[0].watermark == TK_NO_TIME && offsets.entries[0].read_at == 99,
		   "the clock is that before the first");
	tap_ok(tk_pane_offset_note(&offsets, MINUTE, 4 * MINUTE, 13, &later, 101) &&
			   offsets.entries[0].pane == 4 * MINUTE && offsets.entries[0].watermark == 7 * MINUTE,
		   "an earlier pane is put before it");
	tap_ok(tk_pane_offset_note(&offsets, MINUTE, 5 * MINUTE, 14, &later, 102) && offsets.n == 2 &&
			   offsets.entries[1].first == 10 && offsets.entries[1].last == 14,
		   "and it can still be widened");
	tk_pane_offsets_clear(&offsets);
	tap_ok(tk_pane_offset_note(&offsets, MINUTE, 5 * MINUTE, 15, &later, 103) && offsets.n == 1 &&
			   offsets.entries[0].first == 15,
		   "after a flush it begins anew");
	free(offsets.entries);
}

static void
test_model(void)
{
	int64_t first[PANES];
	int64_t last[PANES];
	TkPaneOffsets offsets;
	TkPartitionClock clock = clock_of(0);
	unsigned long long seed = 1;
	int seen = 0;
	int wrong = 0;

	memset(first, -1, sizeof(first));
	tk_pane_offsets_init(&offsets, &allocator);
	for (int64_t offset = 0; offset < 2000; offset++)
	{
		int pane = tap_below(&seed, PANES);

		if (!tk_pane_offset_note(&offsets, MINUTE, pane * MINUTE + tap_below(&seed, (int) MINUTE), offset,
								 &clock, offset))
			wrong++;
		if (first[pane] < 0)
			first[pane] = offset;
		last[pane] = offset;
	}
	for (int pane = 0; pane < PANES; pane++)
	{
		if (first[pane] < 0)
			continue;
		wrong += offsets.entries[seen].pane != pane * MINUTE || offsets.entries[seen].first != first[pane] ||
				 offsets.entries[seen].last != last[pane] || offsets.entries[seen].read_at != first[pane];
		seen++;
	}
	tap_ok(wrong == 0 && seen == offsets.n, "panes in any order are as a naive model has them");
	free(offsets.entries);
}

static void
test_no_memory(void)
{
	TkPaneOffsets offsets;
	TkPartitionClock clock = clock_of(0);
	int noted = 0;

	tk_pane_offsets_init(&offsets, &allocator);
	allocations_left = 1;
	while (tk_pane_offset_note(&offsets, MINUTE, noted * MINUTE, noted, &clock, 0))
		noted++;
	tap_ok(noted > 0 && offsets.n == noted, "out of memory is told, and nothing is lost");
	allocations_left = -1;
	tap_ok(tk_pane_offset_note(&offsets, MINUTE, noted * MINUTE, noted, &clock, 0),
		   "and it goes on when there is some");
	free(offsets.entries);
}

int
main(void)
{
	test_one_pane();
	test_model();
	test_no_memory();
	return tap_done();
}
