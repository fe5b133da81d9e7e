/*
 * pane_offset.c - notes of which offsets hold which panes (see pane_offset.h).
 *
 * Between two flushes a partition touches a few panes, or, in a backlog, some hundred; so a sorted array
 * does.  An event of the same pane as the one before it costs a comparison.
 */
#include <string.h>

#include "pane_offset.h"

#define MIN_ROOM 16

void
tk_pane_offsets_init(TkPaneOffsets *offsets, const TkAllocator *allocator)
{
	memset(offsets, 0, sizeof(TkPaneOffsets));
	offsets->allocator = *allocator;
}

/* The position of the first entry that is not before the pane. */
static int
position_of(const TkPaneOffsets *offsets, int64_t pane)
{
	int low = 0;
	int high = offsets->n;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (offsets->entries[middle].pane < pane)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
reserve(TkPaneOffsets *offsets)
{
	int room = offsets->room > 0 ? offsets->room * 2 : MIN_ROOM;
	TkPaneOffset *grown;

	if (offsets->n < offsets->room)
		return true;
	grown = offsets->allocator.alloc(offsets->allocator.arg, sizeof(TkPaneOffset) * (size_t) room);
	if (grown == NULL)
		return false;
	if (offsets->n > 0)
		memcpy(grown, offsets->entries, sizeof(TkPaneOffset) * (size_t) offsets->n);
	if (offsets->entries != NULL)
		offsets->allocator.release(offsets->allocator.arg, offsets->entries);
	offsets->entries = grown;
	offsets->room = room;
	return true;
}

static void
insert_entry(TkPaneOffsets *offsets, int at, int64_t pane, int64_t offset, const TkPartitionClock *clock,
			 int64_t now)
{
	TkPaneOffset *entry = &offsets->entries[at];

	memmove(entry + 1, entry, sizeof(TkPaneOffset) * (size_t) (offsets->n - at));
	offsets->n++;
	*entry = (TkPaneOffset){.pane = pane,
							.first = offset,
							.last = offset,
							.max_event_time = clock->max_event_time,
							.watermark = clock->watermark,
							.read_at = now};
}

bool
tk_pane_offset_note(TkPaneOffsets *offsets, int64_t pane_size, int64_t time, int64_t offset,
					const TkPartitionClock *clock, int64_t now)
{
	int64_t pane;
	int at = offsets->newest;

	if (at < offsets->n && time >= offsets->entries[at].pane && time - offsets->entries[at].pane < pane_size)
	{
		offsets->entries[at].last = offset;
		return true;
	}
	pane = tk_pane_start(time, pane_size);
	at = position_of(offsets, pane);
	if (at == offsets->n || offsets->entries[at].pane != pane)
	{
		if (!reserve(offsets))
			return false;
		insert_entry(offsets, at, pane, offset, clock, now);
	}
	offsets->entries[at].last = offset;
	offsets->newest = at;
	return true;
}

void
tk_pane_offsets_clear(TkPaneOffsets *offsets)
{
	offsets->n = 0;
	offsets->newest = 0;
}
