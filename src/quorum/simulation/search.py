"""The command line of the exhaustive search: options, and the report."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import attrs

from quorum.simulation.exhaustive import Budget, Search

DEPTH = 12
SECONDS = 120.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `--exhaustive`; without a `--budget` it is the default one."""
    group = parser.add_argument_group("exhaustive search")
    group.add_argument(
        "--exhaustive", action="store_true", help="try every order of events instead of seeds"
    )
    group.add_argument(
        "--depth", type=int, default=DEPTH, help=f"events in a history (default {DEPTH})"
    )
    group.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"stop after these (default {SECONDS:.0f})"
    )
    group.add_argument(
        "--budget",
        nargs="*",
        metavar="NAME=COUNT",
        default=[],
        help="how often each may happen: "
        + ", ".join(f"{each.name}={int(each.default or 0)}" for each in attrs.fields(Budget)),
    )


def budget_of(words: list[str]) -> Budget:
    """Read `name=count` words; raise ValueError for what is not in a `Budget`."""
    names = {each.name for each in attrs.fields(Budget)}
    counts: dict[str, Any] = {}
    for word in words:
        name, _, count = word.partition("=")
        if name not in names or not count.isdigit():
            raise ValueError(f"{word!r} is not NAME=COUNT with a name of {sorted(names)}")
        counts[name] = bool(int(count)) if name in ("instant_disks", "protected") else int(count)
    return Budget(**counts)


def search(options: argparse.Namespace, budget: Budget, clock: Callable[[], float]) -> list[str]:
    """Search as the options say; return the report, in lines. The clock is in seconds."""
    begin = clock()
    work = Search(options.nodes, budget)
    work.run(options.depth, lambda: clock() - begin > options.seconds)
    seconds = clock() - begin
    options.failed = work.violation is not None
    return [json.dumps(as_dict(work, seconds))] if options.json else as_text(work, seconds)


def as_dict(work: Search, seconds: float) -> dict[str, Any]:
    """The report as numbers."""
    violations = []
    if work.violation is not None:
        found = work.violation
        history = {"history": work.history}
        violations.append({"promise": found.promise, "detail": found.detail, **history})
    return {
        "nodes": work.nodes,
        "budget": attrs.asdict(work.budget),
        "states": work.states,
        "local_states": work.local_states,
        "transitions": work.transitions,
        "depth": work.depth,
        "complete": work.complete,
        "seconds": round(seconds, 1),
        "states_per_second": round(work.states / seconds),
        "violations": violations,
    }


def as_text(work: Search, seconds: float) -> list[str]:
    """The report in words."""
    reach = "every history within the budget" if work.complete else "every history"
    lines = [
        f"{work.nodes} servers, {work.budget}",
        f"{reach} of up to {work.depth} events",
        f"{work.states} distinct states ({work.local_states} of single servers)",
        f"{work.transitions} transitions, {seconds:.1f} s, {work.states / seconds:.0f} states/s",
    ]
    if work.violation is None:
        return [*lines, "no promise broken"]
    numbered = [f"  {number:2} {line}" for number, line in enumerate(work.history, 1)]
    return [*lines, str(work.violation), "the shortest history to it:", *numbered]
