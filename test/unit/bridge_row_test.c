/*
 * bridge_row_test.c - the rows of a pane: whenever it is flushed, and whatever flushes are aborted, what the
 * store holds in the end comes to the same bytes.
 *
 * A pretended store keeps each row by its incarnation, as stored bytes, and refuses what topk.live would.
 */
#include <stdlib.h>
#include <string.h>

#include "../../bridge/pane.h"
#include "../../bridge/tenant.h"
#include "bridge_alloc.h"
#include "bridge_tap.h"

#define M TK_US_PER_MINUTE
#define CAPACITY 30
#define MAX_ROWS 2000
#define MAX_UPDATES 30000

static const TkDimension dimensions[] = {{"shop", 0, "unknown"}};
static const TkRule rules[] = {{.item_type = "product", .n_dimensions = 1, .dimensions = dimensions}};
static const TkExtractConfig config = {.rules = rules, .n_rules = 1, .time = {.pane_size = M}};

typedef struct Stored
{
	const TkList *list;
	uint64_t incarnation;
	bool sealed;
	uint64_t total;
	void *bytes; /* NULL: deleted */
	size_t len;
} Stored;

static Stored rows[MAX_ROWS];
static int n_rows;

/* ---- the store ---- */

static Stored *
find_row(const TkList *list, uint64_t incarnation)
{
	for (int i = n_rows - 1; i >= 0; i--)
	{
		if (rows[i].bytes != NULL && rows[i].list == list && rows[i].incarnation == incarnation)
			return &rows[i];
	}
	return NULL;
}

static void
drop_row(Stored *row)
{
	allocator.release(allocator.arg, row->bytes);
	row->bytes = NULL;
}

static void
write_row(const TkPane *pane, const TkRow *row)
{
	Stored *stored = find_row(pane->list, row->incarnation);

	tap_check((stored != NULL) == row->written, "written tells whether the store has the row");
	if (stored == NULL)
	{
		if (n_rows == MAX_ROWS)
			abort();
		stored = &rows[n_rows++];
	}
	else
	{
		tap_check(!stored->sealed, "a sealed row is not written again");
		drop_row(stored);
	}
	stored->list = pane->list;
	stored->incarnation = row->incarnation;
	stored->sealed = tk_row_is_sealed(pane, row);
	stored->total = tk_sketch_total(row->sketch);
	tap_check(pane->whole || tk_sketch_is_exact(row->sketch), "a piece is exact");
	if (tk_sketch_encode(row->sketch, pane->whole ? TK_FINAL : TK_PARTIAL, &allocator, 0, &stored->bytes,
						 &stored->len) != TK_OK)
		abort();
}

static void
delete_pieces(const TkPane *pane)
{
	uint32_t deleted = 0;

	for (int i = 0; i < n_rows; i++)
	{
		if (rows[i].bytes == NULL || rows[i].list != pane->list || rows[i].incarnation < pane->incarnation ||
			rows[i].incarnation >= pane->rows->incarnation)
			continue;
		drop_row(&rows[i]);
		deleted++;
	}
	tap_check(deleted == pane->pieces, "a pane knows how many pieces of it are stored");
}

static void
flush(TkPaneSet *set)
{
	size_t cursor = 0;
	TkPane *pane;

	while ((pane = tk_pane_next_dirty(set, &cursor)) != NULL)
	{
		if (pane->whole && pane->pieces > 0)
			delete_pieces(pane);
		for (const TkRow *row = pane->rows; row != NULL; row = row->next)
			write_row(pane, row);
	}
	tk_pane_flushed(set);
}

static uint64_t
stored_total(const TkList *list)
{
	uint64_t total = 0;

	for (int i = 0; i < n_rows; i++)
		total += rows[i].bytes != NULL && rows[i].list == list ? rows[i].total : 0;
	return total;
}

/* What a close makes of the rows of a list: one sketch, trimmed. */
static TkSketch *
gather(const TkList *list)
{
	TkSketch *sum;

	if (tk_sketch_create(&allocator, TK_KIND_TEXT, 10, CAPACITY, &sum) != TK_OK)
		abort();
	for (int i = 0; i < n_rows; i++)
	{
		if (rows[i].bytes == NULL || rows[i].list != list)
			continue;
		tap_check(rows[i].sealed, "in the end all rows are sealed");
		tap_check(tk_sketch_gather_encoded(sum, rows[i].bytes, rows[i].len) == TK_OK, "a row is merged");
	}
	tk_sketch_trim(sum);
	return sum;
}

static void
empty_store(void)
{
	for (int i = 0; i < n_rows; i++)
	{
		if (rows[i].bytes != NULL)
			drop_row(&rows[i]);
	}
	n_rows = 0;
}

/* ---- streams ---- */

typedef struct Update
{
	int item;
	int weight;
} Update;

