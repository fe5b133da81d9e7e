/*
 * decode_json.cc - the JSON decoder: simdjson's DOM parser behind the C interface of decode.h.
 *
 * The DOM parser checks the whole document, so that what is counted never depends on where a broken message
 * breaks: truncated documents, invalid UTF-8, integers beyond 64 bits, lone surrogates and nesting deeper
 * than 1,023 (empty objects and arrays not counted) are all refused (TK_DECODE_BAD).
 *
 * The paths are merged into a prefix tree once.  Reading a message walks tree and document together, visits
 * an object at most once however many paths lead into it, and leaves it as soon as all its wanted keys are
 * found:
 *
 *     metadata.eventType        root -- metadata -- eventType      path 0
 *     metadata.timestamp                         `- timestamp      path 1
 *     payload.url                    `- payload --- url            path 2
 *
 * Arrays are left alone by the walk.  `each` finds the one that a path meets by going back from the path's
 * end to the last key that was found, and then walks each element as if it stood there instead of the array.
 *
 * Of duplicate keys the first one wins, at every level: a.b is not sought in a second "a" if the first has no
 * b. A key is compared unescaped, byte by byte.
 *
 * The parser's memory is kept from message to message and grows to the largest one read.  A payload from the
 * wire has no padding behind it, so simdjson copies it into a buffer of its own, which it keeps as well.
 *
 * This is the only C++ file.  It is compiled without exceptions and RTTI, and uses only the calls of simdjson
 * that report errors by value.
 */
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

#include <simdjson.h>

extern "C"
{
#include "decode.h"
}

namespace dom = simdjson::dom;

namespace
{

/* Any number's text: 20 digits and a sign, or 17 digits with sign, point and exponent. */
constexpr size_t kNumberBytes = 32;

/* simdjson asks for a capacity of at least 32 bytes, however short the message. */
constexpr size_t kMinCapacity = 32;

/* A key of the prefix tree, and what was found there in the current message. */
struct Node
{
	const char *name;
	uint32_t len;
	int n_children;
	Node *parent;
	Node *first_child;
	Node *next_sibling;
	uint64_t seen_in; /* the message in which `value` was found */
	dom::element value;
	char number[kNumberBytes]; /* the text of `value`, if it is a number that was asked for */
};

struct JsonDecoder : TkDecoder
{
	dom::parser parser;
	size_t max_bytes;
	uint64_t message; /* counts messages, so that nothing has to be cleared between them */
	Node *nodes;      /* all nodes in one block; the root is the first */
	int n_nodes;
	Node **ends; /* the node at which each path ends */
	char *names; /* the keys, in one block */

	explicit JsonDecoder(size_t limit)
		: parser(limit + kMinCapacity), max_bytes(limit), message(0), nodes(nullptr), n_nodes(0),
		  ends(nullptr), names(nullptr)
	{
	}

