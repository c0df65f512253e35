"""Suspicion: the time that an accused member has to refute (SWIM §4.2, Lifeguard).

SWIM gives every suspect the same time. Lifeguard starts with a long timeout and shortens it with
each *independent* confirmation: many accusers are right, a single one may itself be the slow
party. After C of K expected confirmations the suspicion lasts, from its start,

    max - (max - min) * ln(C + 1) / ln(K + 1)        but never less than min.

Nothing here knows a clock or a list of members: arithmetic, and the names heard so far.
"""

from __future__ import annotations

from math import ceil, floor, log, log2, log10

from attrs import define, field

from rumor.messages import Incarnation, Name


def suspicion_time(multiplier: float, members: int, probe_interval: float) -> float:
    """The shortest suspicion: multiplier * max(1, log10(members)) probe intervals, in seconds."""
    scale = max(1.0, log10(max(1, members)))
    return multiplier * floor(scale * 1000) / 1000 * probe_interval


def timeout(confirmations: int, expected: int, shortest: float, longest: float) -> float:
    """How long a suspicion lasts in all, in seconds, after that many confirmations."""
    if expected < 1:
        return shortest
    fraction = log(confirmations + 1) / log(expected + 1)
    milliseconds = floor(1000 * (longest - fraction * (longest - shortest)))
    return max(shortest, milliseconds / 1000)


def transmit_limit(multiplier: float, members: int) -> int:
    """How often a member passes on one update: multiplier * ceil(log10(members + 1)) (§4.1)."""
    return ceil(multiplier * ceil(log10(members + 1)))


def exchange_scale(members: int) -> int:
    """By how much the exchange interval grows in large clusters: 1 up to 32 members, 2 up to 64."""
    return 1 if members <= 32 else ceil(log2(members) - 5) + 1


@define
class Suspicion:
    """One member's open suspicion, of one incarnation; a newer incarnation opens a new one."""

    incarnation: Incarnation
    started: float
    shortest: float
    longest: float
    expected: int
    """Confirmations that bring the timeout down to the shortest (Lifeguard's K)."""
    accusers: dict[Name, None] = field(factory=dict)
    """Who said so, in order; the first opened the suspicion and is not a confirmation."""

    def confirm(self, accuser: Name) -> bool:
        """Count an accuser; tell whether that is news which brings the end nearer."""
        if accuser in self.accusers or len(self.accusers) > self.expected:
            return False
        self.accusers[accuser] = None
        return True

    @property
    def deadline(self) -> float:
        """When the suspect is to be declared dead."""
        confirmations = max(0, len(self.accusers) - 1)
        return self.started + timeout(confirmations, self.expected, self.shortest, self.longest)
