"""Linearizable reads per second at the leader: by a round of messages, and under a lease.

    python -m benchmarks reads [--callers 1,16,256] [--plot F]

A closed loop of read barriers in the leader's process; what is read afterwards from the machine is
a plain call. The reference is a round of messages for each batch of readers (ReadIndex). Proposals
of the same cluster, in the same run, show what not writing saves.
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

COLUMNS = {
    "program": "program",
    "kind": "kind",
    "callers": "callers",
    "rate": "operations/s",
    "ratio": "ratio",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "read": ("lread", {}),
    "read, lease": ("lread", {"lease": True}),
    "write": ("load", {}),
}


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = parser_for(__doc__, plot=True)
    add_against(parser)
    parser.add_argument("--callers", type=numbers, default=[1, 16, 256], help="comma between")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args(argv)
    if options.quick:
        options.callers, options.runs, options.seconds = [4], 1, 0.2
    rows = summary(trio.run(measure, options))
    finish("reads", rows, COLUMNS, options, note="ratio: to `read` of quorum", plot=draw)


async def measure(options: argparse.Namespace) -> dict[tuple[str, str, int], list[dict[str, Any]]]:
    """All kinds on one cluster, by the number of callers; a fresh cluster for each run."""
    samples: defaultdict[tuple[str, str, int], list[dict[str, Any]]] = defaultdict(list)
    programs = [OURS, *options.against]
    progress = Progress(options.runs * len(programs) * len(options.callers) * len(KINDS))
    for _ in range(options.runs):
        for program in programs:
            ours = program is OURS
            async with open_cluster(program, options=["--lease"] if ours else []) as cluster:
                for callers in options.callers:
                    for kind, (command, more) in KINDS.items():
                        progress.step(f"{program.name}: {kind}, {callers} callers")
                        if more and not ours:
                            continue
                        load = {"c": callers, "size": 128, "warm": 0.2, **more}
                        result = await cluster.measure(command, secs=options.seconds, **load)
                        samples[program.name, kind, callers].append(result)
    progress.close()
    return samples


def summary(samples: Mapping[tuple[str, str, int], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each cell; ratios to our reads by a round of messages."""
    medians = {
        key: statistics.median(run["ops_s"] for run in runs) for key, runs in samples.items()
    }
    return [
        {
            "program": program,
            "kind": kind,
            "callers": callers,
            "rate": spread(run["ops_s"] for run in runs),
            "median": medians[program, kind, callers],
            "ratio": medians[program, kind, callers] / medians[OURS.name, "read", callers],
            "p50_ms": statistics.median(run["p50_ms"] for run in runs),
            "p99_ms": statistics.median(run["p99_ms"] for run in runs),
        }
        for (program, kind, callers), runs in samples.items()
    ]


def draw(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Operations per second, a group for each number of callers."""
    groups: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        groups[f"{row['callers']} callers"][f"{row['program']}: {row['kind']}"] = row["median"]
    bars(path, groups, title="Reads and writes at the leader", axis="ops/s", logarithmic=True)


if __name__ == "__main__":
    main()
