/*
 * sketch.h
 *		Public interface of the top-k sketch library ("lazy filtered Space-Saving").
 *
 * A sketch summarizes a stream of (key, weight) updates. It keeps the total weight n, an error bound
 * theta and up to W(m) = max(1024, 2m) working entries (after merges three times that), where m is the
 * sketch's capacity. An entry bounds its key's true weight f by lower <= f <= upper, with upper - lower <=
 * theta; a key without an entry has f <= theta. While the distinct keys fit, theta is 0 and every count is
 * exact. In a finished (trimmed, or encoded as TK_FINAL) sketch:
 *
 *		(m + 1) * theta + sum(upper - theta) <= n		so theta <= n / (m + 1), always
 *
 * for any weights, any order and any tree of merges.
 *
 * Rules that hold for every function here:
 *	 - No global state, no I/O, no locale, no libc allocation: all memory comes from the TkAllocator
 *	   given. Different sketches may be used by different threads at once; one sketch by one thread at a
 *	   time.
 *	 - A function that fails leaves every sketch that it was given as it was, usable, and writes no
 *	   output argument (other than setting an output pointer to NULL).
 *	 - The same calls in the same order give the same bytes, on every CPU.
 *	 - Totals never exceed TK_MAX_TOTAL, so every number that a sketch reports fits a signed 64-bit
 *	   integer.
 *	 - Pointers must not be NULL unless the comment allows it; a key pointer may be NULL if its length
 *	   is 0.
 *
 * Exports are grouped below by the file that defines them.
 */
#ifndef TK_SKETCH_H
#define TK_SKETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TK_MAX_CAPACITY 65536               /* largest m; k lies in 1..m */
#define TK_DEFAULT_K 100                    /* what callers offer when the user names no k ... */
#define TK_DEFAULT_CAPACITY_PER_K 3         /* ... and no capacity: m = 3k */
#define TK_MAX_KEY_BYTES 65535              /* longer keys are refused with TK_KEY_TOO_LONG, never cut */
#define TK_MAX_TOTAL ((uint64_t) INT64_MAX) /* largest total weight of a sketch */
#define TK_MAX_ENCODED_BYTES 0x3FFFFF00     /* largest encoding, headroom included: just under 1 GiB */

typedef struct TkSketch TkSketch;

typedef enum TkStatus
{
	TK_OK = 0,
	TK_NO_MEMORY,     /* the allocator returned NULL */
	TK_OVERFLOW,      /* the total weight would exceed TK_MAX_TOTAL */
	TK_BAD_ARGUMENT,  /* k, capacity, kind, key width, epsilon or mode out of range */
	TK_KEY_TOO_LONG,  /* a key longer than TK_MAX_KEY_BYTES */
	TK_TOO_LARGE,     /* keys or an encoding beyond what a sketch can address */
	TK_KIND_MISMATCH, /* sketches of different key kinds cannot be merged */
	TK_CORRUPT,       /* bytes that are no sketch, or break its promises */
	TK_UNSUPPORTED    /* bytes of a version or feature that this library does not know */
} TkStatus;

/*
 * What a sketch counts. The values are those of the stored form's key type byte and never change
 * meaning. TEXT keys are UTF-8 without U+0000, of any length up to the limit, also empty: readers of
 * stored bytes check that, updates trust the caller. BIGINT keys are 8 bytes (tk_bigint_key), UUID
 * keys 16, whose byte order is also their sort order.
 */
typedef enum TkKind
{
	TK_KIND_TEXT = 1,
	TK_KIND_BIGINT = 2,
	TK_KIND_UUID = 3
} TkKind;

/*
 * Where memory comes from. alloc returns at least `size` (> 0) bytes aligned for any scalar, or NULL
 * if there is none; it must not leave by longjmp or exception. release gets what alloc returned,
 * never NULL. The struct is copied into each sketch; `arg` must outlive it.
 */
typedef struct TkAllocator
{
	void *(*alloc)(void *arg, size_t size);
	void (*release)(void *arg, void *block);
	void *arg;
} TkAllocator;

/* One ranked item. `key` points into the sketch or the bytes that it was read from; nobody frees it
 * alone. */
typedef struct TkItem
{
	const uint8_t *key;
	uint32_t key_len;
	bool guaranteed; /* certainly among the top k: see tk_sketch_items */
	uint64_t upper;  /* the estimate */
	uint64_t lower;
} TkItem;

