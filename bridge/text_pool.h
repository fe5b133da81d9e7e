/*
 * text_pool.h - short texts that are kept until the next message.
 *
 * Pure.  Blocks are kept from message to message, so that in the steady state nothing is allocated.
 */
#ifndef TK_TEXT_POOL_H
#define TK_TEXT_POOL_H

#include <stddef.h>

#define TK_TEXT_POOL_BLOCK 4096 /* no text may be longer */

/* Zero it before the first use. */
typedef struct TkTextPool
{
	struct TkTextBlock *first;
	struct TkTextBlock *current; /* NULL: nothing is kept */
} TkTextPool;

/* A copy that lives until the reset.  NULL: out of memory. */
const char *tk_text_pool_keep(TkTextPool *pool, const char *text, size_t len);
void tk_text_pool_reset(TkTextPool *pool);
void tk_text_pool_free(TkTextPool *pool);

#endif
