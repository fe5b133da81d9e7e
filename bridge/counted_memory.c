/*
 * counted_memory.c - see counted_memory.h.
 */
#include <stddef.h>
#include <string.h>

#include "counted_memory.h"

/* What stands in front of each block: its whole size, in a space that keeps the block aligned. */
typedef union BlockHead
{
	size_t size;
	max_align_t align;
} BlockHead;

static void *
counted_alloc(void *arg, size_t size)
{
	TkCountedMemory *memory = arg;
	BlockHead *head;

	if (size > SIZE_MAX - sizeof(BlockHead))
		return NULL;
	size += sizeof(BlockHead);
	head = memory->base.alloc(memory->base.arg, size);
	if (head == NULL)
		return NULL;
	head->size = size;
	memory->bytes += size;
	return head + 1;
}

static void
counted_release(void *arg, void *block)
{
	TkCountedMemory *memory = arg;
	BlockHead *head = (BlockHead *) block - 1;

	memory->bytes -= head->size;
	memory->base.release(memory->base.arg, head);
}

void
tk_counted_init(TkCountedMemory *memory, const TkAllocator *base)
{
	memory->base = *base;
	memory->allocator = (TkAllocator){counted_alloc, counted_release, memory};
	memory->bytes = 0;
}

void *
tk_counted_zalloc(TkCountedMemory *memory, size_t size)
{
	void *block = counted_alloc(memory, size);

	if (block != NULL)
		memset(block, 0, size);
	return block;
}

void
tk_counted_free(TkCountedMemory *memory, void *block)
{
	if (block != NULL)
		counted_release(memory, block);
}