/* What an encoding, or a sketch, says about itself. */
typedef struct TkSummary
{
	TkKind kind;
	uint32_t k;
	uint32_t capacity;  /* m */
	uint32_t count;     /* entries held; up to 3 W(m) in a working state, m in a finished one */
	uint64_t total;     /* n */
	uint64_t max_error; /* theta */
	bool exact;         /* theta is 0: every count is exact, and no item is missing */
	bool partial;       /* (encodings) written by TK_PARTIAL */
} TkSummary;

/* ---- sketch.c: life, arguments, readers ---- */

/* A short English phrase without a full stop, for messages; never NULL. */
extern const char *tk_status_text(TkStatus status);

/* "text", "bigint", "uuid", or "unknown"; never NULL. */
extern const char *tk_kind_name(TkKind kind);

/* The byte length of all keys of a kind; 0 where it varies (TEXT). */
extern size_t tk_kind_width(TkKind kind);

/* Convert between a number and its BIGINT key (big-endian, sign bit inverted: bytes sort as the numbers
 * do). */
extern void tk_bigint_key(int64_t value, uint8_t key[8]);
extern int64_t tk_bigint_value(const uint8_t key[8]);

/*
 * The smallest capacity m whose bound n / (m + 1) is at most epsilon * n. TK_BAD_ARGUMENT unless
 * epsilon is in (0, 1) and that capacity is at most TK_MAX_CAPACITY. (A NaN is out of range.)
 */
extern TkStatus tk_capacity_for_epsilon(double epsilon, uint32_t *capacity);

/* W(m): how many entries a working state of capacity m holds. */
extern uint32_t tk_working_entries(uint32_t capacity);

/*
 * Make an empty sketch that reports its top k out of `capacity` entries; 1 <= k <= capacity <=
 * TK_MAX_CAPACITY. The caller owns *out and frees it with tk_sketch_free. An empty sketch is one
 * small block (tk_sketch_memory).
 */
extern TkStatus tk_sketch_create(const TkAllocator *alloc, TkKind kind, uint32_t k, uint32_t capacity,
								 TkSketch **out);

/* Release a sketch and all that it owns. NULL is allowed. */
extern void tk_sketch_free(TkSketch *s);

/*
 * A copy that shares nothing with `s`, made by `alloc` (NULL: the allocator of `s`), with the same
 * future: the same updates give the same bytes.
 */
extern TkStatus tk_sketch_clone(const TkSketch *s, const TkAllocator *alloc, TkSketch **out);

/* Forget all updates; kind, k and capacity stay. Keeps the blocks that later updates will need again. */
extern void tk_sketch_reset(TkSketch *s);

/* All readers below are O(1). `exact` and the rest mean what TkSummary says. */
extern void tk_sketch_summary(const TkSketch *s, TkSummary *summary);
extern TkKind tk_sketch_kind(const TkSketch *s);
extern uint32_t tk_sketch_k(const TkSketch *s);
extern uint32_t tk_sketch_capacity(const TkSketch *s);
extern uint32_t tk_sketch_count(const TkSketch *s);
extern uint64_t tk_sketch_total(const TkSketch *s);
extern uint64_t tk_sketch_max_error(const TkSketch *s);
extern bool tk_sketch_is_exact(const TkSketch *s);

/* Bytes that the sketch holds from its allocator now (as asked for, without the allocator's own
 * overhead). */
extern size_t tk_sketch_memory(const TkSketch *s);

/* ---- text.c ---- */

/* True if the bytes are UTF-8 (no overlong forms, surrogates or values past U+10FFFF) without U+0000. */
extern bool tk_text_is_valid(const void *key, size_t len);

/* ---- update.c ---- */

/*
 * The hash that tk_sketch_update_hashed needs. It may be kept in memory and used for other tables too
 * (both its halves are well mixed), but never stored: a later version may hash differently.
 */
extern uint64_t tk_hash(const void *key, size_t len);

/*
 * Add `weight` to a key. Weight 0 changes nothing (but the key is checked). Amortized O(1). Errors:
 * TK_OVERFLOW, TK_KEY_TOO_LONG, TK_BAD_ARGUMENT (the key's length does not fit the kind),
 * TK_NO_MEMORY, TK_TOO_LARGE. The key's bytes are copied when kept.
 */
extern TkStatus tk_sketch_update(TkSketch *s, const void *key, size_t len, uint64_t weight);

