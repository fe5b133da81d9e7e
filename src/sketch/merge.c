/*
 * merge.c
 *		Adding one sketch to another, be it in memory or stored.
 *
 * Excess, gap, theta and total each add, and a key that one side lacks adds nothing (internal.h says
 * why), so a merge looks at the source's entries only. All memory is got first; then the entries are
 * found or made, and added to. What can still fail, a stored source that turns out to hold a key twice,
 * is undone, so that a merge that fails leaves the destination as it was.
 *
 * The loops over all incoming entries are functions of their own, never inlined, because each needs all
 * registers.
 */
#include "table.h"

#define FEW_SEEN 4096

/* What a merge needs and decides before it changes anything. */
typedef struct Merge
{
	uint64_t theta;
	uint32_t capacity;
	uint32_t k;
	bool with_gaps;        /* the source has gaps */
	uint32_t count_before; /* entries and bytes of keys in the destination */
	uint32_t arena_before;
	uint64_t most;    /* no more entries than this can come of it */
	uint64_t limit;   /* more than this are purged */
	void *scratch;    /* for the purge; NULL if there can be none */
	uint32_t *places; /* positions of the incoming entries in the destination; in the batch's block */
	uint32_t *absent; /* numbers of incoming entries; there too */
	uint8_t *seen;    /* a mark for each destination entry that an incoming one has met */
	uint8_t few_seen[FEW_SEEN]; /* the marks if they fit, as they mostly do: merges are many and short */
} Merge;

/* The smallest capacity among those that are not exact; if both are exact, the largest. */
static uint32_t
merged_capacity(const TkSketch *dst, const TkSummary *src)
{
	bool smallest = dst->theta > 0 && src->max_error > 0;

	if (dst->theta > 0 && !smallest)
		return dst->capacity;
	if (src->max_error > 0 && !smallest)
		return src->capacity;
	if (smallest)
		return dst->capacity < src->capacity ? dst->capacity : src->capacity;
	return dst->capacity > src->capacity ? dst->capacity : src->capacity;
}

static TkStatus
check_merge(const TkSketch *dst, const TkSummary *src)
{
	if (dst->kind != src->kind)
		return TK_KIND_MISMATCH;
	return src->total > TK_MAX_TOTAL - dst->total ? TK_OVERFLOW : TK_OK;
}

static void
plan_merge(const TkSketch *dst, const TkBatch *src, uint32_t slack, Merge *merge)
{
	const TkSummary *summary = &src->summary;

	merge->theta = dst->theta + summary->max_error;
	merge->capacity = merged_capacity(dst, summary);
	merge->k = dst->k > summary->k ? dst->k : summary->k;
	if (merge->k > merge->capacity)
		merge->k = merge->capacity;
	merge->with_gaps = summary->max_error > 0;
	merge->count_before = dst->count;
	merge->arena_before = dst->arena_used;
	merge->most = (uint64_t) dst->count + summary->count;
	merge->limit = (uint64_t) slack * tk_working_entries(merge->capacity);
	merge->scratch = NULL;
	merge->places = NULL;
	merge->absent = NULL;
	merge->seen = NULL;
	if (summary->count == 0)
		return;
	merge->places = (uint32_t *) (void *) (src->entries + summary->count);
	merge->absent = merge->places + summary->count;
}

/* Memory for the marks. */
static TkStatus
prepare_marks(const TkSketch *dst, Merge *merge)
{
	merge->seen = merge->most <= FEW_SEEN ? merge->few_seen : tk_alloc(&dst->alloc, (size_t) merge->most);
	if (merge->seen == NULL)
		return TK_NO_MEMORY;
	memset(merge->seen, 0, (size_t) merge->most);
	return TK_OK;
}

/* Get all memory, so that what follows can fail for one reason only: a source that holds a key twice. */
static TkStatus
prepare_merge(TkSketch *dst, const TkBatch *src, Merge *merge)
{
	TkStatus status = tk_table_reserve(dst, src->summary.count, src->key_bytes);

	if (status == TK_OK && merge->theta > 0)
		status = tk_table_need_gaps(dst);
	if (status == TK_OK && merge->most > merge->limit)
		status = tk_purge_prepare(dst, merge->most, &merge->scratch);
	if (status == TK_OK)
		status = prepare_marks(dst, merge);
	return status;
}

static void
release_merge(const TkSketch *dst, Merge *merge)
{
	tk_release(&dst->alloc, merge->scratch);
	if (merge->seen != merge->few_seen)
		tk_release(&dst->alloc, merge->seen);
}

