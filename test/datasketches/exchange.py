#!/usr/bin/env python3
"""Check topk_to_datasketches and topk_from_datasketches against the Apache DataSketches library, both ways.

Needs the package `datasketches` and a database with the extension, found as psql finds it. Ends with the number
of checks; any difference is an error.

    python3 test/datasketches/exchange.py            check
    python3 test/datasketches/exchange.py --fixtures  print the values of test/sql/type_datasketches.sql
"""
import random
import subprocess
import sys

import datasketches

NO_FALSE_NEGATIVES = datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES
checks = 0


def query(sql):
    """Rows of a query, as lists of strings."""
    done = subprocess.run(["psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1"], input=sql, text=True,
                          capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{sql[:200]}: {done.stderr}")
    return [line.split("\t") for line in done.stdout.splitlines()]


def check(what, ours, theirs):
    global checks
    checks += 1
    if ours != theirs:
        sys.exit(f"{what}: {ours!r} in topk, {theirs!r} in DataSketches")


def stream(seed, distinct, length):
    """(item, weight) pairs, skewed, with items of many lengths and alphabets."""
    chance = random.Random(seed)
    for _ in range(length):
        item = int(distinct ** chance.random())
        yield f"{'ü' * (item % 3)}item-{item}", chance.choice((1, 1, 1, 7, 1000))


def their_sketch(seed, distinct, length, log_size):
    sketch = datasketches.frequent_strings_sketch(log_size)
    truth = {}
    for item, weight in stream(seed, distinct, length):
        sketch.update(item, weight)
        truth[item] = truth.get(item, 0) + weight
    return sketch, truth


def check_import(seed, distinct, length, log_size):
    """What they wrote says the same when we have read it."""
    sketch, truth = their_sketch(seed, distinct, length, log_size)
    value = f"topk_from_datasketches('\\x{sketch.serialize().hex()}')"
    total, listed, capacity = query(
        f"SELECT topk_total(s), (SELECT count(*) FROM topk_items(s, 65536)), topk_capacity(s) FROM {value} s")[0]
    check("total", int(total), sketch.total_weight)
    # their error may be larger than a sketch of ours may have at their size: then it becomes a smaller one
    check("items", int(listed), min(sketch.num_active_items, int(capacity)))
    rows = query(f"SELECT item, lower_bound, upper_bound FROM topk_items({value}, 65536)")
    for item, lower, upper in rows:
        check(f"lower bound of {item}", int(lower), sketch.get_lower_bound(item))
        check(f"upper bound of {item}", int(upper), sketch.get_upper_bound(item))
        check(f"{item} within its bounds", int(lower) <= truth[item] <= int(upper), True)


def check_export(seed, distinct, length, capacity):
    """What we wrote says the same when they have read it; only lower bounds may be weaker."""
    truth = {}
    for item, weight in stream(seed, distinct, length):
        truth[item] = truth.get(item, 0) + weight
    rows = ", ".join(f"('{item}', {weight})" for item, weight in stream(seed, distinct, length))
    sketch, total, error = query(
        f"WITH s AS (SELECT topk_agg(item, 1, weight, {capacity}) AS s FROM (VALUES {rows}) v(item, weight)) "
        "SELECT encode(topk_to_datasketches(s), 'hex'), topk_total(s), topk_max_error(s) FROM s")[0]
    theirs = datasketches.frequent_strings_sketch.deserialize(bytes.fromhex(sketch))
    check("total", int(total), theirs.total_weight)
    for item, _, lower, upper in theirs.get_frequent_items(NO_FALSE_NEGATIVES):
        check(f"{item} within its bounds", lower <= truth[item] <= upper, True)
        check(f"width for {item}", upper - lower, int(error))
    again = query(f"SELECT item, upper_bound FROM topk_items(topk_from_datasketches('\\x{sketch}'), 65536)")
    for item, upper in again:
        check(f"upper bound of {item}", int(upper), theirs.get_upper_bound(item))


def check_empty():
    empty = datasketches.frequent_strings_sketch(3).serialize()
    check("an empty one", query(f"SELECT topk_total(topk_from_datasketches('\\x{empty.hex()}'))"), [["0"]])
    back = query(f"SELECT encode(topk_to_datasketches(topk_from_datasketches('\\x{empty.hex()}')), 'hex')")[0][0]
    check("an empty one, back", datasketches.frequent_strings_sketch.deserialize(bytes.fromhex(back)).is_empty(), True)


def print_fixtures():
    for name, arguments in (("exact", (1, 5, 50, 3)), ("not exact", (2, 500, 2000, 3))):
        sketch, _ = their_sketch(*arguments)
        print(f"('{name}', '\\x{sketch.serialize().hex()}'),  -- total {sketch.total_weight}, "
              f"{sketch.get_frequent_items(NO_FALSE_NEGATIVES)}")


if __name__ == "__main__":
    if "--fixtures" in sys.argv:
        print_fixtures()
        sys.exit()
    check_empty()
    for seed in range(8):
        check_import(seed, 10 ** (1 + seed % 4), 20000, 3 + seed)
        check_export(seed, 10 ** (1 + seed % 4), 5000, (1, 10, 96, 300)[seed % 4])
    print(f"{checks} checks passed")
