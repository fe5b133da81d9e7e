/*
 * shape.c - what a configuration says about the families that its events will make.
 *
 * Several rules may yield items of one type, each with dimensions of its own.  A shape is the union over the
 * rules of one item type; each rule gets a map from its dimensions to those of the shape.  A dimension is
 * shareable if every rule of the item type names it.
 */
#include <string.h>

#include "pane_set.h"

/* Finds or makes the shape of a rule's item type.  There are never more shapes than rules. */
static int
shape_of(TkPaneSet *set, const TkRule *rule)
{
	for (int i = 0; i < set->n_shapes; i++)
	{
		if (strcmp(set->shapes[i].item_type, rule->item_type) == 0)
			return i;
	}
	set->shapes[set->n_shapes].item_type = rule->item_type;
	return set->n_shapes++;
}

/* Finds or makes a dimension of a shape, which has room for those of all its rules. */
static int
dimension_of(TkShape *shape, const char *name)
{
	for (int i = 0; i < shape->n_dimensions; i++)
	{
		if (strcmp(shape->dimensions[i], name) == 0)
			return i;
	}
	shape->dimensions[shape->n_dimensions] = name;
	return shape->n_dimensions++;
}

static bool
rule_names(const TkRuleShape *rule, int dimension)
{
	for (int i = 0; i < rule->n_dimensions; i++)
	{
		if (rule->dimension[i] == dimension)
			return true;
	}
	return false;
}

static bool
every_rule_names(const TkPaneSet *set, int shape, int dimension)
{
	for (int i = 0; i < set->config->n_rules; i++)
	{
		if (set->rules[i].shape == shape && !rule_names(&set->rules[i], dimension))
			return false;
	}
	return true;
}

/* Gives each rule its shape and room for its dimensions. */
static bool
create_rules(TkPaneSet *set)
{
	size_t n = (size_t) set->config->n_rules;

	set->shapes = tk_counted_zalloc(&set->memory, (n + 1) * sizeof(TkShape));
	set->rules = tk_counted_zalloc(&set->memory, (n + 1) * sizeof(TkRuleShape));
	if (set->shapes == NULL || set->rules == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		const TkRule *rule = &set->config->rules[i];
		TkRuleShape *rule_shape = &set->rules[i];

		rule_shape->shape = shape_of(set, rule);
		rule_shape->n_dimensions = rule->n_dimensions;
		rule_shape->dimension =
			tk_counted_zalloc(&set->memory, ((size_t) rule->n_dimensions + 1) * sizeof(int));
		if (rule_shape->dimension == NULL)
			return false;
	}
	return true;
}

static bool
create_shape(TkPaneSet *set, int index)
{
	TkShape *shape = &set->shapes[index];
	size_t room = 1;

	for (int i = 0; i < set->config->n_rules; i++)
	{
		if (set->rules[i].shape == index)
			room += (size_t) set->rules[i].n_dimensions;
	}
	shape->dimensions = tk_counted_zalloc(&set->memory, room * sizeof(const char *));
	shape->shareable = tk_counted_zalloc(&set->memory, room * sizeof(bool));
	return shape->dimensions != NULL && shape->shareable != NULL;
}

static void
map_dimensions(TkPaneSet *set)
{
	for (int i = 0; i < set->config->n_rules; i++)
	{
		TkRuleShape *rule = &set->rules[i];

		for (int j = 0; j < rule->n_dimensions; j++)
			rule->dimension[j] =
				dimension_of(&set->shapes[rule->shape], set->config->rules[i].dimensions[j].name);
	}
}

bool
tk_shapes_create(TkPaneSet *set)
{
	if (!create_rules(set))
		return false;
	for (int i = 0; i < set->n_shapes; i++)
	{
		if (!create_shape(set, i))
			return false;
	}
	map_dimensions(set);
	for (int i = 0; i < set->n_shapes; i++)
	{
		for (int j = 0; j < set->shapes[i].n_dimensions; j++)
			set->shapes[i].shareable[j] = every_rule_names(set, i, j);
	}
	return true;
}

void
tk_shapes_free(TkPaneSet *set)
{
	for (int i = 0; i < set->n_shapes; i++)
	{
		tk_counted_free(&set->memory, set->shapes[i].dimensions);
		tk_counted_free(&set->memory, set->shapes[i].shareable);
	}
	for (int i = 0; set->rules != NULL && i < set->config->n_rules; i++)
		tk_counted_free(&set->memory, set->rules[i].dimension);
	tk_counted_free(&set->memory, set->shapes);
	tk_counted_free(&set->memory, set->rules);
}
