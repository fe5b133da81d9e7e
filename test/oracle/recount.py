#!/usr/bin/env python3
"""Recounts a topic exactly, from a dump of it: what the pipeline's results are compared with.

It shares no code with the bridge and knows no sketch, no flush and no worker: it reads each
partition's log once, from its first message to its last, and counts with dictionaries.

    recount.py CONFIG DIRECTORY [--columns LIST] [--now EPOCH] < DUMP

CONFIG is JSON, in the words of topk.create_source and topk.create_rule (durations in seconds):

    {"source": {"event_type_path": "metadata.eventType", "time_path": "metadata.timestamp",
                "tenant_path": null, "pane": 60, "out_of_orderness": 60, "allowed_lateness": 3600,
                "max_future": 600, "max_item_bytes": 1024, "max_value_bytes": 512},
     "windows": [{"name": "1-hour", "size_seconds": 3600}],
     "rules": [{"event_type": "page_view", "item_type": "url", "item_path": "payload.url",
                "weight_path": null, "weight": 1, "missing_value": "unknown",
                "dimensions": {"deviceType": "payload.deviceType",
                               "country": {"path": "payload.country", "missing": "??"}},
                "filter": {"payload.bot": {"not": "true"}}}]}

Everything in "source" and "windows" may be left out, as may the last five of a rule.  Rules of one event
type apply in their order here; each item of an array is counted.  A window may also have
"origin_seconds" (where one of them begins; 0) and "time_zone": then it is of whole days, which begin when the
zone's clocks first show midnight, counted from the local day of the origin.

There may be "tenants", a list in the words of topk.create_tenant, and "partitions", the number of the topic's,
which share quotas:

    "partitions": 4, "tenants": [{"tenant": "acme", "enabled": true, "dimensions": null, "items_per_second": 100}]

A configuration that changed on the way has, instead of "rules" and "tenants", "versions" of both, and for each
partition from which offset on which version applied (what topk.adoption says).  DUMP must have offsets then:

    "versions": {"7": {"rules": [...], "tenants": [...]}, "9": {...}},
    "adoption": {"0": [[0, 7], [1200, 9]], "1": [[0, 9]]}

The guard against too many values is not recounted: which come first is for the workers to agree on.

DUMP has a line for each message, a partition's messages in the order of its log (those of several
partitions may be mixed).  Its columns, separated by tabs, are partition,offset,payload as
`kcat -C -e -q -f '%p\\t%o\\t%s\\n'` writes them; --columns names others:
    partition,payload                  what the event generator prints
    partition,offset,size,payload      kcat -f '%p\\t%o\\t%S\\t%s\\n': exact for any payload, since
                                       line feeds do not matter, and a tombstone has the size -1

Written into DIRECTORY, for COPY in its text format (\\N is NULL):
    panes.tsv         pane_start (epoch s), tenant, item_type, dimension, value, item, count
    windows.tsv       window_name, window_start, and the same from tenant on
    global.tsv        tenant, item_type, item, count
    dead_letters.tsv  partition, offset, reason
    late_events.tsv   partition, offset, event time (us), tenant, event type: the events that were too late
    summary.json      counts of messages, in all and for each partition

The dimension `all` has the value \\N; every other has a row for each value, and one with \\N for the
list across its values.

An event is late if its pane's end is at or before its partition's watermark just before it, the
watermark being the highest event time so far less out_of_orderness; it is too late, and in no pane, if
that holds even for its pane's end + allowed_lateness.  (The bridge also holds the watermark back to its
wall clock; a dump does not tell when a message was read, so streams with events of the future
cannot be recounted as to lateness.)  Dead letters do not move the watermark.
"""

import argparse
import bisect
import calendar
import datetime
import functools
import gc
import json
import os
import sys
import time
import zoneinfo
from collections import Counter, defaultdict

from reading import MAX_DEPTH, US, Dead, get, parse_document, parse_path, passes, readings, text_of, time_us
from tenants import Tenants, Usage

MAX_WEIGHT = 2**40
MAX_ITEMS = 1000

SOURCE_DEFAULTS = {
    'event_type_path': 'metadata.eventType',
    'time_path': 'metadata.timestamp',
    'tenant_path': None,
    'pane': 60,
    'out_of_orderness': 60,
    'allowed_lateness': 3600,
    'max_future': 600,
    'max_item_bytes': 1024,
    'max_value_bytes': 512,
}


# ---- configuration ----


