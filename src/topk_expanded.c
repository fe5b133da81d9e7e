/*
 * topk_expanded.c
 *		The state of an aggregate over sketches: a working sketch as an expanded object of type topk.
 *
 * PostgreSQL keeps an expanded object as an aggregate's state without copying it, provided that its
 * memory context is a child of the aggregate's and that the transition function returns the pointer
 * that it was given.
 *
 * Memory. All states of one aggregation share ONE context, a direct child of the aggregate context:
 * hash aggregation walks all contexts again and again to see how much it holds, so that a context
 * per state would make it quadratic in groups. The shared context goes when the executor resets the
 * aggregate context; a state is never freed alone.
 *
 *		aggregate context
 *		  +-- "topk states"		TopkShared, blocks of TopkState, the sketches, the ring
 *
 * States are handed out from blocks, as many small ones would lose half their room to palloc. The
 * context's own blocks are small, so that only small pieces wait in its free lists and all others go
 * back to malloc at once: sketches grow by moving, and groups grow together, so that what each left
 * behind would come to as much as they hold.
 *
 * Finding it. A function call keeps the contexts that it made in fn_extra, one for each aggregate
 * context that it has met (grouping sets have several). Either side may go first: the aggregate
 * context is reset between sorted groups, while some callers put the FmgrInfo on their stack, with
 * an fn_mcxt that lives no longer than a row. So the two are linked both ways, and a reset callback
 * on each side unlinks it from the other.
 *
 * Ring. Once an aggregation has more states than the cache holds, an update mostly waits for memory.
 * Updates then go through a ring of the last few rows' keys, shared by all states: a row's sketch is
 * prefetched when the row comes in, then step by step what lies behind it, and it is updated some
 * rows later. Rows keep their order. Every reader of a state settles the ring first, in
 * TopkStateSketch.
 *
 * Reading. The flat form of a state is its partial form: everything it knows, as another process
 * shall go on with it. Whatever finishes a state (topk_final) encodes a trimmed copy. Neither
 * changes the state.
 */
#include "topk_expanded.h"

#include "utils/memutils.h"

#define STATES_PER_BLOCK 32
#define STATES_CONTEXT_BLOCK 8256 /* pieces up to 1024 bytes come from blocks of the context */
#define RING_MIN_STATES 64        /* fewer states stay in the cache */
#define RING_SIZE 64              /* a power of two */
#define RING_MASK (RING_SIZE - 1)
#define RING_LAG 8        /* rows from one step to the next: see RingAdd */
#define RING_KEY_BYTES 96 /* longer keys are not kept back */

/* An update that waits. */
typedef struct RingSlot
{
	TkSketch *sketch;
	uint64 hash;
	uint64 weight;
	uint32 len;
	uint32 position; /* of the entry that is probably the key's */
	uint8 key[RING_KEY_BYTES];
} RingSlot;

/* Positions count rows for ever; a slot is its position modulo the size. Those from done to next wait. */
struct TopkRing
{
	uint64 next;
	uint64 done;
	RingSlot slots[RING_SIZE];
};

/* What a function call keeps in fn_extra; lives in its fn_mcxt. */
typedef struct SharedList
{
	TopkShared *first;
	MemoryContextCallback on_reset;
} SharedList;

struct TopkShared
{
	MemoryContext context;   /* holds this struct and all else */
	MemoryContext aggregate; /* its parent */
	TkAllocator allocator;   /* from context */
	SharedList *list;        /* who finds us; NULL if its memory went first */
	TopkShared *next;
	MemoryContextCallback on_reset;
	TopkState *free_states; /* rest of the newest block */
	int free_count;
	uint64 state_count;
	TopkRing *ring;         /* NULL until there are enough states, then for those that follow */
	TopkState *flat_state;  /* whose flat form is kept from get_flat_size for flatten_into */
	TkSummary flat_summary; /* its summary then: an unchanged one proves that it did not change */
	struct varlena *flat;   /* NULL if none */
};

static Size StateFlatSize(ExpandedObjectHeader *header);
static void StateFlatten(ExpandedObjectHeader *header, void *result, Size allocated_size);

static const ExpandedObjectMethods state_methods = {StateFlatSize, StateFlatten};

/* ---- the ring -------------------------------------------------------------------------------- */

