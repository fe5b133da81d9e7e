/*
 * settings.c - the settings that the server must know at its start.  All else is configured by SQL.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "bridge.h"

bool topk_enabled = true;
int topk_database_scan_interval = 60;
static int partition_scan_interval = 10;
static int prefetch_memory = 0;
static int pane_memory = 512 * 1024;

/* Called once; `preloading` is false in a backend that loads the library for one of its SQL functions. */
void
SettingsInit(bool preloading)
{
	if (preloading)
	{
		DefineCustomBoolVariable("topk.enabled", "Runs the sources and sinks of every database.",
								 "Off on a physical copy keeps it from consuming and publishing.",
								 &topk_enabled, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
		DefineCustomIntVariable("topk.database_scan_interval",
								"How often the launcher looks for databases that have the extension.",
								"A change made by SQL is noticed at once.", &topk_database_scan_interval, 60,
								1, 86400, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
		DefineCustomIntVariable(
			"topk.partition_scan_interval", "How often a worker looks whether its topic has more partitions.",
			NULL, &partition_scan_interval, 10, 1, 86400, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
		DefineCustomIntVariable(
			"topk.prefetch_memory", "Memory for messages that a worker has fetched and not read yet.",
			"Zero fits the installed librdkafka: 512 MB before version 2.0, else 64 MB.", &prefetch_memory, 0,
			0, INT_MAX / 1024, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
		DefineCustomIntVariable("topk.pane_memory", "Memory for the open panes of a worker.",
								"When they outgrow it, the worker writes and seals them early.", &pane_memory,
								512 * 1024, 1024, INT_MAX / 1024, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	}
	MarkGUCPrefixReserved("topk");
}