/* The same, for callers that have hash = tk_hash(key, len) already. Another value makes the answers
 * wrong. */
extern TkStatus tk_sketch_update_hashed(TkSketch *s, const void *key, size_t len, uint64_t hash,
										uint64_t weight);

/*
 * Start to load what an update with this hash will touch. Worth it only when states miss the cache
 * (thousands of groups). Each step needs what the one before it has loaded, so let some 8 updates pass
 * between them: the state; the key's bucket, and where a new entry would go; the entry that is probably the
 * key's, whose position is returned; that entry's key. Never changes anything; a position that has become
 * wrong does no harm.
 */
extern void tk_sketch_prefetch_state(const TkSketch *s);
extern void tk_sketch_prefetch(const TkSketch *s, uint64_t hash);
extern uint32_t tk_sketch_prefetch_entry(const TkSketch *s, uint64_t hash);
extern void tk_sketch_prefetch_key(const TkSketch *s, uint32_t position);

/* ---- merge.c ---- */

/*
 * Add all that `src` has seen to `dst`. TK_KIND_MISMATCH if their kinds differ. The capacity becomes
 * the smallest among the two that are not exact, or the larger if both are exact; k the larger of the
 * two, lowered to that. dst keeps up to 3 W(m) entries: trim (or encode as TK_FINAL) once, after the
 * last merge. dst == src doubles it. O(entries of src), purges amortized. Errors: TK_KIND_MISMATCH,
 * TK_OVERFLOW, TK_NO_MEMORY, TK_TOO_LARGE.
 */
extern TkStatus tk_sketch_merge(TkSketch *dst, const TkSketch *src);

/*
 * The same for a source in stored form, without building a sketch of it: the fast path of merging
 * stored sketches. The bytes are checked as by tk_sketch_decode, and dst is unchanged if they are
 * refused.
 */
extern TkStatus tk_sketch_merge_encoded(TkSketch *dst, const void *bytes, size_t len);

/*
 * The same for a part of a whole whose parts come one after the other, and are trimmed once all are there:
 * dst keeps up to 64 W(m) entries, and while it has no more what comes of the parts depends neither on
 * their order nor, where they are exact, on how the whole was divided.
 */
extern TkStatus tk_sketch_gather_encoded(TkSketch *dst, const void *bytes, size_t len);

/* ---- purge.c ---- */

/*
 * Cut the sketch to its capacity, raising theta. Do it once, when a sketch is finished: trimming
 * states that are merged or updated later costs accuracy. Needs one scratch block (TK_NO_MEMORY).
 */
extern TkStatus tk_sketch_trim(TkSketch *s);

/* ---- items.c ---- */

/*
 * Bounds of one key's true weight. A key without an entry has 0..theta, and false is returned. O(1).
 */
extern bool tk_sketch_estimate(const TkSketch *s, const void *key, size_t len, uint64_t *lower,
							   uint64_t *upper);

/*
 * The first `limit` items (SIZE_MAX: all) by rank: upper descending, lower descending, key bytes
 * ascending. `guaranteed`: lower >= theta and fewer than k other entries have upper > lower. The
 * caller owns *items (made by `alloc`, one block, released with its release); the keys in it live as
 * long as the sketch is unchanged. With no items *items is NULL and *count 0. On a working state this
 * lists up to 3 W(m) entries; trim a clone, or encode and use tk_view_items, to see what the finished
 * sketch will say.
 */
extern TkStatus tk_sketch_items(const TkSketch *s, const TkAllocator *alloc, size_t limit, TkItem **items,
								size_t *count);

/* ---- encode.c ---- */

/*
 * TK_FINAL: the stored form of a trimmed copy; the state itself is not touched, and a sketch read
 * back merges as well as one that was never stored. TK_PARTIAL: the untrimmed state, for states that
 * travel between processes and go on (parallel workers, Citus nodes). Both read back by the same
 * functions.
 */
typedef enum TkEncodeMode
{
	TK_FINAL = 0,
	TK_PARTIAL = 1
} TkEncodeMode;

/*
 * Write the stored form, version 1. *block is made by `alloc` (NULL: the allocator of `s`) and owned
 * by the caller; its first `headroom` bytes are left for the caller's own header, the encoding
 * follows and is *len bytes long. At most the key bytes + some 4.5 bytes an entry + 32. Errors:
 * TK_NO_MEMORY, TK_TOO_LARGE, TK_BAD_ARGUMENT.
 */