class Rule:
    def __init__(self, fields):
        self.event_type = fields['event_type']
        self.item_type = fields['item_type']
        self.item_path = parse_path(fields['item_path'])
        self.weight_path = parse_path(fields.get('weight_path'))
        self.weight = fields.get('weight') or 1
        missing = fields.get('missing_value', 'unknown')
        self.dimensions = []  # (name, path, value if it is missing), as they are read
        for name, dimension in sorted(fields.get('dimensions', {}).items()):
            if isinstance(dimension, str):
                dimension = {'path': dimension}
            self.dimensions.append((name, parse_path(dimension['path']), dimension.get('missing', missing)))
        self.filter = [(parse_path(path), what) for path, what in (fields.get('filter') or {}).items()]


class Source:
    def __init__(self, config, now=None):
        fields = dict(SOURCE_DEFAULTS)
        unknown = set(config.get('source', {})) - set(fields)
        if unknown:
            raise SystemExit(f'recount: unknown source options: {", ".join(sorted(unknown))}')
        fields.update(config.get('source', {}))
        self.event_type_path = parse_path(fields['event_type_path'])
        self.time_path = parse_path(fields['time_path'])
        self.tenant_path = parse_path(fields['tenant_path'])
        self.pane_us = int(fields['pane'] * US)
        self.disorder_us = int(fields['out_of_orderness'] * US)
        self.lateness_us = int(fields['allowed_lateness'] * US)
        self.latest_us = int(((time.time() if now is None else now) + fields['max_future']) * US)
        self.max_item_bytes = fields['max_item_bytes']
        self.max_value_bytes = fields['max_value_bytes']
        self.windows = [Window(fields) for fields in config.get('windows', [])]
        self.usage = Usage(config.get('partitions', 1))
        self.only_version = Version(config, self.usage) if 'rules' in config else None
        self.versions = {int(n): Version(fields, self.usage) for n, fields in config.get('versions', {}).items()}
        self.adoption = {int(n): sorted(entries) for n, entries in config.get('adoption', {}).items()}

    def version_at(self, partition, offset):
        """What applies to a message; of several versions adopted at one offset the newest."""
        if self.only_version is not None:
            return self.only_version
        entries = self.adoption.get(partition, [])
        at = bisect.bisect_right(entries, offset, key=lambda entry: entry[0]) - 1
        if at < 0:
            raise SystemExit(f'recount: no version applies to partition {partition}, offset {offset}')
        return self.versions[entries[at][1]]


class Version:
    """What a change of the configuration may change: rules, and the settings of tenants."""

    def __init__(self, fields, usage):
        self.rules = defaultdict(list)
        for rule in fields['rules']:
            self.rules[rule['event_type']].append(Rule(rule))
        self.tenants = Tenants(fields.get('tenants', []), usage)


