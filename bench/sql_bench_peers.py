"""ClickHouse and DuckDB on the rows of the SQL bench, inside this process, where their packages are installed.

Both keep columns, so reading is cheaper for them than for a table of rows: what can be compared is the time beyond
each one's own floor, here the summed length of the items. One thread each.
"""
import os
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


def measure(rows, rounds, heading, row):
    heading("Others on the same rows (ns/row beyond each one's own floor, one thread)", "", "zipf_0_8", "zipf_1_0", "zipf_1_5")
    for name, open_peer, floor, top in PEERS:
        cells = []
        for stream in ("zipf_0_8", "zipf_1_0", "zipf_1_5"):
            with tempfile.TemporaryDirectory() as directory:
                path = os.path.join(directory, "stream.tsv")
                export(stream, path)
                try:
                    run = open_peer(path)
                except ImportError:
                    cells.append("not installed")
                    continue
                times = best(run, (floor, top), rounds)
                cells.append(f"{1e9 * (times[1] - times[0]) / rows:.1f}")
        row(name, *cells)
