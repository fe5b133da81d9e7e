/*
 * text_pool.c - texts in a chain of blocks that only grows (see text_pool.h).
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "text_pool.h"

typedef struct TkTextBlock
{
	struct TkTextBlock *next;
	size_t used;
	char bytes[TK_TEXT_POOL_BLOCK];
} TkTextBlock;

/* The block after the current one, empty; made if there is none.  NULL: out of memory. */
static TkTextBlock *
next_block(TkTextPool *pool)
{
	TkTextBlock **link = pool->current == NULL ? &pool->first : &pool->current->next;

	if (*link == NULL)
	{
		*link = malloc(sizeof(TkTextBlock));
		if (*link == NULL)
			return NULL;
		(*link)->next = NULL;
	}
	(*link)->used = 0;
	return *link;
}

const char *
tk_text_pool_keep(TkTextPool *pool, const char *text, size_t len)
{
	char *copy;

	assert(len <= TK_TEXT_POOL_BLOCK);
	if (pool->current == NULL || TK_TEXT_POOL_BLOCK - pool->current->used < len)
	{
		TkTextBlock *block = next_block(pool);

		if (block == NULL)
			return NULL;
		pool->current = block;
	}
	copy = pool->current->bytes + pool->current->used;
	memcpy(copy, text, len);
	pool->current->used += len;
	return copy;
}

void
tk_text_pool_reset(TkTextPool *pool)
{
	pool->current = NULL;
}

void
tk_text_pool_free(TkTextPool *pool)
{
	while (pool->first != NULL)
	{
		TkTextBlock *next = pool->first->next;

		free(pool->first);
		pool->first = next;
	}
	pool->current = NULL;
}