extern TkStatus tk_sketch_encode(const TkSketch *s, TkEncodeMode mode, const TkAllocator *alloc,
								 size_t headroom, void **block, size_t *len);

/* ---- decode.c ---- */

/*
 * Read a stored form of any version so far. Safe on hostile bytes: everything is checked (SKETCH: the
 * stored form), and nothing is allocated that the bytes at hand do not justify. TK_CORRUPT,
 * TK_UNSUPPORTED (a newer version), TK_NO_MEMORY. The result may be updated and merged further.
 * Alignment of `bytes` does not matter.
 */
extern TkStatus tk_sketch_decode(const TkAllocator *alloc, const void *bytes, size_t len, TkSketch **out);

/* ---- hex.c ---- */

/*
 * Read the text form: "\x" and a stored form in hexadecimal digits of either case, two for each byte and
 * nothing between them. `bytes` has room for len / 2 of them; *bytes_len is how many were written. False if
 * the text is none, whatever it may have written to `bytes`. Whether they are a sketch is for
 * tk_sketch_decode. O(len).
 */
extern bool tk_hex_read(const char *text, size_t len, uint8_t *bytes, size_t *bytes_len);

/* ---- view.c: reading stored forms where they lie ---- */

/*
 * An opened encoding. `summary` is for the caller; the rest is private. It points into the bytes and
 * owns nothing; forget it when the bytes go.
 */
typedef struct TkView
{
	TkSummary summary;
	const uint8_t *excess;  /* column of c = upper - theta: c0, then descending differences */
	const uint8_t *gaps;    /* column of lower - c; NULL if theta is 0 */
	const uint8_t *lengths; /* column of key lengths, if they vary */
	const uint8_t *keys;
	const uint8_t *end;
	uint64_t key_width; /* the length of all keys, unless they vary */
	bool varying;
} TkView;

/*
 * Open bytes for reading. Checks the structure, every length and sum, order and bounds, so that the
 * functions below are safe on any bytes; it does not check that text is UTF-8, nor look for equal
 * keys with different counts: bytes from outside go through tk_sketch_decode once, when they come in.
 * No allocation; one pass over the numbers, none over the keys.
 */
extern TkStatus tk_view_open(const void *bytes, size_t len, TkView *view);

/*
 * Only the summary, of an encoding of `len` bytes whose first `at_hand` are at hand: all, or at least
 * TK_SUMMARY_BYTES (else TK_BAD_ARGUMENT). O(1). Checks what those bytes say by themselves: version, kind,
 * canonical numbers within their limits, k <= capacity, max_error <= total / (capacity + 1), flags, and that
 * so many entries fit into the length. Whether the entries agree is for tk_view_open and tk_sketch_decode.
 */
#define TK_SUMMARY_BYTES 32
extern TkStatus tk_view_summary(const void *bytes, size_t at_hand, size_t len, TkSummary *summary);

/* As tk_sketch_estimate; O(entries). */
extern bool tk_view_estimate(const TkView *view, const void *key, size_t len, uint64_t *lower,
							 uint64_t *upper);

/* As tk_sketch_items; keys point into the bytes. Nearly sorted already, so O(entries) for almost all
 * inputs. */
extern TkStatus tk_view_items(const TkView *view, const TkAllocator *alloc, size_t limit, TkItem **items,
							  size_t *count);

/* ---- datasketches.c ---- */

/*
 * Read the Apache DataSketches frequent-items form of strings (TK_KIND_TEXT) or longs
 * (TK_KIND_BIGINT); which of the two, its bytes do not say. The capacity is what the bytes' own map
 * size and inequality allow; k is lowered to it. Errors as for tk_sketch_decode, and TK_BAD_ARGUMENT
 * for other kinds or k = 0.
 */
extern TkStatus tk_sketch_from_datasketches(const TkAllocator *alloc, TkKind kind, uint32_t k,
											const void *bytes, size_t len, TkSketch **out);

/*
 * Write that form, of a trimmed copy: upper bounds are kept, lower bounds weakened to upper - theta,
 * items that this leaves with nothing are dropped. TK_KIND_TEXT and TK_KIND_BIGINT; else
 * TK_BAD_ARGUMENT. Ownership as for tk_sketch_encode.
 */
extern TkStatus tk_sketch_to_datasketches(const TkSketch *s, const TkAllocator *alloc, size_t headroom,
										  void **block, size_t *len);

#endif /* TK_SKETCH_H */
