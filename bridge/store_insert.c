/*
 * store_insert.c - many rows into one table (see store_insert.h).
 *
 * What COPY does after it has parsed a row.  A column that no row brings has an expression: one that gives
 * the same for all rows (now(), a constant) is evaluated once, others (an identity, a generated column) for
 * each row.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/hio.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "../src/compat.h"
#include "store_insert.h"

/* A column that is evaluated for each row. */
typedef struct Computed
{
	int attribute; /* from 0 */
	ExprState *expression;
} Computed;

struct StoreInsert
{
	Relation relation;
	EState *executor;
	ResultRelInfo *target;
	TransitionCaptureState *transition; /* for triggers that want the new rows as a table */
	BulkInsertState pages;
	CommandId command;
	MemoryContext memory; /* of what is brought, computed and formed for the rows of a batch */
	int *brought;         /* attributes, from 0, of the columns that rows bring */
	int n_brought;
	Datum *values; /* of the other columns, where they are the same for all rows */
	bool *nulls;
	Computed *computed; /* generated columns last: they look at the others */
	int n_computed;
	int batch_rows;
	int n; /* in the batch */
	TupleTableSlot
		*slots[STORE_INSERT_ROWS]; /* virtual: indexes take the values from them, not from the rows */
};

/* ---- columns ---- */

static bool
is_brought(const StoreInsert *insert, int attribute)
{
	for (int i = 0; i < insert->n_brought; i++)
		if (insert->brought[i] == attribute)
			return true;
	return false;
}

static void
find_brought(StoreInsert *insert, const char *const *columns)
{
	while (columns[insert->n_brought] != NULL)
		insert->n_brought++;
	insert->brought = palloc(sizeof(int) * insert->n_brought);
	for (int i = 0; i < insert->n_brought; i++)
	{
		AttrNumber number = get_attnum(RelationGetRelid(insert->relation), columns[i]);

		if (number == InvalidAttrNumber)
			ereport(ERROR, errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("column \"%s\" of relation \"%s\" does not exist", columns[i],
						   RelationGetRelationName(insert->relation)));
		insert->brought[i] = number - 1;
	}
}

/* What a column has by default. */
static void
find_default(StoreInsert *insert, int attribute, bool generated)
{
	Expr *expression = (Expr *) build_column_default(insert->relation, attribute + 1);
	ExprState *state;

	if (expression == NULL)
		return;
	state = ExecPrepareExpr(expression, insert->executor);
	if (generated || contain_volatile_functions((Node *) expression))
		insert->computed[insert->n_computed++] = (Computed){attribute, state};
	else
		insert->values[attribute] =
			ExecEvalExpr(state, GetPerTupleExprContext(insert->executor), &insert->nulls[attribute]);
}

static void
find_defaults(StoreInsert *insert, bool generated)
{
	TupleDesc columns = RelationGetDescr(insert->relation);

	for (int i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, i);

		if (!column->attisdropped && !is_brought(insert, i) &&
			(column->attgenerated == ATTRIBUTE_GENERATED_STORED) == generated)
			find_default(insert, i, generated);
	}
}

static void
find_columns(StoreInsert *insert, const char *const *columns)
{
	int n = RelationGetNumberOfAttributes(insert->relation);

	insert->values = palloc0(sizeof(Datum) * n);
	insert->nulls = palloc(sizeof(bool) * n);
	memset(insert->nulls, true, n);
	insert->computed = palloc(sizeof(Computed) * n);
	find_brought(insert, columns);
	find_defaults(insert, false);
	find_defaults(insert, true);
}

/* ---- the beginning ---- */

/*
 * The few buffers that rows go through, the same ones from one step to the next: the rest of shared_buffers
 * keeps what is read.  A step that failed has let go of its buffer already.
 */
static BulkInsertState
take_pages(void)
{
	static BulkInsertState pages = NULL;

	if (pages == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		pages = GetBulkInsertState();
		MemoryContextSwitchTo(old);
	}
	pages->current_buf = InvalidBuffer;
	ReleaseBulkInsertStatePin(pages);
	return pages;
}

static bool
has_before_triggers(const StoreInsert *insert)
{
	return insert->target->ri_TrigDesc != NULL && insert->target->ri_TrigDesc->trig_insert_before_row;
}

static void
open_target(StoreInsert *insert)
{
	EState *executor = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);

	InitResultRelInfo(target, insert->relation, 0, NULL, 0);
	ExecOpenIndices(target, false);
	executor->es_opened_result_relations = lappend(executor->es_opened_result_relations, target);
	insert->executor = executor;
	insert->target = target;
	insert->transition =
		MakeTransitionCaptureState(target->ri_TrigDesc, RelationGetRelid(insert->relation), CMD_INSERT);
}

