/*
 * worker_admit.c - the limits of tenants: panes that know them, and before a flush who is let in of the
 * tenants and values that are new (tenant.h).
 *
 * Each step is a transaction of its own, so that a flush never waits for another worker.  What is in memory
 * changes only after a commit.  Where such a change fails halfway the session is thrown away.
 */
#include "postgres.h"

#include "fail_point.h"
#include "sketch_memory.h"
#include "store_tenants.h"
#include "worker.h"

#define NAMES_PER_STEP 1000

bool
worker_create_panes(StoreSession *session, SourceConfig *config, int topic_partitions, MemoryContext context)
{
	TkAllocator allocator = sketch_memory(context);

	config->limits.n_partitions = session->n_partitions;
	config->limits.topic_partitions = topic_partitions;
	session->panes =
		tk_pane_set_create(&allocator, &config->extract, config->k, config->capacity, (uint32) session->run);
	return session->panes != NULL && tk_pane_set_limit(session->panes, &config->limits) == TK_OK;
}

static bool
failed(HostError *error, TkStatus status)
{
	if (status != TK_OK)
		host_error(error, WORKER_SPOILT, "could not count tenants or values together: %s",
				   tk_status_text(status));
	return status != TK_OK;
}

static bool
admit_some_tenants(StoreSession *session, TkTenant *tenant, HostError *error)
{
	bool granted[NAMES_PER_STEP];
	StoreTenants admit = {.session = session, .first = tenant, .granted = granted};

	for (TkTenant *next = tenant; next != NULL && admit.n < NAMES_PER_STEP; next = next->next_new)
		admit.n++;
	if (!host_try(store_admit_tenants, &admit, error))
		return false;
	for (int i = 0; i < admit.n; i++)
	{
		TkTenant *next = tenant->next_new;

		if (failed(error, tk_tenant_settle(session->panes, tenant, granted[i])))
			return false;
		tenant = next;
	}
	return true;
}

bool
worker_admit_tenants(StoreSession *session, HostError *error)
{
	TkTenant *tenant;

	while ((tenant = tk_tenant_next_new(session->panes)) != NULL)
		if (!admit_some_tenants(session, tenant, error))
			return false;
	return !tk_tenant_overflowed(session->panes) || host_try(store_know_tenants, session, error);
}

static bool
admit_some_values(StoreSession *session, TkListDay *entry, HostError *error)
{
	int64 ids[NAMES_PER_STEP];
	StoreClaims claims = {
		.session = session, .first = entry, .n = tk_guard_run(entry, NAMES_PER_STEP), .ids = ids};
	bool ok = true;

	if (!host_try(store_admit_values, &claims, error))
		return false;
	FAIL_POINT("intern_after_commit");
	for (int i = 0; i < claims.n && ok; i++)
	{
		TkListDay *next = entry->next_new;

		ok = !failed(error, tk_guard_settle(session->panes, entry, ids[i]));
		entry = next;
	}
	tk_guard_sweep(session->panes);
	return ok;
}

bool
worker_admit_values(StoreSession *session, HostError *error)
{
	TkListDay *entry;
	TkDimensionDay *day;

	while ((entry = tk_guard_next_new(session->panes)) != NULL)
		if (!admit_some_values(session, entry, error))
			return false;
	while ((day = tk_guard_next_overflowed(session->panes)) != NULL)
	{
		StoreDay close = {session, day};

		if (!host_try(store_close_day, &close, error))
			return false;
		tk_guard_close(day);
	}
	return true;
}
