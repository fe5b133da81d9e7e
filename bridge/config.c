/*
 * config.c - reads a source, its rules and its server from the tables (see config.h).
 *
 * The paths of all rules are collected once, each spelling once, since the decoder looks each up once an
 * event.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "config.h"
#include "config_tenants.h"
#include "host.h"
#include "spi_util.h"

#define MAX_PATHS 1024
#define MAX_PROPERTIES 20
#define MAX_MESSAGE_BYTES (64 * 1024 * 1024)

/* The paths seen so far; `spelled` is parallel to config->extract.paths. */
typedef struct PathSet
{
	MemoryContext context;
	int n;
	TkPath *paths;
	char **spelled;
} PathSet;

static int
add_path(PathSet *set, const char *spelled)
{
	const char *error;

	if (spelled == NULL)
		return -1;
	for (int i = 0; i < set->n; i++)
		if (strcmp(set->spelled[i], spelled) == 0)
			return i;
	if (set->n == MAX_PATHS)
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("a source can use at most %d paths", MAX_PATHS));
	set->spelled[set->n] = MemoryContextStrdup(set->context, spelled);
	error =
		tk_path_parse(spelled, MemoryContextAlloc(set->context, strlen(spelled) + 1), &set->paths[set->n]);
	if (error != NULL)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid path \"%s\"", spelled),
				errdetail_internal("%s", error));
	return set->n++;
}

static void
add_property(SourceConfig *config, const char *name, const char *value, bool secret, MemoryContext context)
{
	Property *property;

	if (value == NULL)
		return;
	Assert(config->n_properties < MAX_PROPERTIES);
	property = &config->properties[config->n_properties++];
	property->name = name;
	property->value = MemoryContextStrdup(context, value);
	property->secret = secret;
}

/* The properties of librdkafka that servers and user mappings may set (bridge/server_options.c checks them).
 */
static const struct
{
	const char *option;
	const char *property;
	bool secret;
} server_properties[] = {
	{"security_protocol", "security.protocol", false},
	{"sasl_mechanism", "sasl.mechanisms", false},
	{"ssl_ca_location", "ssl.ca.location", false},
	{"ssl_endpoint_identification_algorithm", "ssl.endpoint.identification.algorithm", false},
	{"ssl_certificate_location", "ssl.certificate.location", false},
	{"ssl_key_location", "ssl.key.location", false},
	{"ssl_key_password", "ssl.key.password", true},
	{"client_rack", "client.rack", false},
	{"socket_timeout_ms", "socket.timeout.ms", false},
	{"fetch_wait_max_ms", "fetch.wait.max.ms", false},
	{"fetch_max_bytes", "fetch.max.bytes", false},
	{"username", "sasl.username", false},
	{"password", "sasl.password", true},
};

void
config_load_server(SourceConfig *config, MemoryContext context)
{
	const char *server = config->server;
	List *options;
	const char *brokers;

	if (config->properties != NULL)
		return;
	options = host_server_options(server, config->owner);
	brokers = host_option(options, "bootstrap_servers", NULL);
	if (brokers == NULL)
		ereport(ERROR, errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				errmsg("server \"%s\" has no option bootstrap_servers", server),
				errhint("ALTER SERVER %s OPTIONS (ADD bootstrap_servers 'host:9092');", server));
	config->properties = MemoryContextAllocZero(context, sizeof(Property) * MAX_PROPERTIES);
	add_property(config, "bootstrap.servers", brokers, false, context);
	add_property(config, "client.id", "topk", false, context);
	add_property(config, "group.id", psprintf("topk.%s.%s", get_database_name(MyDatabaseId), config->name),
				 false, context);
	for (int i = 0; i < lengthof(server_properties); i++)
		add_property(config, server_properties[i].property,
					 host_option(options, server_properties[i].option, NULL), server_properties[i].secret,
					 context);
}

static void
load_dimensions(PathSet *set, TkRule *rule)
{
	static SpiStatement statement = {"SELECT d.name, d.path, d.missing FROM topk.rule r, "
									 "topk.rule_dimensions(r.dimensions, r.missing_value) d "
									 "WHERE r.rule_id = $1 ORDER BY d.name",
									 1,
									 {INT4OID},
									 NULL};
	Datum values[] = {Int32GetDatum((int32) rule->rule_id)};
	uint64 n = spi_run(&statement, values, NULL);
	TkDimension *dimensions = MemoryContextAllocZero(set->context, sizeof(TkDimension) * Max(n, 1));

	if (n > TK_MAX_DIMENSIONS)
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("a rule can have at most %d dimensions", TK_MAX_DIMENSIONS));
	for (uint64 i = 0; i < n; i++)
	{
		dimensions[i].name = spi_text(i, 1, set->context);
		dimensions[i].path = add_path(set, spi_text(i, 2, set->context));
		dimensions[i].missing = spi_text(i, 3, set->context);
	}
	rule->n_dimensions = (int) n;
	rule->dimensions = dimensions;
}

/* The texts of a text[], in `context`. */
static const TkText *
load_texts(Datum array, int *n, MemoryContext context)
{
	Datum *datums;
	TkText *texts;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &datums, NULL, n);
	texts = MemoryContextAllocZero(context, sizeof(TkText) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		char *copy = MemoryContextStrdup(context, TextDatumGetCString(datums[i]));

		texts[i] = (TkText){copy, strlen(copy)};
	}
	return texts;
}

