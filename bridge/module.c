/*
 * module.c - makes topk_worker.so a module of PostgreSQL.  Its entry points are the mains of the hosts.
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;
