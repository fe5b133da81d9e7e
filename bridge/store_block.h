/*
 * store_block.h - dead letters, many in a row: topk.dead_letter_block.
 *
 * A row costs its header, an entry of the primary key, a number from a sequence and their WAL, whatever it
 * holds; and messages that cannot be read for the same reason are much alike, so that together they
 * compress.  Only whole and small messages that nobody wants to be read again are kept so.
 */
#ifndef TK_STORE_BLOCK_H
#define TK_STORE_BLOCK_H

#include "store.h"
#include "store_insert.h"

#define STORE_BLOCK_LETTERS 64 /* by how much topk.dead_letter_id grows: each has an id of its own */
#define STORE_BLOCK_LEAST 16   /* fewer are not worth a block */

/* Letters of one partition and reason, in the order of their offsets; the letters are the session's. */
typedef struct StoreBlock
{
	int64 id; /* of the first; the others have the next ones */
	struct StoreBlock *next;
	int n;
	size_t bytes; /* of their keys and payloads */
	const StoreLetter *letters[STORE_BLOCK_LETTERS];
} StoreBlock;

/* May it be in a block at all? */
extern bool store_block_takes(const StoreLetter *letter);

extern bool store_block_has_room(const StoreBlock *block, const StoreLetter *letter);

extern void store_block_add(StoreBlock *block, const StoreLetter *letter);

extern StoreInsert *store_block_begin(void);

/* Writes what is in the block.  Topic and reason are texts that last until store_insert_end. */
extern void store_block_write(StoreInsert *insert, const StoreSession *session, const StoreBlock *block,
							  Datum topic, Datum reason);

#endif
