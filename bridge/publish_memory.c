/*
 * publish_memory.c - what a publisher believes that its Redis holds (see publish_memory.h).
 *
 * Two hash tables, of groups and of keys; the keys of a group are linked.  Entries of a dynahash do not move.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "publish_memory.h"

struct PublishMemory
{
	MemoryContext context; /* of everything that it holds */
	HTAB *groups;
	HTAB *keys;
	uint32 last_number;
};

/* ---- keys as values ---- */

static uint64
hash_text(MirrorText text, uint64 seed)
{
	/* the length goes in, so that "ab", "c" and "a", "bc" differ */
	return hash_bytes_extended((const unsigned char *) text.data, (int) text.len, seed + text.len);
}

uint64
mirror_digest(const MirrorKey *key)
{
	uint64 digest = hash_text(key->hash, 0);

	if (key->zset.data != NULL)
		digest = hash_text(key->zset, digest);
	for (size_t i = 0; i < 2 * key->n_fields; i++)
		digest = hash_text(key->fields[i], digest);
	for (size_t i = 0; i < key->n_members; i++)
		digest = hash_text(key->members[i], digest + (uint64) key->scores[i]);
	return digest;
}

static size_t
bytes_of(const MirrorText *texts, size_t n)
{
	size_t bytes = n * sizeof(MirrorText);

	for (size_t i = 0; i < n; i++)
		bytes += texts[i].len;
	return bytes;
}

static MirrorText
put_text(MirrorText text, char **to)
{
	MirrorText copy = {*to, text.len};

	if (text.data == NULL)
		return (MirrorText){NULL, 0};
	memcpy(*to, text.data, text.len);
	*to += text.len;
	return copy;
}

static void
put_texts(const MirrorText *texts, size_t n, MirrorText *copies, char **to)
{
	for (size_t i = 0; i < n; i++)
		copies[i] = put_text(texts[i], to);
}

/* The block: scores, the views of members and fields, all bytes. */
MirrorKey
mirror_copy(const MirrorKey *key, size_t *size)
{
	MirrorKey copy = *key;
	MirrorText *members;
	MirrorText *fields;
	int64 *scores;
	char *bytes;

	*size = key->n_members * sizeof(int64) + bytes_of(key->members, key->n_members) +
			bytes_of(key->fields, 2 * key->n_fields) + key->zset.len + key->hash.len;
	scores = MemoryContextAllocHuge(CurrentMemoryContext, *size);
	members = (MirrorText *) (scores + key->n_members);
	fields = members + key->n_members;
	bytes = (char *) (fields + 2 * key->n_fields);

	if (key->n_members > 0)
		memcpy(scores, key->scores, key->n_members * sizeof(int64));
	copy.scores = scores;
	copy.zset = put_text(key->zset, &bytes);
	copy.hash = put_text(key->hash, &bytes);
	put_texts(key->members, key->n_members, members, &bytes);
	put_texts(key->fields, 2 * key->n_fields, fields, &bytes);
	copy.members = members;
	copy.fields = fields;
	return copy;
}

/* ---- life ---- */

