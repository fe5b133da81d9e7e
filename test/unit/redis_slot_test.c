/*
 * redis_slot_test.c - slots of keys, hash tags, and addresses, against known values (the CRC's check value,
 * and slots that redis-cli's CLUSTER KEYSLOT gives).
 */
#include <string.h>

#include "../../bridge/redis_address.h"
#include "../../bridge/redis_slot.h"
#include "bridge_tap.h"

static void
slot_is(const char *key, int slot)
{
	tap_ok(redis_slot_of(key, strlen(key)) == slot, "slot of \"%s\" is %d", key, slot);
}

static void
test_slots(void)
{
	tap_ok(redis_crc16("123456789", 9) == 0x31c3, "the check value of the CRC");
	slot_is("", 0);
	slot_is("foo", 12182);
	slot_is("bar", 5061);
	slot_is("{foo}", 12182);
	slot_is("a{foo}b", 12182);
	slot_is("a{foo}{bar}", 12182);
	slot_is("a}{foo}", 12182);
	tap_ok(redis_slot_of("{}foo", 5) == redis_crc16("{}foo", 5) % REDIS_SLOTS, "an empty tag is none");
	tap_ok(redis_slot_of("{foo", 4) == redis_crc16("{foo", 4) % REDIS_SLOTS, "nor is one that does not end");
	tap_ok(redis_slot_of("foo\0bar", 7) != 12182, "a zero byte ends nothing");
}

static void
test_tags(void)
{
	int wrong = 0;
	char tag[REDIS_TAG_LEN];

	for (int slot = 0; slot < REDIS_SLOTS; slot += 97)
	{
		redis_slot_tag(slot, tag);
		wrong += redis_slot_of(tag, strlen(tag)) != slot;
	}
	tap_ok(wrong == 0, "there is a tag for each slot");
}

static bool
parses_to(const char *text, const char *host, int port)
{
	RedisAddress address;

	return redis_address_parse(text, strlen(text), &address) && strcmp(address.host, host) == 0 &&
		   address.port == port;
}

static void
test_addresses(void)
{
	RedisAddress address;
	char text[REDIS_ADDRESS_LEN];

	tap_ok(parses_to("localhost:6379", "localhost", 6379), "a name");
	tap_ok(parses_to("::1:6379", "::1", 6379), "IPv6 as Redis writes it");
	tap_ok(parses_to("[::1]:6379", "::1", 6379), "IPv6 as people write it");
	tap_ok(parses_to(":6379", "", 6379), "no host");
	tap_ok(!redis_address_parse("localhost", 9, &address), "a port is needed");
	tap_ok(!redis_address_parse("a:", 2, &address) && !redis_address_parse("a:0", 3, &address) &&
			   !redis_address_parse("a:65536", 7, &address) && !redis_address_parse("a:1x", 4, &address),
		   "... and must be one");
	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 3, ":1", 2);
	tap_ok(!redis_address_parse(text, sizeof(text) - 1, &address), "a host that is too long");
	redis_address_set(&address, "::1", 7);
	redis_address_show(&address, text);
	tap_ok(strcmp(text, "[::1]:7") == 0, "shown with brackets");
}

static void
test_lists(void)
{
	const char *list = "a:1 , b:2,c:3";
	RedisAddress address;
	int sum = 0;

	for (int i = 0; i < 3; i++)
		sum += list != NULL && redis_address_next(&list, &address) ? address.port : 100;
	tap_ok(sum == 6 && list == NULL && strcmp(address.host, "c") == 0, "a list of three");
	list = "a:1,";
	tap_ok(redis_address_next(&list, &address) && list != NULL && !redis_address_next(&list, &address) &&
			   list == NULL,
		   "what follows a comma must be an address");
}

int
main(void)
{
	test_slots();
	test_tags();
	test_addresses();
	test_lists();
	return tap_done();
}
