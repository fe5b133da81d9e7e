#!/usr/bin/env python3
"""The oracle's own test: streams small enough to be counted by hand."""

import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import reading  # noqa: E402
import recount  # noqa: E402

MINUTE = 60
T0 = 1735689600  # 2025-01-01T00:00:00Z

CONFIG = {
    'rules': [
        {
            'event_type': 'page_view',
            'item_type': 'url',
            'item_path': 'payload.url',
            'dimensions': {'device': 'payload.device'},
        }
    ]
}


def event(seconds, url='/a', device='mobile', event_type='page_view', **metadata):
    """An event, so many seconds after T0."""
    return {
        'metadata': {'eventType': event_type, 'timestamp': T0 + seconds, **metadata},
        'payload': {'url': url, 'device': device},
    }


def count(messages, config=None, now=T0 + 86400, **source):
    """Recount (partition, event or bytes) pairs."""
    config = dict(config or CONFIG, source=source)
    result = recount.Recount(recount.Source(config, now))
    for offset, (partition, message) in enumerate(messages):
        payload = json.dumps(message).encode() if isinstance(message, dict) else message
        result.message(partition, offset, payload)
    result.add_lists_across_values()
    return result


def items(result, minute, dimension, value, tenant='', item_type='url'):
    key = ((T0 + minute * MINUTE) * recount.US, tenant, item_type, dimension, value)
    return dict(result.lists.get(key, {}))


class Tenants(unittest.TestCase):
    """Two messages a tenant: in the first partition, in the same second."""

    def recount(self, *tenants, partitions=2, messages=None):
        messages = messages or [(0, dict(event(n % 2), tenant=name)) for n in range(4) for name in 'ab']
        return count(messages, dict(CONFIG, tenants=list(tenants), partitions=partitions), tenant_path='tenant')

    def test_a_disabled_tenant_is_in_no_list(self):
        result = self.recount({'tenant': 'a', 'enabled': False})
        self.assertEqual(items(result, 0, 'all', None, 'a'), {})
        self.assertEqual(items(result, 0, 'all', None, 'b'), {'/a': 4})
        self.assertEqual(result.summary()['tenant_disabled'], 4)
        self.assertEqual(result.summary()['tenants'], {'a': {'disabled': 4}, 'b': {'counted': 4}})

    def test_the_unlisted_are_refused_together(self):
        result = self.recount({'tenant': None, 'enabled': False}, {'tenant': 'a'})
        self.assertEqual(result.summary()['tenants'], {'(other)': {'disabled': 4}, 'a': {'counted': 4}})

    def test_a_tenant_has_its_dimensions_only(self):
        result = self.recount({'tenant': 'a', 'dimensions': []})
        self.assertEqual(items(result, 0, 'device', 'mobile', 'a'), {})
        self.assertEqual(items(result, 0, 'device', 'mobile', 'b'), {'/a': 4})

    def test_a_quota_goes_by_the_progress_of_a_partition(self):
        times = [(0, 0), (0, 0), (0, 1), (0, 0), (0, 1), (1, 0), (1, 0)]
        result = self.recount(
            {'tenant': None, 'items_per_second': 3},
            messages=[(partition, dict(event(second), tenant='a')) for partition, second in times],
        )
        # 2 a second and partition: of the first, 0 and 0; then 1 and the late 0, which leaves none for the last
        self.assertEqual(result.summary()['tenants'], {'a': {'counted': 6, 'over_quota': 1}})
        self.assertEqual(result.summary()['partitions']['0']['over_quota'], 1)


