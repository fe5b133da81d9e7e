/*
 * rule_filter.c - decides whether a rule takes an event (see rule_filter.h).
 */
#include <string.h>

#include "rule_filter.h"

static const char *const test_names[TK_N_TESTS] = {
	[TK_TEST_IN] = "in",           [TK_TEST_NOT_IN] = "not_in", [TK_TEST_EXISTS] = "exists",
	[TK_TEST_MISSING] = "missing", [TK_TEST_LESS] = "<",        [TK_TEST_AT_MOST] = "<=",
	[TK_TEST_GREATER] = ">",       [TK_TEST_AT_LEAST] = ">=",
};

TkTest
tk_test_named(const char *name)
{
	int test = 0;

	while (test < TK_N_TESTS && strcmp(test_names[test], name) != 0)
		test++;
	return (TkTest) test;
}

static bool
is_one_of(const TkValue *value, const TkCondition *condition)
{
	if (value->text == NULL)
		return false; /* missing, null, an object, an array */
	for (int i = 0; i < condition->n_texts; i++)
	{
		const TkText *text = &condition->texts[i];

		if (text->len == value->len && memcmp(text->data, value->text, text->len) == 0)
			return true;
	}
	return false;
}

static bool
holds(const TkCondition *condition, const TkValue *value)
{
	bool is_number = value->kind == TK_VALUE_NUMBER;

	switch (condition->test)
	{
		case TK_TEST_IN:
			return is_one_of(value, condition);
		case TK_TEST_NOT_IN:
			return !is_one_of(value, condition);
		case TK_TEST_EXISTS:
			return !tk_value_is_absent(value);
		case TK_TEST_MISSING:
			return tk_value_is_absent(value);
		case TK_TEST_LESS:
			return is_number && value->number < condition->number;
		case TK_TEST_AT_MOST:
			return is_number && value->number <= condition->number;
		case TK_TEST_GREATER:
			return is_number && value->number > condition->number;
		case TK_TEST_AT_LEAST:
			return is_number && value->number >= condition->number;
		default:
			return false;
	}
}

bool
tk_filter_passes(const TkCondition *conditions, int n, TkDecoder *decoder)
{
	for (int i = 0; i < n; i++)
	{
		TkValue value;

		decoder->methods->get(decoder, conditions[i].path, &value);
		if (!holds(&conditions[i], &value))
			return false;
	}
	return true;
}
