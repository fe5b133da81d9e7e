/*
 * topk_aggregate.c
 *		topk_agg over text, bigint and uuid items, topk_merge, and the fold of panes into a window.
 *
 * One transition function for each type of item serves all its overloads, (state, item [, k [, weight [,
 * capacity]]]); it looks at the number of its arguments. A row whose item is NULL, or whose weight is NULL
 * or 0, counts nothing and makes no state, so that a group without any other row is NULL; its k and capacity
 * are checked all the same. The same goes for a parallel worker that has seen only such rows.
 */
#include "compat.h"

#include "utils/timestamp.h"

#include "topk_expanded.h"

/* Arguments of the transition functions. */
enum
{
	ARG_STATE,
	ARG_ITEM,
	ARG_K,
	ARG_WEIGHT,
	ARG_CAPACITY
};

TOPK_FUNCTION(topk_agg_trans_text);
TOPK_FUNCTION(topk_agg_trans_bigint);
TOPK_FUNCTION(topk_agg_trans_uuid);
TOPK_FUNCTION(topk_combine);
TOPK_FUNCTION(topk_fold);
TOPK_FUNCTION(topk_final);

/* Leave the state as it is. */
static inline Datum
KeepState(FunctionCallInfo fcinfo)
{
	fcinfo->isnull = PG_ARGISNULL(ARG_STATE);
	return fcinfo->isnull ? (Datum) 0 : PG_GETARG_DATUM(ARG_STATE);
}

/* ---- parameters ------------------------------------------------------------------------------ */

typedef struct Parameters
{
	int32 k;
	int32 capacity;
} Parameters;

static int32
GetParameter(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name),
				errhint("Leave the argument out to have the default."));
	return PG_GETARG_INT32(arg);
}

/* The parameters of a row that may make a state, checked. */
static Parameters
GetParameters(FunctionCallInfo fcinfo)
{
	Parameters parameters;

	parameters.k = PG_NARGS() > ARG_K ? GetParameter(fcinfo, ARG_K, "k") : TK_DEFAULT_K;
	parameters.capacity = PG_NARGS() > ARG_CAPACITY ? GetParameter(fcinfo, ARG_CAPACITY, "capacity")
													: (int32) TopkDefaultCapacity((uint32) parameters.k);
	TopkCheckParameters(parameters.k, parameters.capacity);
	return parameters;
}

static void pg_attribute_cold
RaiseParameterDiffers(FunctionCallInfo fcinfo, int arg, const char *name, int32 first)
{
	int32 now = GetParameter(fcinfo, arg, name);

	ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("%s must be the same for all rows of a group", name),
			errdetail("It was %d, and is now %d.", first, now));
}

/* The parameters of a row that goes into a state. */
static inline void
CompareParameters(FunctionCallInfo fcinfo, const TopkState *state)
{
	if (likely(PG_NARGS() <= ARG_K))
		return;
	if (unlikely(PG_ARGISNULL(ARG_K) || PG_GETARG_INT32(ARG_K) != state->k))
		RaiseParameterDiffers(fcinfo, ARG_K, "k", state->k);
	if (PG_NARGS() <= ARG_CAPACITY)
		return;
	if (unlikely(PG_ARGISNULL(ARG_CAPACITY) || PG_GETARG_INT32(ARG_CAPACITY) != state->capacity))
		RaiseParameterDiffers(fcinfo, ARG_CAPACITY, "capacity", state->capacity);
}

/* The weight of this row; 0 if it counts nothing. */
static inline uint64
GetWeight(FunctionCallInfo fcinfo)
{
	int64 weight;

	if (unlikely(PG_ARGISNULL(ARG_ITEM)))
		return 0;
	if (likely(PG_NARGS() <= ARG_WEIGHT))
		return 1;
	if (PG_ARGISNULL(ARG_WEIGHT))
		return 0;
	weight = PG_GETARG_INT64(ARG_WEIGHT);
	TopkCheckWeight(weight);
	return (uint64) weight;
}

/* ---- topk_agg -------------------------------------------------------------------------------- */

/* The state that came in, or NULL if there is none yet, or only a flat value. */
static inline TopkState *
GetState(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(ARG_STATE) ? NULL : TopkStateFromDatum(PG_GETARG_DATUM(ARG_STATE), true);
}

