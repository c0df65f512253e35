"""What a run or a sweep found, and what it did to find it: an empty run must not look good."""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import asdict, define, field


@define
class Finding:
    """A broken promise, and how to see it again."""

    seed: int
    time: float
    promise: str
    detail: str
    replay: str

    def __str__(self) -> str:
        return (
            f"seed {self.seed}, {self.time:.3f} s: {self.promise}: {self.detail}"
            f"\n    replay: {self.replay}"
        )


@define
class Report:
    """Counts of one run, or of many added together."""

    seeds: int = 0
    steps: int = 0
    """Calls of ``Swim.step``."""
    events: int = 0
    """Events given to them."""
    simulated: float = 0.0
    """Seconds of virtual time."""
    periods: float = 0.0
    """Protocol periods of virtual time."""
    faults: Counter[str] = field(factory=Counter)
    happenings: Counter[str] = field(factory=Counter)
    settling: list[float] = field(factory=list)
    """Periods from the end of the troubles to equal lists, one for each run."""
    detecting: list[float] = field(factory=list)
    """Periods from a crash in the calm to everybody's knowledge, one for each run."""
    violations: list[Finding] = field(factory=list)
    digests: dict[int, str] = field(factory=dict)
    """By seed: equal digests are equal runs."""
    timeline: list[str] = field(factory=list)
    """Of a traced run: what happened, to read."""

    def add(self, other: Report) -> None:
        """Take in another run."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.events += other.events
        self.simulated += other.simulated
        self.periods += other.periods
        self.faults.update(other.faults)
        self.happenings.update(other.happenings)
        self.settling.extend(other.settling)
        self.detecting.extend(other.detecting)
        self.violations.extend(other.violations)
        self.digests.update(other.digests)
        self.timeline.extend(other.timeline)

    def as_dict(self, *, seconds: float) -> dict[str, Any]:
        """For JSON; `seconds` is what the run took by the wall clock."""
        return {
            "seeds": self.seeds,
            "steps": self.steps,
            "events": self.events,
            "simulated_seconds": round(self.simulated, 3),
            "periods": round(self.periods, 1),
            "seconds": round(seconds, 3),
            "faults": dict(sorted(self.faults.items())),
            "happenings": dict(sorted(self.happenings.items())),
            "settling_periods": quantiles(self.settling),
            "detecting_periods": quantiles(self.detecting),
            "violations": [asdict(each) for each in self.violations],
        }

    def as_text(self, *, seconds: float) -> str:
        """For people."""

        def line(title: str, counts: Counter[str]) -> str:
            inner = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count)
            return f"{title:<12} {inner or 'none'}"

        rate = self.events / seconds if seconds else 0.0
        head = (
            f"{self.seeds} seeds, {self.steps} steps, {self.events} events, "
            f"{self.periods:.0f} periods ({self.simulated:.0f} s) simulated in "
            f"{seconds:.1f} s ({rate:.0f} events/s)"
        )
        return "\n".join(
            [
                head,
                line("faults", self.faults),
                line("happenings", self.happenings),
                f"settling     periods: {quantiles(self.settling)}",
                f"detecting    periods: {quantiles(self.detecting)}",
                f"violations   {len(self.violations) or 'none'}",
                *(f"  {finding}" for finding in self.violations),
            ]
        )


def quantile(values: list[float], part: float) -> float:
    """The smallest value that at least that part of `values` does not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def quantiles(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum."""
    parts = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: round(quantile(values, part), 2) for name, part in parts.items()}
