/*
 * sketch_stored_test.c
 *		The stored form: what encoding promises, views of it, its text form, and the fixtures of version 1,
 *		which every later build must read. Argument: the directory of the fixtures.
 */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>

#include "sketch_support.h"

/* A final function that changes the state breaks window queries. */
static void
test_encode_leaves_state(void)
{
	TkSketch *s = flat_sketch(300, 0, 3000, 3);
	TkSketch *twin = flat_sketch(300, 0, 3000, 3);
	size_t len;

	for (int i = 0; i < 3; i++)
		release(encoded(s, TK_FINAL, &len));
	ok(same_bytes(s, twin, TK_PARTIAL), "encoding does not touch the state");
	for (uint64_t i = 0; i < 3000; i++)
	{
		add_numbered(s, i * 7, i);
		add_numbered(twin, i * 7, i);
		if (i % 100 == 0)
			release(encoded(s, TK_FINAL, &len));
	}
	ok(same_bytes(s, twin, TK_PARTIAL), "nor its future");
	tk_sketch_free(s);
	tk_sketch_free(twin);
}

static void
test_headroom(void)
{
	TkSketch *s = flat_sketch(30, 0, 20, 3);
	size_t plain_len;
	size_t len;
	uint8_t *plain = encoded(s, TK_FINAL, &plain_len);
	void *block;
	TkView view;

	ok(tk_sketch_encode(s, TK_FINAL, NULL, 5, &block, &len) == TK_OK && len == plain_len &&
		   memcmp((char *) block + 5, plain, len) == 0,
	   "headroom is left in front");
	ok(tk_view_open((char *) block + 5, len, &view) == TK_OK, "bytes need no alignment");
	release(block);
	ok(tk_sketch_encode(s, TK_FINAL, NULL, SIZE_MAX - 3, &block, &len) == TK_TOO_LARGE && block == NULL,
	   "headroom beyond all bounds is refused");
	ok(tk_sketch_encode(s, (TkEncodeMode) 2, NULL, 0, &block, &len) == TK_BAD_ARGUMENT, "so is another mode");
	release(plain);
	tk_sketch_free(s);
}

static bool
same_items(const TkItem *a, const TkItem *b, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (a[i].upper != b[i].upper || a[i].lower != b[i].lower || a[i].key_len != b[i].key_len ||
			a[i].guaranteed != b[i].guaranteed || memcmp(a[i].key, b[i].key, a[i].key_len) != 0)
			return false;
	return true;
}

/* The view of stored bytes and the decoded sketch answer alike. */
static void
check_view(const TkSketch *s, TkEncodeMode mode, const char *what)
{
	size_t len;
	uint8_t *bytes = encoded(s, mode, &len);
	TkSketch *copy = stored_copy(s, mode);
	TkItem *items;
	TkItem *view_items;
	size_t count;
	size_t view_count;
	TkView view;
	TkSummary summary;
	bool estimates = true;

	tk_sketch_summary(copy, &summary);
	ok(tk_view_open(bytes, len, &view) == TK_OK && same_summary(&summary, &view.summary),
	   "view of %s: summary", what);
	ok(tk_view_summary(bytes, TK_SUMMARY_BYTES, len, &summary) == TK_OK &&
		   same_summary(&summary, &view.summary) &&
		   tk_view_summary(bytes, TK_SUMMARY_BYTES - 1, len, &summary) == TK_BAD_ARGUMENT &&
		   tk_view_summary(bytes, len + 1, len, &summary) == TK_BAD_ARGUMENT,
	   "view of %s: the summary by itself", what);
	tk_sketch_items(copy, &alloc, SIZE_MAX, &items, &count);
	tk_view_items(&view, &alloc, SIZE_MAX, &view_items, &view_count);
	ok(count == view_count && same_items(items, view_items, count), "view of %s: items", what);
	for (size_t i = 0; i < count; i++)
	{
		uint64_t lower;
		uint64_t upper;

		estimates = estimates && tk_view_estimate(&view, items[i].key, items[i].key_len, &lower, &upper) &&
					lower == items[i].lower && upper == items[i].upper;
	}
	ok(estimates, "view of %s: estimates", what);
	release(items);
	release(view_items);
	release(bytes);
	tk_sketch_free(copy);
}