StoreInsert *
store_insert_begin(const char *table, const char *const *columns, int batch_rows)
{
	StoreInsert *insert = palloc0(sizeof(StoreInsert));

	Assert(batch_rows <= STORE_INSERT_ROWS);
	insert->relation = table_openrv(makeRangeVar(pstrdup("topk"), pstrdup(table), -1), RowExclusiveLock);
	if (insert->relation->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR, errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("topk.%s is not a table", table));
	AfterTriggerBeginQuery();
	open_target(insert);
	find_columns(insert, columns);
	insert->memory = AllocSetContextCreate(CurrentMemoryContext, "topk insert", ALLOCSET_DEFAULT_SIZES);
	insert->pages = take_pages();
	insert->command = GetCurrentCommandId(true);
	/* a trigger before a row may look for the rows before it */
	insert->batch_rows = has_before_triggers(insert) ? 1 : batch_rows;
	ExecBSInsertTriggers(insert->executor, insert->target);
	return insert;
}

/* ---- rows ---- */

static void
finish_row(StoreInsert *insert, TupleTableSlot *slot)
{
	List *recheck = NIL;

	if (insert->target->ri_NumIndices > 0)
		recheck = TOPK_INSERT_INDEX_TUPLES(insert->target, slot, insert->executor);
	ExecARInsertTriggers(insert->executor, insert->target, slot, recheck, insert->transition);
	list_free(recheck);
	ResetPerTupleExprContext(insert->executor);
}

static void
write_batch(StoreInsert *insert)
{
	MemoryContext old = MemoryContextSwitchTo(insert->memory);

	CHECK_FOR_INTERRUPTS();
	table_multi_insert(insert->relation, insert->slots, insert->n, insert->command, 0, insert->pages);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < insert->n; i++)
	{
		finish_row(insert, insert->slots[i]);
		ExecClearTuple(insert->slots[i]);
	}
	MemoryContextReset(insert->memory);
	insert->n = 0;
}

static void
compute_columns(StoreInsert *insert, TupleTableSlot *slot)
{
	ExprContext *context = GetPerTupleExprContext(insert->executor);
	MemoryContext old = MemoryContextSwitchTo(insert->memory);

	context->ecxt_scantuple = slot;
	for (int i = 0; i < insert->n_computed; i++)
	{
		const Computed *computed = &insert->computed[i];

		slot->tts_values[computed->attribute] =
			ExecEvalExpr(computed->expression, context, &slot->tts_isnull[computed->attribute]);
	}
	MemoryContextSwitchTo(old);
}

static TupleTableSlot *
next_slot(StoreInsert *insert)
{
	if (insert->slots[insert->n] == NULL)
		insert->slots[insert->n] =
			ExecInitExtraTupleSlot(insert->executor, RelationGetDescr(insert->relation), &TTSOpsVirtual);
	return insert->slots[insert->n];
}

/* False: they want no such row. */
static bool
fire_before_triggers(StoreInsert *insert, TupleTableSlot *slot)
{
	if (!has_before_triggers(insert))
		return true;
	if (!ExecBRInsertTriggers(insert->executor, insert->target, slot))
		return false;
	if (RelationGetDescr(insert->relation)->constr != NULL &&
		RelationGetDescr(insert->relation)->constr->has_generated_stored)
		ExecComputeStoredGenerated(insert->target, insert->executor, slot, CMD_INSERT);
	return true;
}

MemoryContext
store_insert_memory(const StoreInsert *insert)
{
	return insert->memory;
}

void
store_insert_row(StoreInsert *insert, const Datum *values, const bool *nulls)
{
	TupleTableSlot *slot = next_slot(insert);
	int n = RelationGetNumberOfAttributes(insert->relation);

	memcpy(slot->tts_values, insert->values, sizeof(Datum) * n);
	memcpy(slot->tts_isnull, insert->nulls, sizeof(bool) * n);
	for (int i = 0; i < insert->n_brought; i++)
	{
		slot->tts_values[insert->brought[i]] = values[i];
		slot->tts_isnull[insert->brought[i]] = nulls[i];
	}
	ExecStoreVirtualTuple(slot);
	compute_columns(insert, slot);
	if (!fire_before_triggers(insert, slot))
	{
		ExecClearTuple(slot);
		return;
	}
	if (RelationGetDescr(insert->relation)->constr != NULL)
		ExecConstraints(insert->target, slot, insert->executor);
	if (++insert->n == insert->batch_rows)
		write_batch(insert);
}

void
store_insert_end(StoreInsert *insert)
{
	if (insert->n > 0)
		write_batch(insert);
	ReleaseBulkInsertStatePin(insert->pages);
	ExecASInsertTriggers(insert->executor, insert->target, insert->transition);
	AfterTriggerEndQuery(insert->executor);
	ExecResetTupleTable(insert->executor->es_tupleTable, false);
	ExecCloseResultRelations(insert->executor);
	table_finish_bulk_insert(insert->relation, 0);
	FreeExecutorState(insert->executor);
	MemoryContextDelete(insert->memory);
	table_close(insert->relation, NoLock);
}
