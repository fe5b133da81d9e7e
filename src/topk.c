/*
 * topk.c
 *		The module of the type topk.
 *
 * It has no settings, no hooks and no state of its own, so there is nothing to set up when it is loaded. What
 * the other files do:
 *
 *		topk_value.c		flat values and sketches, memory and errors
 *		topk_item.c			items as Datums and as the keys of a sketch
 *		topk_expanded.c		the state of an aggregate
 *		topk_aggregate.c	topk_agg, topk_merge
 *		topk_io.c			text, binary and bytea forms
 *		topk_items.c		the ranked lists
 *		topk_accessors.c	facts about a sketch
 *		topk_modify.c		topk_add, topk || topk
 *		topk_jsonb.c		the cast to jsonb
 *		topk_datasketches.c	exchange with Apache DataSketches
 *		topk_support.c		planner support
 */
#include "compat.h"

PG_MODULE_MAGIC;
