"""Local health: how far a member may trust its own judgement (Lifeguard's LHA-Probe).

A member that is itself slow, for want of CPU or because its link is bad, takes its own lateness
for the death of others. So it keeps a score of signs that the fault is its own: a probe that
failed (+1), a nack that a helper owed and that did not arrive (+1 each), an accusation against
itself that it had to refute (+1); a probe that succeeded heals one point. The score stretches both
the interval and the timeout of its probes, by one more interval for each point.

The paper's rules are kept to the letter; some implementations count failed probes by the missing
nacks only, and stretch the interval but not the timeout.
"""

from __future__ import annotations

from attrs import define


@define
class Awareness:
    """The score, between 0 (well) and `score_max`."""

    score_max: int
    score: int = 0

    def worsen(self, points: int = 1) -> None:
        """Note signs that the fault is our own."""
        self.score = min(self.score + points, self.score_max)

    def improve(self) -> None:
        """Note that a probe was answered."""
        self.score = max(self.score - 1, 0)

    @property
    def scale(self) -> int:
        """The factor by which probe intervals and timeouts stretch: 1 when well."""
        return self.score + 1
