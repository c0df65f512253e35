"""Durable operations per second, three processes on loopback, by the number of callers.

    python -m benchmarks throughput [--against pysyncobj] [--callers 1,16,256] [--memory] [--plot F]

A closed loop: each caller in the leader's process has one command under way; an operation counts
when it was acknowledged, that is, synced by a majority (`--memory`: held by one). Every cell has a
fresh cluster, and the programs take turns. Without a peer the reference is one caller; `many`
stands for calls of `propose_many` with 100 commands each.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trio
from benchmarks.cluster import OURS, add_against, open_cluster
from benchmarks.show import Progress, bars, finish, numbers, parser_for, spread

MANY = 100
COLUMNS = {
    "program": "program",
    "callers": "callers",
    "size": "bytes",
    "many": "a call",
    "rate": "operations/s",
    "ratio": "ratio",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "cpu": "CPU ms/op",
}


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = parser_for(__doc__, plot=True)
    add_against(parser)
    parser.add_argument("--callers", type=numbers, default=[1, 16, 256], help="comma between")
    parser.add_argument("--size", type=numbers, default=[128], help="bytes of a command")
    parser.add_argument("--nodes", type=int, default=3, help="servers in the cluster")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured in each cell")
    parser.add_argument("--memory", action="store_true", help="nothing is written to disk")
    options = parser.parse_args(argv)
    if options.quick:
        options.callers, options.runs, options.seconds = [4], 1, 0.3
    rows = summary(
        trio.run(measure, options),
        reference=options.against[0].name if options.against else None,
    )
    finish("throughput", rows, COLUMNS, options, note=note(options), plot=draw)


def cells(options: argparse.Namespace) -> list[tuple[int, int, int]]:
    """Callers, size and commands a call of every cell; the last is for us alone."""
    singly = [(callers, size, 1) for size in options.size for callers in options.callers]
    return [*singly, (min(16, options.callers[-1]), options.size[0], MANY)]


async def measure(options: argparse.Namespace) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Every cell, every run, the programs in turn."""
    programs = [OURS, *options.against]
    todo = [
        (program, cell)
        for _ in range(options.runs)
        for cell in cells(options)
        for program in programs
        if cell[2] == 1 or program is OURS
    ]
    samples: defaultdict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    progress = Progress(len(todo))
    for program, (callers, size, many) in todo:
        progress.step(f"{program.name}, {callers} callers of {size} bytes")
        flags = ["--memory"] if options.memory else []
        async with open_cluster(program, nodes=options.nodes, options=flags) as cluster:
            load: dict[str, Any] = {"c": callers, "size": size, "warm": min(1.0, options.seconds)}
            if many > 1:
                load["many"] = many
            result = await cluster.measure("load", secs=options.seconds, **load)
        samples[program.name, callers, size, many].append(result)
    progress.close()
    return samples


def summary(
    samples: dict[tuple[Any, ...], list[dict[str, Any]]], *, reference: str | None
) -> list[dict[str, Any]]:
    """A row for each cell, with its ratio to the same cell of the reference."""
    medians = {key: statistics.median(r["ops_s"] for r in runs) for key, runs in samples.items()}
    rows = []
    for key, runs in samples.items():
        program, callers, size, many = key
        base = (reference, callers, size, 1) if reference else first_cell(samples, size)
        row = {"program": program, "callers": callers, "size": size, "many": many}
        row["rate"] = spread(run["ops_s"] for run in runs)
        row["median"] = medians[key]
        if base in medians and program != reference:
            row["ratio"] = medians[key] / medians[base]
        for name in ("p50_ms", "p99_ms"):
            row[name] = statistics.median(run[name] for run in runs)
        row["cpu"] = statistics.median(run["cpu_ms_per_op"] for run in runs)
        row["errors"] = sum(run["errs"] for run in runs)
        rows.append(row)
    return rows


def first_cell(samples: dict[tuple[Any, ...], Any], size: int) -> tuple[Any, ...]:
    """Our cell with the fewest callers: what batching is measured against."""
    return min((key for key in samples if key[2] == size and key[3] == 1), key=lambda key: key[1])


def note(options: argparse.Namespace) -> str:
    """What must be known to read the table."""
    stored = "held in memory" if options.memory else "synced by a majority before acknowledged"
    base = options.against[0].name if options.against else "our own fewest callers"
    lines = [f"ratio: to {base}, in this run; ours are {stored}"]
    if any(program.name == "pysyncobj" for program in options.against):
        lines.append("pysyncobj acknowledges what no disk has synced")
    return "; ".join(lines)


def draw(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Operations per second, a group for each number of callers."""
    groups: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        of = f"{row['callers']} callers, {row['size']} B"
        if row["many"] == 1:
            groups[of][row["program"]] = row["median"]
    bars(path, groups, title="Acknowledged operations per second", axis="ops/s", logarithmic=True)


if __name__ == "__main__":
    main()