class Versions(unittest.TestCase):
    RULES = CONFIG['rules']
    LATER = [{**CONFIG['rules'][0], 'item_path': 'payload.device', 'dimensions': {}}]

    def recount(self, messages, versions, adoption, **config):
        return count(messages, {'versions': versions, 'adoption': adoption, **config}, tenant_path='tenant')

    def test_each_partition_has_its_own_first_offsets(self):
        result = self.recount(
            [(n % 2, event(n)) for n in range(6)],
            {'3': {'rules': self.RULES}, '5': {'rules': self.LATER}},
            {'0': [[0, 3], [4, 5]], '1': [[0, 5]]},
        )
        self.assertEqual(items(result, 0, 'all', None), {'/a': 2, 'mobile': 4})

    def test_the_newest_of_those_adopted_at_one_offset_applies(self):
        result = self.recount([(0, event(0))], {'3': {'rules': self.RULES}, '5': {'rules': []}}, {'0': [[0, 5], [0, 3]]})
        self.assertEqual(result.summary()['no_rule'], 1)

    def test_an_offset_before_all_versions_is_an_error(self):
        with self.assertRaises(SystemExit):
            self.recount([(0, event(0))], {'3': {'rules': self.RULES}}, {'0': [[1, 3]]})

    def test_clocks_and_quotas_go_on(self):
        tenants = [{'tenant': 'a', 'items_per_second': 3}]
        seconds = (0, 200, 200, 200, 0, 200)
        result = self.recount(
            [(0, dict(event(second), tenant='a')) for second in seconds],
            {'1': {'rules': self.RULES, 'tenants': tenants}, '2': {'rules': self.RULES, 'tenants': tenants}},
            {'0': [[0, 1], [2, 2]]},
        )
        self.assertEqual(result.summary()['tenants'], {'a': {'counted': 4, 'over_quota': 2}})


class Lists(unittest.TestCase):
    def test_each_event_is_in_all_in_its_value_and_across(self):
        result = count([(0, event(0)), (0, event(1, device='tv')), (1, event(59, '/b')), (0, event(60))])
        self.assertEqual(items(result, 0, 'all', None), {'/a': 2, '/b': 1})
        self.assertEqual(items(result, 0, 'device', 'mobile'), {'/a': 1, '/b': 1})
        self.assertEqual(items(result, 0, 'device', 'tv'), {'/a': 1})
        self.assertEqual(items(result, 0, 'device', None), {'/a': 2, '/b': 1})
        self.assertEqual(items(result, 1, 'all', None), {'/a': 1})

    def test_a_missing_or_null_value_is_unknown(self):
        without = event(0)
        del without['payload']['device']
        result = count([(0, without), (0, event(0, device=None)), (0, {**event(0), 'payload': {'url': '/b'}})])
        self.assertEqual(items(result, 0, 'device', 'unknown'), {'/a': 2, '/b': 1})

    def test_numbers_and_booleans_are_their_json_text(self):
        messages = [(0, event(0, url, device)) for url, device in ((7, True), (-0.5, False), (1e21, 1.0))]
        result = count(messages)
        self.assertEqual(items(result, 0, 'all', None), {'7': 1, '-0.5': 1, '1e+21': 1})
        self.assertEqual(items(result, 0, 'device', 'true'), {'7': 1})
        self.assertEqual(items(result, 0, 'device', '1'), {'1e+21': 1})

    def test_number_text_is_the_shortest(self):
        for number, text in (
            (1.0, '1'), (100000.0, '1e+05'), (1000.0, '1000'), (0.0001, '1e-04'), (0.001, '0.001'), (0.0, '0'),
            (-0.0, '-0'), (123456.5, '123456.5'), (1.5e300, '1.5e+300'), (12345678901.0, '12345678901'),
        ):  # fmt: skip
            self.assertEqual(reading.number_text(number), text)

    def test_tenants_are_apart(self):
        messages = [(0, event(0, tenant='a')), (0, event(0, tenant='b')), (0, event(0)), (0, event(0, tenant=None))]
        result = count(messages, tenant_path='metadata.tenant')
        self.assertEqual(items(result, 0, 'all', None, tenant='a'), {'/a': 1})
        self.assertEqual(items(result, 0, 'all', None, tenant=''), {'/a': 2})

    def test_weights(self):
        config = {'rules': [{**CONFIG['rules'][0], 'weight_path': 'payload.n'}]}
        messages = [(0, event(0)) for _ in range(7)]
        for (_, message), weight in zip(messages, (3, 2.0, 0, 1.5, '4', True, None)):
            message['payload']['n'] = weight
        result = count(messages, config)
        self.assertEqual(items(result, 0, 'all', None), {'/a': 5})
        self.assertEqual(result.summary()['reasons'], {'bad_weight': 5})

    def test_days_of_a_zone_begin_at_its_midnight(self):
        def start(zone, at, days=1, origin=0):
            fields = {'name': 'd', 'size_seconds': days * 86400, 'time_zone': zone, 'origin_seconds': origin}
            return recount.Window(fields).start(at * recount.US) // recount.US

        forward = 1743289200  # 2025-03-30 00:00 in Berlin; the clocks go forward that day
        self.assertEqual(start('Europe/Berlin', forward), forward)
        self.assertEqual(start('Europe/Berlin', forward - 1), forward - 86400)
        self.assertEqual(start('Europe/Berlin', forward + 23 * 3600 - 1), forward)
        self.assertEqual(start('Europe/Berlin', forward + 23 * 3600), forward + 23 * 3600)
        self.assertEqual(start('Asia/Kolkata', T0), T0 - 19800)
        self.assertEqual(start('America/Havana', 1762059600 + 1800), 1762056000)  # midnight comes twice
        monday = 1743372000  # 2025-03-31 00:00 in Berlin
        self.assertEqual(start('Europe/Berlin', monday - 1, 7, 342000), monday - 7 * 86400 + 3600)
        self.assertEqual(start('Europe/Berlin', monday, 7, 342000), monday)

    def test_windows_may_have_an_origin(self):
        week = recount.Window({'name': 'week', 'size_seconds': 7 * 86400, 'origin_seconds': 4 * 86400})
        self.assertEqual(week.start(T0 * recount.US), (T0 - 2 * 86400) * recount.US)  # a Monday

    def test_windows_are_sums_of_panes(self):
        result = count([(0, event(0)), (0, event(60)), (0, event(3600))], allowed_lateness=86400)
        window = result.window(recount.Window({'name': '1-hour', 'size_seconds': 3600}))
        self.assertEqual(dict(window[T0 * recount.US, '', 'url', 'all', None]), {'/a': 2})
        self.assertEqual(dict(window[(T0 + 3600) * recount.US, '', 'url', 'device', 'mobile']), {'/a': 1})


