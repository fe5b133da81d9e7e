/*
 * bridge.h - inside topk_bridge.so, the library that shared_preload_libraries names.
 *
 * It is mapped into every backend, so it holds only the settings, the launcher and small SQL functions, and
 * links to nothing but libc.
 */
#ifndef TK_BRIDGE_H
#define TK_BRIDGE_H

#include "postgres.h"

#include "fmgr.h"

/* settings.c */
extern bool topk_enabled;
extern int topk_database_scan_interval;
extern void SettingsInit(bool preloading);

/* launcher.c */
extern void LauncherInit(void);

/* SQL functions; PostgreSQL 15 does not export them by itself. */
extern PGDLLEXPORT Datum topk_wake(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum topk_process_runs(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum topk_system_id(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum topk_kafka_validator(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum topk_redis_validator(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum topk_path_error(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum topk_probe(PG_FUNCTION_ARGS);

#endif
