"""ClickHouse and DuckDB on the rows of the SQL bench, inside this process, where their packages are installed.

Both keep columns, so reading is cheaper for them than for a table of rows: what can be compared is the time beyond
each one's own floor, here the summed length of the items. One thread each. Their peak memory is by how much this
process grows while it runs the query.
"""
import os
import re
import subprocess
import tempfile
import time


def best(run, queries, rounds):
    """The best elapsed seconds of each query; they take turns."""
    times = [[elapsed(run, query) for query in queries] for _ in range(rounds)]
    return [min(column) for column in zip(*times)]


def elapsed(run, query):
    start = time.perf_counter()
    run(query)
    return time.perf_counter() - start


def open_chdb(path):
    from chdb import session
    chdb = session.Session()
    chdb.query("CREATE OR REPLACE TABLE stream (item String) ENGINE = Memory")
    chdb.query(f"INSERT INTO stream SELECT item FROM file('{path}', TSV, 'item String')")
    return lambda query: chdb.query(query + " SETTINGS max_threads = 1")


def open_duckdb(path):
    import duckdb
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(f"CREATE TABLE stream AS SELECT column0 AS item FROM read_csv('{path}', header = false, delim = '\t')")
    return lambda query: connection.execute(query).fetchall()


PEERS = (
    ("ClickHouse topK(100), package chdb", open_chdb, "SELECT sum(length(item)) FROM stream", "SELECT topK(100)(item) FROM stream"),
    ("DuckDB approx_top_k(100), package duckdb", open_duckdb, "SELECT sum(length(item)) FROM stream",
     "SELECT approx_top_k(item, 100) FROM stream"),
)


def export(stream, path):
    with open(path, "wb") as file:
        subprocess.run(["psql", "-XAtqc", f"COPY {stream} TO STDOUT"], stdout=file, check=True)


def kilobytes(field):
    with open("/proc/self/status", encoding="ascii") as file:
        return int(re.search(rf"^{field}:\s+(\d+)", file.read(), re.MULTILINE).group(1))


def extra_megabytes(run, query):
    """By how much the process grows at its peak while it runs the query."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # the peak begins anew
    before = kilobytes("VmRSS")
    run(query)
    return (kilobytes("VmHWM") - before) // 1024


def measure(rows, rounds, ours, heading, row):
    """ours: what topk_agg takes over its floor for each stream."""
    streams = ("zipf_0_8", "zipf_1_0", "zipf_1_5")
    heading("Others on the same rows (ns/row beyond each one's own floor, one thread; x: times what `topk_agg(item)` took beyond its own)",
            "", *streams, "peak memory, MB")
    for name, open_peer, floor, top in PEERS:
        cells = []
        megabytes = ""
        for stream in streams:
            with tempfile.TemporaryDirectory() as directory:
                path = os.path.join(directory, "stream.tsv")
                export(stream, path)
                try:
                    run = open_peer(path)
                except ImportError:
                    cells.append("not installed")
                    continue
                run(floor)
                megabytes = max(megabytes or 0, extra_megabytes(run, top))
                times = best(run, (floor, top), rounds)
                over_floor = 1e9 * (times[1] - times[0]) / rows
                cells.append(f"{over_floor:.1f} ({over_floor / ours[stream]:.2f}x)")
        row(name, *cells, megabytes)