class Lateness(unittest.TestCase):
    """out_of_orderness 60 s, allowed_lateness 3600 s, pane 60 s."""

    def outcome(self, *seconds):
        counts = count([(0, event(s)) for s in seconds]).summary()
        return counts['late'], counts['too_late'], counts['counted']

    def test_the_first_event_is_never_late(self):
        self.assertEqual(self.outcome(0), (0, 0, 1))

    def test_late_begins_where_the_watermark_meets_the_panes_end(self):
        # pane 0 ends at 60; the watermark is 60 once an event of second 120 has been seen
        self.assertEqual(self.outcome(119, 59), (0, 0, 2))
        self.assertEqual(self.outcome(120, 59), (1, 0, 2))
        self.assertEqual(self.outcome(120, 60), (0, 0, 2))

    def test_too_late_begins_an_hour_after(self):
        self.assertEqual(self.outcome(3719, 59), (1, 0, 2))
        self.assertEqual(self.outcome(3720, 59), (0, 1, 1))

    def test_the_event_itself_does_not_move_the_watermark_before_it_is_judged(self):
        self.assertEqual(self.outcome(0, 80000), (0, 0, 2))

    def test_partitions_are_judged_alone(self):
        result = count([(0, event(7200)), (1, event(0)), (1, event(1))])
        self.assertEqual(result.summary()['late'], 0)
        self.assertEqual(result.summary()['too_late'], 0)

    def test_late_events_are_counted_and_too_late_ones_are_not(self):
        result = count([(0, event(0)), (0, event(180)), (0, event(1)), (0, event(7200)), (0, event(2))])
        self.assertEqual(items(result, 0, 'all', None), {'/a': 2})

    def test_no_rule_and_no_item_move_the_watermark_and_dead_letters_do_not(self):
        for mover, late in (
            (event(120, event_type='other'), 1),
            (event(120, url=None), 1),
            (event(120, url={}), 0),
            (event(120, device=[]), 0),
        ):
            self.assertEqual(count([(0, mover), (0, event(0))]).summary()['late'], late, mover)

    def test_the_watermark_never_goes_back(self):
        self.assertEqual(self.outcome(120, 59, 58), (2, 0, 3))