/* A new state, unless the row counts nothing; or that of the flat value that an aggregate begins with. */
static TopkState *
BeginState(FunctionCallInfo fcinfo, TkKind kind, uint64 weight)
{
	Parameters parameters;
	TopkState *state;

	if (PG_ARGISNULL(ARG_STATE))
	{
		parameters = GetParameters(fcinfo);
		return weight == 0 ? NULL : TopkStateCreate(fcinfo, kind, parameters.k, parameters.capacity);
	}
	state = TopkStateDecode(fcinfo, PG_GETARG_DATUM(ARG_STATE));
	TopkCheckKinds(tk_sketch_kind(state->sketch), kind);
	CompareParameters(fcinfo, state);
	return state;
}

static pg_attribute_always_inline Datum
AggregateRow(FunctionCallInfo fcinfo, TkKind kind)
{
	TopkState *state = GetState(fcinfo);
	uint64 weight = GetWeight(fcinfo);
	TopkKeyRoom room;
	TopkKey key;

	if (unlikely(state == NULL))
		state = BeginState(fcinfo, kind, weight);
	else
		CompareParameters(fcinfo, state);
	if (unlikely(weight == 0))
		return KeepState(fcinfo);
	key = TopkKeyFromDatum(kind, PG_GETARG_DATUM(ARG_ITEM), room);
	TopkStateUpdate(state, key, weight);
	return TopkStateDatum(state);
}

Datum
topk_agg_trans_text(PG_FUNCTION_ARGS)
{
	return AggregateRow(fcinfo, TK_KIND_TEXT);
}

Datum
topk_agg_trans_bigint(PG_FUNCTION_ARGS)
{
	return AggregateRow(fcinfo, TK_KIND_BIGINT);
}

Datum
topk_agg_trans_uuid(PG_FUNCTION_ARGS)
{
	return AggregateRow(fcinfo, TK_KIND_UUID);
}

/* ---- topk_merge, and the combine function of all --------------------------------------------- */

/* Merge a value, finished or partial, into the state. */
Datum
topk_combine(PG_FUNCTION_ARGS)
{
	TopkState *state = GetState(fcinfo);

	if (state == NULL && !PG_ARGISNULL(ARG_STATE))
		state = TopkStateDecode(fcinfo, PG_GETARG_DATUM(ARG_STATE));
	if (PG_ARGISNULL(1))
		return KeepState(fcinfo);
	if (state == NULL)
		state = TopkStateDecode(fcinfo, PG_GETARG_DATUM(1));
	else
		TopkMergeValue(TopkStateSketch(state), PG_GETARG_DATUM(1));
	return TopkStateDatum(state);
}

/*
 * One more value of a pane; panes come one after the other. Each is merged as a whole, and then trimmed, as
 * if the state had been stored after each: so the result does not depend on how many panes are folded at
 * once. (A state that was flattened has forgotten its pane, but no fold is spilled: its aggregate is
 * ordered.)
 */
Datum
topk_fold(PG_FUNCTION_ARGS)
{
	TopkState *state = GetState(fcinfo);
	TimestampTz pane = PG_ARGISNULL(2) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(2);

	if (PG_ARGISNULL(1))
		return KeepState(fcinfo);
	if (state == NULL)
		state = TopkStateDecode(fcinfo, PG_GETARG_DATUM(PG_ARGISNULL(ARG_STATE) ? 1 : ARG_STATE));
	else if (state->pane != pane)
		TopkCheck(tk_sketch_trim(TopkStateSketch(state)));
	if (!PG_ARGISNULL(ARG_STATE))
		TopkGatherValue(TopkStateSketch(state), PG_GETARG_DATUM(1));
	state->pane = pane;
	return TopkStateDatum(state);
}

/* A finished, flat copy. The state stays as it is: in a window frame it goes on. */
Datum
topk_final(PG_FUNCTION_ARGS)
{
	TopkState *state;

	if (PG_ARGISNULL(ARG_STATE))
		PG_RETURN_NULL();
	state = TopkStateFromDatum(PG_GETARG_DATUM(ARG_STATE), false);
	if (state != NULL)
		return TopkEncode(TopkStateSketch(state), TK_FINAL);
	return TopkEncode(TopkDecode(PG_GETARG_DATUM(ARG_STATE), CurrentMemoryContext), TK_FINAL);
}