/*
 * Guess each key's entry: the first with its tag in its own bucket, which is nearly always right if the
 * key has one; else any. There must be an entry. No branch, so that many loads are under way at once.
 */
static TK_NOINLINE void
guess_places(const TkSketch *dst, const TkIncoming *in, uint32_t count, uint32_t *places)
{
	const TkSketch table = *dst;

	for (uint32_t i = 0; i < count; i++)
	{
		uint32_t bucket = in[i].hash & table.bucket_mask;
		uint32_t slots = tk_bucket_match(&table.buckets[bucket], tk_hash_tag(in[i].hash));

		places[i] = tk_slot_position(&table, bucket, tk_first_slot(slots | TK_LAST_SLOT));
	}
}

/* List the incoming entries whose guess was wrong; returns their number. */
static TK_NOINLINE uint32_t
list_absent(const TkSketch *dst, const TkBatch *src, const uint32_t *places, uint32_t *absent)
{
	const TkSketch table = *dst;
	const TkIncoming *in = src->entries;
	uint32_t count = src->summary.count;
	uint32_t listed = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		absent[listed] = i;
		listed += !tk_entry_has_key(&table, places[i], in[i].key, in[i].len);
	}
	return listed;
}

/* The same where the keys lie one behind the other, so that nobody need read where each is and how long. */
static TK_NOINLINE uint32_t
list_absent_in_row(const TkSketch *dst, const TkBatch *src, const uint32_t *places, uint32_t *absent)
{
	const TkSketch table = *dst;
	const uint8_t *key = src->entries->key;
	uint32_t count = src->summary.count;
	uint32_t width = src->key_width;
	uint32_t listed = 0;

	for (uint32_t i = 0; i < count; i++, key += width)
	{
		absent[listed] = i;
		listed += !tk_entry_has_key(&table, places[i], key, width);
	}
	return listed;
}

/* Guess all places; returns the number of those that are wrong. */
static uint32_t
guess_and_list(const TkSketch *dst, const TkBatch *src, const Merge *merge)
{
	guess_places(dst, src->entries, src->summary.count, merge->places);
	if (src->key_width != 0)
		return list_absent_in_row(dst, src, merge->places, merge->absent);
	return list_absent(dst, src, merge->places, merge->absent);
}

/* Find or make the entry of each incoming key. */
static void
place_entries(TkSketch *dst, const TkBatch *src, const Merge *merge)
{
	const TkIncoming *in = src->entries;
	bool empty = dst->count == 0;
	uint32_t absent = src->summary.count;

	if (!empty && absent > 0)
		absent = guess_and_list(dst, src, merge);
	for (uint32_t i = 0; i < absent; i++)
	{
		uint32_t at = empty ? i : merge->absent[i];
		uint32_t place = tk_table_find(dst, in[at].key, in[at].len, in[at].hash);

		if (place == TK_NOT_FOUND)
			place = tk_table_append(dst, in[at].key, in[at].len, in[at].hash);
		merge->places[at] = place;
	}
}

/* Add to the entries. False if two incoming keys are one. */
static TK_NOINLINE bool
add_entries(TkSketch *dst, const TkIncoming *in, uint32_t count, const Merge *merge)
{
	const uint32_t *places = merge->places;
	TkEntry *entries = dst->entries;
	uint64_t *gaps = merge->with_gaps ? dst->gaps : NULL;
	uint8_t *seen = merge->seen;
	uint8_t twice = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		uint32_t place = places[i];

		twice |= seen[place];
		seen[place] = 1;
		entries[place].excess += in[i].excess;
		if (gaps != NULL)
			gaps[place] += in[i].gap;
	}
	return !twice;
}

/* Undo the placing and adding of entries: the table is as it was, but for its size. */
static void
take_back(TkSketch *dst, const TkIncoming *in, uint32_t count, const Merge *merge)
{
	for (uint32_t i = 0; i < count; i++)
	{
		dst->entries[merge->places[i]].excess -= in[i].excess;
		if (merge->with_gaps)
			dst->gaps[merge->places[i]] -= in[i].gap;
	}
	dst->count = merge->count_before;
	dst->arena_used = merge->arena_before;
	tk_table_reindex(dst);
}

