"""What one caller waits for a durable command, beside what the machine itself takes.

    python -m benchmarks latency [--against pysyncobj] [--plot F]

The floor is what no design can avoid here: one round trip over loopback and one sync of the same
bytes, each measured bare in this run. The ratio says how many floors a command costs.
"""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import trio
from benchmarks.cluster import OURS, add_against, open_cluster
from benchmarks.show import Progress, bars, finish, parser_for

COLUMNS = {"what": "what", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "floors": "p50 / floor"}
SIZE = 128


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = parser_for(__doc__, plot=True)
    add_against(parser)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args(argv)
    if options.quick:
        options.runs, options.seconds = 1, 0.3
    programs = [OURS, *options.against]
    samples: dict[str, list[tuple[float, float]]] = {}
    progress = Progress(options.runs * (2 + len(programs)))
    for _ in range(options.runs):
        for name, measure in (("bare sync", bare_sync), ("bare round trip", bare_round_trip)):
            progress.step(name)
            samples.setdefault(name, []).append(quantiles(measure(options.seconds / 3)))
        for program in programs:
            progress.step(program.name)
            result = trio.run(one_caller, program, options.seconds)
            samples.setdefault(program.name, []).append((result["p50_ms"], result["p99_ms"]))
    progress.close()
    finish("latency", summary(samples), COLUMNS, options, plot=draw)


async def one_caller(program: Any, seconds: float) -> dict[str, Any]:
    """A fresh cluster, one command after the other."""
    async with open_cluster(program) as cluster:
        return await cluster.measure("load", c=1, size=SIZE, warm=min(1.0, seconds), secs=seconds)


def bare_sync(seconds: float) -> list[float]:
    """Append and fdatasync, again and again."""
    with tempfile.NamedTemporaryFile() as file:
        descriptor, payload = file.fileno(), os.urandom(SIZE)

        def once() -> None:
            os.write(descriptor, payload)
            os.fdatasync(descriptor)

        return timed(once, seconds)


def bare_round_trip(seconds: float) -> list[float]:
    """A message there and back over TCP on loopback, by threads that do nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = socket.create_connection(listener.getsockname())
        there, _ = listener.accept()
    for each in (here, there):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def echo() -> None:
        while data := there.recv(4096):
            there.sendall(data)

    thread = threading.Thread(target=echo, daemon=True)
    thread.start()
    payload = os.urandom(SIZE)

    def once() -> None:
        here.sendall(payload)
        here.recv(4096)

    with there, here:
        result = timed(once, seconds)
        here.shutdown(socket.SHUT_WR)
        thread.join()
    return result


def timed(once: Callable[[], None], seconds: float) -> list[float]:
    """Milliseconds that each call took, for so many seconds."""
    taken, stop = [], time.perf_counter() + seconds
    while (begun := time.perf_counter()) < stop:
        once()
        taken.append((time.perf_counter() - begun) * 1e3)
    return taken


def quantiles(milliseconds: list[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    ordered = sorted(milliseconds)
    return ordered[len(ordered) // 2], ordered[int(0.99 * (len(ordered) - 1))]


def summary(samples: Mapping[str, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    """A row for each, medians over the runs."""
    rows: list[dict[str, Any]] = [
        {
            "what": name,
            "p50_ms": statistics.median(p50 for p50, _ in runs),
            "p99_ms": statistics.median(p99 for _, p99 in runs),
        }
        for name, runs in samples.items()
    ]
    floor = rows[0]["p50_ms"] + rows[1]["p50_ms"]
    for row in rows[2:]:
        row["floors"] = row["p50_ms"] / floor
    return rows


def draw(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Median and 99th percentile of each."""
    groups = {row["what"]: {"p50": row["p50_ms"], "p99": row["p99_ms"]} for row in rows}
    bars(path, groups, title="One caller: what a durable command takes", axis="ms")


if __name__ == "__main__":
    main()
