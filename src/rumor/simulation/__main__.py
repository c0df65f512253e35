"""``python -m rumor.simulation``: look for broken promises, or measure."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from inspect import signature
from time import monotonic, process_time
from typing import Any

from rumor.simulation.chaos import run
from rumor.simulation.report import Report
from rumor.simulation.scenarios import SCENARIOS


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit code is 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m rumor.simulation", description=__doc__)
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), help="measure this instead")
    parser.add_argument("--seeds", type=int, help="how many runs; 20 if not given, or the usual")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--periods", type=float, default=150, help="length of the troubles")
    parser.add_argument("--seconds", type=float, help="stop after that much time, seeds or not")
    parser.add_argument("--nodes", type=int, help="members; drawn by each seed if not given")
    parser.add_argument("--trace", action="store_true", help="print what happened")
    parser.add_argument("--json", action="store_true", help="one object instead of text")
    options = parser.parse_args(arguments)
    return _measure(options) if options.scenario else _sweep(options)


def _measure(options: argparse.Namespace) -> int:
    scenario = SCENARIOS[options.scenario]
    known = signature(scenario).parameters
    given = {"seeds": options.seeds, "nodes": options.nodes, "first": options.first}
    unknown = [name for name, value in given.items() if value is not None and name not in known]
    if unknown:
        sys.stderr.write(f"scenario {options.scenario} takes no --{unknown[0]}\n")
        return 2
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if "clock" in known:
        chosen["clock"] = process_time
    result = scenario(**chosen)
    _print(json.dumps(result.as_dict(), indent=2) if options.json else result.as_text())
    return 0 if result.ok else 1


def _sweep(options: argparse.Namespace) -> int:
    report, start = Report(), monotonic()
    seeds = options.seeds if options.seeds is not None else 20
    for seed in range(options.first, options.first + seeds):
        if options.seconds is not None and monotonic() - start > options.seconds:
            break
        report.add(run(seed, nodes=options.nodes, periods=options.periods, trace=options.trace))
    seconds = monotonic() - start
    if options.trace:
        _print("\n".join(report.timeline))
    if options.json:
        _print(json.dumps(report.as_dict(seconds=seconds), indent=2))
    else:
        _print(report.as_text(seconds=seconds))
    return 1 if report.violations else 0


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
