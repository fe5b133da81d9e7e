/*-------------------------------------------------------------------------
 *
 * gen_malformed.c
 *		The ways in which a message can be broken: one row of a table each.
 *
 * Each kind has exactly one reason for the dead-letter table, which it names,
 * so that a test can compare what was sent with what was refused.  A kind
 * either exchanges one fragment of the draft, or does something to the text.
 * Kinds about tenants and weights are used only when events have them, since
 * no rule would look at them otherwise.
 *
 *-------------------------------------------------------------------------
 */
#include "gen.h"

#include <string.h>

#define MAX_ITEM_BYTES 1024 /* the defaults of max_item_bytes and max_value_bytes */
#define MAX_VALUE_BYTES 512

typedef enum GenPlace
{
	PLACE_TEXT,
	PLACE_TYPE,
	PLACE_TIME,
	PLACE_TENANT,
	PLACE_ITEM,
	PLACE_VALUE,
	PLACE_QUANTITY
} GenPlace;

typedef enum GenDamage
{
	DAMAGE_FRAGMENT, /* put in the fragment given */
	DAMAGE_LONG,     /* put in a string one byte longer than allowed */
	DAMAGE_CUT,      /* end the text early */
	DAMAGE_REPLACE,  /* send the fragment instead of the event */
	DAMAGE_APPEND    /* send the fragment after the event */
} GenDamage;

typedef struct GenKind
{
	const char *name;
	const char *reason;
	GenPlace place;
	GenDamage damage;
	GenFragment fragment;
} GenKind;

/* clang-format off */
#define TEXT(literal) {literal, sizeof(literal) - 1}
#define NOTHING {NULL, 0}

static const GenKind kinds[] = {
	{"truncated", "bad_json", PLACE_TEXT, DAMAGE_CUT, NOTHING},
	{"not_json", "bad_json", PLACE_TEXT, DAMAGE_REPLACE, TEXT("GET /index.html HTTP/1.1")},
	{"array_document", "bad_json", PLACE_TEXT, DAMAGE_REPLACE, TEXT("[{\"metadata\":{}},{\"payload\":{}}]")},
	{"trailing_text", "bad_json", PLACE_TEXT, DAMAGE_APPEND, TEXT(",{}")},
	{"invalid_utf8", "bad_json", PLACE_ITEM, DAMAGE_FRAGMENT, TEXT("\"caf\xe9\"")},
	{"lone_surrogate", "bad_json", PLACE_ITEM, DAMAGE_FRAGMENT, TEXT("\"\\ud83d\"")},
	{"control_character", "bad_json", PLACE_ITEM, DAMAGE_FRAGMENT, TEXT("\"bell\x07\"")},
	{"no_event_type", "bad_event_type", PLACE_TYPE, DAMAGE_FRAGMENT, NOTHING},
	{"numeric_event_type", "bad_event_type", PLACE_TYPE, DAMAGE_FRAGMENT, TEXT("7")},
	{"no_timestamp", "no_time", PLACE_TIME, DAMAGE_FRAGMENT, NOTHING},
	{"null_timestamp", "no_time", PLACE_TIME, DAMAGE_FRAGMENT, TEXT("null")},
	{"word_as_timestamp", "bad_time", PLACE_TIME, DAMAGE_FRAGMENT, TEXT("\"yesterday\"")},
	{"impossible_date", "bad_time", PLACE_TIME, DAMAGE_FRAGMENT, TEXT("\"2025-02-30T10:00:00Z\"")},
	{"boolean_timestamp", "bad_time", PLACE_TIME, DAMAGE_FRAGMENT, TEXT("true")},
	{"far_future", "future_time", PLACE_TIME, DAMAGE_FRAGMENT, TEXT("\"2999-12-31T23:59:59.999Z\"")},
	{"far_future_epoch", "future_time", PLACE_TIME, DAMAGE_FRAGMENT, TEXT("32503679999999")},
	{"object_as_item", "bad_item", PLACE_ITEM, DAMAGE_FRAGMENT, TEXT("{\"href\":\"/\"}")},
	{"nested_array_as_item", "bad_item", PLACE_ITEM, DAMAGE_FRAGMENT, TEXT("[\"/\",[\"/a\"]]")},
	{"nul_in_item", "item_has_nul", PLACE_ITEM, DAMAGE_FRAGMENT, TEXT("\"/a\\u0000b\"")},
	{"long_item", "item_too_long", PLACE_ITEM, DAMAGE_LONG, NOTHING},
	{"object_as_value", "bad_value", PLACE_VALUE, DAMAGE_FRAGMENT, TEXT("{\"name\":\"mobile\"}")},
	{"nul_in_value", "value_has_nul", PLACE_VALUE, DAMAGE_FRAGMENT, TEXT("\"mo\\u0000bile\"")},
	{"long_value", "value_too_long", PLACE_VALUE, DAMAGE_LONG, NOTHING},
	{"object_as_tenant", "bad_tenant", PLACE_TENANT, DAMAGE_FRAGMENT, TEXT("{\"id\":1}")},
	{"nul_in_tenant", "tenant_has_nul", PLACE_TENANT, DAMAGE_FRAGMENT, TEXT("\"a\\u0000b\"")},
	{"long_tenant", "tenant_too_long", PLACE_TENANT, DAMAGE_LONG, NOTHING},
	{"zero_weight", "bad_weight", PLACE_QUANTITY, DAMAGE_FRAGMENT, TEXT("0")},
	{"negative_weight", "bad_weight", PLACE_QUANTITY, DAMAGE_FRAGMENT, TEXT("-3")},
	{"fractional_weight", "bad_weight", PLACE_QUANTITY, DAMAGE_FRAGMENT, TEXT("1.5")},
	{"word_as_weight", "bad_weight", PLACE_QUANTITY, DAMAGE_FRAGMENT, TEXT("\"many\"")}};

