/*
 * probe_json.c - what a message yields, as JSON for the functions of sql/bridge_probe.sql.
 */
#include "postgres.h"

#include "utils/json.h"

#include "probe_worker.h"

void
probe_json_name(StringInfo out, const char *name)
{
	if (out->len > 0 && out->data[out->len - 1] != '{')
		appendStringInfoChar(out, ',');
	appendStringInfo(out, "\"%s\":", name);
}

void
probe_json_text(StringInfo out, const char *data, size_t len)
{
	char *copy;

	if (data == NULL)
	{
		appendStringInfoString(out, "null");
		return;
	}
	copy = pnstrdup(data, len);
	escape_json(out, copy);
	pfree(copy);
}

static void
append_string(StringInfo out, const char *name, const char *text)
{
	probe_json_name(out, name);
	probe_json_text(out, text, text == NULL ? 0 : strlen(text));
}

static const char *
outcome_name(TkOutcome outcome)
{
	switch (outcome)
	{
		case TK_COUNTED:
			return "counted";
		case TK_NO_RULE:
			return "no_rule";
		case TK_NO_ITEM:
			return "no_item";
		case TK_FILTERED:
			return "filtered";
		case TK_TOMBSTONE:
			return "tombstone";
		case TK_DEAD:
			return "dead_letter";
		case TK_RETRY:
			break;
	}
	return "out_of_memory";
}

/* Judged as a worker would, but by the watermark of the whole source as it is now. */
static const char *
lateness_name(const Probe *probe, int64 time)
{
	TkPartitionClock clock;

	if (probe->watermark == TK_NO_TIME)
		return NULL;
	tk_clock_init(&clock);
	tk_clock_restore(&clock, TK_NO_TIME, probe->watermark);
	switch (tk_clock_judge(&clock, &probe->config->extract.time, time))
	{
		case TK_LATE:
			return "late";
		case TK_TOO_LATE:
			return "too late";
		default:
			return NULL;
	}
}

static void
append_dimensions(StringInfo out, const TkEvent *event, const TkYield *yield)
{
	probe_json_name(out, "dimensions");
	appendStringInfoChar(out, '{');
	for (int i = 0; i < yield->rule->n_dimensions; i++)
	{
		const TkText *value = &event->values[yield->first_value + i];

		probe_json_name(out, yield->rule->dimensions[i].name);
		probe_json_text(out, value->data, value->len);
	}
	appendStringInfoChar(out, '}');
}

static void
append_items(StringInfo out, const TkEvent *event)
{
	probe_json_name(out, "items");
	appendStringInfoChar(out, '[');
	for (int i = 0; i < event->n_yields; i++)
	{
		const TkYield *yield = &event->yields[i];

		appendStringInfoString(out, i > 0 ? ",{" : "{");
		append_string(out, "rule", yield->rule->name);
		append_string(out, "item_type", yield->rule->item_type);
		probe_json_name(out, "item");
		probe_json_text(out, yield->item.data, yield->item.len);
		probe_json_name(out, "weight");
		appendStringInfo(out, UINT64_FORMAT, yield->weight);
		append_dimensions(out, event, yield);
		appendStringInfoChar(out, '}');
	}
	appendStringInfoChar(out, ']');
}

void
probe_json_event(StringInfo out, const Probe *probe, const TkEvent *event)
{
	bool has_tenant =
		event->outcome == TK_COUNTED || event->outcome == TK_NO_ITEM || event->outcome == TK_FILTERED;

	append_string(out, "outcome", outcome_name(event->outcome));
	append_string(out, "reason", event->outcome == TK_DEAD ? tk_reason_name(event->reason) : NULL);
	append_string(out, "lateness", event->has_time ? lateness_name(probe, event->time) : NULL);
	probe_json_name(out, "tenant");
	probe_json_text(out, has_tenant ? event->tenant.data : NULL, has_tenant ? event->tenant.len : 0);
	if (event->has_time)
	{
		int64 pane = tk_pane_start(event->time, probe->config->extract.time.pane_size);

		probe_json_name(out, "time");
		appendStringInfo(out, INT64_FORMAT, event->time);
		probe_json_name(out, "pane");
		appendStringInfo(out, INT64_FORMAT, pane);
	}
	append_items(out, event);
}
