/*
 * publish_plan.c - what one cycle of a publisher is to write, and what it means that it was written (see
 * publish_plan.h).
 *
 * The windows are listed before the sequence is drawn, and their contents are read after it: what is written
 * under a sequence is never older than the sequence says, and a tag never newer than the contents that are
 * remembered with it.  A change in between is published twice, never not.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "publish_plan.h"

/* What one cycle may write: it delays the others by its time, and is kept in memory. */
#define MAX_WRITES 2000
#define MAX_BYTES (32 * 1024 * 1024)

/* Expiries move a little with each reading; a key is not touched for less than this. */
#define EXPIRY_TOLERANCE (5 * INT64CONST(1000000))

static bool
budget_is_spent(PublishPlan *plan)
{
	if (plan->n_writes < MAX_WRITES && plan->bytes < MAX_BYTES)
		return false;
	plan->more = true;
	return true;
}

static bool
expiry_has_moved(int64 from, int64 to)
{
	if (from == MIRROR_NEVER || to == MIRROR_NEVER)
		return from != to;
	return from > to + EXPIRY_TOLERANCE || to > from + EXPIRY_TOLERANCE;
}

/* ---- what is due ---- */

static DueGroup *
add_due(PublishPlan *plan, DueKind kind, GroupNote *group, const PublishWindow *window)
{
	DueGroup *due = palloc(sizeof(DueGroup));

	due->kind = kind;
	due->group = group;
	due->window = window;
	due->reading = publish_memory_next(plan->memory);
	due->complete = true;
	if (kind == DUE_CONTENTS && group->due_since == 0)
		group->due_since = plan->now;
	plan->due = lappend(plan->due, due);
	return due;
}

static bool
contents_are_due(const PublishPlan *plan, const PublishWindow *window, const GroupNote *group)
{
	if (group->stale)
		return true;
	if (window->final)
		return !window->saved;
	return plan->with_open && (!group->sent || group->tag != window->tag);
}

static void
judge_window(PublishPlan *plan, const PublishWindow *window, uint32 listing)
{
	GroupName name = {window->window_id, window->start};
	bool found;
	GroupNote *group = publish_memory_group(plan->memory, name, &found);

	if (!found)
		group->expire_at = window->expire_at; /* as an earlier process has set it, if any */
	group->listing = listing;
	if (contents_are_due(plan, window, group))
		add_due(plan, DUE_CONTENTS, group, window);
	else if (!expiry_has_moved(group->expire_at, window->expire_at))
		return;
	else if (group->keys != NULL)
		add_due(plan, DUE_EXPIRY, group, window);
	else if (window->final)
		add_due(plan, DUE_CONTENTS, group, window);
}

/* Windows that the sink should no longer hold.  Mostly their keys have just expired. */
static void
judge_unlisted(PublishPlan *plan, uint32 listing)
{
	List *unlisted = publish_memory_unlisted(plan->memory, listing);
	ListCell *cell;

	foreach (cell, unlisted)
	{
		GroupNote *group = lfirst(cell);

		if (group->keys == NULL || group->expire_at <= plan->now)
			publish_memory_remove_group(plan->memory, group);
		else
			add_due(plan, DUE_REMOVAL, group, NULL);
	}
}

/* By what is to be done first.  Equals: the newer window. */
static int
rank_of(const DueGroup *due)
{
	if (due->kind != DUE_CONTENTS)
		return due->kind == DUE_REMOVAL ? 3 : 4;
	if (due->window == NULL)
		return 1;
	return due->window->final ? 0 : 2;
}

static int
compare_due(const ListCell *a, const ListCell *b)
{
	const DueGroup *left = lfirst(a);
	const DueGroup *right = lfirst(b);
	int order = rank_of(left) - rank_of(right);

	if (order == 0 && rank_of(left) == 2 && left->group->sent_at != right->group->sent_at)
		return left->group->sent_at < right->group->sent_at ? -1 : 1;
	if (order == 0 && left->group->name.start != right->group->name.start)
		return left->group->name.start > right->group->name.start ? -1 : 1;
	return order;
}

