/*
 * pane_offset.h - which offsets of a partition's log hold the events of which pane.
 *
 * Pure.  One set for each partition, noted event by event and emptied by each flush, which widens what the
 * store knows.  With a pane's first offset goes the partition's clock just before it, so that whoever reads
 * again from there judges lateness as it was judged.
 */
#ifndef TK_PANE_OFFSET_H
#define TK_PANE_OFFSET_H

#include "../src/sketch/sketch.h"
#include "watermark.h"

typedef struct TkPaneOffset
{
	int64_t pane; /* its start */
	int64_t first;
	int64_t last;
	int64_t max_event_time; /* the clock just before `first`; TK_NO_TIME: no event before it */
	int64_t watermark;
	int64_t read_at; /* wall clock at `first` */
} TkPaneOffset;

typedef struct TkPaneOffsets
{
	TkAllocator allocator;
	TkPaneOffset *entries; /* ascending by pane */
	int n;
	int room;
	int newest; /* that of the last event: neighbours mostly share it */
} TkPaneOffsets;

void tk_pane_offsets_init(TkPaneOffsets *offsets, const TkAllocator *allocator);

/* Notes an event; `clock` is the partition's, just before it.  Offsets ascend.  False: out of memory. */
bool tk_pane_offset_note(TkPaneOffsets *offsets, int64_t pane_size, int64_t time, int64_t offset,
						 const TkPartitionClock *clock, int64_t now);

/* The flush has committed. */
void tk_pane_offsets_clear(TkPaneOffsets *offsets);

#endif