static inline void
RingApply(TopkRing *ring)
{
	RingSlot *slot = &ring->slots[ring->done++ & RING_MASK];

	TopkCheck(tk_sketch_update_hashed(slot->sketch, slot->key, slot->len, slot->hash, slot->weight));
}

static void
RingSettle(TopkRing *ring)
{
	while (ring->done < ring->next)
		RingApply(ring);
}

/* The slot of the row that came `lag` rows before this one, if it still waits. */
static inline RingSlot *
RingEarlier(TopkRing *ring, uint64 position, uint64 lag)
{
	return position - ring->done >= lag ? &ring->slots[(position - lag) & RING_MASK] : NULL;
}

/* Take this row, and a step each for those that came one, two, three and four lags before it. */
static inline void
RingAdd(TopkRing *ring, TkSketch *sketch, TopkKey key, uint64 weight)
{
	uint64 position = ring->next++;
	RingSlot *slot = &ring->slots[position & RING_MASK];

	tk_sketch_prefetch_state(sketch);
	slot->sketch = sketch;
	slot->hash = tk_hash(key.data, key.len);
	slot->weight = weight;
	slot->len = (uint32) key.len;
	memcpy(slot->key, key.data, key.len);
	if ((slot = RingEarlier(ring, position, RING_LAG)) != NULL)
		tk_sketch_prefetch(slot->sketch, slot->hash);
	if ((slot = RingEarlier(ring, position, 2 * RING_LAG)) != NULL)
		slot->position = tk_sketch_prefetch_entry(slot->sketch, slot->hash);
	if ((slot = RingEarlier(ring, position, 3 * RING_LAG)) != NULL)
		tk_sketch_prefetch_key(slot->sketch, slot->position);
	if (RingEarlier(ring, position, 4 * RING_LAG) != NULL)
		RingApply(ring);
}

/* ---- what the states of an aggregation share ------------------------------------------------- */

/* The aggregate context goes, and `arg` with it: whoever finds us must forget us. */
static void
ForgetShared(void *arg)
{
	TopkShared *shared = arg;
	TopkShared **link;

	if (shared->list == NULL)
		return;
	for (link = &shared->list->first; *link != shared; link = &(*link)->next)
		Assert(*link != NULL);
	*link = shared->next;
}

/* The function call goes, and `arg` with it: those that it found must not tell it when they go. */
static void
ForgetList(void *arg)
{
	SharedList *list = arg;

	for (TopkShared *shared = list->first; shared != NULL; shared = shared->next)
		shared->list = NULL;
}

static SharedList *
GetSharedList(FmgrInfo *flinfo)
{
	SharedList *list = flinfo->fn_extra;

	if (list == NULL)
	{
		list = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(SharedList));
		list->on_reset.func = ForgetList;
		list->on_reset.arg = list;
		MemoryContextRegisterResetCallback(flinfo->fn_mcxt, &list->on_reset);
		flinfo->fn_extra = list;
	}
	return list;
}

static TopkShared *
CreateShared(SharedList *list, MemoryContext aggregate)
{
	MemoryContext context =
		AllocSetContextCreate(aggregate, "topk states", 0, STATES_CONTEXT_BLOCK, STATES_CONTEXT_BLOCK);
	TopkShared *shared = MemoryContextAllocZero(context, sizeof(TopkShared));

	shared->context = context;
	shared->aggregate = aggregate;
	shared->allocator = TopkAllocator(context);
	shared->list = list;
	shared->next = list->first;
	list->first = shared;
	shared->on_reset.func = ForgetShared;
	shared->on_reset.arg = shared;
	MemoryContextRegisterResetCallback(context, &shared->on_reset);
	return shared;
}

/* What the states of the aggregation that calls share. An error if no aggregation calls. */
static TopkShared *
GetShared(FunctionCallInfo fcinfo)
{
	MemoryContext aggregate;
	SharedList *list;

	if (!AggCheckCallContext(fcinfo, &aggregate))
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("aggregate function called in non-aggregate context"),
				errhint("Use topk_agg, topk_merge, topk_add or the operator ||."));
	list = GetSharedList(fcinfo->flinfo);
	for (TopkShared *shared = list->first; shared != NULL; shared = shared->next)
	{
		if (shared->aggregate == aggregate)
			return shared;
	}
	return CreateShared(list, aggregate);
}

