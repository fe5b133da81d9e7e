/*
 * publish_config.c - where a sink's Redis is (see publish_config.h).
 *
 * Values have been checked when they were written (server_options.c).
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "publish_config.h"

#define DEFAULT_TIMEOUT "5000"

static bool
read_bool(List *options, const char *name)
{
	bool value = false;

	(void) parse_bool(host_option(options, name, "off"), &value);
	return value;
}

static int
read_int(List *options, const char *name, const char *default_value)
{
	return atoi(host_option(options, name, default_value));
}

static void
read_addresses(List *options, RedisClientConfig *config)
{
	config->host = host_option(options, "host", "127.0.0.1");
	config->port = read_int(options, "port", "6379");
	config->cluster = read_bool(options, "cluster");
	config->nodes = host_option(options, "nodes", NULL);
	config->sentinels = host_option(options, "sentinels", NULL);
	config->sentinel_master = host_option(options, "sentinel_master", NULL);
}

static void
read_secrets(List *options, RedisClientConfig *config)
{
	config->username = host_option(options, "username", NULL);
	config->password = host_option(options, "password", NULL);
	config->sentinel_username = host_option(options, "sentinel_username", NULL);
	config->sentinel_password = host_option(options, "sentinel_password", NULL);
}

static void
read_tls(List *options, RedisClientConfig *config)
{
	config->tls = read_bool(options, "tls");
	config->tls_ca_file = host_option(options, "tls_ca_file", NULL);
	config->tls_cert_file = host_option(options, "tls_cert_file", NULL);
	config->tls_key_file = host_option(options, "tls_key_file", NULL);
	config->tls_server_name = host_option(options, "tls_server_name", NULL);
}

/* A Redis that does not answer must not hold up who ends the process, or drops the database. */
static bool
must_stop(void)
{
	host_check_interrupts();
	return host_should_stop();
}

void
publish_config_read(const PublishSink *sink, RedisClientConfig *config)
{
	List *options = host_server_options(sink->server, sink->owner);

	memset(config, 0, sizeof(*config));
	read_addresses(options, config);
	read_secrets(options, config);
	read_tls(options, config);
	config->db = read_int(options, "db", "0");
	config->give_up = must_stop;
	config->connect_timeout = read_int(options, "connect_timeout", DEFAULT_TIMEOUT);
	config->command_timeout = read_int(options, "command_timeout", DEFAULT_TIMEOUT);
}

const char *
publish_config_mode(const RedisClientConfig *config)
{
	if (config->cluster)
		return "cluster";
	return config->sentinels != NULL ? "sentinel" : "single";
}