static HTAB *
make_table(MemoryContext context, const char *name, Size key_size, Size entry_size)
{
	HASHCTL control = {.keysize = key_size, .entrysize = entry_size, .hcxt = context};

	return hash_create(name, 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

PublishMemory *
publish_memory_create(MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "topk publish memory", ALLOCSET_DEFAULT_SIZES);
	PublishMemory *memory = MemoryContextAllocZero(context, sizeof(PublishMemory));

	memory->context = context;
	memory->groups =
		make_table(memory->context, "topk published groups", sizeof(GroupName), sizeof(GroupNote));
	memory->keys = make_table(memory->context, "topk published keys", sizeof(uint64), sizeof(KeyNote));
	return memory;
}

void
publish_memory_distrust(PublishMemory *memory)
{
	HASH_SEQ_STATUS scan;
	GroupNote *group;

	hash_seq_init(&scan, memory->groups);
	while ((group = hash_seq_search(&scan)) != NULL)
	{
		group->stale = true;
		for (KeyNote *note = group->keys; note != NULL; note = note->next)
			note->digest = 0;
	}
}

uint32
publish_memory_next(PublishMemory *memory)
{
	return ++memory->last_number;
}

/* ---- groups ---- */

GroupNote *
publish_memory_group(PublishMemory *memory, GroupName name, bool *found)
{
	GroupNote *group = hash_search(memory->groups, &name, HASH_ENTER, found);

	if (!*found)
	{
		memset(group, 0, sizeof(*group));
		group->name = name;
	}
	return group;
}

List *
publish_memory_unlisted(PublishMemory *memory, uint32 listing)
{
	List *unlisted = NIL;
	HASH_SEQ_STATUS scan;
	GroupNote *group;

	hash_seq_init(&scan, memory->groups);
	while ((group = hash_seq_search(&scan)) != NULL)
		if (group->name.window_id > 0 && group->listing != listing)
			unlisted = lappend(unlisted, group);
	return unlisted;
}

static int
compare_looks(const ListCell *a, const ListCell *b)
{
	int64 left = ((const GroupNote *) lfirst(a))->looked_at;
	int64 right = ((const GroupNote *) lfirst(b))->looked_at;

	return left < right ? -1 : left > right;
}

List *
publish_memory_unseen(PublishMemory *memory, int64 before)
{
	List *unseen = NIL;
	HASH_SEQ_STATUS scan;
	GroupNote *group;

	hash_seq_init(&scan, memory->groups);
	while ((group = hash_seq_search(&scan)) != NULL)
		if (group->looked_at < before)
			unseen = lappend(unseen, group);
	list_sort(unseen, compare_looks);
	return unseen;
}

void
publish_memory_remove_group(PublishMemory *memory, GroupNote *group)
{
	while (group->keys != NULL)
		publish_memory_remove_key(memory, group->keys);
	hash_search(memory->groups, &group->name, HASH_REMOVE, NULL);
}

/* ---- keys ---- */

KeyNote *
publish_memory_key(PublishMemory *memory, MirrorText hash)
{
	uint64 id = hash_text(hash, 0);

	return hash_search(memory->keys, &id, HASH_FIND, NULL);
}

static KeyNote *
make_key(PublishMemory *memory, GroupNote *group, const MirrorKey *key)
{
	MirrorKey names = {.zset = key->zset, .hash = key->hash};
	uint64 id = hash_text(key->hash, 0);
	MemoryContext old;
	size_t size;
	KeyNote *note;

	if (hash_get_num_entries(memory->keys) >= MEMORY_MAX_KEYS)
		return NULL;
	old = MemoryContextSwitchTo(memory->context);
	names = mirror_copy(&names, &size);
	MemoryContextSwitchTo(old);
	note = hash_search(memory->keys, &id, HASH_ENTER, NULL);
	note->names = names;
	note->sequence = 0;
	note->n_fields = note->n_members = 0;
	note->group = group;
	note->next = group->keys;
	group->keys = note;
	return note;
}

KeyNote *
publish_memory_remember(PublishMemory *memory, GroupNote *group, const MirrorKey *key, uint64 digest,
						uint32 reading)
{
	KeyNote *note = publish_memory_key(memory, key->hash);

	if (note == NULL)
		note = make_key(memory, group, key);
	if (note == NULL)
		return NULL;
	note->digest = digest;
	note->expire_at = key->expire_at;
	note->reading = reading;
	return note;
}

void
publish_memory_remove_key(PublishMemory *memory, KeyNote *note)
{
	KeyNote **link = &note->group->keys;

	while (*link != note)
		link = &(*link)->next;
	*link = note->next;
	pfree(unconstify(int64 *, note->names.scores)); /* the block of the copy */
	hash_search(memory->keys, &note->id, HASH_REMOVE, NULL);
}
