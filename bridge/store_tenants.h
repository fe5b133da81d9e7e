/*
 * store_tenants.h - the edge to PostgreSQL for tenants and guards (tenant.h): who is let in, and meters.
 *
 * The functions with a void * are steps (host.h), each a transaction of its own; the worker takes their
 * answers over after the commit.
 */
#ifndef TK_STORE_TENANTS_H
#define TK_STORE_TENANTS_H

#include "store.h"

/* The first n new tenants, and which of them are let in. */
typedef struct StoreTenants
{
	StoreSession *session;
	TkTenant *first; /* along next_new */
	int n;
	bool *granted;
} StoreTenants;

/* arg: StoreTenants. */
extern void store_admit_tenants(void *arg);

/* The first n new claims, and the ids of their lists; 0: refused. */
typedef struct StoreClaims
{
	StoreSession *session;
	TkListDay *first; /* along next_new */
	int n;
	int64 *ids;
} StoreClaims;

/* arg: StoreClaims. */
extern void store_admit_values(void *arg);

/* arg: StoreSession.  Tells its panes all tenants of the source, and closes them. */
extern void store_know_tenants(void *arg);

typedef struct StoreDay
{
	StoreSession *session;
	TkDimensionDay *day;
} StoreDay;

/* arg: StoreDay.  Tells its panes all values of the day, and closes it. */
extern void store_close_day(void *arg);

/* arg: StoreSession, with panes.  What earlier runs left: days and tenants that are full. */
extern void store_load_limits(void *arg);

/* arg: StoreSession, claimed and with panes.  The meters where the partitions stand. */
extern void store_load_meters(void *arg);

/* Inside the flush: writes the meters that changed. */
extern void store_flush_meters(const StoreSession *session);

#endif