/* Global lists and items follow from the windows: each time one becomes final, and else from time to time. */
static void
judge_wide(PublishPlan *plan)
{
	bool found;
	GroupNote *global = publish_memory_group(plan->memory, GLOBAL_GROUP, &found);
	GroupNote *items = publish_memory_group(plan->memory, ITEM_GROUP, &found);
	bool stale =
		global->stale || items->stale || publish_memory_group(plan->memory, INDEX_GROUP, &found)->stale;
	bool now_final = false;
	ListCell *cell;

	foreach (cell, plan->due)
	{
		DueGroup *due = lfirst(cell);

		plan->wide_wanted = true;
		now_final |= due->kind == DUE_CONTENTS && due->window->final;
	}
	if (!stale && (!plan->wide_wanted || !(plan->wide_due || now_final)))
		return;
	add_due(plan, DUE_CONTENTS, global, NULL);
	add_due(plan, DUE_CONTENTS, items, NULL);
	plan->wide_done = true; /* unless it fails */
}

static void
judge_all(PublishPlan *plan)
{
	uint32 listing = publish_memory_next(plan->memory);
	PublishWindow *windows;
	int n = publish_store_read_windows(plan->sink_id, &windows, plan->context);

	for (int i = 0; i < n; i++)
		judge_window(plan, &windows[i], listing);
	judge_wide(plan);
	judge_unlisted(plan, listing);
	list_sort(plan->due, compare_due);
}

/* ---- what is to be written ---- */

static RedisWrite *
add_write(PublishPlan *plan, DueGroup *due, RedisAction action, const MirrorKey *key)
{
	RedisWrite *write;
	size_t size;

	if (plan->n_writes == plan->room)
	{
		plan->room = Max(256, 2 * plan->room);
		plan->writes = plan->writes == NULL ? palloc(plan->room * sizeof(RedisWrite))
											: repalloc_huge(plan->writes, plan->room * sizeof(RedisWrite));
		plan->owners = plan->owners == NULL ? palloc(plan->room * sizeof(DueGroup *))
											: repalloc_huge(plan->owners, plan->room * sizeof(DueGroup *));
	}
	plan->owners[plan->n_writes] = due;
	write = &plan->writes[plan->n_writes++];
	*write = (RedisWrite){.action = action, .key = mirror_copy(key, &size)};
	plan->bytes += size;
	return write;
}

static void
add_retiming(PublishPlan *plan, DueGroup *due, const KeyNote *note, int64 expire_at)
{
	MirrorKey key = note->names;

	key.expire_at = expire_at;
	add_write(plan, due, REDIS_RETIME, &key);
}

typedef struct KeyReading
{
	PublishPlan *plan;
	DueGroup *due;
} KeyReading;

static void
plan_key(void *arg, const MirrorKey *key)
{
	KeyReading *reading = arg;
	PublishPlan *plan = reading->plan;
	DueGroup *due = reading->due;
	KeyNote *note = publish_memory_key(plan->memory, key->hash);
	MemoryContext old;

	if (note != NULL)
	{
		note->reading = due->reading;
		if (note->digest == mirror_digest(key) && !expiry_has_moved(note->expire_at, key->expire_at))
			return;
	}
	if (budget_is_spent(plan))
	{
		due->complete = false;
		return;
	}
	old = MemoryContextSwitchTo(plan->context);
	add_write(plan, due, REDIS_REPLACE, key)->stamp =
		due->group->name.window_id == ITEM_GROUP.window_id ? "lastSeen" : "lastUpdated";
	MemoryContextSwitchTo(old);
}

