"""The whole registry under troubles: no promise is broken, and a seed is one run."""

from __future__ import annotations

import json
from collections import Counter

from catalog.simulation import run
from catalog.simulation.__main__ import main

MUST_HAPPEN = (
    "changes told",
    "deregistrations",
    "keys told",
    "locks acquired",
    "reads",
    "registrations",
    "sessions expired",
    "snapshots restored",
    "stale reads",
    "waits",
    "writes",
)


def test_no_promise_is_broken_and_everything_happens():
    """A few seeds, in which nothing that is promised goes unused."""
    counts: Counter[str] = Counter()
    for seed in (0, 4):
        report = run(seed, seconds=30.0)
        counts += report.counts

        assert [] == report.violations
    assert [] == [name for name in MUST_HAPPEN if not counts[name]]


def test_a_seed_is_one_run():
    """Run again it does the same, entry by entry and step by step."""
    one, two = run(7, seconds=10.0), run(7, seconds=10.0)

    assert (one.digest, one.counts) == (two.digest, two.counts)


def test_the_command_counts_what_happened(capsys):
    """As one JSON object; the exit code is 0 where no promise was broken."""
    assert 0 == main(["--seeds", "1", "--first", "3", "--length", "5", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert (1, []) == (told["seeds"], told["violations"])
    assert told["counts"]["reads"] > 0
