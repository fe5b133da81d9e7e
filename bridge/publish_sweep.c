/*
 * publish_sweep.c - a slow look at whether Redis still holds what was written (see publish_sweep.h).
 */
#include "postgres.h"

#include "publish_sweep.h"

/* What one sweep may take: it delays publishing by its time. */
#define MAX_PROBES 2000
#define MAX_UNKNOWN 4 /* windows to be read and written */

/* A key that is about to expire may be gone when the probe comes. */
#define EXPIRY_MARGIN (5 * INT64CONST(1000000))

static bool
is_worth_a_look(const KeyNote *note, int64 now)
{
	return note->digest != 0 && note->sequence != 0 && note->expire_at > now + EXPIRY_MARGIN;
}

static size_t
count_keys(const GroupNote *group)
{
	size_t n = 0;

	for (const KeyNote *note = group->keys; note != NULL; note = note->next)
		n++;
	return n;
}

static void
add_probe(PublishSweep *sweep, KeyNote *note)
{
	RedisWrite *probe = &sweep->probes[sweep->n];

	*probe = (RedisWrite){.action = REDIS_PROBE, .key = note->names, .sequence = note->sequence};
	probe->key.n_fields = note->n_fields;
	probe->key.n_members = note->n_members;
	probe->key.expire_at = MIRROR_NEVER;
	sweep->notes[sweep->n++] = note;
}

/* The groups whose turn it is, until there are enough keys; *n of keys. */
static List *
take_groups(PublishSweep *sweep, size_t *n)
{
	List *unseen = publish_memory_unseen(sweep->memory, sweep->now - sweep->interval);
	List *taken = NIL;
	int n_unknown = 0;
	ListCell *cell;

	*n = 0;
	foreach (cell, unseen)
	{
		GroupNote *group = lfirst(cell);
		bool unknown = group->looked_at == 0 && group->name.window_id > 0 && !group->sent;

		if (*n >= MAX_PROBES)
			break;
		if (unknown && n_unknown++ >= MAX_UNKNOWN)
			continue;
		group->stale |= unknown;
		group->looked_at = sweep->now;
		*n += count_keys(group);
		taken = lappend(taken, group);
	}
	return taken;
}

void
publish_sweep_pick(PublishSweep *sweep)
{
	size_t room;
	List *groups = take_groups(sweep, &room);
	ListCell *cell;

	sweep->n = 0;
	sweep->probes = palloc_extended((room + 1) * sizeof(RedisWrite), MCXT_ALLOC_HUGE);
	sweep->notes = palloc_extended((room + 1) * sizeof(KeyNote *), MCXT_ALLOC_HUGE);
	foreach (cell, groups)
	{
		GroupNote *group = lfirst(cell);

		for (KeyNote *note = group->keys; note != NULL; note = note->next)
			if (is_worth_a_look(note, sweep->now))
				add_probe(sweep, note);
	}
}

void
publish_sweep_settle(PublishSweep *sweep)
{
	sweep->n_lost = 0;
	for (size_t i = 0; i < sweep->n; i++)
	{
		RedisOutcome outcome = sweep->probes[i].outcome;

		if (outcome != REDIS_GONE && outcome != REDIS_FAILED)
			continue;
		sweep->notes[i]->digest = 0;
		sweep->notes[i]->group->stale = true;
		sweep->n_lost += outcome == REDIS_GONE;
	}
}
