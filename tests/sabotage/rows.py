"""A row of the sabotage table: a rule broken on purpose, and what must notice.

A row is a function that breaks one rule of the shipped code, by patches that are taken back; its
docstring is the mistake in a sentence. `@broken` says who must notice: runs of the simulator from
seeds, the search of every order of events, the crash at every effect, or a test by its name.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
from attrs import field, frozen

from quorum.simulation import run
from quorum.simulation.crash_points import crash_points, play
from quorum.simulation.exhaustive import Budget, Search
from quorum.simulation.invariants import Violation

ROOT = Path(__file__).resolve().parent.parent.parent

SEEDS_MAX = 300
"""Far above what rows need today (under 100): the generator's draws change with the simulator."""

STEPS = 400

SECONDS_MAX = 120
"""For a test of its own; raises `subprocess.TimeoutExpired` beyond it."""


@frozen
class Verdict:
    """What one watcher said of a broken rule."""

    by: str
    """The watcher, and what it noticed; or who should have."""
    caught: bool
    seeds: int = 0
    """Seeds that it took; 0 where seeds play no part."""


class Watcher(Protocol):
    """Somebody who must notice."""

    def watch(self, row: Row) -> Verdict:
        """Look at the core with the row's rule broken; it is whole again afterwards."""
        ...


@frozen
class Row:
    """One broken rule."""

    break_rule: Callable[[pytest.MonkeyPatch], None]
    watchers: tuple[Watcher, ...]

    @property
    def name(self) -> str:
        """What the command calls it."""
        return self.break_rule.__name__

    @property
    def pitfall(self) -> str:
        """The mistake, in words."""
        return " ".join((self.break_rule.__doc__ or "").split())

    def verdicts(self) -> list[Verdict]:
        """What each watcher says."""
        return [watcher.watch(self) for watcher in self.watchers]


def broken(*watchers: Watcher) -> Callable[[Callable[[pytest.MonkeyPatch], None]], Row]:
    """Make a row of a function that breaks a rule."""
    return lambda break_rule: Row(break_rule, watchers)


@frozen
class Seeds:
    """Runs of the simulator, seed by seed, until one breaks a promise that stands on this rule."""

    promises: str
    """A regular expression for the names of those promises."""
    options: dict[str, Any] = field(factory=dict)
    """For `run`: most rows are found by seeds as they come, some need a certain mix of faults."""
    first: int = 1

    def watch(self, row: Row) -> Verdict:
        """See `Watcher.watch`."""
        with pytest.MonkeyPatch.context() as patch:
            row.break_rule(patch)
            for count in range(1, SEEDS_MAX + 1):
                report = run(self.first + count - 1, **{"steps": STEPS, **self.options})
                if report.violations:
                    promise = report.violations[0].promise
                    caught = re.search(self.promises, promise) is not None
                    return Verdict(f"simulation: {promise}", caught, count)
        return Verdict(f"simulation: {self.promises}", caught=False, seeds=SEEDS_MAX)


@frozen
class Orders:
    """The search of every order of events of a few servers, up to a depth."""

    promise: str
    nodes: int
    events: int
    """The length of the shortest history that shows it."""
    budget: dict[str, Any] = field(factory=dict)

    def watch(self, row: Row) -> Verdict:
        """See `Watcher.watch`."""
        least = {"requests": 0, "heartbeats": 0, "crashes": 0, "repeats": 0, "timeouts": 1}
        search = Search(self.nodes, Budget(**{**least, **self.budget}))
        with pytest.MonkeyPatch.context() as patch:
            row.break_rule(patch)
            search.run(self.events)
        found = search.violation
        by = f"every order of {self.events} events: {self.promise}"
        return Verdict(by, found is not None and found.promise == self.promise)


@frozen
class CrashPoints:
    """The scripted history with a crash at every effect; without a crash nothing must show."""

    def watch(self, row: Row) -> Verdict:
        """See `Watcher.watch`."""
        points = list(crash_points())
        with pytest.MonkeyPatch.context() as patch:
            row.break_rule(patch)
            play()
            for point in reversed(points):
                try:
                    play(point)
                except Violation as violation:
                    return Verdict(f"a crash at every effect: {violation.promise}", caught=True)
        return Verdict("a crash at every effect", caught=False)


@frozen
class Named:
    """A test, by its name: run in a process of its own, it must fail."""

    test: str

    def watch(self, row: Row) -> Verdict:
        """See `Watcher.watch`."""
        line = [sys.executable, "-m", "tests.sabotage", row.name, "--within", self.test]
        done = subprocess.run(
            line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS_MAX
        )
        if done.returncode not in (0, 1):  # neither passed nor failed: there is no such test
            raise RuntimeError(f"{self.test} could not be run: {done.stdout}{done.stderr}")
        return Verdict(self.test, caught=done.returncode == 1)