class DeadLetters(unittest.TestCase):
    def reason(self, message, **source):
        result = count([(0, message)], **source)
        reasons = [row[2] for row in result.dead_letters]
        self.assertEqual(result.summary()['events'], 1)
        self.assertLessEqual(len(reasons), 1)
        return reasons[0] if reasons else None

    def test_json(self):
        good = json.dumps(event(0)).encode()
        self.assertIsNone(self.reason(good))
        self.assertIsNone(self.reason(b' ' + good + b'\r '))
        for bad in (
            b'x', good[:-1], good + b',', b'[]', b'7', b'null', b'"a"', good[:-1] + b',"n":NaN}', b"{'a':1}",
            good[:-1] + b',"n":18446744073709551616}', good[:-1] + b',"n":1e999}', good[:-1] + b',"n":01}',
            good[:-1] + b',"s":"\\ud83d"}', good[:-1] + b',"s":"\xff"}', good[:-1] + b',"s":"\x01"}', b' ',
            good[:-1] + b',"n":' + b'[' * 2000 + b']' * 2000 + b'}', b'[' * 1000000,
        ):  # fmt: skip
            self.assertEqual(self.reason(bad), 'bad_json', bad[:200])

    def test_of_duplicate_keys_the_first_counts(self):
        good = json.dumps(event(0)).encode()
        result = count([(0, good[:-1] + b',"payload":{"url":"/z"}}')])
        self.assertEqual(items(result, 0, 'all', None), {'/a': 1})

    def test_event_type(self):
        for bad in (None, 7, [], {}):
            self.assertEqual(self.reason(event(0, event_type=bad)), 'bad_event_type')
        self.assertEqual(self.reason({'metadata': 'x', 'payload': {}}), 'bad_event_type')

    def test_time(self):
        self.assertEqual(self.reason(event(0, timestamp=None)), 'no_time')
        for bad in (
            'yesterday', True, [], '2025-02-30T10:00:00Z', '2025-01-01T24:00:00Z', '2025-01-01T10:60:00Z',
            '2025-01-01', '2025-01-01T10:00:00+1', '2025-01-01T10:00:00Z\n', -1, '-1', '', '2025-01-01T10:00:00.Z',
        ):  # fmt: skip
            self.assertEqual(self.reason(event(0, timestamp=bad)), 'bad_time', bad)

    def test_future_is_a_matter_of_the_clock(self):
        self.assertIsNone(self.reason(event(0), now=T0 - 600))
        self.assertEqual(self.reason(event(0), now=T0 - 601), 'future_time')

    def test_fields_of_the_rule(self):
        for message, expected in (
            (event(0, url={}), 'bad_item'),
            (event(0, url=[[]]), 'bad_item'),
            (event(0, url=['a', {}]), 'bad_item'),
            (event(0, url=[None] * 1001), 'too_many_items'),
            (event(0, url=[]), None),
            (event(0, url='a\0b'), 'item_has_nul'),
            (event(0, url='x' * 1025), 'item_too_long'),
            (event(0, url='\u00e9' * 513), 'item_too_long'),
            (event(0, url='\0' * 1025), 'item_too_long'),
            (event(0, url='x' * 1024), None),
            (event(0, url=''), None),
            (event(0, device={}), 'bad_value'),
            (event(0, device='x' * 513), 'value_too_long'),
            (event(0, device='\0'), 'value_has_nul'),
        ):
            self.assertEqual(self.reason(message), expected)

    def test_tenant(self):
        for tenant, expected in (
            ({}, 'bad_tenant'), ([], 'bad_tenant'), ('x' * 513, 'tenant_too_long'), ('\0', 'tenant_has_nul'), (5, None),
        ):  # fmt: skip
            self.assertEqual(self.reason(event(0, tenant=tenant), tenant_path='metadata.tenant'), expected)
            self.assertIsNone(self.reason(event(0, tenant=tenant)))

    def test_the_first_thing_that_is_wrong_is_the_reason(self):
        self.assertEqual(self.reason(event(0, url={}, event_type='other')), None)
        self.assertEqual(self.reason(event(0, url={}, timestamp='x', event_type='other')), 'bad_time')
        self.assertEqual(self.reason(event(0, url=None, device={})), None)
        self.assertEqual(self.reason(event(0, url=None, tenant={}), tenant_path='metadata.tenant'), 'bad_tenant')


