"""What a run or a sweep found, and what it did to find it.

A run in which nothing happened must not look like one in which nothing went wrong.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import define, field

from quorum.simulation.trace import Record


@define
class Finding:
    """A broken promise, and how to see it again."""

    seed: int
    step: int
    time: float
    promise: str
    detail: str
    replay: str

    def __str__(self) -> str:
        return (
            f"seed {self.seed}, step {self.step}, {self.time:.4f} s: {self.promise}: {self.detail}"
            f"\n    replay: {self.replay}"
        )


@define
class Report:
    """Counts of one run, or of many added together."""

    seeds: int = 0
    steps: int = 0
    """Calls of `Raft.step`."""
    inputs: int = 0
    """What they were told: messages, writes that are durable, what clients want."""
    commits: int = 0
    operations: Counter[str] = field(factory=Counter)
    """Clients' calls, by kind and outcome."""
    faults: Counter[str] = field(factory=Counter)
    events: Counter[str] = field(factory=Counter)
    """Elections, truncations, snapshots, joint configurations, ..."""
    simulated: float = 0.0
    """Seconds of virtual time."""
    violations: list[Finding] = field(factory=list)
    digests: dict[int, str] = field(factory=dict)
    """By seed: equal digests are equal runs."""
    timeline: list[Record] = field(factory=list)
    """Of a traced run: what happened, in order (`quorum.simulation.timeline` makes it readable)."""

    def add(self, other: Report) -> None:
        """Take in another run."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.inputs += other.inputs
        self.commits += other.commits
        self.operations.update(other.operations)
        self.faults.update(other.faults)
        self.events.update(other.events)
        self.simulated += other.simulated
        self.violations.extend(other.violations)
        self.digests.update(other.digests)
        self.timeline.extend(other.timeline)

    def as_dict(self, *, seconds: float) -> dict[str, Any]:
        """For JSON; `seconds` is what the run took by the wall clock."""
        return {
            "seeds": self.seeds,
            "steps": self.steps,
            "inputs": self.inputs,
            "commits": self.commits,
            "simulated_seconds": round(self.simulated, 3),
            "seconds": round(seconds, 3),
            "operations": dict(sorted(self.operations.items())),
            "faults": dict(sorted(self.faults.items())),
            "events": dict(sorted(self.events.items())),
            "violations": [
                {
                    "seed": each.seed,
                    "step": each.step,
                    "time": each.time,
                    "promise": each.promise,
                    "detail": each.detail,
                    "replay": each.replay,
                }
                for each in self.violations
            ],
        }

    def as_text(self, *, seconds: float) -> str:
        """For people."""

        def line(title: str, counts: Counter[str]) -> str:
            inner = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count)
            return f"{title:<12} {inner or 'none'}"

        took = max(seconds, 1e-9)
        rates = f"{self.seeds / took:.1f} seeds/s, {self.inputs / took:.0f} inputs/s"
        return "\n".join(
            [
                f"{self.seeds} seeds, {self.steps} steps, {self.commits} commits",
                f"{self.inputs} inputs in {seconds:.1f} s ({rates})",
                f"{self.simulated:.0f} s simulated",
                line("operations", self.operations),
                line("faults", self.faults),
                line("events", self.events),
                f"violations   {len(self.violations) or 'none'}",
                *(f"  {finding}" for finding in self.violations),
            ]
        )
