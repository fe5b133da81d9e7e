/*-------------------------------------------------------------------------
 *
 * gen_event.c
 *		One event: its draft, and its text.
 *
 * The three event types and the fields that rules name:
 *
 *		event type		item				dimensions
 *		page_view		payload.url			payload.deviceType, payload.pageCategory
 *		product_view	payload.productId	payload.deviceType, payload.productCategory
 *		api_request		payload.endpoint	payload.method, payload.statusClass
 *
 * With --tenants there is metadata.tenant, with --max-quantity
 * payload.quantity (a weight).  The metadata is eventId, eventType, source
 * and timestamp; the rest of the payload is ballast of the usual kind, which
 * brings an event to about 342 bytes.  Event types without a rule
 * (--no-rule) are heartbeat and search.
 *
 *-------------------------------------------------------------------------
 */
#include "gen.h"

#include <string.h>

#define NUM_RULED_TYPES 3
#define NUM_TYPES 5

/* A value and its share, in parts of 1000. */
typedef struct GenValue
{
	GenFragment text;
	int share;
} GenValue;

/* clang-format off */
#define VALUE(text, share) {{"\"" text "\"", sizeof("\"" text "\"") - 1}, share}

/* clang-format on */

static const GenValue device_types[] = {VALUE("mobile", 580), VALUE("desktop", 330), VALUE("tablet", 75),
										VALUE("tv", 15)};
static const GenValue page_categories[] = {VALUE("listing", 400), VALUE("product", 280), VALUE("home", 150),
										   VALUE("search", 110),  VALUE("checkout", 40), VALUE("help", 20)};
static const GenValue product_categories[] = {
	VALUE("shoes", 300), VALUE("clothes", 250), VALUE("books", 150), VALUE("toys", 120),
	VALUE("garden", 80), VALUE("kitchen", 60),  VALUE("music", 30),  VALUE("art", 10)};
static const GenValue methods[] = {VALUE("GET", 780), VALUE("POST", 150), VALUE("PUT", 40),
								   VALUE("DELETE", 20), VALUE("PATCH", 10)};
static const GenValue status_classes[] = {VALUE("2xx", 900), VALUE("3xx", 40), VALUE("4xx", 50),
										  VALUE("5xx", 10)};

#define VALUES(array) array, sizeof(array) / sizeof(array[0])

typedef struct GenDimension
{
	GenFragment field; /* with quotes, colon and leading comma */
	const GenValue *values;
	size_t num_values;
} GenDimension;

typedef struct GenType
{
	GenFragment name;
	int share;             /* of the events that have a rule, in parts of 1000 */
	GenFragment item;      /* field, as above but without the comma */
	GenFragment item_head; /* the item's text before the section and the number, with its opening quote */
	GenDimension dimension[2];
	GenFragment ballast; /* fields between the metadata and the identifiers */
} GenType;

/* clang-format off */
#define TEXT(literal) {literal, sizeof(literal) - 1}

static const GenType types[NUM_TYPES] = {
	{TEXT("\"page_view\""), 600, TEXT("\"url\":"), TEXT("\"https://shop.example/"),
	 {{TEXT(",\"deviceType\":"), VALUES(device_types)}, {TEXT(",\"pageCategory\":"), VALUES(page_categories)}},
	 TEXT(",\"referrer\":\"https://search.example/en\"")},
	{TEXT("\"product_view\""), 250, TEXT("\"productId\":"), TEXT("\"sku-"),
	 {{TEXT(",\"deviceType\":"), VALUES(device_types)},
	  {TEXT(",\"productCategory\":"), VALUES(product_categories)}},
	 TEXT(",\"currency\":\"EUR\",\"listedIn\":\"recommendations\"")},
	{TEXT("\"api_request\""), 150, TEXT("\"endpoint\":"), TEXT("\"/api/v1/"),
	 {{TEXT(",\"method\":"), VALUES(methods)}, {TEXT(",\"statusClass\":"), VALUES(status_classes)}},
	 TEXT(",\"userAgent\":\"example-client/4.2\",\"region\":\"eu-west\"")},
	{TEXT("\"heartbeat\""), 0, TEXT("\"host\":"), TEXT("\"host-"),
	 {{TEXT(",\"zone\":"), VALUES(methods)}, {TEXT(",\"state\":"), VALUES(status_classes)}},
	 TEXT(",\"uptimeSeconds\":86400")},
	{TEXT("\"search\""), 0, TEXT("\"query\":"), TEXT("\"cheap "),
	 {{TEXT(",\"deviceType\":"), VALUES(device_types)}, {TEXT(",\"pageCategory\":"), VALUES(page_categories)}},
	 TEXT(",\"results\":10")}};

/* clang-format on */

/* Items of neighbouring ranks lie far apart in byte order, and differ in length. */
static const GenFragment sections[16] = {TEXT("sale/"),   TEXT("shoes/"), TEXT("a/"),      TEXT("music/"),
										 TEXT("travel/"), TEXT("b/"),     TEXT("zoo/"),    TEXT("mens/"),
										 TEXT("news/"),   TEXT("kids/"),  TEXT("outlet/"), TEXT("gifts/"),
										 TEXT("brand/"),  TEXT("x/"),     TEXT("home/"),   TEXT("garden/")};

