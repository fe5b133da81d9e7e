/*
 * sort.c
 *		The one order that results are listed in: major descending, minor descending, key ascending.
 *
 * A bottom-up merge sort: no worst case, no recursion, and runs that are in order already cost one
 * comparison, which is what stored sketches are when they are read.
 */
#include "internal.h"

#define RUN 8

static inline bool
comes_before(const TkRef *a, const TkRef *b)
{
	if (a->major != b->major)
		return a->major > b->major;
	if (a->minor != b->minor)
		return a->minor > b->minor;
	return tk_bytes_compare(a->key, a->len, b->key, b->len) < 0;
}

/* Insertion sort of a short run. */
static void
sort_run(TkRef *refs, size_t count)
{
	for (size_t i = 1; i < count; i++)
	{
		TkRef moving = refs[i];
		size_t to = i;

		for (; to > 0 && comes_before(&moving, &refs[to - 1]); to--)
			refs[to] = refs[to - 1];
		refs[to] = moving;
	}
}

/* Merge from[0..middle) and from[middle..count) into `to`. */
static void
merge_runs(const TkRef *from, size_t middle, size_t count, TkRef *to)
{
	size_t left = 0;
	size_t right = middle;

	if (middle >= count || !comes_before(&from[middle], &from[middle - 1]))
	{
		memcpy(to, from, count * sizeof(TkRef));
		return;
	}
	while (left < middle && right < count)
		*to++ = comes_before(&from[right], &from[left]) ? from[right++] : from[left++];
	memcpy(to, from + left, (middle - left) * sizeof(TkRef));
	memcpy(to + (middle - left), from + right, (count - right) * sizeof(TkRef));
}

/* Sort `refs`, with room for as many in `spare`. */
void
tk_sort_refs(TkRef *refs, TkRef *spare, size_t count)
{
	TkRef *from = refs;
	TkRef *to = spare;

	for (size_t at = 0; at < count; at += RUN)
		sort_run(refs + at, count - at < RUN ? count - at : RUN);
	for (size_t run = RUN; run < count; run *= 2)
	{
		TkRef *merged = to;

		for (size_t at = 0; at < count; at += 2 * run)
		{
			size_t both = count - at < 2 * run ? count - at : 2 * run;

			merge_runs(from + at, run < both ? run : both, both, to + at);
		}
		to = from;
		from = merged;
	}
	if (from != refs)
		memcpy(refs, from, count * sizeof(TkRef));
}
