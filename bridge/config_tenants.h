/*
 * config_tenants.h - the settings of a source's tenants, as one worker session applies them.
 */
#ifndef TK_CONFIG_TENANTS_H
#define TK_CONFIG_TENANTS_H

#include "postgres.h"

#include "tenant.h"

/* Inside a step: reads them into `context`.  The numbers of partitions are the caller's to fill in. */
extern void config_load_tenants(int32 source_id, TkLimits *limits, MemoryContext context);

#endif
