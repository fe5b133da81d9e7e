/*-------------------------------------------------------------------------
 *
 * gen.h
 *		The event generator: one stream of made-up events, repeatable by seed.
 *
 * The parts, each in one file, and what each may know:
 *
 *		gen_main.c		the loop: which event, at what event time, when to wait
 *		gen_options.c	the command line
 *		gen_random.c	Zipf ranks (the random numbers themselves are inline here)
 *		gen_event.c		one event's text, and the vocabulary of names in it
 *		gen_malformed.c	the ways in which an event can be broken, one row each
 *		gen_output.c	where lines go: standard output, or a Kafka topic
 *
 * An event is first a GenDraft, a set of JSON fragments, and only then text.
 * That is what makes a malformed event cheap to describe: it is a draft with
 * one fragment exchanged, or a text with one thing done to it.
 *
 * Every random choice is drawn from one generator in one order, whatever the
 * output, so that the same options give the same stream on standard output
 * and in Kafka.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TOPK_GEN_H
#define TOPK_GEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GEN_MAX_PARTITIONS 1024
#define GEN_MAX_EVENT 8192 /* the longest text that gen_event makes, with room to spare */
#define GEN_MAX_KAFKA_PROPERTIES 32
#define GEN_MAX_KINDS 64 /* more than there are kinds of malformed message */

/* ---- random numbers ---- */

typedef struct GenRandom
{
	uint64_t state; /* never zero */
} GenRandom;

/* xorshift64*: two nanoseconds, and good enough that nobody sees a pattern in the items */
static inline uint64_t
gen_random(GenRandom *r)
{
	uint64_t x = r->state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	r->state = x;
	return x * UINT64_C(0x2545F4914F6CDD1D);
}

/* Uniform in [0, n), n at least 1; the bias is n / 2^32, which no test here can see. */
static inline uint32_t
gen_random_below(GenRandom *r, uint32_t n)
{
	return (uint32_t) (((gen_random(r) >> 32) * n) >> 32);
}

/* True for the given share (0 to 1) of the calls; a share of 0 draws nothing. */
static inline bool
gen_random_share(GenRandom *r, double share)
{
	return share > 0 && (double) (gen_random(r) >> 11) * 0x1p-53 < share;
}

/* ---- Zipf ranks (gen_random.c) ---- */

#define GEN_ZIPF_CACHED 1024

/* Ranks 1 to n, rank k with a probability proportional to k^-skew. */
typedef struct GenZipf
{
	double skew;
	uint32_t n;
	double low;                     /* the area below rank 1's left edge, less rank 1's own weight */
	double high;                    /* the area up to the right edge of rank n */
	double accept[GEN_ZIPF_CACHED]; /* acceptance limits of the first ranks, which are most draws */
} GenZipf;

/* ---- options (gen_options.c) ---- */

typedef struct GenOptions
{
	uint64_t events; /* UINT64_MAX: until seconds have passed or a signal comes */
	double seconds;  /* 0: no limit of time */
	double rate;     /* events a second, 0: as fast as it goes */
	int partitions;
	double partition_share[GEN_MAX_PARTITIONS]; /* cumulative, the last one is 1 */
	uint64_t seed;
	double skew;
	uint32_t items; /* per item type */
	bool start_now;
	int64_t start_ms; /* event time of the first event, if not start_now */
	double span;      /* seconds of event time over all events, 0: not given */
	double disorder;  /* seconds */
	double late;
	double late_by[2]; /* seconds: from, to */
	double malformed;
	double no_rule;
	double no_item;
	double missing;
	uint32_t tenants;
	uint32_t max_quantity;
	bool quiet;
	const char *brokers; /* NULL: standard output */
	const char *topic;
	int num_properties;
	const char *property[GEN_MAX_KAFKA_PROPERTIES]; /* each "name=value" */
} GenOptions;

/* ---- events (gen_event.c) ---- */

/* A piece of JSON that the draft does not own; text NULL leaves the field out. */
typedef struct GenFragment
{
	const char *text;
	size_t len;
} GenFragment;

#define GEN_FRAGMENT(literal) ((GenFragment){literal, sizeof(literal) - 1})
#define GEN_ABSENT ((GenFragment){NULL, 0})

typedef struct GenDraft
{
	int type; /* index of the event type */
	GenFragment type_name;
	GenFragment time;
	GenFragment tenant;
	GenFragment item;
	GenFragment dimension[2];
	GenFragment quantity;
} GenDraft;

typedef struct GenCounts
{
	uint64_t events;
	uint64_t no_rule;
	uint64_t no_item;
	uint64_t late; /* set back by --late-by; whether the bridge calls it late depends on its log */
	uint64_t malformed;
	uint64_t kind[GEN_MAX_KINDS];
} GenCounts;

/* The state of one stream. */
typedef struct Gen
{
	const GenOptions *options;
	GenRandom random;
	GenZipf zipf;
	GenCounts counts;
	bool plain;         /* draw a draft with nothing missing from it */
	uint64_t id_prefix; /* from the seed: ids of two seeds differ */
	int64_t minute;     /* the minute that minute_text holds */
	char minute_text[24];
	char time_text[40]; /* what the draft of the moment points to, as are the following */
	char item_text[64];
	char tenant_text[24];
	char quantity_text[16];
} Gen;

/* ---- outputs (gen_output.c) ---- */

typedef struct GenOutput GenOutput;

/* gen_options.c */
extern void gen_options_parse(GenOptions *o, int argc, char **argv);

/* gen_random.c */
extern void gen_random_seed(GenRandom *r, uint64_t seed);
extern void gen_zipf_init(GenZipf *z, uint32_t n, double skew);
extern uint32_t gen_zipf_rank(const GenZipf *z, GenRandom *r);

/* gen_event.c */
extern void gen_init(Gen *g, const GenOptions *o);
extern size_t gen_event(Gen *g, int64_t time_ms, char *out);

/* gen_malformed.c */
extern int gen_malformed_draft(Gen *g, GenDraft *d);
extern size_t gen_malformed_text(Gen *g, int kind, char *text, size_t len);
extern const char *gen_malformed_reason(int kind);
extern const char *gen_malformed_name(int kind);

/* gen_output.c */
extern GenOutput *gen_output_open(const GenOptions *o);
extern bool gen_output_send(GenOutput *out, int partition, const char *text, size_t len);
extern bool gen_output_wait(GenOutput *out, double seconds);
extern bool gen_output_close(GenOutput *out);

#endif