static void
test_views(void)
{
	TkSketch *s = flat_sketch(100, 0, 90, 2);

	check_view(s, TK_FINAL, "an exact sketch of one key length");
	add_text(s, "", 4);
	check_view(s, TK_FINAL, "an exact sketch of different key lengths");
	for (uint64_t i = 0; i < 20000; i++)
		add_numbered(s, i % (i % 700 + 1), i % 5);
	check_view(s, TK_FINAL, "a trimmed sketch");
	check_view(s, TK_PARTIAL, "a working state");
	tk_sketch_free(s);
}

/* Storing must lose nothing that a later merge would need. */
static void
test_partial_round_trip(void)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 10, 100);
	TkSketch *copy;

	for (uint64_t i = 0; i < 50000; i++)
		add_numbered(s, i * i % 3001, i % 4);
	copy = stored_copy(s, TK_PARTIAL);
	ok(copy != NULL && tk_sketch_count(copy) == tk_sketch_count(s) && tk_sketch_count(s) > 100,
	   "a working state travels whole");
	ok(same_bytes(s, copy, TK_PARTIAL) && same_bytes(s, copy, TK_FINAL), "and comes out the same");
	tk_sketch_free(s);
	tk_sketch_free(copy);
}

/*
 * Two keys of equal weight and `len` bytes that differ in one byte only; `longer` adds a third key, of
 * another length. Their bytes are at the end of the stored form. Does a reader accept them in their order
 * alone?
 */
static bool
order_is_checked(size_t len, size_t differing, bool longer)
{
	char keys[2][64] = {{0}};
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 1, 10);
	TkSketch *copy;
	size_t bytes_len;
	uint8_t *bytes;
	uint8_t *first;
	bool right;

	memset(keys[0], 'a', len);
	memset(keys[1], 'a', len);
	keys[1][differing] = 'b';
	add_text(s, keys[0], 7);
	add_text(s, keys[1], 7);
	if (longer)
		tk_sketch_update(s, "zzz", len == 3 ? 2 : 3, 7);
	bytes = encoded(s, TK_FINAL, &bytes_len);
	first = bytes + bytes_len - 2 * len - (longer ? (len == 3 ? 2 : 3) : 0);
	right = tk_sketch_decode(&alloc, bytes, bytes_len, &copy) == TK_OK;
	tk_sketch_free(copy);
	memcpy(first, keys[1], len);
	right = right && tk_sketch_decode(&alloc, bytes, bytes_len, &copy) == TK_CORRUPT;
	memcpy(first + len, keys[0], len);
	right = right && tk_sketch_decode(&alloc, bytes, bytes_len, &copy) == TK_CORRUPT;
	memcpy(first, keys[0], len);
	right = right && tk_sketch_decode(&alloc, bytes, bytes_len, &copy) == TK_CORRUPT;
	release(bytes);
	tk_sketch_free(s);
	return right;
}

static void
test_key_order(void)
{
	bool right = true;

	for (size_t len = 1; len < 40; len++)
		for (size_t differing = 0; differing < len; differing++)
			right =
				right && order_is_checked(len, differing, false) && order_is_checked(len, differing, true);
	ok(right, "keys of equal weight must ascend, whatever their length and wherever they differ");
}

/* ---- bytes that earlier versions have written ---- */

/* "text", "bigint" or "uuid"; else no kind. */
static TkKind
kind_by_name(const char *name)
{
	for (int kind = TK_KIND_TEXT; kind <= TK_KIND_UUID; kind++)
		if (strcmp(tk_kind_name((TkKind) kind), name) == 0)
			return (TkKind) kind;
	return (TkKind) 0;
}

/* Hex digits up to the end of the word, in place; returns how many bytes they were. */
static size_t
unhex(char *word)
{
	size_t len = 0;
	unsigned byte;

	while (sscanf(word + 2 * len, "%2x", &byte) == 1)
		word[len++] = (char) byte;
	return len;
}

/* Read a stored form, which must encode to the same bytes again. */
static bool
read_stored(char *hex, TkSketch **s)
{
	size_t len = unhex(hex);
	size_t again_len;
	uint8_t *again;
	bool same;

	if (tk_sketch_decode(&alloc, hex, len, s) != TK_OK)
		return false;
	again = encoded(*s, TK_PARTIAL, &again_len);
	same = again_len == len && memcmp(again, hex, len) == 0;
	release(again);
	return same;
}

/* One line of a fixture; false if it does not agree with the sketch, which the "bytes" or "import" line
 * makes. */
