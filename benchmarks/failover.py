"""How long nobody can write when the leader is killed; and whether full load alone unseats one.

    python -m benchmarks failover [--trials 20] [--calm 600] [--against pysyncobj] [--plot F]

Each trial: a fresh cluster with default settings under load, SIGKILL of the leader's process, and
the time until a survivor acknowledges a write that was proposed afterwards. Then one more cluster
is loaded by 256 callers for `--calm` seconds: its term must not change. The reference is the
election timeout, below which no failure is noticed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trio
from benchmarks.cluster import OURS, Cluster, Node, Program, add_against, open_cluster
from benchmarks.show import Progress, bars, finish, parser_for

from quorum import Config

COLUMNS = {
    "program": "program",
    "trials": "trials",
    "median": "median s",
    "worst": "worst s",
    "timeouts": "median / election timeout",
    "calm": "s of full load",
    "elections": "elections in it",
}
FAILOVER_SECONDS_MAX = 60.0


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = parser_for(__doc__, plot=True)
    add_against(parser)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--calm", type=float, default=60.0, help="seconds of full load")
    options = parser.parse_args(argv)
    if options.quick:
        options.trials, options.calm = 1, 0.3
    rows = trio.run(measure, options)
    finish("failover", rows, COLUMNS, options, plot=draw)


async def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The trials, the programs in turn; then full load on ours."""
    programs = [OURS, *options.against]
    taken: dict[str, list[float]] = {program.name: [] for program in programs}
    progress = Progress(options.trials * len(programs) + 1)
    for _ in range(options.trials):
        for program in programs:
            progress.step(f"{program.name}: kill the leader")
            taken[program.name].append(await failover(program, warm=0.3 if options.quick else 3.0))
    progress.step(f"full load for {options.calm:.0f} s")
    elections = await full_load(options.calm)
    progress.close()
    rows: list[dict[str, Any]] = [
        {
            "program": name,
            "trials": len(seconds),
            "median": statistics.median(seconds),
            "worst": max(seconds),
            "timeouts": statistics.median(seconds) / Config.lan().election_timeout,
            "seconds": [round(each, 3) for each in seconds],
        }
        for name, seconds in taken.items()
    ]
    rows[0] |= {"calm": options.calm, "elections": elections}
    return rows


async def failover(program: Program, *, warm: float) -> float:
    """Seconds from SIGKILL to the first write that a survivor acknowledges."""
    async with open_cluster(program) as cluster:
        await cluster.leader.tell(cmd="load", c=16, size=128, warm=0, secs=FAILOVER_SECONDS_MAX)
        await trio.sleep(warm)
        survivors = [node for node in cluster.nodes if node is not cluster.leader]
        for node in survivors:
            await node.tell(cmd="probe")
        await trio.sleep(min(1.0, warm))
        killed = time.time()
        cluster.leader.process.kill()
        with trio.fail_after(FAILOVER_SECONDS_MAX):
            return min(await first_success(survivors, after=killed)) - killed


async def first_success(survivors: Sequence[Node], *, after: float) -> list[float]:
    """When one of them could write, by its own clock, which is ours too."""
    found: list[float] = []

    async def listen(node: Node, scope: trio.CancelScope) -> None:
        while True:
            at = (await node.hear("ok"))["t"]
            if at > after:
                found.append(at)
                scope.cancel()

    async with trio.open_nursery() as nursery:
        for node in survivors:
            nursery.start_soon(listen, node, nursery.cancel_scope)
    return found


async def full_load(seconds: float) -> int:
    """How many terms passed under load without any fault."""
    async with open_cluster(OURS) as cluster:
        before = await term(cluster)
        await cluster.measure("load", c=256, size=128, warm=0.2, secs=seconds)
        return await term(cluster) - before


async def term(cluster: Cluster) -> int:
    await cluster.leader.tell(cmd="role")
    return int((await cluster.leader.hear("role"))["term"])


def draw(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Median and worst."""
    groups = {row["program"]: {"median": row["median"], "worst": row["worst"]} for row in rows}
    bars(path, groups, title="SIGKILL of the leader to the next acknowledged write", axis="s")


if __name__ == "__main__":
    main()