/* ---- writing text: each returns the byte after what it wrote ---- */

static inline char *
put(char *p, GenFragment f)
{
	memcpy(p, f.text, f.len);
	return p + f.len;
}

#define PUT(p, literal) put((p), GEN_FRAGMENT(literal))

static char *
put_number(char *p, uint64_t value)
{
	char digits[20];
	int n = 0;

	do
		digits[n++] = (char) ('0' + value % 10);
	while ((value /= 10) != 0);
	while (n > 0)
		*p++ = digits[--n];
	return p;
}

/* Exactly n decimal digits. */
static char *
put_digits(char *p, uint32_t value, int n)
{
	for (int i = n; i-- > 0; value /= 10)
		p[i] = (char) ('0' + value % 10);
	return p + n;
}

/* The n lowest hexadecimal digits. */
static char *
put_hex(char *p, uint64_t value, int n)
{
	for (int i = n; i-- > 0; value >>= 4)
		p[i] = "0123456789abcdef"[value & 15];
	return p + n;
}

/* ---- time ---- */

/* The civil date of a day since 1970-01-01, counting in years that begin in March. */
static void
civil_date(int64_t day, int *year, int *month, int *mday)
{
	int64_t z = day + 719468; /* days since 0000-03-01 */
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*mday = (int) (doy - (153 * mp + 2) / 5 + 1);
	*month = (int) (mp < 10 ? mp + 3 : mp - 9);
	*year = (int) (yoe + era * 400 + (*month <= 2));
}

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* "2026-11-23T03:34:" of the minute; most events share it with the one before. */
static void
cache_minute(Gen *g, int64_t minute)
{
	int64_t day = floor_div(minute, 1440);
	uint32_t of_day = (uint32_t) (minute - day * 1440);
	int year, month, mday;
	char *p = g->minute_text;

	civil_date(day, &year, &month, &mday);
	p = put_digits(p, (uint32_t) year, 4);
	*p++ = '-';
	p = put_digits(p, (uint32_t) month, 2);
	*p++ = '-';
	p = put_digits(p, (uint32_t) mday, 2);
	*p++ = 'T';
	p = put_digits(p, of_day / 60, 2);
	*p++ = ':';
	p = put_digits(p, of_day % 60, 2);
	*p++ = ':';
	g->minute = minute;
}

static GenFragment
time_fragment(Gen *g, int64_t time_ms)
{
	int64_t minute = floor_div(time_ms, 60000);
	uint32_t rest = (uint32_t) (time_ms - minute * 60000);
	char *p = g->time_text;

	if (minute != g->minute)
		cache_minute(g, minute);
	*p++ = '"';
	memcpy(p, g->minute_text, 17);
	p = put_digits(p + 17, rest / 1000, 2);
	*p++ = '.';
	p = put_digits(p, rest % 1000, 3);
	p = PUT(p, "Z\"");
	return (GenFragment){g->time_text, (size_t) (p - g->time_text)};
}

/* ---- the draft ---- */

/* One of the shares of things left out; a malformed event has only one thing wrong with it. */
static bool
leave_out(Gen *g, double share)
{
	return !g->plain && gen_random_share(&g->random, share);
}

static int
draw_type(Gen *g)
{
	int draw;

	if (leave_out(g, g->options->no_rule))
	{
		g->counts.no_rule++;
		return NUM_RULED_TYPES + (int) gen_random_below(&g->random, NUM_TYPES - NUM_RULED_TYPES);
	}
	draw = (int) gen_random_below(&g->random, 1000) - types[0].share;
	return draw < 0 ? 0 : draw < types[1].share ? 1 : 2;
}

static GenFragment
draw_item(Gen *g, const GenType *type)
{
	uint32_t rank = gen_zipf_rank(&g->zipf, &g->random);
	char *p = put(g->item_text, type->item_head);

	p = put(p, sections[rank & 15]);
	p = put_number(p, rank);
	*p++ = '"';
	return (GenFragment){g->item_text, (size_t) (p - g->item_text)};
}

/* No item comes in both forms that producers send: null, or no field at all. */
static GenFragment
draw_no_item(Gen *g)
{
	g->counts.no_item++;
	return gen_random_below(&g->random, 2) == 0 ? GEN_ABSENT : GEN_FRAGMENT("null");
}

static GenFragment
draw_value(Gen *g, const GenDimension *dimension)
{
	int draw;

	if (leave_out(g, g->options->missing))
		return gen_random_below(&g->random, 2) == 0 ? GEN_ABSENT : GEN_FRAGMENT("null");
	draw = (int) gen_random_below(&g->random, 1000);
	for (size_t i = 0; i + 1 < dimension->num_values; i++)
	{
		draw -= dimension->values[i].share;
		if (draw < 0)
			return dimension->values[i].text;
	}
	return dimension->values[dimension->num_values - 1].text;
}

