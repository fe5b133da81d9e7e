/*
 * store_block.c - dead letters, many in a row (see store_block.h).
 *
 * The columns of a block's letters are arrays, which are built in the memory of the batch of rows (see
 * store_insert.h); the table's own storage compresses them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "host.h"
#include "store_block.h"

#define MOST_LETTER_BYTES 2048 /* key and payload of one: above it a row costs little beside it */
#define MOST_BLOCK_BYTES 24576 /* compressed to a third, it fits into a page */
#define BATCH_BLOCKS 8         /* some pages, and little enough for the processor's caches */

/* As rows have it: the generated column `bytes`. */
#define ROW_BYTES 200

static size_t
value_bytes(const bytea *value)
{
	return value == NULL ? 0 : VARSIZE_ANY_EXHDR(value);
}

static size_t
letter_bytes(const StoreLetter *letter)
{
	return value_bytes(letter->key) + value_bytes(letter->payload);
}

bool
store_block_takes(const StoreLetter *letter)
{
	return letter->payload != NULL && value_bytes(letter->payload) == letter->payload_bytes &&
		   letter_bytes(letter) <= MOST_LETTER_BYTES;
}

bool
store_block_has_room(const StoreBlock *block, const StoreLetter *letter)
{
	return block->n < STORE_BLOCK_LETTERS && block->bytes + letter_bytes(letter) <= MOST_BLOCK_BYTES;
}

void
store_block_add(StoreBlock *block, const StoreLetter *letter)
{
	block->letters[block->n++] = letter;
	block->bytes += letter_bytes(letter);
}

/* ---- arrays ---- */

/* One column of the letters. */
typedef struct Elements
{
	int n;
	Datum values[STORE_BLOCK_LETTERS];
	bool nulls[STORE_BLOCK_LETTERS];
} Elements;

static void
put(Elements *elements, Datum value, bool null)
{
	elements->values[elements->n] = value;
	elements->nulls[elements->n++] = null;
}

static Datum
to_array(Elements *elements, Oid type)
{
	bool fixed = type != BYTEAOID;
	int lower_bound = 1;

	return PointerGetDatum(construct_md_array(elements->values, elements->nulls, 1, &elements->n,
											  &lower_bound, type, fixed ? 8 : -1, fixed && FLOAT8PASSBYVAL,
											  fixed ? TYPALIGN_DOUBLE : TYPALIGN_INT));
}

static Datum
offset_array(const StoreBlock *block)
{
	Elements offsets = {0};

	for (int i = 0; i < block->n; i++)
		put(&offsets, Int64GetDatum(block->letters[i]->offset), false);
	return to_array(&offsets, INT8OID);
}

static Datum
key_array(const StoreBlock *block)
{
	Elements keys = {0};

	for (int i = 0; i < block->n; i++)
		put(&keys, PointerGetDatum(block->letters[i]->key), block->letters[i]->key == NULL);
	return to_array(&keys, BYTEAOID);
}

static Datum
payload_array(const StoreBlock *block)
{
	Elements payloads = {0};

	for (int i = 0; i < block->n; i++)
		put(&payloads, PointerGetDatum(block->letters[i]->payload), false);
	return to_array(&payloads, BYTEAOID);
}

static Datum
time_array(const StoreBlock *block)
{
	Elements times = {0};

	for (int i = 0; i < block->n; i++)
	{
		int64 time = block->letters[i]->kafka_time;

		put(&times, TimestampTzGetDatum(host_to_timestamp(time)), time < 0);
	}
	return to_array(&times, TIMESTAMPTZOID);
}

/* ---- rows ---- */

StoreInsert *
store_block_begin(void)
{
	static const char *const columns[] = {
		"dead_letter_id", "source_id", "partition", "topic",       "reason", "bytes",
		"kafka_offsets",  "keys",      "payloads",  "kafka_times", NULL};

	return store_insert_begin("dead_letter_block", columns, BATCH_BLOCKS);
}

void
store_block_write(StoreInsert *insert, const StoreSession *session, const StoreBlock *block, Datum topic,
				  Datum reason)
{
	static const bool nulls[10] = {false};
	MemoryContext old = MemoryContextSwitchTo(store_insert_memory(insert));
	Datum values[] = {Int64GetDatum(block->id),
					  Int32GetDatum(session->config->source_id),
					  Int32GetDatum(block->letters[0]->partition),
					  topic,
					  reason,
					  Int32GetDatum((int32) block->bytes + ROW_BYTES * block->n),
					  offset_array(block),
					  key_array(block),
					  payload_array(block),
					  time_array(block)};

	StaticAssertStmt(lengthof(values) == lengthof(nulls), "each value has its flag");
	MemoryContextSwitchTo(old);
	store_insert_row(insert, values, nulls);
}
