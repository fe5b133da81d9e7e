/*
 * replay.c - the process that counts a stretch of time again from Kafka (topk.replay).
 *
 * It reads with a consumer of its own, and counts by the workers' intake and panes, beside the live ones:
 *
 *	 begin -> read the ranges that topk.pane_offset has for the stretch -> read what workers have committed of
 *	 it since, until little is left -> hold the workers -> read the little -> swap -> done
 *
 * Each partition starts with the clock that it had at the first offset, so late events are judged as they
 * were.  Panes are sealed as the clocks pass them, staged, and merged into staged windows; memory is bounded
 * like a worker's.  Everything staged belongs to one attempt: a killed process, a changed configuration or
 * window begins anew, and only the swap (one transaction, topk.swap_replay) changes what people see.
 *
 * Tenants and values are let in as by a worker, and stay in on their days.  A quota's meter is a function of
 *the log; a replay starts it afresh, so it is exact but for the second in which it begins (also anew, when
 *memory was short) and for what late events from outside the stretch took of it.
 *
 * The wall clock, which holds back clocks when events are of the future, is for each message the later of its
 * Kafka timestamp and of when its stretch of the log was read first: never later than when it was read then.
 *
 * Locking: the rows that the SQL functions lock, and the process's own lock.  Nothing is asked of Kafka in a
 * transaction; that is why the workers are held by a row with a time limit, and not by locks.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "replay.h"
#include "sketch_memory.h"
#include "store_tenants.h"

#define STAGE_INTERVAL TK_US_PER_SECOND
#define HOLD_SECONDS 20
#define HOLD_OFFSETS 50000 /* hold the workers when no more than this is left to read */
#define MOST_FAILURES 10   /* of one step, before all begins anew */
#define MOST_FAILURES_HELD 3

/* ---------------------------------------------------------------- steps */

static void
note_error(Replay *replay, bool failed)
{
	ReplayNote note = {replay->args.id, failed, &replay->error};

	ereport(failed ? WARNING : LOG, errcode(replay->error.sqlstate),
			errmsg("topk replay %d: %s", replay->args.id, replay->error.message));
	(void) host_try(replay_note_error, &note, NULL);
}

/* A step, again and again if need be. */
static Verdict
persist(Replay *replay, HostStep step)
{
	for (int failures = 1; !host_try(step, &replay->store, &replay->error); failures++)
	{
		if (replay->error.sqlstate == REPLAY_OVER || host_should_stop())
			return EXIT;
		if (replay->error.sqlstate == STORE_FENCED)
			return AGAIN;
		if (failures >= (replay->held ? MOST_FAILURES_HELD : MOST_FAILURES))
			return TRY_LATER;
		if (!replay->held)
			note_error(replay, false);
		host_wait(replay->held ? IDLE_WAIT_MS : host_backoff(failures, 10000));
	}
	return GO_ON;
}

Verdict
replay_give_up(Replay *replay, const char *message)
{
	host_error(&replay->error, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "%s", message);
	return STUCK;
}

static Verdict
out_of_memory(Replay *replay)
{
	host_error(&replay->error, ERRCODE_OUT_OF_MEMORY, "out of memory for a replay");
	return TRY_LATER;
}

/* ---------------------------------------------------------------- staging */

/* As a step on the ReplayStore. */
static void
load_limits(void *arg)
{
	store_load_limits(&((ReplayStore *) arg)->session);
}

/* Up to where every partition that is still being read has come. */
static int64
lowest_watermark(const Replay *replay)
{
	const StoreSession *session = &replay->store.session;
	int64 lowest = INT64_MAX;

	for (int i = 0; i < session->n_partitions; i++)
		if (session->partitions[i].next_offset < replay->store.ranges[i].end)
			lowest = Min(lowest, session->partitions[i].clock.watermark);
	return lowest == INT64_MAX ? TK_NO_TIME : lowest;
}

static Verdict
merge(Replay *replay, int64 reached)
{
	ReplayStore *store = &replay->store;
	Verdict verdict;

	if (reached == TK_NO_TIME)
		return GO_ON;
	store->reached = reached;
	verdict = persist(replay, replay_make_leaves);
	do
	{
		if (verdict == GO_ON)
			verdict = persist(replay, replay_merge);
		if (verdict == GO_ON)
			replay->staged -= store->merged;
		host_check_interrupts();
	} while (verdict == GO_ON && store->merged >= REPLAY_MERGE_ROWS);
	return verdict;
}