	~JsonDecoder()
	{
		delete[] nodes;
		std::free(ends);
		std::free(names);
	}
};

Node *
find_child(const Node *parent, const char *name, size_t len)
{
	for (Node *child = parent->first_child; child != nullptr; child = child->next_sibling)
	{
		if (child->len == len && std::memcmp(child->name, name, len) == 0)
			return child;
	}
	return nullptr;
}

/* Walks the wanted keys of one object. */
void
walk(const dom::object &object, const Node *node, uint64_t message)
{
	int wanted = node->n_children;
	const auto end = object.end();

	for (auto field = object.begin(); field != end; ++field)
	{
		Node *child = find_child(node, field.key_c_str(), field.key_length());

		if (child == nullptr || child->seen_in == message)
			continue;
		child->seen_in = message;
		child->value = field.value();
		if (child->n_children > 0)
		{
			dom::object inner;

			if (!child->value.get(inner))
				walk(inner, child, message);
		}
		if (--wanted == 0)
			return;
	}
}

/* Later versions of simdjson skip a byte order mark, 3.0 refuses it; messages must count the same with all.
 */
void
skip_byte_order_mark(const char **payload, size_t *len)
{
	if (*len >= 3 && std::memcmp(*payload, "\xEF\xBB\xBF", 3) == 0)
	{
		*payload += 3;
		*len -= 3;
	}
}

TkDecodeStatus
json_read(TkDecoder *base, const char *payload, size_t len)
{
	JsonDecoder *decoder = static_cast<JsonDecoder *>(base);
	dom::element root;
	dom::object object;

	decoder->message++;
	skip_byte_order_mark(&payload, &len);
	if (len > decoder->max_bytes)
		return TK_DECODE_BAD;
	/* true: copies the payload into the parser's own padded buffer */
	simdjson::error_code error = decoder->parser.parse(payload, len, true).get(root);
	if (error == simdjson::MEMALLOC)
		return TK_DECODE_NO_MEMORY;
	if (error || root.get(object))
		return TK_DECODE_BAD;
	walk(object, decoder->nodes, decoder->message);
	return TK_DECODE_OK;
}

template <typename Number>
void
set_number_text(char *buffer, Number number, TkValue *value)
{
	std::to_chars_result result = std::to_chars(buffer, buffer + kNumberBytes, number);

	value->kind = TK_VALUE_NUMBER;
	value->text = buffer;
	value->len = static_cast<size_t>(result.ptr - buffer);
}

void
set_double(char *buffer, double number, TkValue *value)
{
	constexpr double two_to_63 = 9223372036854775808.0;

	set_number_text(buffer, number, value);
	value->number = number;
	if (number >= -two_to_63 && number < two_to_63)
	{
		value->integer = static_cast<int64_t>(number);
		value->is_integer = static_cast<double>(value->integer) == number;
	}
}

void
set_int64(char *buffer, int64_t number, TkValue *value)
{
	set_number_text(buffer, number, value);
	value->number = static_cast<double>(number);
	value->integer = number;
	value->is_integer = true;
}

/* simdjson gives this type only to integers that do not fit into int64. */
void
set_uint64(char *buffer, uint64_t number, TkValue *value)
{
	set_number_text(buffer, number, value);
	value->number = static_cast<double>(number);
}

void
set_text(TkValueKind kind, std::string_view text, TkValue *value)
{
	value->kind = kind;
	value->text = text.data();
	value->len = text.size();
}

/* The calls that take a value out cannot fail: the type was asked for just before. */
void
set_value(Node *node, TkValue *value)
{
	const dom::element &element = node->value;

	switch (element.type())
	{
		case dom::element_type::STRING:
			set_text(TK_VALUE_STRING, element.get_string().value_unsafe(), value);
			break;
		case dom::element_type::INT64:
			set_int64(node->number, element.get_int64().value_unsafe(), value);
			break;
		case dom::element_type::UINT64:
			set_uint64(node->number, element.get_uint64().value_unsafe(), value);
			break;
		case dom::element_type::DOUBLE:
			set_double(node->number, element.get_double().value_unsafe(), value);
			break;
		case dom::element_type::BOOL:
			set_text(TK_VALUE_BOOL, element.get_bool().value_unsafe() ? "true" : "false", value);
			break;
		case dom::element_type::OBJECT:
			value->kind = TK_VALUE_OBJECT;
			break;
		case dom::element_type::ARRAY:
			value->kind = TK_VALUE_ARRAY;
			break;
		default:
			value->kind = TK_VALUE_NULL;
			break;
	}
}

void
json_get(TkDecoder *base, int path, TkValue *value)
{
	JsonDecoder *decoder = static_cast<JsonDecoder *>(base);
	Node *node = decoder->ends[path];

	*value = TkValue{};
	value->kind = TK_VALUE_MISSING;
	if (node->seen_in == decoder->message)
		set_value(node, value);
}

void
forget_below(Node *node)
{
	for (Node *child = node->first_child; child != nullptr; child = child->next_sibling)
	{
		child->seen_in = 0;
		forget_below(child);
	}
}

/* The node at which a path meets an array, or nullptr. */
Node *
find_array(const JsonDecoder *decoder, int path)
{
	Node *node = decoder->ends[path];

	while (node != nullptr && node->seen_in != decoder->message)
		node = node->parent;
	return node != nullptr && node->value.is_array() ? node : nullptr;
}

TkEachStatus
json_each(TkDecoder *base, int path, size_t most, bool (*visit)(void *arg), void *arg)
{
	JsonDecoder *decoder = static_cast<JsonDecoder *>(base);
	Node *node = find_array(decoder, path);

	if (node == nullptr)
		return TK_EACH_NONE;
	const dom::element whole = node->value;
	const dom::array array = whole.get_array().value_unsafe();
	bool more = true;

	if (array.size() > most)
		return TK_EACH_TOO_MANY;
	for (auto element = array.begin(); more && element != array.end(); ++element)
	{
		dom::object inner;

		node->value = *element;
		if (node->n_children > 0 && !node->value.get(inner))
			walk(inner, node, decoder->message);
		more = visit(arg);
		forget_below(node);
	}
	node->value = whole;
	return TK_EACH_DONE;
}

void
json_free(TkDecoder *base)
{
	delete static_cast<JsonDecoder *>(base);
}

const TkDecoderMethods json_methods = {json_read, json_get, json_each, json_free};

/* Appends a child, whose name is copied to *names.  The nodes are already allocated. */
Node *
add_child(JsonDecoder *decoder, Node *parent, const char *name, size_t len, char **names)
{
	Node *child = &decoder->nodes[decoder->n_nodes++];
	Node **link = &parent->first_child;

	std::memcpy(*names, name, len);
	child->name = *names;
	child->len = static_cast<uint32_t>(len);
	child->parent = parent;
	*names += len;
	while (*link != nullptr)
		link = &(*link)->next_sibling;
	*link = child;
	parent->n_children++;
	return child;
}

Node *
add_path(JsonDecoder *decoder, const TkPath &path, char **names)
{
	Node *node = decoder->nodes;

	for (int i = 0; i < path.depth; i++)
	{
		Node *child = find_child(node, path.key[i].name, path.key[i].len);

		if (child == nullptr)
			child = add_child(decoder, node, path.key[i].name, path.key[i].len, names);
		node = child;
	}
	return node;
}

/* Allocates what n paths need at most.  The decoder's destructor frees it. */
bool
allocate_tree(JsonDecoder *decoder, const TkPath *paths, int n)
{
	size_t n_nodes = 1;
	size_t n_bytes = 1;

	for (int i = 0; i < n; i++)
	{
		n_nodes += static_cast<size_t>(paths[i].depth);
		for (int j = 0; j < paths[i].depth; j++)
			n_bytes += paths[i].key[j].len;
	}
	decoder->nodes = new (std::nothrow) Node[n_nodes]();
	decoder->ends = static_cast<Node **>(std::calloc(static_cast<size_t>(n) + 1, sizeof(Node *)));
	decoder->names = static_cast<char *>(std::malloc(n_bytes));
	return decoder->nodes != nullptr && decoder->ends != nullptr && decoder->names != nullptr;
}

} /* namespace */

extern "C" TkDecoder *
tk_decode_json_create(const TkPath *paths, int n, size_t max_bytes)
{
	constexpr size_t limit = simdjson::SIMDJSON_MAXSIZE_BYTES - kMinCapacity;

	if (max_bytes > limit)
		max_bytes = limit;
	JsonDecoder *decoder = new (std::nothrow) JsonDecoder(max_bytes);

	if (decoder == nullptr || !allocate_tree(decoder, paths, n))
	{
		delete decoder;
		return nullptr;
	}
	decoder->methods = &json_methods;
	decoder->n_nodes = 1;
	char *names = decoder->names;
	for (int i = 0; i < n; i++)
		decoder->ends[i] = add_path(decoder, paths[i], &names);
	return decoder;
}
