/*
 * server_options.c - checks the options of servers and user mappings, and paths, when they are written.
 *
 * Addresses belong to CREATE SERVER, secrets to CREATE USER MAPPING: pg_foreign_server can be read by
 * everyone. What names a file on the server is for superusers.
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "bridge.h"
#include "decode.h"
#include "redis_address.h"

PG_FUNCTION_INFO_V1(topk_kafka_validator);
PG_FUNCTION_INFO_V1(topk_redis_validator);
PG_FUNCTION_INFO_V1(topk_path_error);

typedef enum OptionKind
{
	OPTION_TEXT,
	OPTION_PORT,
	OPTION_COUNT, /* a whole number of at least 0 */
	OPTION_BOOL,
	OPTION_ADDRESSES, /* host:port, ... */
	OPTION_CHOICE,
	OPTION_FILE /* text, for superusers */
} OptionKind;

typedef struct OptionRule
{
	const char *name;
	Oid catalog; /* where it may stand */
	OptionKind kind;
	const char *choices; /* of OPTION_CHOICE, separated by blanks */
} OptionRule;

static const OptionRule kafka_options[] = {
	{"bootstrap_servers", ForeignServerRelationId, OPTION_TEXT},
	{"security_protocol", ForeignServerRelationId, OPTION_CHOICE, "plaintext ssl sasl_plaintext sasl_ssl"},
	{"sasl_mechanism", ForeignServerRelationId, OPTION_CHOICE, "PLAIN SCRAM-SHA-256 SCRAM-SHA-512"},
	{"ssl_ca_location", ForeignServerRelationId, OPTION_FILE},
	{"ssl_endpoint_identification_algorithm", ForeignServerRelationId, OPTION_CHOICE, "https none"},
	{"client_rack", ForeignServerRelationId, OPTION_TEXT},
	{"socket_timeout_ms", ForeignServerRelationId, OPTION_COUNT},
	{"fetch_wait_max_ms", ForeignServerRelationId, OPTION_COUNT},
	{"fetch_max_bytes", ForeignServerRelationId, OPTION_COUNT},
	{"ssl_certificate_location", UserMappingRelationId, OPTION_FILE},
	{"ssl_key_location", UserMappingRelationId, OPTION_FILE},
	{"ssl_key_password", UserMappingRelationId, OPTION_TEXT},
	{"username", UserMappingRelationId, OPTION_TEXT},
	{"password", UserMappingRelationId, OPTION_TEXT},
	{"password_file", UserMappingRelationId, OPTION_FILE},
	{NULL, InvalidOid, OPTION_TEXT},
};

static const OptionRule redis_options[] = {
	{"host", ForeignServerRelationId, OPTION_TEXT},
	{"port", ForeignServerRelationId, OPTION_PORT},
	{"db", ForeignServerRelationId, OPTION_COUNT},
	{"connect_timeout", ForeignServerRelationId, OPTION_COUNT},
	{"command_timeout", ForeignServerRelationId, OPTION_COUNT},
	{"cluster", ForeignServerRelationId, OPTION_BOOL},
	{"nodes", ForeignServerRelationId, OPTION_ADDRESSES},
	{"sentinels", ForeignServerRelationId, OPTION_ADDRESSES},
	{"sentinel_master", ForeignServerRelationId, OPTION_TEXT},
	{"tls", ForeignServerRelationId, OPTION_BOOL},
	{"tls_ca_file", ForeignServerRelationId, OPTION_FILE},
	{"tls_cert_file", ForeignServerRelationId, OPTION_FILE},
	{"tls_key_file", ForeignServerRelationId, OPTION_FILE},
	{"tls_server_name", ForeignServerRelationId, OPTION_TEXT},
	{"username", UserMappingRelationId, OPTION_TEXT},
	{"password", UserMappingRelationId, OPTION_TEXT},
	{"password_file", UserMappingRelationId, OPTION_FILE},
	{"sentinel_username", UserMappingRelationId, OPTION_TEXT},
	{"sentinel_password", UserMappingRelationId, OPTION_TEXT},
	{"sentinel_password_file", UserMappingRelationId, OPTION_FILE},
	{NULL, InvalidOid, OPTION_TEXT},
};

static const char *
valid_names(const OptionRule *rules, Oid catalog)
{
	StringInfoData names;

	initStringInfo(&names);
	for (; rules->name != NULL; rules++)
		if (rules->catalog == catalog)
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", rules->name);
	return names.len > 0 ? names.data : "none";
}

static const OptionRule *
find_rule(const OptionRule *rules, Oid catalog, const char *name)
{
	const OptionRule *elsewhere = NULL;

	for (const OptionRule *rule = rules; rule->name != NULL; rule++)
	{
		if (strcmp(rule->name, name) != 0)
			continue;
		if (rule->catalog == catalog)
			return rule;
		elsewhere = rule;
	}
	if (elsewhere != NULL && elsewhere->catalog == UserMappingRelationId)
		ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				errmsg("option \"%s\" belongs to a user mapping, not to a server", name),
				errdetail("Everyone can read the options of a server."), errhint("Use CREATE USER MAPPING."));
	ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("invalid option \"%s\"", name),
			errhint("Valid options here are: %s.", valid_names(rules, catalog)));
}