/* Keys of a group that its reading did not have, or (expire_at given) all of them. */
static void
plan_retiming(PublishPlan *plan, DueGroup *due, int64 expire_at, bool unread_only)
{
	for (KeyNote *note = due->group->keys; note != NULL; note = note->next)
	{
		if (unread_only ? note->reading == due->reading : !expiry_has_moved(note->expire_at, expire_at))
			continue;
		if (budget_is_spent(plan))
		{
			due->complete = false;
			return;
		}
		add_retiming(plan, due, note, expire_at);
	}
}

/* A field without a value. */
static void
add_name(MirrorKey *index, MirrorText *fields, MirrorText name)
{
	fields[2 * index->n_fields] = name;
	fields[2 * index->n_fields + 1] = (MirrorText){"", 0};
	index->n_fields++;
}

static size_t
count_keys(const GroupNote *group)
{
	size_t n = 0;

	for (const KeyNote *note = group->keys; note != NULL; note = note->next)
		n++;
	return n;
}

/* Writes the index if there are new items: all that were known, and the new ones. */
static void
plan_index(PublishPlan *plan, const DueGroup *items)
{
	bool found;
	GroupNote *group = publish_memory_group(plan->memory, INDEX_GROUP, &found);
	size_t known = count_keys(items->group);
	MirrorText *fields =
		palloc_extended(2 * (known + plan->n_writes + 1) * sizeof(MirrorText), MCXT_ALLOC_HUGE);
	MirrorKey index = {.hash = plan->index, .fields = fields, .expire_at = MIRROR_NEVER};

	for (const KeyNote *note = items->group->keys; note != NULL; note = note->next)
		add_name(&index, fields, note->names.hash);
	for (size_t i = 0; i < plan->n_writes; i++)
	{
		const RedisWrite *write = &plan->writes[i];

		if (plan->owners[i] != items)
			continue;
		index.expire_at = write->key.expire_at;
		if (publish_memory_key(plan->memory, write->key.hash) == NULL)
			add_name(&index, fields, write->key.hash);
	}
	if (index.n_fields > known || group->stale)
		add_write(plan, add_due(plan, DUE_INDEX, group, NULL), REDIS_REPLACE, &index);
}

static void
plan_contents(PublishPlan *plan, DueGroup *due)
{
	KeyReading reading = {plan, due};

	if (due->window != NULL)
		publish_store_read_window(plan->sink_id, due->window, plan_key, &reading);
	else if (due->group->name.window_id == GLOBAL_GROUP.window_id)
		publish_store_read_global(plan->sink_id, plan_key, &reading);
	else
	{
		publish_store_read_items(plan->sink_id, plan_key, &reading);
		plan_index(plan, due);
	}
	plan_retiming(plan, due, 0, true); /* an item that is no longer among the first has no hash */
}

static void
plan_group(PublishPlan *plan, DueGroup *due)
{
	switch (due->kind)
	{
		case DUE_CONTENTS:
			plan_contents(plan, due);
			break;
		case DUE_EXPIRY:
			plan_retiming(plan, due, due->window->expire_at, false);
			break;
		case DUE_REMOVAL:
			plan_retiming(plan, due, 0, false);
			break;
		case DUE_INDEX:
			break;
	}
}

void
publish_plan_read(PublishPlan *plan)
{
	MemoryContext old = MemoryContextSwitchTo(plan->context);
	ListCell *cell;

	judge_all(plan);
	if (plan->due != NIL)
		plan->sequence = publish_store_draw_sequence();
	foreach (cell, plan->due)
	{
		DueGroup *due = lfirst(cell);

		if (budget_is_spent(plan))
			due->complete = false;
		else
			plan_group(plan, due);
	}
	MemoryContextSwitchTo(old);
}

/* ---- what was written ---- */

int64
publish_plan_count_written(const PublishPlan *plan)
{
	int64 n = 0;

	for (size_t i = 0; i < plan->n_writes; i++)
		n += plan->writes[i].action == REDIS_REPLACE && plan->writes[i].outcome == REDIS_DONE;
	return n;
}