/* The numbers of the merged sketch, and the purge if it holds too much. */
static void
finish_merge(TkSketch *dst, const TkSummary *src, const Merge *merge)
{
	dst->total += src->total;
	dst->theta = merge->theta;
	dst->k = merge->k;
	dst->capacity = merge->capacity;
	dst->working = tk_working_entries(merge->capacity);
	if (dst->count > merge->limit)
		tk_purge(dst, tk_purge_rank(dst), merge->scratch);
}

static void
merge_filters(TkSketch *dst, const TkSummary *src, const TkSketch *source)
{
	TkSketch plain;

	if (source == NULL)
	{
		/* a stored sketch has no filter: for all its keys theta speaks */
		memset(&plain, 0, sizeof(plain));
		plain.theta = src->max_error;
		source = &plain;
	}
	tk_filter_merge(dst, source);
}

/*
 * Merge a batch into dst, which keeps up to `slack` times W entries. `source` is the sketch that it comes
 * from, for its filter; NULL if it was stored.
 */
static TkStatus
merge_batch(TkSketch *dst, const TkBatch *src, const TkSketch *source, uint32_t slack)
{
	const TkSummary *summary = &src->summary;
	Merge merge;
	TkStatus status = check_merge(dst, summary);

	if (status != TK_OK)
		return status;
	plan_merge(dst, src, slack, &merge);
	status = prepare_merge(dst, src, &merge);
	if (status == TK_OK)
	{
		place_entries(dst, src, &merge);
		if (add_entries(dst, src->entries, summary->count, &merge))
		{
			merge_filters(dst, summary, source);
			finish_merge(dst, summary, &merge);
		}
		else
		{
			take_back(dst, src->entries, summary->count, &merge);
			status = TK_CORRUPT;
		}
	}
	release_merge(dst, &merge);
	return status;
}

TkStatus
tk_merge_incoming(TkSketch *dst, const TkBatch *src)
{
	return merge_batch(dst, src, NULL, TK_MERGE_SLACK);
}

/* The entries of a sketch as incoming ones; returns the sum of their keys' lengths. */
static uint64_t
list_entries(const TkSketch *src, TkIncoming *in)
{
	uint64_t key_bytes = 0;

	for (uint32_t i = 0; i < src->count; i++)
	{
		in[i].key = tk_entry_key(src, i);
		in[i].len = tk_entry_length(src, i);
		in[i].excess = src->entries[i].excess;
		in[i].gap = tk_entry_gap(src, i);
		in[i].hash = src->entries[i].hash;
		key_bytes += in[i].len;
	}
	return key_bytes;
}

/* A sketch merged with itself: every number doubles. */
static TkStatus
merge_with_itself(TkSketch *s)
{
	if (s->total > TK_MAX_TOTAL - s->total)
		return TK_OVERFLOW;
	tk_filter_merge(s, s);
	for (uint32_t i = 0; i < s->count; i++)
		s->entries[i].excess *= 2;
	for (uint32_t i = 0; i < s->count && s->gaps != NULL; i++)
		s->gaps[i] *= 2;
	s->total *= 2;
	s->theta *= 2;
	return TK_OK;
}

TkStatus
tk_sketch_merge(TkSketch *dst, const TkSketch *src)
{
	TkBatch batch = {0};
	TkStatus status;

	if (dst == src)
		return merge_with_itself(dst);
	if (src->count > 0)
	{
		batch.entries = tk_alloc(&dst->alloc, src->count * TK_BATCH_ENTRY_BYTES);
		if (batch.entries == NULL)
			return TK_NO_MEMORY;
	}
	batch.key_bytes = list_entries(src, batch.entries);
	tk_sketch_summary(src, &batch.summary);
	status = merge_batch(dst, &batch, src, TK_MERGE_SLACK);
	tk_release(&dst->alloc, batch.entries);
	return status;
}

static TkStatus
merge_stored(TkSketch *dst, const void *bytes, size_t len, uint32_t slack)
{
	TkBatch batch;
	TkStatus status = tk_decode_incoming(&dst->alloc, bytes, len, &batch);

	if (status != TK_OK)
		return status;
	status = merge_batch(dst, &batch, NULL, slack);
	tk_release(&dst->alloc, batch.entries);
	return status;
}

TkStatus
tk_sketch_merge_encoded(TkSketch *dst, const void *bytes, size_t len)
{
	return merge_stored(dst, bytes, len, TK_MERGE_SLACK);
}

TkStatus
tk_sketch_gather_encoded(TkSketch *dst, const void *bytes, size_t len)
{
	return merge_stored(dst, bytes, len, TK_GATHER_SLACK);
}
