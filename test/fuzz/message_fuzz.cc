/*
 * message_fuzz.cc - libFuzzer target: any bytes as a path and as a message, through decode and extract.
 *
 * Input: the first byte's lower half tells how many of the next bytes are the text of a path (it becomes the
 * item's), the rest is the message.  The corpus' first bytes are therefore best 0x00 or '0' (no path of its
 * own). Beyond crashes and sanitizer reports it checks what tk_extract promises for every message.
 */
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

extern "C"
{
#include "../../bridge/extract.h"
}

namespace
{

constexpr int64_t kNow = INT64_C(1709210400000000);
constexpr size_t kMaxMessage = 1 << 16;

void
require(bool condition)
{
	if (!condition)
		abort();
}

void
parse(const char *text, char *buffer, TkPath *path)
{
	require(tk_path_parse(text, buffer, path) == nullptr);
}

bool
holds(const TkText &text, size_t max)
{
	return text.len <= max && memchr(text.data, '\0', text.len) == nullptr;
}

/* With a yield for each item, and every promise of extract.h about it. */
void
check_yield(const TkEvent &event, const TkYield &yield, const TkExtractConfig &config)
{
	require(yield.rule == &config.rules[yield.rule_index]);
	require(yield.weight >= 1 && yield.weight <= static_cast<uint64_t>(TK_MAX_WEIGHT));
	require(holds(yield.item, TK_MAX_ITEM_BYTES));
	for (int i = 0; i < yield.rule->n_dimensions; i++)
		require(holds(event.values[yield.first_value + i], TK_MAX_VALUE_BYTES));
}

/* The results of the rules add up to the outcome. */
void
check_results(const TkEvent &event)
{
	int n_items = 0;
	bool no_item = false;

	for (int i = 0; i < event.n_results; i++)
	{
		const TkRuleResult &result = event.results[i];

		require((result.outcome == TK_COUNTED) == (result.n_items > 0));
		require(result.n_items <= TK_MAX_ITEMS);
		no_item = no_item || result.outcome == TK_NO_ITEM;
		n_items += result.n_items;
	}
	require(n_items == event.n_yields);
	require((event.outcome == TK_COUNTED) == (n_items > 0));
	if (n_items == 0 && event.n_results > 0)
		require(event.outcome == (no_item ? TK_NO_ITEM : TK_FILTERED));
}

void
check_event(const TkEvent &event, const TkExtractConfig &config)
{
	require((event.outcome == TK_DEAD) == (event.reason != TK_REASON_NONE));
	require(event.reason < TK_N_REASONS && tk_reason_name(event.reason) != nullptr);
	require(event.has_time == (event.outcome == TK_COUNTED || event.outcome == TK_NO_RULE ||
							   event.outcome == TK_NO_ITEM || event.outcome == TK_FILTERED));
	if (event.has_time)
		require(event.time >= 0 && event.time <= kNow + config.time.max_future);
	check_results(event);
	if (event.outcome == TK_COUNTED)
		require(holds(event.tenant, TK_MAX_VALUE_BYTES));
	for (int i = 0; i < event.n_yields; i++)
		check_yield(event, event.yields[i], config);
}

/* A configuration with one path for each role; the item's path is what the fuzzer wants it to be. */
class Target
{
  public:
	explicit Target(const char *item_path)
	{
		static const char *const texts[] = {"t",         "time", "tenant", "p.i", "p.w",
											"p.\"a.b\"", "p",    "l.i",    "l.w", "n"};

		for (int i = 0; i < kPaths; i++)
			parse(i == 3 && item_path != nullptr ? item_path : texts[i], buffers_[i], &paths_[i]);
		dimensions_[0] = {"a", 5, "unknown"};
		dimensions_[1] = {"b", 6, "unknown"};
		conditions_[0] = {3, TK_TEST_NOT_IN, 1, &refused_, 0};
		conditions_[1] = {9, TK_TEST_AT_LEAST, 0, nullptr, 5};
		rules_[0] = {1, "v", "url", 3, -1, 1, 2, dimensions_, "v", 0, nullptr};
		rules_[1] = {2, "w", "url", 3, 4, 1, 1, dimensions_, "w", 2, conditions_};
		rules_[2] = {3, "v", "url", 7, 8, 1, 1, dimensions_, "lines", 0, nullptr};
		config_ = {paths_, kPaths, 0, 1, 2, rules_, 3, {60000000, 0, 0, 0, 600000000}, kMaxMessage};
		extractor_ = tk_extractor_create(&config_);
	}

	~Target()
	{
		tk_extractor_free(extractor_);
	}

	void run(const char *message, size_t len)
	{
		/* a block of exactly its length shows every byte read beyond it */
		std::unique_ptr<char[]> exact(new char[len]);
		TkEvent event;

		memcpy(exact.get(), message, len);
		tk_extract(extractor_, exact.get(), len, -1, kNow, &event);
		check_event(event, config_);
	}

  private:
	static constexpr int kPaths = 10;
	char buffers_[kPaths][64];
	TkPath paths_[kPaths];
	TkDimension dimensions_[2];
	TkText refused_ = {"no", 2};
	TkCondition conditions_[2];
	TkRule rules_[3];
	TkExtractConfig config_;
	TkExtractor *extractor_;
};

} /* namespace */

extern "C" int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Target usual(nullptr); /* lives on, so that messages follow one another in one parser */
	const char *text = reinterpret_cast<const char *>(data);
	char path_text[17] = "";
	char buffer[17];
	TkPath path;
	size_t path_len;

	if (size == 0)
		return 0;
	path_len = data[0] % 16;
	if (path_len + 1 > size)
		path_len = size - 1;
	memcpy(path_text, text + 1, path_len);
	text += 1 + path_len;
	size -= 1 + path_len;
	usual.run(text, size);
	if (tk_path_parse(path_text, buffer, &path) == nullptr)
		Target(path_text).run(text, size);
	return 0;
}