static void
settle_replaced(PublishPlan *plan, const RedisWrite *write, DueGroup *due)
{
	const MirrorKey *key = &write->key;
	KeyNote *note;

	if (write->outcome != REDIS_DONE)
	{
		due->complete = false;
		return;
	}
	note = publish_memory_remember(plan->memory, due->group, key, mirror_digest(key), due->reading);
	if (note == NULL)
		return;
	note->sequence = plan->sequence;
	note->n_fields = (uint32) key->n_fields + (write->stamp != NULL);
	note->n_members = (uint32) key->n_members;
}

static void
settle_retimed(PublishPlan *plan, const RedisWrite *write, DueGroup *due)
{
	KeyNote *note = publish_memory_key(plan->memory, write->key.hash);
	bool removed = write->key.expire_at <= plan->now;

	if (note == NULL)
		return;
	if (write->outcome != REDIS_DONE && write->outcome != REDIS_GONE)
		due->complete = false;
	else if (removed)
		publish_memory_remove_key(plan->memory, note);
	else if (write->outcome == REDIS_DONE)
		note->expire_at = write->key.expire_at;
	else
	{
		note->digest = 0; /* evicted, or deleted by somebody */
		due->group->stale = true;
		plan->n_lost++;
	}
}

static bool
is_wide(const DueGroup *due)
{
	return due->kind == DUE_CONTENTS && due->window == NULL;
}

static void
settle_group(PublishPlan *plan, DueGroup *due)
{
	GroupNote *group = due->group;

	if (!due->complete)
	{
		plan->wide_done &= !is_wide(due);
		return;
	}
	if (due->kind == DUE_REMOVAL)
	{
		publish_memory_remove_group(plan->memory, group);
		return;
	}
	if (due->window != NULL)
		group->expire_at = due->window->expire_at;
	if (due->kind == DUE_EXPIRY)
		return;
	group->sent = true;
	group->stale = false;
	group->sent_at = group->looked_at = plan->now;
	group->due_since = 0;
	if (due->window == NULL)
		return;
	group->tag = due->window->tag;
	if (due->window->final)
		plan->finals[plan->n_finals++] = due->window;
}

static void
count_waiting(PublishPlan *plan)
{
	ListCell *cell;

	foreach (cell, plan->due)
	{
		const DueGroup *due = lfirst(cell);

		if (due->complete || due->kind != DUE_CONTENTS)
			continue;
		plan->n_waiting += due->window != NULL;
		if (plan->waiting_since == 0 || due->group->due_since < plan->waiting_since)
			plan->waiting_since = due->group->due_since;
	}
}

void
publish_plan_settle(PublishPlan *plan)
{
	ListCell *cell;

	plan->finals =
		MemoryContextAlloc(plan->context, Max(list_length(plan->due), 1) * sizeof(PublishWindow *));
	for (size_t i = 0; i < plan->n_writes; i++)
	{
		if (plan->writes[i].action == REDIS_REPLACE)
			settle_replaced(plan, &plan->writes[i], plan->owners[i]);
		else
			settle_retimed(plan, &plan->writes[i], plan->owners[i]);
	}
	foreach (cell, plan->due)
		settle_group(plan, lfirst(cell));
	count_waiting(plan);
}

/*
 * A key that nobody remembers would stay when it is no longer wanted, as one that is believed to be there
 * would stay away.
 */
void
publish_plan_doubt(PublishPlan *plan)
{
	bool found;

	for (size_t i = 0; i < plan->n_writes; i++)
	{
		const RedisWrite *write = &plan->writes[i];
		KeyNote *note = publish_memory_key(plan->memory, write->key.hash);

		if (note == NULL && write->action == REDIS_REPLACE)
			note = publish_memory_remember(plan->memory, plan->owners[i]->group, &write->key, 0, 0);
		if (note != NULL)
			note->digest = 0;
		if (plan->owners[i]->group->name.window_id == ITEM_GROUP.window_id)
			publish_memory_group(plan->memory, INDEX_GROUP, &found)->stale = true; /* it may lack the key */
	}
}