class Rules(unittest.TestCase):
    LINES = {
        'event_type': 'page_view',
        'item_type': 'sku',
        'item_path': 'payload.lines.sku',
        'weight_path': 'payload.lines.n',
        'dimensions': {'kind': {'path': 'payload.lines.kind', 'missing': '??'}, 'device': 'payload.device'},
    }

    def one(self, rules, **payload):
        message = event(0)
        message['payload'].update(payload)
        return count([(0, message)], {'rules': rules})

    def test_each_item_of_an_array_counts(self):
        result = self.one(CONFIG['rules'], url=['/a', None, 7, '/a'])
        self.assertEqual(items(result, 0, 'all', None), {'/a': 2, '7': 1})
        self.assertEqual(items(result, 0, 'device', 'mobile'), {'/a': 2, '7': 1})
        self.assertEqual(result.partitions[0].counts['counted'], 1)

    def test_weights_and_values_come_from_the_same_element(self):
        lines = [{'sku': 'p', 'n': 2, 'kind': 'k'}, {'sku': 'q', 'n': 3}, {'n': 0}, 5]
        result = self.one([self.LINES], lines=lines)
        self.assertEqual(items(result, 0, 'all', None, item_type='sku'), {'p': 2, 'q': 3})
        self.assertEqual(items(result, 0, 'kind', 'k', item_type='sku'), {'p': 2})
        self.assertEqual(items(result, 0, 'kind', '??', item_type='sku'), {'q': 3})
        self.assertEqual(items(result, 0, 'device', 'mobile', item_type='sku'), {'p': 2, 'q': 3})

    def test_what_one_rule_cannot_read_the_others_do_not_count(self):
        rules = CONFIG['rules'] + [self.LINES]
        self.assertEqual(items(self.one(rules), 0, 'all', None), {'/a': 1})
        result = self.one(rules, lines=[{'sku': 'p'}])
        self.assertEqual(result.lists, {})
        self.assertEqual(result.dead_letters, [(0, 0, 'bad_weight')])

    def outcome(self, rules, **payload):
        counts = self.one(rules, **payload).partitions[0].counts
        return [name for name in ('counted', 'no_item', 'filtered', 'dead_letters') if counts[name]]

    def test_filters(self):
        for what, passing, failing in (
            ('de', ['de'], [None, 'DE', ['de'], {}]),
            (['de', 7], ['de', 7, '7', 7.0], [True, 8]),
            (True, [True, 'true'], [False, 1]),
            ({'not': ['de']}, [None, 'nl', ['de'], 7], ['de']),
            ({'exists': True}, ['', [], {}, 0, False], [None]),
            ({'exists': False}, [None], ['', [], 0]),
            ({'>=': 10, '<': 20}, [10, 19.5], [9, 20, '15', None, True]),
        ):
            rules = [{**CONFIG['rules'][0], 'filter': {'payload.f': what}}]
            for value in passing:
                self.assertEqual(self.outcome(rules, f=value), ['counted'], (what, value))
            for value in failing:
                self.assertEqual(self.outcome(rules, f=value), ['filtered'], (what, value))

    def test_outcomes_of_several_rules(self):
        view, lines = {**CONFIG['rules'][0], 'filter': {'payload.f': 'yes'}}, self.LINES
        self.assertEqual(self.outcome([view]), ['filtered'])
        self.assertEqual(self.outcome([view], url={}), ['filtered'])
        self.assertEqual(self.outcome([view, lines]), ['no_item'])
        self.assertEqual(self.outcome([view, lines], f='yes'), ['counted'])
        self.assertEqual(self.outcome([view, lines], lines=[{'sku': 1, 'n': 1}]), ['counted'])
        self.assertEqual(self.outcome([view, lines], lines=[{'sku': 1, 'n': 0}], f='yes'), ['dead_letters'])