static void
load_filter(PathSet *set, TkRule *rule)
{
	static SpiStatement statement = {
		"SELECT c.path, c.test, c.texts, c.number FROM topk.rule r, topk.filter_conditions(r.filter) c "
		"WHERE r.rule_id = $1",
		1,
		{INT4OID},
		NULL};
	Datum values[] = {Int32GetDatum((int32) rule->rule_id)};
	int n = (int) spi_run(&statement, values, NULL);
	TkCondition *conditions = MemoryContextAllocZero(set->context, sizeof(TkCondition) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		TkCondition *condition = &conditions[i];

		condition->path = add_path(set, spi_text(i, 1, set->context));
		condition->test = tk_test_named(spi_text(i, 2, CurrentMemoryContext));
		if (condition->test == TK_N_TESTS)
			elog(ERROR, "unknown test in the filter of rule \"%s\"", rule->name);
		condition->texts = load_texts(spi_datum(i, 3), &condition->n_texts, set->context);
		condition->number = DatumGetFloat8(spi_datum(i, 4));
	}
	rule->n_conditions = n;
	rule->conditions = conditions;
}

static void
load_rules(SourceConfig *config, PathSet *set)
{
	static SpiStatement statement = {
		"SELECT rule_id, event_type, item_type, item_path, weight_path, weight, name FROM topk.rule "
		"WHERE source_id = $1 ORDER BY rule_id",
		1,
		{INT4OID},
		NULL};
	Datum values[] = {Int32GetDatum(config->source_id)};
	int n = (int) spi_run(&statement, values, NULL);
	TkRule *rules = MemoryContextAllocZero(set->context, sizeof(TkRule) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		rules[i].rule_id = spi_int32(i, 1);
		rules[i].event_type = spi_text(i, 2, set->context);
		rules[i].item_type = spi_text(i, 3, set->context);
		rules[i].item_path = add_path(set, spi_text(i, 4, set->context));
		rules[i].weight_path = add_path(set, spi_text(i, 5, set->context));
		rules[i].weight = spi_int64(i, 6);
		rules[i].name = spi_text(i, 7, set->context);
	}
	for (int i = 0; i < n; i++)
	{
		load_dimensions(set, &rules[i]);
		load_filter(set, &rules[i]);
	}
	config->extract.rules = rules;
	config->extract.n_rules = n;
}

static const char source_sql[] =
	"SELECT s.name, s.topic, s.server, s.owner, s.enabled, s.workers, s.event_type_path, s.time_path, "
	"s.tenant_path, s.k, "
	"s.capacity, topk.us(s.flush_interval), topk.us(s.pane_size), topk.us(s.out_of_orderness), "
	"topk.us(s.allowed_lateness), topk.us(s.idle_timeout), topk.us(s.max_future), st.config_version, "
	"s.late_policy = 'keep', "
	"topk.us(s.flush_timeout), s.max_flush_failures, topk.us(s.retry_interval), s.max_dead_letter_share "
	"FROM topk.source s JOIN topk.source_state st USING (source_id) WHERE s.source_id = $1";

SourceConfig *
config_load(int32 source_id, MemoryContext context)
{
	static SpiStatement statement = {source_sql, 1, {INT4OID}, NULL};
	Datum values[] = {Int32GetDatum(source_id)};
	SourceConfig *config;
	PathSet set = {.context = context};
	bool enabled;

	if (spi_run(&statement, values, NULL) == 0)
		return NULL;
	config = MemoryContextAllocZero(context, sizeof(SourceConfig));
	set.paths = MemoryContextAllocZero(context, sizeof(TkPath) * MAX_PATHS);
	set.spelled = MemoryContextAllocZero(context, sizeof(char *) * MAX_PATHS);
	config->source_id = source_id;
	config->name = spi_text(0, 1, context);
	config->topic = spi_text(0, 2, context);
	config->server = spi_text(0, 3, context);
	config->owner = DatumGetObjectId(spi_datum(0, 4));
	enabled = spi_bool(0, 5);
	config->workers = spi_int32(0, 6);
	config->extract.event_type_path = add_path(&set, spi_text(0, 7, context));
	config->extract.time_path = add_path(&set, spi_text(0, 8, context));
	config->extract.tenant_path = add_path(&set, spi_text(0, 9, context));
	config->k = (uint32) spi_int32(0, 10);
	config->capacity = (uint32) spi_int32(0, 11);
	config->flush_interval = spi_int64(0, 12);
	config->extract.time.pane_size = spi_int64(0, 13);
	config->extract.time.out_of_orderness = spi_int64(0, 14);
	config->extract.time.allowed_lateness = spi_int64(0, 15);
	config->extract.time.idle_timeout = spi_int64(0, 16);
	config->extract.time.max_future = spi_int64(0, 17);
	config->version = spi_int64(0, 18);
	config->keep_late = spi_bool(0, 19);
	config->flush_timeout = spi_int64(0, 20);
	config->max_flush_failures = spi_int32(0, 21);
	config->retry_interval = spi_int64(0, 22);
	config->max_dead_letter_share = DatumGetFloat8(spi_datum(0, 23));
	config->extract.max_message_bytes = MAX_MESSAGE_BYTES;
	load_rules(config, &set);
	config_load_tenants(source_id, &config->limits, context);
	config->extract.paths = set.paths;
	config->extract.n_paths = set.n;
	config->runs = enabled && config->extract.n_rules > 0;
	if (config->runs)
		config_load_server(config, context);
	return config;
}
