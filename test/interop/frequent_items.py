"""The side of Apache DataSketches in test/tap/010_datasketches.pl: its frequent-items sketches of strings and longs.

    frequent_items.py write          write sketches of many streams
    frequent_items.py read < LINES   say what sketches say, one by one and, for each type, merged

Both speak lines of JSON. A written sketch has "name", "type" (text or bigint), "hex" (its bytes), "active" (its
number of items) and "says"; one to be read has "name", "type", "hex" and "items", those to ask it about; the answer
to it has "name", "says" and, for a merged one, "type" and "hex". What a sketch says is its total, whether it is
empty, and for each item its [lower bound, upper bound, estimate]. What is true goes along as "truth".
"""
import json
import random
import sys

import datasketches

MAP_SIZES = range(3, 11)  # logarithms; the smallest and largest that streams of these lengths do justice to


class Text:
    """How the library does it for strings."""

    @staticmethod
    def new(log_size):
        return datasketches.frequent_strings_sketch(log_size)

    @staticmethod
    def load(data):
        return datasketches.frequent_strings_sketch.deserialize(data)

    @staticmethod
    def store(sketch):
        return sketch.serialize()

    @staticmethod
    def item(number):
        """Items of many lengths and alphabets."""
        return "é漢😀 x"[: number % 6] + f"item-{number}" * (1 + number % 3)

    @staticmethod
    def parse(item):
        return item


class Bigint:
    """The same for longs."""

    @staticmethod
    def new(log_size):
        return datasketches.frequent_items_sketch(log_size)

    @staticmethod
    def load(data):
        return datasketches.frequent_items_sketch.deserialize(data, datasketches.PyLongsSerDe())

    @staticmethod
    def store(sketch):
        return sketch.serialize(datasketches.PyLongsSerDe())

    @staticmethod
    def item(number):
        """Positive and negative ones, small and large, and the two at the ends."""
        return ((-1) ** number * number**3, 2**63 - 1 - number, -(2**63) + number)[number % 3]

    @staticmethod
    def parse(item):
        return int(item)


TYPES = {"text": Text, "bigint": Bigint}


def says(sketch, kind, items):
    return {
        "total": sketch.total_weight,
        "empty": sketch.is_empty(),
        "items": {
            str(item): [sketch.get_lower_bound(at), sketch.get_upper_bound(at), sketch.get_estimate(at)]
            for item in items
            for at in [kind.parse(item)]
        },
    }


def stream(seed, distinct, length):
    """Skewed numbers with weights."""
    chance = random.Random(seed)
    for _ in range(length):
        yield int(distinct ** chance.random()), chance.choice((1, 1, 1, 7, 1000))


def count(kind, log_size, seeds, distinct, length):
    """A sketch of a stream for each seed, merged if there are several, and the truth."""
    sketch = None
    truth = {}
    for seed in seeds:
        part = kind.new(log_size)
        for number, weight in stream(seed, distinct, length):
            item = kind.item(number)
            part.update(item, weight)
            truth[item] = truth.get(item, 0) + weight
        if sketch is None:
            sketch = part
        else:
            sketch.merge(part)
    return sketch, truth


def write():
    for name, kind in TYPES.items():
        cases = [("empty", 3, [1], 10, 0), ("exact", 5, [1], 20, 500)]
        cases += [(f"map of 2^{size}", size, [size], 10 ** (1 + size % 4), 20000) for size in MAP_SIZES]
        cases += [(f"merged, map of 2^{size}", size, [1, 2, 3], 3000, 5000) for size in (3, 6, 9)]
        for case, size, seeds, distinct, length in cases:
            sketch, truth = count(kind, size, seeds, distinct, length)
            print(json.dumps({
                "name": f"{name}, {case}",
                "type": name,
                "hex": kind.store(sketch).hex(),
                "active": sketch.num_active_items,
                "says": says(sketch, kind, truth),
                "truth": truth,
            }))


def read():
    merged = {}
    items = {}
    for line in sys.stdin:
        case = json.loads(line)
        name = case["type"]
        kind = TYPES[name]
        sketch = kind.load(bytes.fromhex(case["hex"]))
        print(json.dumps({"name": case["name"], "says": says(sketch, kind, case["items"])}))
        merged.setdefault(name, kind.new(max(MAP_SIZES))).merge(sketch)
        items.setdefault(name, {}).update(dict.fromkeys(case["items"]))
    for name, sketch in merged.items():
        kind = TYPES[name]
        print(json.dumps({
            "name": f"{name}, all merged by them",
            "type": name,
            "hex": kind.store(sketch).hex(),
            "says": says(sketch, kind, items[name]),
        }))


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]]()
