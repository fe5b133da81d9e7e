/*
 * redis_script.h - the one script through which everything is written to Redis.
 *
 * It changes a zset and the hash beside it together, and only if no newer writer has been there: the hash
 * keeps the writer's fence "incarnation/timeline/sequence", and a call that brings an older one changes
 * nothing.  The same call twice leaves the same keys, so a retry is always safe.
 *
 *	KEYS	the hash; the zset, if there is one
 *	ARGV	1		'replace': the keys hold what follows, and nothing else
 *					'retime': the keys get another expiry (a past one removes them)
 *					'probe': are the keys as they were written under the fence in 2 .. 4?  A cheap look that
 *					finds what is missing or was replaced, not each change within it
 *			2 .. 4	incarnation, timeline, sequence (whole numbers below 2^53)
 *			5		expiry in ms since 1970, '' for none
 *			6		n, the number of arguments that are fields; 'probe': the number of fields of the hash
 *			7 ..	field name, value, ... (n), then score, member, ...; 'probe': the number of members of the
 *zset
 *
 * Returns 1: done.  0: nothing to retime, the hash is gone; or not as it was written.  A string: refused, the
 *fence that is held.
 */
#ifndef TK_REDIS_SCRIPT_H
#define TK_REDIS_SCRIPT_H

static const char redis_script[] =
	"local held = redis.call('HGET', KEYS[1], 'fence')\n"
	"local fence = ARGV[2] .. '/' .. ARGV[3] .. '/' .. ARGV[4]\n"
	"if ARGV[1] == 'probe' then\n"
	"  local same = held == fence and redis.call('HLEN', KEYS[1]) == tonumber(ARGV[6]) and\n"
	"    (not KEYS[2] or redis.call('ZCARD', KEYS[2]) == tonumber(ARGV[7]))\n"
	"  return same and 1 or 0\n"
	"end\n"
	"if held then\n"
	"  local theirs = {string.match(held, '^(%d+)/(%d+)/(%d+)$')}\n"
	"  for i = 1, #theirs do\n"
	"    local their, our = tonumber(theirs[i]), tonumber(ARGV[i + 1])\n"
	"    if their > our then return held end\n"
	"    if their < our then break end\n"
	"  end\n"
	"end\n"

	"local function expire(key)\n"
	"  if ARGV[5] == '' then redis.call('PERSIST', key)\n"
	"  else redis.call('PEXPIREAT', key, ARGV[5]) end\n"
	"end\n"

	"if ARGV[1] == 'retime' then\n"
	"  if not held then return 0 end\n"
	"  for i = 1, #KEYS do expire(KEYS[i]) end\n"
	"  return 1\n"
	"end\n"

	/* unpack() puts its results on Lua's C stack, which holds 8,000 */
	"local function call(command, key, first, last)\n"
	"  for from = first, last, 2000 do\n"
	"    redis.call(command, key, unpack(ARGV, from, math.min(from + 1999, last)))\n"
	"  end\n"
	"end\n"

	/*
	 * A Redis without memory refuses its first command that needs some: before anything is gone.  While a
	 * slot of a cluster moves, a key that is missing here is looked for there, also if this script has just
	 * removed it: so both keys are emptied but for one field and one member.
	 */
	"redis.call('HSET', KEYS[1], 'fence', fence)\n"
	"local old = redis.call('HKEYS', KEYS[1])\n"
	"for i = #old, 1, -1 do\n"
	"  if old[i] == 'fence' then table.remove(old, i) end\n"
	"end\n"
	"for from = 1, #old, 2000 do\n"
	"  redis.call('HDEL', KEYS[1], unpack(old, from, math.min(from + 1999, #old)))\n"
	"end\n"
	"local n = tonumber(ARGV[6])\n"
	"call('HSET', KEYS[1], 7, 6 + n)\n"
	"expire(KEYS[1])\n"
	"if not KEYS[2] then return 1 end\n"

	"local first = 7 + n\n"
	"local kind = redis.call('TYPE', KEYS[2]).ok\n"
	"if kind ~= 'none' and (kind ~= 'zset' or first > #ARGV) then redis.call('DEL', KEYS[2]) end\n"
	"if first > #ARGV then return 1 end\n"
	"redis.call('ZADD', KEYS[2], '-inf', ARGV[first + 1])\n"
	"redis.call('ZREMRANGEBYSCORE', KEYS[2], '(-inf', '+inf')\n"
	"call('ZADD', KEYS[2], first, #ARGV)\n"
	"redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '-inf')\n" /* left by nobody, but for certain */
	"expire(KEYS[2])\n"
	"return 1\n";

#endif
