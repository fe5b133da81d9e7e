/*
 * topk_support.c
 *		Planner support: how many rows a set-returning function on a sketch yields.
 *
 * topk_items(sketch, n) yields n rows at most; topk_heavy_hitters(sketch, share) less than 1 / share, as more
 * items cannot each have that share. Without a constant to go by, the declared ROWS stand.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "utils/fmgrprotos.h"

#include "topk_value.h"

TOPK_FUNCTION(topk_rows_support);

/* The constant that an argument comes to when the query is planned, or NULL. */
static Const *
GetConstant(PlannerInfo *root, Node *argument)
{
	Node *node = estimate_expression_value(root, argument);

	return IsA(node, Const) ? (Const *) node : NULL;
}

/* Rows by the limiting argument, or -1 if it says nothing. */
static double
RowsByLimit(const Const *limit)
{
	if (limit == NULL || limit->constisnull)
		return -1;
	if (limit->consttype == INT4OID)
		return Max(DatumGetInt32(limit->constvalue), 0);
	if (limit->consttype == FLOAT8OID && DatumGetFloat8(limit->constvalue) > 0)
		return 1 / DatumGetFloat8(limit->constvalue);
	return -1;
}

/* Rows by the sketch itself, where that is a constant, or -1. */
static double
RowsBySketch(const Const *sketch)
{
	TopkReader reader;

	if (sketch == NULL || sketch->constisnull)
		return -1;
	TopkOpen(&reader, sketch->constvalue);
	return Min(reader.view.summary.k, reader.view.summary.count);
}

Datum
topk_rows_support(PG_FUNCTION_ARGS)
{
	Node *request = (Node *) PG_GETARG_POINTER(0);
	SupportRequestRows *rows = (SupportRequestRows *) request;
	List *arguments;
	double estimate;

	if (!IsA(request, SupportRequestRows) || !is_funcclause(rows->node))
		PG_RETURN_POINTER(NULL);
	arguments = ((FuncExpr *) rows->node)->args;
	if (list_length(arguments) != 2)
		PG_RETURN_POINTER(NULL);
	estimate = RowsByLimit(GetConstant(rows->root, lsecond(arguments)));
	if (estimate < 0)
		estimate = RowsBySketch(GetConstant(rows->root, linitial(arguments)));
	if (estimate < 0)
		PG_RETURN_POINTER(NULL);
	rows->rows = Max(estimate, 1);
	PG_RETURN_POINTER(request);
}
