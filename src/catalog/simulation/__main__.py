"""`python -m catalog.simulation`: look for broken promises of the registry."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Any

from catalog.simulation.chaos import Report, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit code is 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m catalog.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many runs")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--length", type=float, default=60.0, help="seconds of troubles in a run")
    parser.add_argument("--json", action="store_true", help="one object instead of text")
    options = parser.parse_args(arguments)
    begun, reports = monotonic(), []
    for seed in range(options.first, options.first + options.seeds):
        reports.append(run(seed, seconds=options.length))
        for violation in reports[-1].violations if not options.json else ():
            _print(f"seed {seed}: {violation}")
    result = summary(reports, seconds=monotonic() - begun)
    _print(json.dumps(result, indent=2) if options.json else as_text(result))
    return 1 if result["violations"] else 0


def summary(reports: Sequence[Report], *, seconds: float) -> dict[str, Any]:
    """Return all reports in one, fit for JSON."""
    counts: Counter[str] = Counter()
    for report in reports:
        counts += report.counts
    return {
        "seeds": len(reports),
        "seconds": round(seconds, 1),
        "virtual_seconds": round(sum(report.seconds for report in reports), 1),
        "violations": [
            {"seed": report.seed, "promise": one.promise, "detail": one.detail}
            for report in reports
            for one in report.violations
        ],
        "counts": dict(sorted(counts.items())),
    }


def as_text(result: dict[str, Any]) -> str:
    """Return a summary for people."""
    counts = "\n".join(f"  {count:>9,}  {name}" for name, count in result["counts"].items())
    return (
        f"{result['seeds']} seeds, {result['virtual_seconds']:,} s of virtual time in "
        f"{result['seconds']} s, {len(result['violations'])} violations\n{counts}"
    )


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
