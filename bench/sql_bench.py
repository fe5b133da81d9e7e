#!/usr/bin/env python3
"""Measure the type in SQL; started by sql_bench.sh, which makes the tables.

A query's time is the CPU time of its statement, user and system, the best of the rounds: other work on the machine
disturbs it less than elapsed time. All queries of a row take turns, so that each ratio compares neighbours in time.
Parallel plans are measured by elapsed time.
"""
import os
import platform
import re
import subprocess
import sys

import sql_bench_peers

STATS = re.compile(r"!\s+([\d.]+) s user, ([\d.]+) s system, ([\d.]+) s elapsed")
STREAMS = ("zipf_0_8", "zipf_1_0", "zipf_1_5", "all_distinct")
HIGH_WATER = "SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\\s+(\\d+)')::bigint / 1024"


def psql(*statements):
    """Output lines of statements run in one session; what the server logs about them goes to stderr."""
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
    for statement in statements:
        command += ["-c", statement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done


def milliseconds(query, parallel=0, warmups=0):
    done = psql(f"SET max_parallel_workers_per_gather = {parallel}", "SET client_min_messages = log", *[query] * warmups,
                "SET log_statement_stats = on", query)
    user, system, elapsed = map(float, STATS.findall(done.stderr)[-1])
    return 1000 * (elapsed if parallel else user + system)


def best(queries, rounds, parallel=0, warmups=0):
    """The best time of each query; they take turns."""
    times = [[milliseconds(query, parallel, warmups) for query in queries] for _ in range(rounds)]
    return [min(column) for column in zip(*times)]


def extra_megabytes(floor, query):
    """By how much the process grows at its peak when it runs the query after the floor, the module being loaded."""
    _, _, before, _, after = psql("SELECT topk_total(topk_agg('a'))", floor, HIGH_WATER, query, HIGH_WATER).stdout.split()
    return int(after) - int(before)


def heading(title, *columns):
    print(f"\n### {title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def row(*cells):
    print(f"| {' | '.join(str(cell) for cell in cells)} |", flush=True)


def one_sketch(rows, rounds):
    """Returns what topk_agg takes over the floor for each stream, in ns/row."""
    heading(f"One sketch of {rows:,} rows (x: times the floor)", "stream", "floor `count(item)`, ns/row", "`topk_agg(item)`",
            "ns/row over the floor", "`topk_agg(item, 100, 1)`", "peak memory, MB", "exact `GROUP BY`, top 100", "peak memory, MB")
    over_floor = {}
    for stream in STREAMS:
        floor = f"SELECT count(item) FROM {stream}"
        sketch = f"SELECT topk_total(topk_agg(item)) FROM {stream}"
        exact = f"SELECT count(*) FROM (SELECT item, count(*) FROM {stream} GROUP BY 1 ORDER BY 2 DESC LIMIT 100) t"
        queries = [floor, sketch, f"SELECT topk_total(topk_agg(item, 100, 1)) FROM {stream}"]
        times = best(queries, rounds)
        over_floor[stream] = 1e6 * (times[1] - times[0]) / rows
        exact_cells = ("", "")
        if stream != "all_distinct":
            exact_cells = (f"{best([exact], 1)[0] / times[0]:.1f}x", extra_megabytes(floor, exact))
        row(stream, f"{1e6 * times[0] / rows:.1f}", f"{times[1] / times[0]:.2f}x", f"{over_floor[stream]:.1f}",
            f"{times[2] / times[0]:.2f}x", extra_megabytes(floor, sketch), *exact_cells)
    return over_floor


def parallel(rounds):
    heading("The same in a parallel plan (elapsed)", "workers", "floor, ms", "`topk_agg(item)`, ms", "x")
    for workers in (0, 1, 2):
        times = best(["SELECT count(item) FROM zipf_1_0", "SELECT topk_total(topk_agg(item)) FROM zipf_1_0"], rounds, workers)
        row(workers, f"{times[0]:.0f}", f"{times[1]:.0f}", f"{times[1] / times[0]:.2f}x")


def groups(rows, rounds):
    heading("Groups", "groups", "rows in each", "floor, ns/row", "`topk_agg(item)`", "s", "peak memory, MB")
    for table, count, size in (("groups_large", rows // 1000, 1000), ("groups_small", rows // 100, 20),
                               ("groups_many", rows // 10, 20)):
        floor = f"SELECT sum(c) FROM (SELECT g, count(item) AS c FROM {table} GROUP BY g) t"
        sketch = f"SELECT sum(topk_total(s)) FROM (SELECT g, topk_agg(item) AS s FROM {table} GROUP BY g) t"
        times = best([floor, sketch], rounds)
        row(f"{count:,}", size, f"{1e6 * times[0] / count / size:.0f}", f"{times[1] / times[0]:.2f}x",
            f"{times[1] / 1000:.2f}", extra_megabytes(floor, sketch))


def merges(rounds):
    heading("Merging a day of minutes (warm: the fourth time in a session)", "entries a pane", "stored bytes a pane", "reading, ms", "`topk_merge` beyond that, ms",
            "mean error of the top 100")
    for column, entries in (("s", 300), ("large", 1024)):
        size = psql(f"SELECT round(avg(octet_length({column}::bytea))) FROM pane").stdout.strip()
        times = best([f"SELECT count(substr({column}::bytea, 2)) FROM pane", f"SELECT topk_total(topk_merge({column})) FROM pane"],
                     3 * rounds, warmups=3)
        error = psql(f"""
            SELECT round(100 * avg(abs(estimate - f) / f::numeric), 3) FROM truth
            JOIN topk_items((SELECT topk_merge({column} ORDER BY minute) FROM pane), 65536) USING (item)
            WHERE item IN (SELECT item FROM truth WHERE stream = 'zipf_1_0' ORDER BY f DESC LIMIT 100) AND stream = 'zipf_1_0'
            """).stdout.strip()
        row(entries, size, f"{times[0]:.2f}", f"{times[1] - times[0]:.2f}", f"{error} %")


def answers():
    heading("Answers", "sketch", "recall of the top 100", "max_error / total", "stored bytes")
    sketches = [(stream, stream, f"SELECT topk_agg(item) AS s FROM {stream}") for stream in STREAMS[:3]]
    sketches += [(f"{stream}, merged from 1440 panes", stream, f"SELECT topk_merge(s ORDER BY minute) AS s FROM {panes}")
                 for stream, panes in (("zipf_0_8", "pane_0_8"), ("zipf_1_0", "pane"))]
    for name, stream, query in sketches:
        row(name, *psql(f"""
            WITH s AS ({query}),
            hundredth AS (SELECT f FROM truth WHERE stream = '{stream}' ORDER BY f DESC OFFSET 99 LIMIT 1)
            SELECT count(*) FILTER (WHERE truth.f >= hundredth.f), round(min(topk_max_error(s)::numeric / topk_total(s)), 6),
                   min(octet_length(s::bytea))
            FROM s, hundredth, topk_items(s) LEFT JOIN truth ON truth.item = topk_items.item AND stream = '{stream}'
            """).stdout.strip().split("|"))
    size = psql("SELECT octet_length(topk_agg(item)::bytea) FROM (SELECT item FROM all_distinct LIMIT 10) t").stdout.strip()
    print(f"\nA sketch of 10 such items: {size} bytes.", flush=True)


def machine():
    with open("/proc/cpuinfo", encoding="ascii") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    return f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}"


def main():
    rows, rounds = int(sys.argv[1]), int(sys.argv[2])
    print("# bench/sql_bench.sh, as it was last run\n")
    print(f"{machine()}; PostgreSQL {psql('SHOW server_version').stdout.strip()}; best of {rounds}.")
    over_floor = one_sketch(rows, rounds)
    parallel(rounds)
    groups(rows, min(rounds, 2))
    merges(rounds)
    answers()
    sql_bench_peers.measure(rows, rounds, over_floor, heading, row)


if __name__ == "__main__":
    main()
