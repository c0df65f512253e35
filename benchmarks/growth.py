"""What grows as work grows: the log, the cluster, the payload, the snapshot, what was missed.

    python -m benchmarks growth [log members payload snapshot laggard] [--full]

Each table's first row is its reference. `--full` goes to ten million entries, a snapshot of 1 GiB
and a million missed entries, and takes some minutes and 10 GiB of disk.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio
from benchmarks.cluster import OURS, open_cluster
from benchmarks.show import Progress, machine, parser_for, table

from quorum import Entries, JournalStorage
from quorum.effects import Persist

SIZE = 128
RUN = 1000
Rows = list[dict[str, Any]]


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = parser_for(__doc__)
    parser.add_argument("what", nargs="*", help=f"of {', '.join(PARTS)}; by default all")
    parser.add_argument("--full", action="store_true", help="the largest sizes, too")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args(argv)
    unknown = set(options.what) - set(PARTS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: choose of {', '.join(PARTS)}")
    if options.quick:
        options.seconds = 0.2
    chosen = options.what or list(PARTS)
    results = {}
    progress = Progress(len(chosen))
    for name in chosen:
        progress.step(name)
        results[name] = trio.run(PARTS[name], options)
    progress.close()
    if options.json:
        print(json.dumps({"benchmark": "growth", "machine": machine(), "tables": results}))
        return
    for name, rows in results.items():
        print(f"{name}: {HEADINGS[name]}\n")
        print(table(rows, {key: key for key in rows[-1]}), end="\n\n")


def sizes(options: argparse.Namespace, quick: list[int], usual: list[int], full: int) -> list[int]:
    """The sizes to measure."""
    return quick if options.quick else [*usual, *[full] * options.full]


async def log(options: argparse.Namespace) -> Rows:
    """Entries in the journal: what a restart takes, and the memory that they need."""
    rows: Rows = []
    for count in sizes(options, [2_000], [10_000, 100_000, 1_000_000], 10_000_000):
        with tempfile.TemporaryDirectory() as directory:
            await fill(Path(directory), count)
            line = [sys.executable, "-c", RESTART, directory]
            done = await trio.run_process(line, capture_stdout=True)
        found = json.loads(done.stdout)
        rows.append(
            {
                "entries": count,
                "restart s": found["seconds"],
                "us an entry": found["seconds"] / count * 1e6,
                "bytes of memory an entry": found["bytes"] / count,
            }
        )
    return compared(rows, "us an entry")


async def fill(directory: Path, count: int) -> None:
    """A journal with so many entries."""
    storage = JournalStorage(directory, node="n", cluster="c", sync=False)
    await storage.load()
    payload = bytes(SIZE)
    for first in range(1, count, RUN):
        columns = (1,) * RUN, (1,) * RUN, bytes(RUN), (payload,) * RUN
        await storage.persist([Persist(1, 1, "n", Entries(first, *columns))])
    await storage.close()


RESTART = """
import json, resource, sys, time, trio
from quorum import JournalStorage
async def main():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    storage = JournalStorage(sys.argv[1], node="n", cluster="c")
    found = await storage.load()
    seconds = time.perf_counter() - begun
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(json.dumps({"seconds": seconds, "bytes": used, "entries": len(found.entries)}))
trio.run(main)
"""
"""In a process of its own, whose greatest memory tells what the log needs."""


async def members(options: argparse.Namespace) -> Rows:
    """Servers in the cluster, all on this machine: more copies, more work, one rate."""
    rows: Rows = []
    for count in sizes(options, [3], [3, 5, 7], 9):
        async with open_cluster(OURS, nodes=count) as cluster:
            result = await cluster.measure("load", c=256, size=SIZE, warm=0.5, secs=options.seconds)
        rows.append(
            {
                "servers": count,
                "operations/s": result["ops_s"],
                "p99 ms": result["p99_ms"],
                "CPU ms/op": result["cpu_ms_per_op"],
            }
        )
    return compared(rows, "operations/s")


async def payload(options: argparse.Namespace) -> Rows:
    """Bytes of a command, by 16 callers."""
    rows: Rows = []
    for size in sizes(options, [128, 4096], [128, 1024, 16_384, 131_072], 1 << 20):
        async with open_cluster(OURS) as cluster:
            result = await cluster.measure("load", c=16, size=size, warm=0.5, secs=options.seconds)
        rate = result["ops_s"] * size / 1e6
        rows.append({"bytes": size, "operations/s": result["ops_s"], "MB/s": rate})
        rows[-1]["p99 ms"] = result["p99_ms"]
    return compared(rows, "MB/s")


async def snapshot(options: argparse.Namespace) -> Rows:
    """A state of so many MiB, dumped by every server again and again while 16 callers write."""
    rows: Rows = []
    for mebibytes in sizes(options, [0, 4], [0, 64, 256], 1024):
        flags = ["--state", str(mebibytes)]
        if mebibytes:
            flags += ["--snapshot-entries", "2000"]
        async with open_cluster(OURS, options=flags) as cluster:
            seconds = max(options.seconds, mebibytes / 64)
            result = await cluster.measure("load", c=16, size=SIZE, warm=0.2, secs=seconds)
        row = {"MiB": mebibytes, "operations/s": result["ops_s"]}
        rows.append(row | {f"{q} ms": result[f"{q}_ms"] for q in ("p50", "p99", "max")})
    return compared(rows, "p99 ms")


async def laggard(options: argparse.Namespace) -> Rows:
    """A follower that was away while so many entries were written: until it has them."""
    rows: Rows = []
    for missed in sizes(options, [2_000], [10_000, 100_000], 1_000_000):
        async with open_cluster(OURS) as cluster:
            follower = next(node for node in cluster.nodes if node is not cluster.leader)
            follower.process.kill()
            written = 0
            begun = time.perf_counter()
            while written < missed:
                arguments = {"c": 16, "size": SIZE, "warm": 0, "secs": 0.3, "many": 100}
                await cluster.leader.tell(cmd="load", **arguments)
                written += (await cluster.leader.hear("result"))["ops"]
            writing = time.perf_counter() - begun
            begun = time.perf_counter()
            await cluster.restart(follower)
            while await cluster.applied(follower) < written:  # noqa: ASYNC110 - another process
                await trio.sleep(0.01)
            catching_up = time.perf_counter() - begun
        rows.append(
            {
                "missed": written,
                "back after s": catching_up,
                "us an entry": catching_up / written * 1e6,
                "x the time of writing": catching_up / writing,
            }
        )
    return compared(rows, "us an entry")


def compared(rows: Rows, column: str) -> Rows:
    """Add how each row compares with the first: 1.0 everywhere is a flat cost."""
    for row in rows:
        row["x first"] = row[column] / rows[0][column]
    return rows


PARTS: dict[str, Callable[[argparse.Namespace], Awaitable[Rows]]] = {
    "log": log,
    "members": members,
    "payload": payload,
    "snapshot": snapshot,
    "laggard": laggard,
}
HEADINGS = {
    name: (part.__doc__ or "").partition("\n")[0].rstrip(".") for name, part in PARTS.items()
}

if __name__ == "__main__":
    main()