class Times(unittest.TestCase):
    def test_forms_of_one_instant(self):
        for form in (
            '2025-01-01T00:00:00Z', '2025-01-01T00:00:00', '2025-01-01t00:00z', '2025-01-01 00:00',
            '2025-01-01T01:30:00+01:30', '2024-12-31T19:00:00-0500', '2024-12-31T22:00:00.0000009-02',
            '2024-12-31T23:59:60Z', T0, T0 * 1000, T0 * 10**6, float(T0), str(T0), f'{T0}.0',
        ):  # fmt: skip
            self.assertEqual(reading.time_us(form), T0 * recount.US, form)

    def test_fractions(self):
        self.assertEqual(reading.time_us('1970-01-01T00:00:00.1234567Z'), 123456)
        self.assertEqual(reading.time_us(1700000000.123456), 1700000000123456)

    def test_leap_years(self):
        self.assertEqual(reading.time_us('2000-02-29T00:00:00Z'), 951782400 * recount.US)
        with self.assertRaises(reading.Dead):
            reading.time_us('2100-02-29T00:00:00Z')


class Paths(unittest.TestCase):
    def test_parse(self):
        self.assertEqual(reading.parse_path('a'), ('a',))
        self.assertEqual(reading.parse_path('a.b c.d'), ('a', 'b c', 'd'))
        self.assertEqual(reading.parse_path('a."x.y".d'), ('a', 'x.y', 'd'))
        self.assertEqual(reading.parse_path('"say ""a"""'), ('say "a"',))


class Program(unittest.TestCase):
    """The whole program, as the tests of the bridge run it."""

    def run_on(self, dump, columns):
        with tempfile.TemporaryDirectory() as directory:
            config = os.path.join(directory, 'config.json')
            with open(config, 'w', encoding='utf-8') as file:
                json.dump({**CONFIG, 'windows': [{'name': '1-hour', 'size_seconds': 3600}]}, file)
            out = os.path.join(directory, 'out')
            subprocess.run(
                [sys.executable, os.path.join(HERE, 'recount.py'), config, out, '--columns', columns, '--now', str(T0)],
                input=dump,
                check=True,
            )
            return {path.name: path.read_text(encoding='utf-8') for path in pathlib.Path(out).iterdir()}

    def test_lines(self):
        dump = b''.join(b'0\t%d\t%s\n' % (n, json.dumps(event(n, 'a\tb\\')).encode()) for n in range(3)) + b'1\t0\tx\ty\n'
        out = self.run_on(dump, 'partition,offset,payload')
        self.assertIn(f'{T0}\t\turl\tall\t\\N\ta\\tb\\\\\t3\n', out['panes.tsv'])
        self.assertIn(f'1-hour\t{T0}\t\turl\tdevice\tmobile\ta\\tb\\\\\t3\n', out['windows.tsv'])
        self.assertEqual(out['global.tsv'], '\turl\ta\\tb\\\\\t3\n')
        self.assertEqual(out['dead_letters.tsv'], '1\t0\tbad_json\n')
        summary = json.loads(out['summary.json'])
        self.assertEqual((summary['events'], summary['partitions']['1']['dead_letters']), (4, 1))

    def test_sizes_make_line_feeds_and_tombstones_clear(self):
        pretty = json.dumps(event(0), indent=1).encode()
        dump = b'0\t0\t%d\t%s\n0\t1\t-1\t\n0\t2\t0\t\n' % (len(pretty), pretty)
        summary = json.loads(self.run_on(dump, 'partition,offset,size,payload')['summary.json'])
        self.assertEqual((summary['counted'], summary['tombstones'], summary['reasons']), (1, 1, {'bad_json': 1}))


class Reader(unittest.TestCase):
    def test_without_offsets(self):
        rows = list(recount.read_dump(io.BytesIO(b'3\t{}\n'), ['partition', 'payload']))
        self.assertEqual(rows, [(3, None, b'{}')])


if __name__ == '__main__':
    unittest.main()
