/*
 * tenant.h - what a worker lets tenants do, and how many of them and of their values it keeps apart.
 *
 * Pure, like pane.h, whose sets it limits.  A set without TkLimits has neither tenants' settings nor guards.
 *
 * Tenants.  A tenant is *listed* if it has settings of its own; all others have those of `unlisted`.  What a
 * quota lets through depends on a partition's log alone: each (partition, tenant) has a meter that counts the
 * items taken in the current second of the partition's own progress, which is its highest event time.  The
 * store keeps the meter with the offsets, so that a restart goes on in the middle of a second.
 *
 * Guards.  An event may bring a tenant or a dimension value that nobody has seen, and a stream may do so for
 * ever.  The first max_tenants tenants of a source, and of each (tenant, item type, dimension) the first
 * max_values values of each UTC day of event time, are kept apart; the rest are counted together, under
 * TK_OTHER.  Workers agree on who came first through the store, in the step before a flush: what is new has
 * been counted in memory as if it were let in, and is moved to TK_OTHER if it is not, before anything of it
 * was written.  A worker keeps no more new ones in memory than the limit would let in, and what it has
 * learned to be full it need not ask about again, since the store then tells it all that were let in.
 *
 * Exports: tenant.c has tk_tenant_* and tk_pane_set_limit, guard.c has tk_guard_*.
 */
#ifndef TK_TENANT_H
#define TK_TENANT_H

#include "pane.h"

/* The reserved tenant and value that stand for all that are not kept apart. */
#define TK_OTHER "(other)"
#define TK_US_PER_DAY (24 * 60 * TK_US_PER_MINUTE)

/* The settings of one tenant, complete: what it does not set itself is filled in. */
typedef struct TkTenantRules
{
	const char *tenant; /* NULL: the unlisted */
	bool enabled;
	uint32_t k;
	uint32_t capacity;
	uint32_t max_values;
	int64_t items_per_second; /* of all partitions together; 0: no quota */
	int n_dimensions;         /* -1: all of the rules */
	const char *const *dimensions;
} TkTenantRules;

typedef struct TkLimits
{
	const TkTenantRules *listed; /* by tenant, as strcmp orders them */
	int n_listed;
	TkTenantRules unlisted;
	uint32_t max_tenants; /* unlisted ones */
	int n_partitions;     /* of this worker */
	int topic_partitions; /* that share a quota evenly, and what is exact of a pane */
} TkLimits;

/* Of one tenant on one of the worker's partitions.  The counts begin at 0 after each flush. */
typedef struct TkMeter
{
	int64_t second; /* the one that `used` counts, in s; TK_NO_TIME: none yet */
	int64_t used;
	int64_t counted;
	int64_t over_quota;
	int64_t disabled;
	bool changed;
} TkMeter;

struct TkTenant
{
	const char *name;
	size_t name_len;
	const TkTenantRules *rules;
	TkMeter *meters;      /* one for each partition; NULL: nothing to count and nothing to refuse */
	bool changed;         /* some meter is */
	bool settled;         /* the store has let it in, or need not be asked */
	TkFamily *families;   /* along next_of_tenant */
	TkTenant *next_new;   /* of those that tk_tenant_next_new begins with; valid until settled */
	TkTenant *next_meter; /* of all that have meters */
	uint64_t hash;        /* private */
};

/* A list's claim to a place among its dimension's values of one day. */
typedef enum TkClaim
{
	TK_CLAIM_NEW,
	TK_CLAIM_GRANTED,
	TK_CLAIM_REFUSED
} TkClaim;

struct TkListDay
{
	TkList *list;
	int32_t day; /* since 1970 */
	TkClaim claim;
	TkListDay *next;     /* of the list, newest first */
	TkListDay *next_new; /* of those that tk_guard_next_new begins with; valid while the claim is new */
};

