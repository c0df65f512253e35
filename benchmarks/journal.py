"""The journal against a bare write and fdatasync of the same bytes, in turn, in the same run.

    python benchmarks/journal.py [--quick] [--directory DIR] [--json]

The reference appends each batch's payload bytes to a file and calls fdatasync, with nothing around
it. The journal packs and checks the same entries, writes term, vote, length and checksums with them
and makes its bookkeeping; it writes over space that it has filled with zeros. A ratio below 1 means
that this pays for all the rest. Both write to the same directory, by turns, so that a disturbance
of the disk meets both. "thread" is the journal with its syncs in the standing thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

import trio

from quorum.effects import Persist
from quorum.messages import Entries
from quorum.storage.journal import JournalStorage

SHAPES = [(1, 128), (16, 128), (256, 128), (256, 1024)]


async def measure(directory: Path, count: int, size: int, *, rounds: int) -> dict[str, float]:
    """Median microseconds a batch of `count` entries of `size` bytes takes, each way."""
    inline = JournalStorage(directory / "inline", node="n", cluster="c", sync_inline=True)
    thread = JournalStorage(directory / "thread", node="n", cluster="c", sync_inline=False)
    await inline.load()
    await thread.load()
    bare = os.open(directory / "bare", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    payload = os.urandom(size)
    data = payload * count
    times: dict[str, list[float]] = {"bare": [], "inline": [], "thread": []}
    first = 1
    for _ in range(rounds):
        began = perf_counter()
        os.write(bare, data)
        os.fdatasync(bare)
        times["bare"].append(perf_counter() - began)
        for name, storage in (("inline", inline), ("thread", thread)):
            columns = (1,) * count, (1,) * count, bytes(count), (payload,) * count
            batch = [Persist(1, 1, "n", Entries(first, *columns))]
            began = perf_counter()
            await storage.persist(batch)
            times[name].append(perf_counter() - began)
        first += count
    os.close(bare)
    await inline.close()
    await thread.close()
    return {name: 1e6 * statistics.median(values) for name, values in times.items()}


async def measure_load(directory: Path, *, entries: int) -> dict[str, float]:
    """Microseconds an entry that a restart takes, and that reading the file alone takes."""
    storage = JournalStorage(directory / "load", node="n", cluster="c", sync=False)
    await storage.load()
    for first in range(1, entries, 256):
        columns = (1,) * 256, (1,) * 256, bytes(256), (bytes(128),) * 256
        await storage.persist([Persist(1, 1, "n", Entries(first, *columns))])
    await storage.close()
    path = directory / "load" / "journal-0000000001"
    began = perf_counter()
    path.read_bytes()
    reading = perf_counter() - began
    began = perf_counter()
    storage = JournalStorage(directory / "load", node="n", cluster="c", sync=False)
    found = await storage.load()
    loading = perf_counter() - began
    await storage.close()
    count = len(found.entries)
    return {"read": 1e6 * reading / count, "load": 1e6 * loading / count}


async def measure_all(
    options: argparse.Namespace,
) -> tuple[list[dict[str, float]], dict[str, float]]:
    results = []
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        place = Path(name)
        for number, (count, size) in enumerate(SHAPES):
            rounds = 20 if options.quick else 600
            medians = await measure(place / str(number), count, size, rounds=rounds)
            results.append({"entries": count, "bytes": size, **medians})
        load = await measure_load(place, entries=10_000 if options.quick else 200_000)
    return results, load


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The journal against a bare write and fdatasync.")
    parser.add_argument("--quick", action="store_true", help="a few rounds, to see that it runs")
    parser.add_argument(
        "--directory", type=Path, default=None, help="where; on the disk to measure"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(argv)
    results, load = trio.run(measure_all, options)
    if options.json:
        print(json.dumps({"persist": results, "load": load}))
        return
    for row in results:
        print(
            f"{row['entries']:4} x {row['bytes']:4} B: bare {row['bare']:7.1f} µs, "
            f"inline {row['inline']:7.1f} µs ({row['inline'] / row['bare']:.2f}x), "
            f"thread {row['thread']:7.1f} µs ({row['thread'] / row['bare']:.2f}x)"
        )
    print(
        f"restart: {load['load']:.2f} µs an entry, of which reading the file {load['read']:.2f} µs "
        f"({load['load'] / load['read']:.1f}x)"
    )


if __name__ == "__main__":
    main()
