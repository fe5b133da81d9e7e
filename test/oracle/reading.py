"""What the oracle takes out of one message: JSON, paths, texts and times, read strictly.

The rules are those of the bridge's documentation, written down a second time: nothing here is shared with it.
"""

import calendar
import json
import re
import time

US = 1_000_000
MAX_TIME_US = 253402300799999999  # the end of the year 9999
MAX_DEPTH = 1023  # of objects and arrays that are not empty


class Dead(Exception):
    """The message is a dead letter; the argument is its reason."""


# ---- JSON, as strictly as RFC 8259 and a 64-bit parser read it ----


def _first_wins(pairs):
    """An object; of keys that come twice the first one counts."""
    result = dict(pairs)
    if len(result) != len(pairs):
        result = {}
        for key, value in pairs:
            result.setdefault(key, value)
    return result


def _parse_int(text):
    value = int(text)
    if not -(2**63) <= value < 2**64:
        raise ValueError('integer beyond 64 bits')
    return value


def _parse_float(text):
    value = float(text)
    if value in (float('inf'), float('-inf')):
        raise ValueError('number beyond a double')
    return value


def _parse_constant(text):
    raise ValueError(f'{text} is no JSON')


_DECODER = json.JSONDecoder(
    object_pairs_hook=_first_wins, parse_int=_parse_int, parse_float=_parse_float, parse_constant=_parse_constant
)


def _depth(value):
    depth = 0
    level = [value]
    while level:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if inner and isinstance(inner, (dict, list))
        ]
    return depth


def parse_document(payload):
    """The document, a dict; Dead for anything else."""
    try:
        document = _DECODER.decode(payload.decode('utf-8').removeprefix('\ufeff'))
        if b'\\u' in payload:  # half a surrogate pair is no text
            json.dumps(document, ensure_ascii=False).encode('utf-8')
    except (ValueError, RecursionError):
        raise Dead('bad_json') from None
    if not isinstance(document, dict):
        raise Dead('bad_json')
    if payload.count(b'[') + payload.count(b'{') > MAX_DEPTH and _depth(document) > MAX_DEPTH:
        raise Dead('bad_json')
    return document


def parse_path(text):
    """a."b.c".d as a tuple of its keys."""
    if text is None:
        return None
    keys = re.findall(r'"((?:[^"]|"")*)"(?:\.|$)|([^."]+)(?:\.|$)', text)
    return tuple(quoted.replace('""', '"') if quoted else plain for quoted, plain in keys)


def get(document, path):
    """What stands at a path; None if nothing does, or null."""
    for key in path:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def readings(document, path):
    """The document itself; or, if the path meets an array, a document for each element standing in its place."""
    for depth, key in enumerate(path):
        if not isinstance(document, dict):
            break
        inner = document.get(key)
        if isinstance(inner, list):
            return [_with(document, key, element) for element in inner]
        if isinstance(inner, dict) and depth + 1 < len(path):
            return [_with(document, key, reading) for reading in readings(inner, path[depth + 1 :])]
        break
    return [document]


def _with(document, key, value):
    return {**document, key: value}


def _equals(value, operand):
    """Whether a scalar is what a filter names, or one of those."""
    if value is None or isinstance(value, (dict, list)):
        return False
    operands = operand if isinstance(operand, list) else [operand]
    return _text(value) in [_text(one) for one in operands]


def _compares(value, test, operand):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return {'<': value < operand, '<=': value <= operand, '>': value > operand, '>=': value >= operand}[test]


def passes(document, conditions):
    """Whether every condition of a filter holds: (path, what it says), as topk.create_rule takes them."""
    for path, what in conditions:
        value = get(document, path)
        for test, operand in (what if isinstance(what, dict) else {'=': what}).items():
            if test == '=':
                holds = _equals(value, operand)
            elif test == 'not':
                holds = not _equals(value, operand)
            elif test == 'exists':
                holds = (value is not None) == operand
            else:
                holds = _compares(value, test, operand)
            if not holds:
                return False
    return True


def number_text(value):
    """A number's JSON text: the shortest that reads back the same, plain where that is no longer."""
    if isinstance(value, int):
        return str(value)
    sign, digits, exponent = re.fullmatch(r'(-?)(.*?)(?:e([-+]\d+))?', repr(value)).groups()
    whole, _, fraction = digits.partition('.')
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    point -= len(digits) - len(digits.lstrip('0'))
    digits = digits.lstrip('0').rstrip('0')
    if not digits:
        return sign + '0'
    if point <= 0:
        plain = '0.' + '0' * -point + digits
    else:
        plain = digits[:point].ljust(point, '0') + ('.' + digits[point:] if point < len(digits) else '')
    mantissa = digits[0] + ('.' + digits[1:] if len(digits) > 1 else '')
    scientific = f'{mantissa}e{point - 1:+03d}'
    return sign + (plain if len(plain) <= len(scientific) else scientific)


def _text(value):
    if isinstance(value, bool):
        return 'true' if value else 'false'
    return value if isinstance(value, str) else number_text(value)


def text_of(value, what, limit):
    """An item, tenant or dimension value as text; Dead if it cannot be one."""
    if not isinstance(value, str):
        if isinstance(value, (dict, list)):
            raise Dead(f'bad_{what}')
        value = _text(value)
    if len(value) * 4 > limit and len(value.encode('utf-8')) > limit:
        raise Dead(f'{what}_too_long')
    if '\0' in value:
        raise Dead(f'{what}_has_nul')
    return value


# ---- time ----

_ISO = re.compile(
    r'(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?:[Zz]|([-+])(\d\d)(?::?(\d\d))?)?', re.ASCII
)
_DECIMAL = re.compile(r'\d{1,18}(?:\.\d+)?', re.ASCII)
_days = {}


def _day_us(date):
    """The start of a day, in us; Dead for a date that does not exist."""
    if date not in _days:
        try:
            _days[date] = calendar.timegm(time.strptime(date, '%Y-%m-%d')) * US
        except ValueError:
            raise Dead('bad_time') from None
    return _days[date]


def _iso_us(text):
    match = _ISO.fullmatch(text)
    if match is None:
        raise Dead('bad_time')
    date, hour, minute, second, fraction, sign, zone_hour, zone_minute = match.groups()
    zone = int(zone_hour or 0), int(zone_minute or 0)
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60 or zone[0] > 23 or zone[1] > 59:
        raise Dead('bad_time')
    seconds = int(hour) * 3600 + int(minute) * 60 + int(second or 0)
    seconds -= (zone[0] * 3600 + zone[1] * 60) * (-1 if sign == '-' else 1)
    return _day_us(date) + seconds * US + int((fraction or '')[:6].ljust(6, '0'))


def _epoch_us(number):
    """Seconds, milliseconds or microseconds, told by the size."""
    if not 0 <= number <= MAX_TIME_US:
        raise Dead('bad_time')
    unit = US if number < 1e11 else 1000 if number < 1e14 else 1
    whole = int(number)
    return whole * unit + int((number - whole) * unit + 0.5)


def time_us(value):
    """An event's time in us since 1970; Dead if there is none or it cannot be read."""
    if value is None:
        raise Dead('no_time')
    if isinstance(value, str):
        if value[4:5] == '-':
            result = _iso_us(value)
        elif _DECIMAL.fullmatch(value):
            result = _epoch_us(float(value) if '.' in value else int(value))
        else:
            raise Dead('bad_time')
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        result = _epoch_us(value)
    else:
        raise Dead('bad_time')
    if not 0 <= result <= MAX_TIME_US:
        raise Dead('bad_time')
    return result