static void
staged(Replay *replay)
{
	StoreSession *session = &replay->store.session;

	replay->staged += replay->store.staged;
	tk_pane_forget_sealed(session->panes);
	tk_tenant_flushed(session->panes); /* what tenants used is what workers read */
	intake_flushed(replay->intake);
	for (int i = 0; i < session->n_partitions; i++)
	{
		memset(&session->partitions[i].counts, 0, sizeof(StoreCounts));
		tk_pane_offsets_clear(&session->partitions[i].pane_offsets);
	}
}

static int64
offsets_read(const Replay *replay)
{
	const StoreSession *session = &replay->store.session;
	int64 sum = 0;

	for (int i = 0; i < session->n_partitions; i++)
		sum += session->partitions[i].next_offset - replay->store.ranges[i].begin;
	return sum;
}

static Verdict
stage(Replay *replay, bool everything)
{
	ReplayStore *store = &replay->store;
	int64 watermark = lowest_watermark(replay);
	int64 reached = TK_NO_TIME;
	Verdict verdict;

	replay->next_stage = host_now() + STAGE_INTERVAL;
	if (everything)
		tk_pane_seal_all(store->session.panes);
	else if (watermark != TK_NO_TIME)
		tk_pane_seal(store->session.panes, watermark);
	if (!worker_intern(&store->session, store->context, &replay->error))
		return replay->error.sqlstate == STORE_FENCED ? AGAIN : TRY_LATER;
	store->offsets_read = offsets_read(replay);
	verdict = persist(replay, replay_stage);
	if (verdict != GO_ON)
		return verdict;
	staged(replay);
	if (watermark != TK_NO_TIME)
		reached = watermark - store->config->extract.time.pane_size + 1;
	return replay->staged >= REPLAY_MERGE_ROWS ? merge(replay, reached) : GO_ON;
}

/* Quotas begin with fresh meters: those of the store are where the workers stand. */
static Verdict
make_panes(Replay *replay)
{
	ReplayStore *store = &replay->store;
	StoreSession *session = &store->session;

	if (!worker_create_panes(session, store->config, session->n_partitions, store->context))
		return out_of_memory(replay);
	return persist(replay, load_limits);
}

static bool
short_of_memory(const Replay *replay)
{
	return tk_pane_set_bytes(replay->store.session.panes) / 1024 > (size_t) host_setting("topk.pane_memory");
}

/* Over its budget it stages what it has; if the lists alone fill it, it forgets those too. */
Verdict
replay_stage_if_due(Replay *replay)
{
	bool squeezed = short_of_memory(replay);
	Verdict verdict;

	if (!squeezed && host_now() < replay->next_stage)
		return GO_ON;
	verdict = stage(replay, squeezed);
	if (verdict != GO_ON || !squeezed || !short_of_memory(replay))
		return verdict;
	tk_pane_set_free(replay->store.session.panes);
	verdict = persist(replay, replay_draw_run);
	return verdict == GO_ON ? make_panes(replay) : verdict;
}

/* ---------------------------------------------------------------- an attempt */

static void
start_partition(StorePartition *partition, const ReplayRange *range)
{
	partition->next_offset = range->begin;
	partition->clock = range->clock;
}

static Verdict
make_session(Replay *replay)
{
	ReplayStore *store = &replay->store;
	StoreSession *session = &store->session;
	TkAllocator allocator = sketch_memory(store->context);

	session->n_partitions = store->n_ranges;
	session->partitions = MemoryContextAllocZero(store->context, sizeof(StorePartition) * store->n_ranges);
	for (int i = 0; i < store->n_ranges; i++)
	{
		session->partitions[i].partition = store->ranges[i].partition;
		session->partitions[i].last_message_time = TK_NO_TIME;
		tk_pane_offsets_init(&session->partitions[i].pane_offsets, &allocator);
		start_partition(&session->partitions[i], &store->ranges[i]);
	}
	replay->intake = intake_create(session, store->context);
	if (replay->intake == NULL)
		return out_of_memory(replay);
	replay->intake->from = store->from;
	replay->intake->until = store->until;
	replay->intake->no_letters = true;
	return make_panes(replay);
}

static Verdict
open_attempt(Replay *replay)
{
	Verdict verdict = persist(replay, replay_begin);

	if (verdict == GO_ON && replay->store.obstacle != NULL)
		return replay_give_up(replay, replay->store.obstacle);
	if (verdict == GO_ON)
		verdict = persist(replay, replay_load_ranges);
	return verdict == GO_ON ? make_session(replay) : verdict;
}

