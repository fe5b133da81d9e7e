/*
 * bridge.c - what loading topk_bridge.so does.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "bridge.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	SettingsInit(process_shared_preload_libraries_in_progress);
	if (process_shared_preload_libraries_in_progress)
		LauncherInit();
}