static bool
fixture_line(char *line, TkSketch **s, TkItem **items, size_t *count, size_t *at)
{
	char name[16];
	unsigned long long n[5];
	int key_at;
	TkSummary summary;

	if (*s == NULL)
	{
		bool made = false;

		if (strncmp(line, "bytes ", 6) == 0)
			made = read_stored(line + 6, s);
		else if (strncmp(line, "import ", 7) == 0)
			made =
				tk_sketch_from_datasketches(&alloc, TK_KIND_TEXT, 3, line + 7, unhex(line + 7), s) == TK_OK;
		else
			return line[0] == '#';
		return made && tk_sketch_items(*s, &alloc, SIZE_MAX, items, count) == TK_OK;
	}
	if (sscanf(line, "summary %15s %llu %llu %llu %llu %llu", name, &n[0], &n[1], &n[2], &n[3], &n[4]) == 6)
	{
		tk_sketch_summary(*s, &summary);
		return summary.kind == kind_by_name(name) && summary.k == n[0] && summary.capacity == n[1] &&
			   summary.total == n[2] && summary.max_error == n[3] && summary.count == n[4];
	}
	if (sscanf(line, "item %llu %llu %n", &n[0], &n[1], &key_at) == 2 && *at < *count)
	{
		const TkItem *item = &(*items)[(*at)++];

		return item->upper == n[0] && item->lower == n[1] && item->key_len == unhex(line + key_at) &&
			   memcmp(item->key, line + key_at, item->key_len) == 0;
	}
	return line[0] == '#';
}

static bool
fixture_holds(const char *path)
{
	FILE *file = fopen(path, "r");
	static char line[65536];
	TkSketch *s = NULL;
	TkItem *items = NULL;
	size_t count = 0;
	size_t at = 0;
	bool holds = file != NULL;

	while (holds && fgets(line, sizeof(line), file) != NULL)
		holds = fixture_line(line, &s, &items, &count, &at);
	if (file != NULL)
		fclose(file);
	holds = holds && s != NULL && at == count;
	release(items);
	tk_sketch_free(s);
	return holds;
}

static void
test_fixtures(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	size_t files = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		char path[4096];

		if (strstr(entry->d_name, ".hex") == NULL)
			continue;
		files++;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		ok(fixture_holds(path), "bytes of version 1: %s", entry->d_name);
	}
	if (dir != NULL)
		closedir(dir);
	ok(files >= 8, "%zu fixtures in %s", files, directory);
}

/* What the text form is, and what it is not; `bytes` must come out, or NULL for a refusal. */
static void
check_hex(const char *text, size_t len, const char *bytes, size_t bytes_len)
{
	/* blocks of just that size, so that a sanitizer sees a byte too many */
	char *copy = malloc(len + 1);
	uint8_t *read = malloc(len / 2 + 1);
	size_t read_len = 0;
	bool taken;

	memcpy(copy + 1, text, len);
	taken = tk_hex_read(copy + 1, len, read + 1, &read_len);
	ok(taken == (bytes != NULL) &&
		   (!taken || (read_len == bytes_len && memcmp(read + 1, bytes, read_len) == 0)),
	   "text of %zu characters: %.*s", len, (int) len, text);
	free(copy);
	free(read);
}

static void
test_text_form(void)
{
	check_hex("\\x", 2, "", 0);
	check_hex("\\x00ff", 6, "\x00\xFF", 2);
	check_hex("\\x09aAfF9a", 10, "\x09\xAA\xFF\x9A", 4);
	for (size_t len = 0; len < 2; len++)
		check_hex("\\x", len, NULL, 0);
	for (size_t len = 3; len < 6; len += 2)
		check_hex("\\x00ff", len, NULL, 0);
	for (const char *c = "/:@G`g -\\x"; *c != '\0'; c++)
	{
		char text[] = "\\x0000";

		text[2] = *c;
		check_hex(text, 6, NULL, 0);
		text[2] = '0';
		text[5] = *c;
		check_hex(text, 6, NULL, 0);
	}
	check_hex("0x00", 4, NULL, 0);
	check_hex("\\X00", 4, NULL, 0);
	check_hex("\\x00\0\0", 6, NULL, 0);
}

int
main(int argc, char **argv)
{
	test_encode_leaves_state();
	test_headroom();
	test_views();
	test_partial_round_trip();
	test_key_order();
	test_text_form();
	test_fixtures(argc > 1 ? argv[1] : "test/fixtures/sketch_v1");
	is_number(heap.live, 0, "no block is left");
	return tap_end();
}
