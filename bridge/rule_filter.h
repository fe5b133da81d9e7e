/*
 * rule_filter.h - which events a rule takes: conditions on paths, all of which must hold.
 *
 * Pure.  A filter looks at the message as a whole: what stands in an array is missing to it, and an array or
 * object itself is there, but equals and exceeds nothing.  Null is as good as missing.  Texts are compared
 * byte by byte with strings, and with the JSON text of numbers and booleans; only JSON numbers have an order.
 */
#ifndef TK_RULE_FILTER_H
#define TK_RULE_FILTER_H

#include "decode.h"

typedef enum TkTest
{
	TK_TEST_IN,      /* one of the texts */
	TK_TEST_NOT_IN,  /* none of them: also what is missing */
	TK_TEST_EXISTS,  /* anything but null */
	TK_TEST_MISSING, /* missing or null */
	TK_TEST_LESS,    /* a number that is less than `number`, and so on */
	TK_TEST_AT_MOST,
	TK_TEST_GREATER,
	TK_TEST_AT_LEAST,
	TK_N_TESTS
} TkTest;

/* The texts belong to the caller. */
typedef struct TkCondition
{
	int path; /* index into the decoder's paths */
	TkTest test;
	int n_texts;
	const TkText *texts;
	double number;
} TkCondition;

/* "in", "not_in", "exists", "missing", "<", "<=", ">", ">=": the test, or TK_N_TESTS for another name. */
TkTest tk_test_named(const char *name);

/* Whether all conditions hold for the decoder's current message. */
bool tk_filter_passes(const TkCondition *conditions, int n, TkDecoder *decoder);

#endif