/* Tenant 1 has half of the events, tenant 2 a quarter, and so on; the last takes what is left. */
static GenFragment
draw_tenant(Gen *g)
{
	uint32_t tenant = 1;
	uint64_t coins;
	char *p;

	if (g->options->tenants == 0)
		return GEN_ABSENT;
	for (coins = gen_random(&g->random) >> 8; (coins & 1) && tenant < g->options->tenants; coins >>= 1)
		tenant++;
	p = PUT(g->tenant_text, "\"tenant-");
	p = put_number(p, tenant);
	*p++ = '"';
	return (GenFragment){g->tenant_text, (size_t) (p - g->tenant_text)};
}

static GenFragment
draw_quantity(Gen *g)
{
	char *p = g->quantity_text;

	if (g->options->max_quantity == 0)
		return GEN_ABSENT;
	p = put_number(p, 1 + gen_random_below(&g->random, g->options->max_quantity));
	return (GenFragment){g->quantity_text, (size_t) (p - g->quantity_text)};
}

static void
draw_draft(Gen *g, int64_t time_ms, GenDraft *d)
{
	const GenType *type;

	d->type = draw_type(g);
	type = &types[d->type];
	d->type_name = type->name;
	d->time = time_fragment(g, time_ms);
	d->tenant = draw_tenant(g);
	d->item = draw_item(g, type);
	d->dimension[0] = draw_value(g, &type->dimension[0]);
	d->dimension[1] = draw_value(g, &type->dimension[1]);
	d->quantity = draw_quantity(g);
	if (d->type < NUM_RULED_TYPES && leave_out(g, g->options->no_item))
		d->item = draw_no_item(g);
}

/* ---- the text ---- */

static inline char *
put_field(char *p, GenFragment field, GenFragment value)
{
	if (value.text == NULL)
		return p;
	return put(put(p, field), value);
}

/* A UUID's shape; its last group is the event's number, so that no id comes twice. */
static char *
put_event_id(Gen *g, char *p)
{
	p = put_hex(p, g->id_prefix >> 32, 8);
	*p++ = '-';
	p = put_hex(p, g->id_prefix >> 16, 4);
	p = PUT(p, "-4");
	p = put_hex(p, g->id_prefix, 3);
	p = PUT(p, "-a");
	p = put_hex(p, g->counts.events >> 48, 3);
	*p++ = '-';
	return put_hex(p, g->counts.events, 12);
}

static char *
put_metadata(Gen *g, const GenDraft *d, char *p)
{
	p = PUT(p, "{\"metadata\":{\"eventId\":\"");
	p = put_event_id(g, p);
	*p++ = '"';
	p = put_field(p, GEN_FRAGMENT(",\"eventType\":"), d->type_name);
	p = PUT(p, ",\"source\":\"web\"");
	p = put_field(p, GEN_FRAGMENT(",\"tenant\":"), d->tenant);
	p = put_field(p, GEN_FRAGMENT(",\"timestamp\":"), d->time);
	return PUT(p, "},\"payload\":{");
}

static size_t
write_draft(Gen *g, const GenDraft *d, char *out)
{
	const GenType *type = &types[d->type];
	uint64_t ids = gen_random(&g->random);
	char *p = put_metadata(g, d, out);

	p = PUT(p, "\"userId\":\"u-");
	p = put_hex(p, ids, 7);
	p = PUT(p, "\",\"sessionId\":\"s-");
	p = put_hex(p, ids >> 28, 9);
	*p++ = '"';
	if (d->item.text != NULL)
	{
		*p++ = ',';
		p = put_field(p, type->item, d->item);
	}
	p = put_field(p, type->dimension[0].field, d->dimension[0]);
	p = put_field(p, type->dimension[1].field, d->dimension[1]);
	p = put_field(p, GEN_FRAGMENT(",\"quantity\":"), d->quantity);
	p = put(p, type->ballast);
	p = PUT(p, ",\"durationMs\":");
	p = put_number(p, ids >> 52);
	p = PUT(p, "}}");
	return (size_t) (p - out);
}

void
gen_init(Gen *g, const GenOptions *o)
{
	memset(g, 0, sizeof(*g));
	g->options = o;
	g->minute = INT64_MIN;
	gen_random_seed(&g->random, o->seed);
	g->id_prefix = gen_random(&g->random);
	gen_zipf_init(&g->zipf, o->items, o->skew);
}

/*
 * Write the next event, of the given event time, to out (GEN_MAX_EVENT bytes);
 * returns its length.  The text has no line feed, tab or raw NUL in it, whatever
 * is wrong with it otherwise.
 */
size_t
gen_event(Gen *g, int64_t time_ms, char *out)
{
	GenDraft draft;
	size_t len;
	int kind;

	g->plain = gen_random_share(&g->random, g->options->malformed);
	draw_draft(g, time_ms, &draft);
	if (!g->plain)
		len = write_draft(g, &draft, out);
	else
	{
		kind = gen_malformed_draft(g, &draft);
		len = gen_malformed_text(g, kind, out, write_draft(g, &draft, out));
		g->counts.kind[kind]++;
		g->counts.malformed++;
	}
	g->counts.events++;
	return len;
}