/* ---- states ---------------------------------------------------------------------------------- */

static TopkState *
AllocState(TopkShared *shared)
{
	TopkState *state;

	if (shared->free_count == 0)
	{
		/* an aggregation of one group needs one; then the blocks double */
		int count = (int) Min(Max(shared->state_count, 1), STATES_PER_BLOCK);

		shared->free_states = MemoryContextAllocZero(shared->context, count * sizeof(TopkState));
		shared->free_count = count;
	}
	state = shared->free_states++;
	shared->free_count--;
	shared->state_count++;
	EOH_init_header(&state->header, &state_methods, shared->context);
	state->shared = shared;
	return state;
}

/* A new state for the aggregation that calls, which owns it. The parameters must have been checked. */
TopkState *
TopkStateCreate(FunctionCallInfo fcinfo, TkKind kind, int32 k, int32 capacity)
{
	TopkShared *shared = GetShared(fcinfo);
	TopkState *state = AllocState(shared);

	TopkCheck(tk_sketch_create(&shared->allocator, kind, k, capacity, &state->sketch));
	state->k = k;
	state->capacity = capacity;
	if (shared->ring == NULL && shared->state_count >= RING_MIN_STATES)
		shared->ring = MemoryContextAllocZero(shared->context, sizeof(TopkRing));
	state->ring = shared->ring;
	return state;
}

/* A new state that goes on from a flat value. */
TopkState *
TopkStateDecode(FunctionCallInfo fcinfo, Datum value)
{
	TopkShared *shared = GetShared(fcinfo);
	TopkState *state = AllocState(shared);

	state->sketch = TopkDecode(value, shared->context);
	state->k = (int32) tk_sketch_k(state->sketch);
	state->capacity = (int32) tk_sketch_capacity(state->sketch);
	return state;
}

/* The sketch of a state, up to date, for reading and merging; the state goes on owning it. */
TkSketch *
TopkStateSketch(TopkState *state)
{
	if (state->ring != NULL)
		RingSettle(state->ring);
	return state->sketch;
}

/* Count an item when some more rows have come, or before anybody reads the state. */
void
TopkStateDefer(TopkState *state, TopkKey key, uint64 weight)
{
	if (likely(key.len <= RING_KEY_BYTES))
		RingAdd(state->ring, state->sketch, key, weight);
	else
		TopkCheck(tk_sketch_update(TopkStateSketch(state), key.data, key.len, weight));
}

/* ---- expanded object methods ----------------------------------------------------------------- */

static void
DropFlat(TopkShared *shared)
{
	if (shared->flat != NULL)
		pfree(shared->flat);
	shared->flat = NULL;
}

/* Every update raises the total; a merge that does not can only change the parameters. */
static bool
SameSummary(const TkSummary *a, const TkSummary *b)
{
	return a->total == b->total && a->max_error == b->max_error && a->capacity == b->capacity && a->k == b->k;
}

/*
 * The flat form of a state, in the shared memory. Making a tuple asks for the size twice and then for
 * the bytes, so it is kept until the bytes have been taken, or the state has changed.
 */
static struct varlena *
StateFlat(TopkState *state)
{
	TopkShared *shared = state->shared;
	TkSketch *sketch = TopkStateSketch(state);
	MemoryContext old;
	TkSummary summary;

	tk_sketch_summary(sketch, &summary);
	if (shared->flat != NULL && shared->flat_state == state && SameSummary(&summary, &shared->flat_summary))
		return shared->flat;
	DropFlat(shared);
	old = MemoryContextSwitchTo(shared->context);
	shared->flat = (struct varlena *) DatumGetPointer(TopkEncode(sketch, TK_PARTIAL));
	MemoryContextSwitchTo(old);
	shared->flat_state = state;
	shared->flat_summary = summary;
	return shared->flat;
}

static Size
StateFlatSize(ExpandedObjectHeader *header)
{
	return VARSIZE(StateFlat((TopkState *) header));
}

static void
StateFlatten(ExpandedObjectHeader *header, void *result, Size allocated_size)
{
	TopkState *state = (TopkState *) header;
	struct varlena *flat = StateFlat(state);

	Assert(allocated_size == VARSIZE(flat));
	memcpy(result, flat, allocated_size);
	DropFlat(state->shared);
}