/* What workers have committed meanwhile.  AGAIN if it does not continue what was read. */
static Verdict
extend_ranges(Replay *replay)
{
	ReplayStore *store = &replay->store;
	ReplayRange *old = store->ranges;
	Verdict verdict = persist(replay, replay_load_ranges);

	if (verdict != GO_ON)
		return verdict;
	if (store->n_ranges != store->session.n_partitions)
		return AGAIN; /* partitions were added to the topic */
	for (int i = 0; i < store->n_ranges; i++)
	{
		const ReplayRange *range = &store->ranges[i];

		if (old[i].begin == old[i].end)
			start_partition(&store->session.partitions[i], range);
		else if (range->begin != old[i].begin || range->end < old[i].end)
			return AGAIN; /* somebody has sought */
		pfree(old[i].readings);
	}
	pfree(old);
	return GO_ON;
}

static Verdict
take_all_in(Replay *replay)
{
	Verdict verdict = stage(replay, true);

	return verdict == GO_ON ? merge(replay, INT64_MAX) : verdict;
}

/* With the workers held: GO_ON if they came too far meanwhile, EXIT once it is done. */
static Verdict
swap_held(Replay *replay)
{
	Verdict verdict = extend_ranges(replay);

	if (verdict == GO_ON)
		verdict = replay_read_pass(replay);
	if (verdict == GO_ON)
		verdict = take_all_in(replay);
	if (verdict == GO_ON)
		verdict = persist(replay, replay_swap);
	if (verdict != GO_ON || replay->store.swap == SWAP_BEHIND)
		return verdict;
	return replay->store.swap == SWAP_CHANGED ? AGAIN : EXIT;
}

static Verdict
hold_and_swap(Replay *replay)
{
	ReplayStore *store = &replay->store;
	Verdict verdict = take_all_in(replay); /* so that little is left to do while the workers wait */

	if (verdict == GO_ON)
		verdict = persist(replay, replay_hold);
	if (verdict != GO_ON)
		return verdict;
	store->state = "swapping";
	replay->held = true;
	replay->held_until = host_now() + HOLD_SECONDS * TK_US_PER_SECOND;
	verdict = swap_held(replay);
	replay->held = false;
	(void) host_try(replay_release, store, NULL);
	return verdict;
}

static Verdict
run_attempt(Replay *replay)
{
	Verdict verdict = open_attempt(replay);

	replay->store.state = "reading";
	while (verdict == GO_ON)
	{
		verdict = replay_read_pass(replay);
		replay->store.state = "catching up";
		if (verdict == GO_ON)
			verdict = extend_ranges(replay);
		if (verdict == GO_ON && replay_unread(replay) <= HOLD_OFFSETS)
			verdict = hold_and_swap(replay);
	}
	return verdict;
}

static void
close_attempt(Replay *replay)
{
	MemoryContext context = replay->store.context;

	replay_close_consumer(replay);
	if (replay->intake != NULL)
		tk_extractor_free(replay->intake->extractor); /* its parser does not live in the context */
	replay->intake = NULL;
	replay->staged = 0;
	MemoryContextReset(context);
	memset(&replay->store, 0, sizeof(ReplayStore));
	replay->store.context = context;
	replay->store.replay_id = replay->args.id;
	replay->store.hold_seconds = HOLD_SECONDS;
}

/* librdkafka's threads must be gone before the process is. */
static void
close_at_exit(int code, Datum arg)
{
	replay_close_consumer((Replay *) DatumGetPointer(arg));
}

void
topk_replay_main(Datum arg)
{
	Replay *replay = MemoryContextAllocZero(TopMemoryContext, sizeof(Replay));
	int failures = 0;
	Verdict verdict = AGAIN;

	replay->args = host_start("topk replay");
	replay->store.context = AllocSetContextCreate(TopMemoryContext, "topk replay", ALLOCSET_DEFAULT_SIZES);
	before_shmem_exit(close_at_exit, PointerGetDatum(replay));
	if (!host_lock('r', replay->args.id, 0))
		proc_exit(0);
	while ((verdict == AGAIN || verdict == TRY_LATER) && !host_should_stop())
	{
		close_attempt(replay);
		verdict = run_attempt(replay);
		if (verdict == TRY_LATER && !host_should_stop())
		{
			note_error(replay, false);
			host_wait(host_backoff(++failures, 30000));
		}
		if (replay->lingering && (verdict == AGAIN || verdict == TRY_LATER))
			proc_exit(1); /* the manager starts another */
		host_check_interrupts();
	}
	if (verdict == STUCK)
		note_error(replay, true);
	close_attempt(replay);
	proc_exit(0);
}
