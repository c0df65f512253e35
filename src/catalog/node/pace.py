"""How often an agent compares its record with the catalog: the more agents, the more rarely each.

The rules and numbers are Consul's: up to 128 agents a full comparison comes one to two intervals
after the last; with every doubling beyond that the longest gap grows by another interval, so that
the servers are asked at a rate that grows far more slowly than the cluster.
"""

from __future__ import annotations

from math import ceil, log2
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

__all__ = ["Pace", "spread"]

FEW_AGENTS: Final = 128
"""So many share the servers without being spread."""
RETRY_SECONDS: Final = (0.5, 15.0)
"""First and longest pause after a failure, with few agents; a random part is left out."""
SERVER_SECONDS: Final = 3.0
"""Within so long after a server came, with few agents: it may not have what others lost."""
OUTPUT_SECONDS: Final = 300.0
"""Between two comparisons of checks' outputs, on average: these change often and matter little."""


def spread(agents: int) -> int:
    """Return by how much a cluster of so many agents stretches its comparisons."""
    if agents <= FEW_AGENTS:
        return 1
    return ceil(log2(agents / FEW_AGENTS)) + 1


class Pace:
    """Draws the gaps between comparisons, in seconds."""

    def __init__(self, interval: float, random: Random) -> None:
        self._interval = interval
        self._random = random
        self._failures = 0

    def next_full(self, agents: int) -> float:
        """Return when to compare in full again after a success."""
        self._failures = 0
        return self._interval * (1.0 + spread(agents) * self._random.random())

    def next_outputs(self) -> float:
        """Return when to compare outputs again."""
        return OUTPUT_SECONDS * self._random.uniform(0.5, 1.5)

    def next_attempt(self, agents: int) -> float:
        """Return when to try again after a failure: later each time."""
        first, longest = RETRY_SECONDS
        seconds = min(first * 2.0**self._failures, longest) * spread(agents)
        self._failures = min(self._failures + 1, 10)
        return seconds * self._random.uniform(0.5, 1.0)

    def after_server(self, agents: int) -> float:
        """Return when to compare in full once a server has come."""
        return SERVER_SECONDS * spread(agents) * self._random.random()