class Window:
    """Where the windows of one size begin, by the calendar where they have a time zone."""

    def __init__(self, fields):
        self.name = fields['name']
        self.size_us = int(fields['size_seconds'] * US)
        self.origin_us = int(fields.get('origin_seconds', 0) * US)
        self.zone = zoneinfo.ZoneInfo(fields['time_zone']) if fields.get('time_zone') else None

    @functools.lru_cache(maxsize=None)
    def start(self, pane_us):
        if self.zone is None:
            return pane_us - (pane_us - self.origin_us) % self.size_us
        days = self.size_us // (86400 * US)
        day = self._local_day(pane_us)
        return self._midnight(day - (day - self._local_day(self.origin_us)) % days)

    def _local_day(self, at_us):
        return datetime.datetime.fromtimestamp(at_us // US, self.zone).date().toordinal()

    def _midnight(self, day):
        """The first second of a local day: looked for in UTC, hour by hour and then second by second."""
        second = calendar.timegm(datetime.date.fromordinal(day).timetuple()) - 26 * 3600
        for step in (3600, 60, 1):
            while self._local_day((second + step) * US) < day:
                second += step
        return (second + 1) * US


# ---- counting ----


class Partition:
    """One partition's log so far."""

    def __init__(self, number=None):
        self.number = number
        self.counts = Counter()
        self.dead = Counter()
        self.max_time = None

    def observe(self, event_us):
        if self.max_time is None or event_us > self.max_time:
            self.max_time = event_us


class Recount:
    def __init__(self, source):
        self.source = source
        self.partitions = {}
        # (pane start in us, tenant, item type, dimension, value) -> item -> weight
        self.lists = defaultdict(lambda: defaultdict(int))
        self.dead_letters = []
        self.late_events = []  # the too late ones

    def message(self, number, offset, payload):
        """Count one message; payload None is a tombstone."""
        partition = self.partitions.setdefault(number, Partition(number))
        partition.counts['events'] += 1
        if payload is None:
            partition.counts['tombstones'] += 1
            return
        try:
            self._event(partition, number, offset, parse_document(payload))
        except Dead as dead:
            reason = dead.args[0]
            partition.counts['dead_letters'] += 1
            partition.dead[reason] += 1
            self.dead_letters.append((number, offset, reason))

    def _event(self, partition, number, offset, document):
        source = self.source
        version = source.version_at(number, offset)
        event_type = get(document, source.event_type_path)
        if not isinstance(event_type, str):
            raise Dead('bad_event_type')
        event_us = time_us(get(document, source.time_path))
        if event_us > source.latest_us:
            raise Dead('future_time')
        rules = version.rules.get(event_type)
        if rules is None:
            partition.counts['no_rule'] += 1
        else:
            self._ruled_event(partition, offset, document, rules, version.tenants, event_us)
        partition.observe(event_us)

    def _ruled_event(self, partition, offset, document, rules, tenants, event_us):
        """All or nothing: the yields of every rule are read before one is counted."""
        tenant = self._tenant(document)
        taking = [rule for rule in rules if passes(document, rule.filter)]
        yields = [found for rule in taking for found in self._yields(document, rule)]
        if not yields:
            partition.counts['no_item' if taking else 'filtered'] += 1
            return
        refusal = self._refusal(partition, tenants, tenant, event_us, len(yields))
        if refusal is not None:
            partition.counts[refusal] += 1
            if refusal == 'too_late':
                self.late_events.append((partition.number, offset, event_us, tenant, rules[0].event_type))
            return
        partition.counts['counted'] += 1
        partition.counts['late'] += self._is_late(partition, event_us)
        pane = event_us - event_us % self.source.pane_us
        for item_type, item, weight, values in yields:
            self.lists[pane, tenant, item_type, 'all', None][item] += weight
            for name, value in values:
                if tenants.has(tenant, name):
                    self.lists[pane, tenant, item_type, name, value][item] += weight

    def _yields(self, document, rule):
        """(item type, item, weight, [(dimension, value)]) of each item that a rule takes from a document."""
        documents = readings(document, rule.item_path)
        if len(documents) > MAX_ITEMS:
            raise Dead('too_many_items')
        for reading in documents:
            item = get(reading, rule.item_path)
            if item is not None:
                item = text_of(item, 'item', self.source.max_item_bytes)
                weight = self._weight(reading, rule)
                values = [(name, self._value(reading, path, missing)) for name, path, missing in rule.dimensions]
                yield rule.item_type, item, weight, values

    def _refusal(self, partition, tenants, tenant, event_us, items):
        """Why an event is in no list: the first reason that there is, or None."""
        if tenants.is_disabled(tenant):
            return 'tenant_disabled'
        if self._is_too_late(partition, event_us):
            return 'too_late'
        progress_us = event_us if partition.max_time is None else max(event_us, partition.max_time)
        return None if tenants.spend(partition.number, tenant, progress_us, items) else 'over_quota'

    def _tenant(self, document):
        if self.source.tenant_path is None:
            return ''
        tenant = get(document, self.source.tenant_path)
        return '' if tenant is None else text_of(tenant, 'tenant', self.source.max_value_bytes)

    def _weight(self, document, rule):
        if rule.weight_path is None:
            return rule.weight
        weight = get(document, rule.weight_path)
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or weight != weight // 1:
            raise Dead('bad_weight')
        if not 1 <= weight <= MAX_WEIGHT:
            raise Dead('bad_weight')
        return int(weight)

    def _value(self, document, path, missing):
        value = get(document, path)
        return missing if value is None else text_of(value, 'value', self.source.max_value_bytes)

    def _lateness(self, partition, event_us):
        """By how much a partition's watermark just before an event has passed its pane's end, in us."""
        if partition.max_time is None:
            return -1
        pane_end = event_us - event_us % self.source.pane_us + self.source.pane_us
        return partition.max_time - self.source.disorder_us - pane_end

    def _is_late(self, partition, event_us):
        return self._lateness(partition, event_us) >= 0

    def _is_too_late(self, partition, event_us):
        return self._lateness(partition, event_us) >= self.source.lateness_us

    # ---- results ----

    def add_lists_across_values(self):
        """Once, after the last message: the list of each dimension across its values."""
        across = defaultdict(lambda: defaultdict(int))
        for (pane, tenant, item_type, dimension, value), items in self.lists.items():
            if dimension != 'all':
                target = across[pane, tenant, item_type, dimension, None]
                for item, weight in items.items():
                    target[item] += weight
        self.lists.update(across)

    def window(self, window):
        """The lists of the tumbling windows of one size, keyed as the panes are."""
        result = defaultdict(lambda: defaultdict(int))
        for (pane, *key), items in self.lists.items():
            target = result[(window.start(pane), *key)]
            for item, weight in items.items():
                target[item] += weight
        return result

    def summary(self):
        names = ('events counted late too_late no_rule no_item filtered tombstones dead_letters '
                 'over_quota tenant_disabled').split()

        def one(counts, dead):
            return {**{name: counts[name] for name in names}, 'reasons': dict(sorted(dead.items()))}

        total = Partition()
        for partition in self.partitions.values():
            total.counts.update(partition.counts)
            total.dead.update(partition.dead)
        return {
            **one(total.counts, total.dead),
            'tenants': {name: dict(counts) for name, counts in sorted(self.source.usage.counts.items())},
            'partitions': {
                str(number): {**one(p.counts, p.dead), 'max_event_time_us': p.max_time}
                for number, p in sorted(self.partitions.items())
            },
        }


# ---- input ----


def read_lines(stream, columns):
    """(partition, offset or None, payload) of each line."""
    with_offset = 'offset' in columns
    for line in stream:
        fields = line.rstrip(b'\n').split(b'\t', len(columns) - 1)
        if len(fields) != len(columns):
            raise SystemExit(f'recount: a line without the columns {",".join(columns)}: {line[:80]!r}')
        yield int(fields[0]), int(fields[1]) if with_offset else None, fields[-1] or None


def read_sized(stream):
    """The same for partition,offset,size,payload, where the payload may hold anything."""
    while line := stream.readline():
        partition, offset, size, payload = line.split(b'\t', 3)
        rest = int(size) + 1 - len(payload) if int(size) >= 0 else 0  # beyond the payload's first line feed
        if rest > 0:
            payload += stream.read(rest)
        if rest < 0 or not payload.endswith(b'\n'):
            raise SystemExit(f'recount: the message at offset {int(offset)} is not as long as its size says')
        yield int(partition), int(offset), payload[:-1] if int(size) >= 0 else None


def read_dump(stream, columns):
    if columns == ['partition', 'offset', 'size', 'payload']:
        return read_sized(stream)
    if columns in (['partition', 'offset', 'payload'], ['partition', 'payload']):
        return read_lines(stream, columns)
    raise SystemExit(f'recount: --columns cannot be {",".join(columns)}')


# ---- output ----

_ESCAPES = str.maketrans({'\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r', '\b': '\\b', '\f': '\\f', '\v': '\\v'})


def copy_text(value):
    return '\\N' if value is None else str(value).translate(_ESCAPES)


def write_lists(path, lists, head=()):
    with open(path, 'a', encoding='utf-8', newline='\n') as file:
        for (start_us, *key), items in lists.items():
            prefix = '\t'.join(copy_text(field) for field in (*head, start_us // US, *key))
            file.writelines(f'{prefix}\t{copy_text(item)}\t{weight}\n' for item, weight in items.items())


def write_global(path, lists):
    total = defaultdict(lambda: defaultdict(int))
    for (_, tenant, item_type, dimension, _), items in lists.items():
        if dimension == 'all':
            for item, weight in items.items():
                total[tenant, item_type][item] += weight
    with open(path, 'w', encoding='utf-8', newline='\n') as file:
        for (tenant, item_type), items in total.items():
            file.writelines(
                '\t'.join(map(copy_text, (tenant, item_type, item, weight))) + '\n' for item, weight in items.items()
            )


def write_results(recount, directory):
    os.makedirs(directory, exist_ok=True)
    panes, windows, dead, late, everything, summary = (
        os.path.join(directory, name)
        for name in ('panes.tsv', 'windows.tsv', 'dead_letters.tsv', 'late_events.tsv', 'global.tsv', 'summary.json')
    )
    for path in (panes, windows):
        open(path, 'w', encoding='utf-8').close()
    recount.add_lists_across_values()
    write_lists(panes, recount.lists)
    for window in recount.source.windows:
        write_lists(windows, recount.window(window), head=(window.name,))
    write_global(everything, recount.lists)
    for path, rows in ((dead, recount.dead_letters), (late, recount.late_events)):
        with open(path, 'w', encoding='utf-8', newline='\n') as file:
            file.writelines('\t'.join(map(copy_text, row)) + '\n' for row in rows)
    with open(summary, 'w', encoding='utf-8') as file:
        json.dump(recount.summary(), file, indent=2)
        file.write('\n')


def main():
    parser = argparse.ArgumentParser(description='Recounts a topic exactly; see the head of this file.')
    parser.add_argument('config')
    parser.add_argument('directory')
    parser.add_argument('--columns', default='partition,offset,payload')
    parser.add_argument('--now', type=float, help='the wall clock (epoch s) that max_future counts from')
    args = parser.parse_args()
    with open(args.config, encoding='utf-8') as file:
        source = Source(json.load(file), args.now)
    sys.setrecursionlimit(4 * MAX_DEPTH)
    gc.disable()  # there are no cycles, and millions of objects to look through in vain
    recount = Recount(source)
    for message in read_dump(sys.stdin.buffer, args.columns.split(',')):
        recount.message(*message)
    write_results(recount, args.directory)


if __name__ == '__main__':
    main()