/* clang-format on */
#define NUM_KINDS ((int) (sizeof(kinds) / sizeof(kinds[0])))

_Static_assert(sizeof(kinds) / sizeof(kinds[0]) <= GEN_MAX_KINDS, "GEN_MAX_KINDS is too small");

static bool
applies(const GenOptions *o, const GenKind *kind)
{
	switch (kind->place)
	{
		case PLACE_TENANT:
			return o->tenants > 0;
		case PLACE_QUANTITY:
			return o->max_quantity > 0;
		default:
			return true;
	}
}

static int
draw_kind(Gen *g)
{
	int kind;

	do
		kind = (int) gen_random_below(&g->random, (uint32_t) NUM_KINDS);
	while (!applies(g->options, &kinds[kind]));
	return kind;
}

/* A quoted string of len bytes; the text lives until the next call. */
static GenFragment
long_string(size_t len)
{
	static char text[MAX_ITEM_BYTES + 3];

	memset(text, 'x', sizeof(text));
	text[0] = text[len + 1] = '"';
	return (GenFragment){text, len + 2};
}

static GenFragment *
place_in_draft(GenDraft *d, GenPlace place)
{
	switch (place)
	{
		case PLACE_TYPE:
			return &d->type_name;
		case PLACE_TIME:
			return &d->time;
		case PLACE_TENANT:
			return &d->tenant;
		case PLACE_ITEM:
			return &d->item;
		case PLACE_VALUE:
			return &d->dimension[0];
		case PLACE_QUANTITY:
			return &d->quantity;
		case PLACE_TEXT:
			break;
	}
	return NULL;
}

/* Choose a kind and, if it is about a fragment, break the draft; returns the kind. */
int
gen_malformed_draft(Gen *g, GenDraft *d)
{
	int number = draw_kind(g);
	const GenKind *kind = &kinds[number];
	GenFragment *place = place_in_draft(d, kind->place);

	if (place != NULL && kind->damage == DAMAGE_LONG)
		*place = long_string((kind->place == PLACE_ITEM ? MAX_ITEM_BYTES : MAX_VALUE_BYTES) + 1);
	else if (place != NULL)
		*place = kind->fragment;
	return number;
}

/* If the kind is about the text, break it, in place (GEN_MAX_EVENT bytes); returns its new length. */
size_t
gen_malformed_text(Gen *g, int kind, char *text, size_t len)
{
	GenFragment fragment = kinds[kind].fragment;

	switch (kinds[kind].damage)
	{
		case DAMAGE_CUT:
			return 1 + gen_random_below(&g->random, (uint32_t) len - 1);
		case DAMAGE_REPLACE:
			memcpy(text, fragment.text, fragment.len);
			return fragment.len;
		case DAMAGE_APPEND:
			memcpy(text + len, fragment.text, fragment.len);
			return len + fragment.len;
		case DAMAGE_FRAGMENT:
		case DAMAGE_LONG:
			break;
	}
	return len;
}

/* NULL beyond the last kind. */
const char *
gen_malformed_name(int kind)
{
	return kind < NUM_KINDS ? kinds[kind].name : NULL;
}

const char *
gen_malformed_reason(int kind)
{
	return kinds[kind].reason;
}
