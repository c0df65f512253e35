"""Sweep seeds: `python -m quorum.simulation --seeds 100`; or search: `... --exhaustive`.

Or play every partial partition: `... --links 5`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter

from quorum.simulation import link_table, search, timeline
from quorum.simulation.links import HOLD_MIN
from quorum.simulation.report import Report
from quorum.simulation.trial import STEPS, run


def main(arguments: list[str] | None = None) -> int:
    """Run the seeds asked for; return 1 if any promise was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m quorum.simulation",
        description="Run simulated Raft clusters under crashes, partitions, lost messages and slow "
        "or failing disks, and check every promise after every step. A seed decides a whole run.",
    )
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds (default 100)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument(
        "--steps", type=int, default=STEPS, help=f"steps of faults in each (default {STEPS})"
    )
    parser.add_argument("--nodes", type=int, default=3, help="voters at the start (default 3)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    timeline.add_options(parser)
    search.add_options(parser)
    link_table.add_options(parser)
    options = parser.parse_args(arguments)
    if min(options.seeds, options.steps, options.nodes) < 1:
        parser.error("--seeds, --steps and --nodes must be at least 1")
    if options.hold < HOLD_MIN:
        parser.error(f"--hold must be at least {HOLD_MIN:.0f}, to see anything")
    if options.trace and not Path(options.trace).is_dir():
        parser.error(f"--trace: there is no directory {options.trace}")
    if options.exhaustive:
        try:
            budget = search.budget_of(options.budget)
        except ValueError as error:
            parser.error(str(error))
        _write(search.search(options, budget, perf_counter))
        return 1 if options.failed else 0
    if options.links:
        return _links(options)
    total = Report()
    begin = perf_counter()
    for seed in range(options.first, options.first + options.seeds):
        report = run(seed, steps=options.steps, nodes=options.nodes, trace=bool(options.trace))
        if options.trace and (report.violations or options.seeds == 1):
            timeline.write(Path(options.trace), report, options.last)
        report.timeline.clear()
        total.add(report)
    seconds = perf_counter() - begin
    if options.json:
        _write([json.dumps(total.as_dict(seconds=seconds))])
    else:
        _write([total.as_text(seconds=seconds)])
    return 1 if total.violations else 0


def _links(options: argparse.Namespace) -> int:
    """Play the partial partitions; return 1 if any was not as it must be."""
    table = link_table.table(
        options.links, one_way=options.one_way, hold=options.hold, seed=options.first
    )
    rows = list(table)
    _write(link_table.report(rows, as_json=options.json))
    return 1 if any(row.broken for row in rows) else 0


def _write(lines: object) -> None:
    assert hasattr(lines, "__iter__")
    for line in lines:
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
