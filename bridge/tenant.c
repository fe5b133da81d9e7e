/*
 * tenant.c - tenants: found by name when a family is made, metered, and moved together when there are too
 * many.
 *
 * Nothing here runs for each event but tk_tenant_enabled and tk_tenant_spend, which find the tenant through
 * the family that tk_pane_add needs anyway, and which hosts call only where some tenant is metered.
 */
#include <stdlib.h>
#include <string.h>

#include "pane_set.h"

/* ---- settings ---- */

static bool
is_metered(const TkTenantRules *rules)
{
	return rules->tenant != NULL || rules->items_per_second > 0 || !rules->enabled;
}

bool
tk_limits_meter(const TkLimits *limits)
{
	return limits->n_listed > 0 || is_metered(&limits->unlisted);
}

static int
compare_text(const TkText *name, const char *tenant)
{
	size_t len = strlen(tenant);
	int order = memcmp(name->data, tenant, name->len < len ? name->len : len);

	return order != 0 ? order : (name->len > len) - (name->len < len);
}

static const TkTenantRules *
rules_of(const TkLimits *limits, const TkText *name)
{
	int low = 0;
	int high = limits->n_listed;

	while (low < high)
	{
		int middle = low + (high - low) / 2;
		int order = compare_text(name, limits->listed[middle].tenant);

		if (order == 0)
			return &limits->listed[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return &limits->unlisted;
}

/* What one partition may take in a second: quotas are divided evenly, and rounded up. */
static inline int64_t
share_of(const TkLimits *limits, const TkTenantRules *rules)
{
	int64_t n = limits->topic_partitions > 0 ? limits->topic_partitions : 1;

	return (rules->items_per_second - 1) / n + 1;
}

/* ---- finding and making ---- */

static bool
add_meters(TkPaneSet *set, TkTenant *tenant)
{
	size_t n = (size_t) set->limits->n_partitions;

	tenant->meters = tk_counted_zalloc(&set->memory, (n + 1) * sizeof(TkMeter));
	if (tenant->meters == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		tenant->meters[i].second = TK_NO_TIME;
	tenant->next_meter = set->first_meter;
	set->first_meter = tenant;
	return true;
}

static TkTenant *
create_tenant(TkPaneSet *set, const TkText *name, const TkTenantRules *rules)
{
	TkTenant *tenant;
	char *text;

	if (!tk_index_reserve(set, &set->tenants))
		return NULL;
	tenant = tk_counted_zalloc(&set->memory, sizeof(TkTenant) + name->len + 1);
	if (tenant == NULL)
		return NULL;
	text = memcpy(tenant + 1, name->data, name->len);
	tenant->name = text;
	tenant->name_len = name->len;
	tenant->rules = rules;
	tenant->hash = tk_hash(name->data, name->len);
	tk_index_add(&set->tenants, tenant->hash, tenant);
	if (is_metered(rules) && !add_meters(set, tenant))
		return NULL; /* the set is thrown away */
	return tenant;
}

static TkTenant *
look_up(const TkPaneSet *set, const TkText *name)
{
	uint64_t hash = tk_hash(name->data, name->len);
	const TkTable *table = &set->tenants;

	for (size_t at = hash & table->mask; table->slots != NULL; at = (at + 1) & table->mask)
	{
		TkTenant *tenant = table->slots[at].entry;

		if (tenant == NULL || tk_text_equals(tenant->name, tenant->name_len, name))
			return tenant;
	}
	return NULL;
}

TkStatus
tk_pane_set_limit(TkPaneSet *set, const TkLimits *limits)
{
	set->limits = limits;
	set->other = create_tenant(set, &(TkText){TK_OTHER, strlen(TK_OTHER)}, &limits->unlisted);
	if (set->other == NULL)
		return TK_NO_MEMORY;
	set->other->settled = true;
	return TK_OK;
}

/* An unlisted tenant that is not known yet: kept apart while there is room and the unlisted are let in at
 * all. */
static TkTenant *
add_unlisted(TkPaneSet *set, const TkText *name)
{
	const TkLimits *limits = set->limits;
	TkTenant *tenant;

	if (!limits->unlisted.enabled || set->tenants_closed)
		return set->other;
	if (set->n_unlisted >= limits->max_tenants)
	{
		set->tenants_overflowed = true;
		return set->other;
	}
	tenant = create_tenant(set, name, &limits->unlisted);
	if (tenant == NULL)
		return NULL;
	set->n_unlisted++;
	*set->last_new_tenant = tenant;
	set->last_new_tenant = &tenant->next_new;
	return tenant;
}

TkTenant *
tk_tenant_find(TkPaneSet *set, const TkText *name)
{
	TkTenant *tenant = look_up(set, name);
	const TkTenantRules *rules;

	if (tenant != NULL)
		return tenant;
	rules = rules_of(set->limits, name);
	if (rules == &set->limits->unlisted)
		return add_unlisted(set, name);
	tenant = create_tenant(set, name, rules);
	if (tenant != NULL)
		tenant->settled = true; /* whoever listed it has let it in */
	return tenant;
}

void
tk_tenants_free(TkPaneSet *set)
{
	for (TkTenant *tenant = set->first_meter; tenant != NULL; tenant = tenant->next_meter)
		tk_counted_free(&set->memory, tenant->meters);
}

/* ---- meters ---- */

static TkMeter *
meter_of(TkPaneSet *set, const TkEvent *event, int partition, TkTenant **tenant)
{
	TkFamily *family = tk_family_find(set, &set->rules[event->yields[0].rule_index], &event->tenant);

	*tenant = family == NULL ? NULL : family->owner;
	return *tenant == NULL || (*tenant)->meters == NULL ? NULL : &(*tenant)->meters[partition];
}

static void
touch(TkTenant *tenant, TkMeter *meter)
{
	meter->changed = true;
	tenant->changed = true;
}

TkAdmission
tk_tenant_enabled(TkPaneSet *set, const TkEvent *event, int partition)
{
	TkTenant *tenant;
	TkMeter *meter = meter_of(set, event, partition, &tenant);

	if (tenant == NULL)
		return TK_NOT_ADMITTED;
	if (tenant->rules->enabled)
		return TK_ADMITTED;
	meter->disabled++;
	touch(tenant, meter);
	return TK_TENANT_DISABLED;
}

TkAdmission
tk_tenant_spend(TkPaneSet *set, const TkEvent *event, int partition, int64_t progress, int64_t n)
{
	TkTenant *tenant;
	TkMeter *meter = meter_of(set, event, partition, &tenant);

	if (tenant == NULL)
		return TK_NOT_ADMITTED;
	if (meter == NULL)
		return TK_ADMITTED;
	touch(tenant, meter);
	if (tenant->rules->items_per_second > 0)
	{
		int64_t second = progress / TK_US_PER_SECOND;

		if (second != meter->second)
		{
			meter->second = second;
			meter->used = 0;
		}
		if (n > share_of(set->limits, tenant->rules) - meter->used)
		{
			meter->over_quota++;
			return TK_OVER_QUOTA;
		}
		meter->used += n;
	}
	meter->counted += n;
	return TK_ADMITTED;
}

TkStatus
tk_tenant_restore(TkPaneSet *set, const TkText *name, int partition, int64_t second, int64_t used)
{
	TkTenant *tenant = tk_tenant_find(set, name);

	if (tenant == NULL)
		return TK_NO_MEMORY;
	if (tenant->meters != NULL && tk_text_equals(tenant->name, tenant->name_len, name))
	{
		tenant->meters[partition].second = second;
		tenant->meters[partition].used = used;
	}
	return TK_OK;
}

TkTenant *
tk_tenant_next_changed(const TkPaneSet *set, const TkTenant *after)
{
	TkTenant *tenant = after == NULL ? set->first_meter : after->next_meter;

	while (tenant != NULL && !tenant->changed)
		tenant = tenant->next_meter;
	return tenant;
}

void
tk_tenant_flushed(TkPaneSet *set)
{
	for (TkTenant *tenant = set->first_meter; tenant != NULL; tenant = tenant->next_meter)
	{
		for (int i = 0; tenant->changed && i < set->limits->n_partitions; i++)
		{
			TkMeter *meter = &tenant->meters[i];

			*meter = (TkMeter){.second = meter->second, .used = meter->used};
		}
		tenant->changed = false;
	}
}

/* ---- the guard against too many ---- */

TkTenant *
tk_tenant_next_new(TkPaneSet *set)
{
	TkTenant *tenant;

	while ((tenant = set->first_new_tenant) != NULL && tenant->settled)
	{
		set->first_new_tenant = tenant->next_new;
		tenant->next_new = NULL;
	}
	if (tenant == NULL)
		set->last_new_tenant = &set->first_new_tenant;
	return tenant;
}

static TkStatus
move_list(TkPaneSet *set, TkList *list, TkList *target)
{
	TkStatus status = target == NULL ? TK_NO_MEMORY : tk_pane_copy(set, list, target, 0, INT64_MAX);

	tk_pane_discard(list, 0, INT64_MAX);
	return status;
}

/* A list that was presumed shared has its counts in `all`, and the target's may not be. */
static TkStatus
move_across(TkPaneSet *set, TkFamily *family, TkFamily *target, int dimension)
{
	TkList *list = family->across[dimension];

	if (list->left_out || target->across[dimension]->shared)
		return TK_OK;
	if (list->shared)
		return tk_pane_copy(set, family->all, target->across[dimension], 0, INT64_MAX);
	return move_list(set, list, target->across[dimension]);
}

/* Everything of a family is unflushed, since its tenant was not settled. */
static TkStatus
move_family(TkPaneSet *set, TkFamily *family)
{
	TkText name = {set->other->name, set->other->name_len};
	TkFamily *target = tk_family_look_up(set, family->shape, &name);
	TkStatus status = target == NULL ? TK_NO_MEMORY : TK_OK;

	for (int i = 0; i < family->n_dimensions && status == TK_OK; i++)
		status = move_across(set, family, target, i);
	for (TkList *list = family->values; list != NULL && status == TK_OK; list = list->next_of_family)
	{
		TkText value = {list->value, list->value_len};

		status = move_list(set, list, tk_family_own_list(set, target, list->dimension, &value));
	}
	if (status == TK_OK)
		status = move_list(set, family->all, target->all);
	family->redirect = target;
	family->interned = true; /* there is nothing to give an id to */
	return status;
}

/* TK_OTHER has the settings of the unlisted too, so it is metered if this one is. */
static void
move_meters(TkPaneSet *set, TkTenant *tenant)
{
	for (int i = 0; tenant->meters != NULL && i < set->limits->n_partitions; i++)
	{
		TkMeter *from = &tenant->meters[i];
		TkMeter *into = &set->other->meters[i];

		into->counted += from->counted;
		into->over_quota += from->over_quota;
		if (from->changed)
			touch(set->other, into);
		*from = (TkMeter){.second = TK_NO_TIME};
	}
	tenant->changed = false;
}

TkStatus
tk_tenant_settle(TkPaneSet *set, TkTenant *tenant, bool granted)
{
	TkStatus status = TK_OK;

	tenant->settled = true;
	if (granted)
		return TK_OK;
	set->tenants_overflowed = true;
	for (TkFamily *family = tenant->families; family != NULL && status == TK_OK;
		 family = family->next_of_tenant)
		status = move_family(set, family);
	move_meters(set, tenant);
	for (int i = 0; i < set->config->n_rules; i++)
		set->rules[i].last = NULL; /* it may be a family that was moved */
	tk_pane_sweep(set);
	return status;
}

TkStatus
tk_tenant_know(TkPaneSet *set, const TkText *name)
{
	TkTenant *tenant = look_up(set, name);

	if (tenant != NULL)
		return TK_OK;
	tenant = create_tenant(set, name, rules_of(set->limits, name));
	if (tenant == NULL)
		return TK_NO_MEMORY;
	tenant->settled = true;
	return TK_OK;
}

void
tk_tenant_close(TkPaneSet *set)
{
	set->tenants_closed = true;
}

bool
tk_tenant_overflowed(const TkPaneSet *set)
{
	return set->tenants_overflowed && !set->tenants_closed;
}