/* The values of one dimension of a family on one day, as far as this worker knows them. */
struct TkDimensionDay
{
	TkFamily *family;
	int dimension;
	int32_t day;
	uint32_t n_values;    /* claims, less those refused */
	bool full;            /* the store has told all values that it let in */
	bool overflowed;      /* TK_OTHER is in use */
	TkDimensionDay *next; /* of the dimension */
	TkDimensionDay *next_overflowed;
};

/*
 * Limits a set, before its first event.  `limits` is referred to.  With no settings for tenants nothing needs
 * to be asked for each event: tk_limits_meter tells.
 */
TkStatus tk_pane_set_limit(TkPaneSet *set, const TkLimits *limits);
bool tk_limits_meter(const TkLimits *limits);

typedef enum TkAdmission
{
	TK_ADMITTED,
	TK_TENANT_DISABLED, /* counted in the tenant's meter */
	TK_OVER_QUOTA,      /* likewise */
	TK_NOT_ADMITTED     /* out of memory: throw the set away */
} TkAdmission;

/* Whether events of this tenant are refused altogether, whatever their time: counted, if they are. */
TkAdmission tk_tenant_enabled(TkPaneSet *set, const TkEvent *event, int partition);

/*
 * Takes n items of an event that is in time against its tenant's quota: all of them or none.  `partition` is
 * an index below n_partitions, `progress` the partition's highest event time, this event's included.
 */
TkAdmission tk_tenant_spend(TkPaneSet *set, const TkEvent *event, int partition, int64_t progress, int64_t n);

/* What the store kept of a meter. */
TkStatus tk_tenant_restore(TkPaneSet *set, const TkText *tenant, int partition, int64_t second, int64_t used);

/*
 * What a flush must do before it interns families (pane.h): settle every new tenant, walking as over new
 * families.  One that is refused is moved to the tenant TK_OTHER.  When one was refused the store tells all
 * tenants of the source (tk_tenant_know), and then no more are let in (tk_tenant_close).
 */
TkTenant *tk_tenant_next_new(TkPaneSet *set);
TkStatus tk_tenant_settle(TkPaneSet *set, TkTenant *tenant, bool granted);
TkStatus tk_tenant_know(TkPaneSet *set, const TkText *tenant);
void tk_tenant_close(TkPaneSet *set);
bool tk_tenant_overflowed(const TkPaneSet *set); /* one was refused, and the set is not closed yet */

/* The tenants whose meters a flush must write; start with NULL.  After the commit: tk_tenant_flushed. */
TkTenant *tk_tenant_next_changed(const TkPaneSet *set, const TkTenant *after);
void tk_tenant_flushed(TkPaneSet *set);

/*
 * After families, before lists: settle every new claim.  Refused ones are moved to the value TK_OTHER, and
 * the panes that this leaves are forgotten by tk_guard_sweep, once after the last.  Then ask the store for
 * all values of each day that has overflowed (tk_guard_know), and close it.
 */
TkListDay *tk_guard_next_new(TkPaneSet *set);

/* How many entries from `first` on, along next_new, are new: `most` at most.  Those behind may be void. */
int tk_guard_run(const TkListDay *first, int most);
TkStatus tk_guard_settle(TkPaneSet *set, TkListDay *entry, int64_t list_id); /* 0: refused */
void tk_guard_sweep(TkPaneSet *set);
TkDimensionDay *tk_guard_next_overflowed(TkPaneSet *set);
TkStatus tk_guard_know(TkPaneSet *set, TkFamily *family, int dimension, int32_t day, const TkText *value,
					   int64_t list_id);
void tk_guard_close(TkDimensionDay *day);

/* For what the store tells at the start: the family of a tenant and item type, and one of its days.  NULL
 * with *status TK_OK: the configuration knows no such item type or dimension. */
TkDimensionDay *tk_guard_find_day(TkPaneSet *set, const TkText *tenant, const char *item_type,
								  const char *dimension, int32_t day, TkStatus *status);

#endif