static Update updates[MAX_UPDATES];

static void
make_updates(unsigned long long *seed, int n, int n_items)
{
	for (int i = 0; i < n; i++)
	{
		int most = 1 + tap_below(seed, n_items);

		updates[i] =
			(Update){tap_below(seed, most), tap_below(seed, 50) == 0 ? 100000 : 1 + tap_below(seed, 3)};
	}
}

static void
count(TkPaneSet *set, const Update *update)
{
	char item[32];
	const TkText value = {"berlin", 6};
	TkYield yield = {&rules[0], 0, {item, 0}, (uint64_t) update->weight, 0};
	const TkEvent event = {.outcome = TK_COUNTED,
						   .has_time = true,
						   .time = 5,
						   .tenant = {"", 0},
						   .n_yields = 1,
						   .yields = &yield,
						   .values = &value};

	yield.item.len = (size_t) snprintf(item, sizeof(item), "item %d", update->item);
	tap_check(tk_pane_add(set, &event) == TK_OK, "counting");
}

/*
 * Counts n updates, with a flush after each with a chance of one in `pause` (0: none), and of those one in
 * three aborted.  What the rows of the list of `all` come to, as stored bytes.
 */
static void *
run(unsigned long long *seed, int n, int pause, size_t *len)
{
	TkPaneSet *set = tk_pane_set_create(&allocator, &config, 10, CAPACITY, 7);
	const TkFamily *family = NULL;
	TkSketch *sum;
	void *bytes;
	uint64_t total = 0;

	for (int i = 0; i < n; i++)
	{
		count(set, &updates[i]);
		total += (uint64_t) updates[i].weight;
		family = family == NULL ? tk_pane_next_new_family(set) : family;
		if (pause == 0 || tap_below(seed, pause) != 0 || tap_below(seed, 3) == 0)
			continue;
		flush(set);
		tap_check(stored_total(family->all) == total, "readers see every update once");
	}
	tk_pane_seal(set, M);
	flush(set);
	tap_check(tk_pane_count(set) == 0 && stored_total(family->all) == total, "all is written, and forgotten");
	sum = gather(family->all);
	if (tk_sketch_encode(sum, TK_FINAL, &allocator, 0, &bytes, len) != TK_OK)
		abort();
	tk_sketch_free(sum);
	tk_pane_set_free(set);
	return bytes;
}

/* How many rows of the list of `all` the store has. */
static int
count_rows(void)
{
	int n = 0;

	for (int i = 0; i < n_rows; i++)
		n += rows[i].bytes != NULL && rows[i].list == rows[0].list;
	return n;
}

static void
check_same_bytes(int n, int n_items)
{
	static const int pauses[] = {5, 60, 400, 3000};
	unsigned long long seed = (unsigned long long) n * 31 + (unsigned long long) n_items;
	bool whole = (uint64_t) n > tk_most_exact(CAPACITY);
	void *wanted;
	size_t wanted_len;
	int different = 0;
	int fewest = INT32_MAX;
	int most = 0;

	make_updates(&seed, n, n_items);
	wanted = run(&seed, n, 0, &wanted_len);
	empty_store();
	for (size_t i = 0; i < 2 * sizeof(pauses) / sizeof(pauses[0]); i++)
	{
		size_t len;
		void *bytes = run(&seed, n, pauses[i / 2], &len);
		int n_stored = count_rows();

		fewest = n_stored < fewest ? n_stored : fewest;
		most = n_stored > most ? n_stored : most;
		different += len != wanted_len || memcmp(bytes, wanted, len) != 0;
		allocator.release(allocator.arg, bytes);
		empty_store();
	}
	allocator.release(allocator.arg, wanted);
	tap_ok(different == 0, "%d updates of %d items: the same bytes whenever they are flushed", n, n_items);
	tap_ok(whole ? most == 1 : n < 1000 || most > fewest, "... in %d to %d rows", fewest, most);
}

static void
check_aborted(void)
{
	TkPaneSet *set = tk_pane_set_create(&allocator, &config, 10, CAPACITY, 7);
	const TkPane *pane;
	const TkFamily *family;

	for (int i = 0; i < 100; i++)
		count(set, &(Update){i, 1});
	family = tk_pane_next_new_family(set);
	pane = family->all->panes;
	flush(set);
	tap_ok(pane->pieces == 1 && pane->rows == NULL, "a large piece is written and forgotten");
	count(set, &(Update){1, 1});
	flush(set);
	count(set, &(Update){2, 1});
	tap_ok(pane->pieces == 2 && pane->rows->written && pane->rows->changed && pane->rows->next == NULL,
		   "a small one goes on");
	for (uint64_t i = 102; i < tk_most_exact(CAPACITY); i++)
		count(set, &(Update){(int) i, 1});
	tap_ok(!pane->whole && pane->pieces == 2 && pane->rows->next != NULL,
		   "as long as there is no more than that");
	count(set, &(Update){1, 1});
	tap_ok(pane->whole && pane->pieces == 2 && pane->rows->next == NULL && !pane->rows->written,
		   "one more, and it is to be written whole");
	flush(set);
	tap_ok(pane->pieces == 0 && pane->rows->written && !pane->rows->changed && count_rows() == 1,
		   "in the place of its pieces");
	count(set, &(Update){1, 1});
	tap_ok(pane->rows->changed, "it goes on");
	flush(set);
	tk_pane_seal_all(set);
	flush(set);
	empty_store();
	tk_pane_set_free(set);
}

