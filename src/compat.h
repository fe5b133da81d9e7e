/*
 * compat.h
 *		What differs between the PostgreSQL versions that topk builds against, and nothing else.
 *
 * Every file of the type includes this header first, and postgres.h by it; files of the bridge do where they
 * need it. Written for 15; a shim gives
 * older versions the newer spelling, so that the code reads as for the newest.
 */
#ifndef TOPK_COMPAT_H
#define TOPK_COMPAT_H

/* The modules are compiled with hidden symbols, which 15 does not reckon with. */
#ifndef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#endif

#include "postgres.h"

#include "fmgr.h"

#if PG_VERSION_NUM < 150000
#error "topk needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#include "varatt.h"
#endif

/* PG_FUNCTION_INFO_V1, which before 16 exports what tells about a function, but not the function. */
#define TOPK_FUNCTION(name)                                                                                  \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS);                                                         \
	PG_FUNCTION_INFO_V1(name)

/* 18 marks functions that do not return in front of the declaration only. */
#if PG_VERSION_NUM >= 180000
#define TOPK_NORETURN pg_noreturn
#else
#define TOPK_NORETURN __attribute__((noreturn))
#endif

/* A wait event set for the life of the process: 17 has its owner where before was its memory context. */
#if PG_VERSION_NUM >= 170000
#define TOPK_CREATE_WAIT_EVENT_SET(context, n) CreateWaitEventSet(NULL, n)
#else
#define TOPK_CREATE_WAIT_EVENT_SET(context, n) CreateWaitEventSet(context, n)
#endif

/* 16 can leave all but summarizing indexes out. */
#if PG_VERSION_NUM >= 160000
#define TOPK_INSERT_INDEX_TUPLES(relation, slot, executor)                                                   \
	ExecInsertIndexTuples(relation, slot, executor, false, false, NULL, NIL, false)
#else
#define TOPK_INSERT_INDEX_TUPLES(relation, slot, executor)                                                   \
	ExecInsertIndexTuples(relation, slot, executor, false, false, NULL, NIL)
#endif

/* Soft errors of input functions came with 16; before, an error is an error. */
#ifndef ereturn
#define ereturn(context, dummy_value, ...)                                                                   \
	do                                                                                                       \
	{                                                                                                        \
		(void) (context);                                                                                    \
		ereport(ERROR, __VA_ARGS__);                                                                         \
		return dummy_value;                                                                                  \
	} while (0)
#endif

#endif /* TOPK_COMPAT_H */