static void
check_number(const char *name, const char *value, long least, long most)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || number < least || number > most)
		ereport(ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				errmsg("invalid value for option \"%s\"", name),
				errdetail("It must be a whole number from %ld to %ld.", least, most));
}

static void
check_addresses(const char *name, const char *value)
{
	const char *list = value;
	RedisAddress address;

	while (list != NULL)
		if (!redis_address_next(&list, &address))
			ereport(ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					errmsg("invalid value for option \"%s\"", name),
					errdetail("It must be host:port, or several of them separated by commas."));
}

static void
check_choice(const OptionRule *rule, const char *value)
{
	size_t len = strlen(value);

	for (const char *choice = rule->choices; choice != NULL; choice = strchr(choice, ' '))
	{
		choice += *choice == ' ';
		if (pg_strncasecmp(choice, value, len) == 0 && (choice[len] == ' ' || choice[len] == '\0'))
			return;
	}
	ereport(ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			errmsg("invalid value for option \"%s\": \"%s\"", rule->name, value),
			errhint("It can be one of: %s.", rule->choices));
}

static void
check_value(const OptionRule *rule, DefElem *option)
{
	const char *value = defGetString(option);

	if (*value == '\0')
		ereport(ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				errmsg("option \"%s\" is empty", rule->name));
	switch (rule->kind)
	{
		case OPTION_TEXT:
			break;
		case OPTION_PORT:
			check_number(rule->name, value, 1, 65535);
			break;
		case OPTION_COUNT:
			check_number(rule->name, value, 0, INT_MAX);
			break;
		case OPTION_BOOL:
			(void) defGetBoolean(option);
			break;
		case OPTION_ADDRESSES:
			check_addresses(rule->name, value);
			break;
		case OPTION_CHOICE:
			check_choice(rule, value);
			break;
		case OPTION_FILE:
			if (!superuser())
				ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("only a superuser may set option \"%s\"", rule->name),
						errdetail("It names a file that the server reads."));
			break;
	}
}

static void
check_options(const OptionRule *rules, Datum options, Oid catalog)
{
	ListCell *cell;

	foreach (cell, untransformRelOptions(options))
	{
		DefElem *option = lfirst_node(DefElem, cell);

		check_value(find_rule(rules, catalog, option->defname), option);
	}
}

/* ---- options that go together ---- */

static const DefElem *
find_option(List *options, const char *name)
{
	ListCell *cell;

	foreach (cell, options)
		if (strcmp(lfirst_node(DefElem, cell)->defname, name) == 0)
			return lfirst_node(DefElem, cell);
	return NULL;
}

static bool
is_on(List *options, const char *name)
{
	const DefElem *option = find_option(options, name);

	return option != NULL && defGetBoolean(unconstify(DefElem *, option));
}

static void
check_together(List *options, const char *name, const char *other)
{
	if (find_option(options, name) != NULL && find_option(options, other) == NULL)
		ereport(ERROR, errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				errmsg("option \"%s\" needs option \"%s\"", name, other));
}

static void
check_cluster(List *options)
{
	const DefElem *db = find_option(options, "db");

	if (!is_on(options, "cluster"))
	{
		if (find_option(options, "nodes") != NULL)
			ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					errmsg("option \"nodes\" is for a cluster"), errhint("Add the option cluster 'true'."));
		return;
	}
	if (find_option(options, "sentinels") != NULL)
		ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("a cluster has no sentinels"),
				errhint("Drop either cluster or sentinels."));
	if (db != NULL && atoi(defGetString(unconstify(DefElem *, db))) != 0)
		ereport(ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				errmsg("a cluster has only the database 0"));
}

/* The options of a Redis server; ALTER SERVER comes with all of them too. */
static void
check_redis_server(List *options)
{
	check_cluster(options);
	check_together(options, "sentinels", "sentinel_master");
	check_together(options, "sentinel_master", "sentinels");
	check_together(options, "tls_cert_file", "tls_key_file");
	check_together(options, "tls_key_file", "tls_cert_file");
	if (is_on(options, "tls") && find_option(options, "tls_ca_file") == NULL)
		ereport(ERROR, errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				errmsg("option \"tls\" needs option \"tls_ca_file\""),
				errdetail("The server's certificate is believed if an authority in this file signed it."));
}

/* ---- entry points ---- */

Datum
topk_kafka_validator(PG_FUNCTION_ARGS)
{
	check_options(kafka_options, PG_GETARG_DATUM(0), PG_GETARG_OID(1));
	PG_RETURN_VOID();
}

Datum
topk_redis_validator(PG_FUNCTION_ARGS)
{
	check_options(redis_options, PG_GETARG_DATUM(0), PG_GETARG_OID(1));
	if (PG_GETARG_OID(1) == ForeignServerRelationId)
		check_redis_server(untransformRelOptions(PG_GETARG_DATUM(0)));
	PG_RETURN_VOID();
}

/* topk.path_error(text): what is wrong with a path, or NULL */
Datum
topk_path_error(PG_FUNCTION_ARGS)
{
	char *spelled = text_to_cstring(PG_GETARG_TEXT_PP(0));
	TkPath path;
	const char *error = tk_path_parse(spelled, palloc(strlen(spelled) + 1), &path);

	if (error == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(error));
}