/* Workers share out what is exact of a pane by their partitions. */
static void
check_share(void)
{
	static const TkLimits limits = {
		.unlisted = {.enabled = true, .k = 10, .capacity = CAPACITY, .max_values = 10, .n_dimensions = -1},
		.max_tenants = 1,
		.n_partitions = 1,
		.topic_partitions = 4};
	TkPaneSet *set = tk_pane_set_create(&allocator, &config, 10, CAPACITY, 7);
	const TkPane *pane;

	tap_check(tk_pane_set_limit(set, &limits) == TK_OK, "limiting");
	for (uint64_t i = 0; i < tk_most_exact(CAPACITY) / 4; i++)
		count(set, &(Update){(int) i, 1});
	pane = tk_pane_next_new_family(set)->all->panes;
	tap_ok(!pane->whole, "a worker with one of four partitions keeps a quarter of the updates in pieces");
	count(set, &(Update){1, 1});
	tap_ok(pane->whole, "... and no more");
	tk_pane_set_free(set);
}

/* A replay stages what is sealed; of the rest nothing is written, and nothing is lost. */
static void
check_forget_sealed(void)
{
	TkPaneSet *set = tk_pane_set_create(&allocator, &config, 10, CAPACITY, 7);
	const TkFamily *family;

	for (int i = 0; i < 100; i++)
		count(set, &(Update){i, 1});
	family = tk_pane_next_new_family(set);
	tk_pane_forget_sealed(set);
	tap_ok(tk_pane_count(set) == 2 && !family->all->panes->rows->written, "an open pane stays as it is");
	tk_pane_seal(set, M);
	tk_pane_forget_sealed(set);
	tap_ok(tk_pane_count(set) == 0, "a sealed one is forgotten");
	tk_pane_set_free(set);
}

/* A list that was presumed shared gets what that of `all` has, be it pieces or the whole, and goes on like
 * it. */
static void
check_unshare(int n)
{
	unsigned long long seed = (unsigned long long) n;
	TkPaneSet *set = tk_pane_set_create(&allocator, &config, 10, CAPACITY, 7);
	TkFamily *family;
	TkSketch *all;
	TkSketch *across;
	void *bytes[2];
	size_t len[2];

	make_updates(&seed, n, 5000);
	for (int i = 0; i < n / 2; i++)
		count(set, &updates[i]);
	family = tk_pane_next_new_family(set);
	tap_check(tk_family_unshare(set, family, 0) == TK_OK, "unshared");
	for (int i = n / 2; i < n; i++)
	{
		count(set, &updates[i]);
		if (tap_below(&seed, 200) == 0)
			flush(set);
	}
	tk_pane_seal(set, M);
	flush(set);
	all = gather(family->all);
	across = gather(family->across[0]);
	if (tk_sketch_encode(all, TK_FINAL, &allocator, 0, &bytes[0], &len[0]) != TK_OK ||
		tk_sketch_encode(across, TK_FINAL, &allocator, 0, &bytes[1], &len[1]) != TK_OK)
		abort();
	tap_ok(len[0] == len[1] && memcmp(bytes[0], bytes[1], len[0]) == 0,
		   "%d updates: the list across values comes to the bytes of all", n);
	for (int i = 0; i < 2; i++)
		allocator.release(allocator.arg, bytes[i]);
	tk_sketch_free(all);
	tk_sketch_free(across);
	empty_store();
	tk_pane_set_free(set);
}

int
main(void)
{
	check_aborted();
	check_unshare(300);
	check_unshare(8000);
	check_unshare(12000);
	check_unshare(25000);
	check_share();
	check_forget_sealed();
	check_same_bytes(40, 20);
	check_same_bytes(700, 500);
	check_same_bytes(5000, 100);
	check_same_bytes(6144, 9000);
	check_same_bytes(6145, 9000);
	check_same_bytes(20000, 60);
	check_same_bytes(MAX_UPDATES, 9000);
	tap_ok(tap_wrong == 0, "%d things were wrong", tap_wrong);
	tap_ok(live_blocks == 0, "nothing is left behind");
	return tap_done();
}
