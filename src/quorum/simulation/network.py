"""A network that loses, delays, repeats and reorders messages, and cuts links one way or both.

It decides about a message twice: `copies` when it is sent (is the link cut? is it lost? when does
each copy arrive?), and `open` again when it arrives, so that a partition also catches what is under
way. There are no queues: copies of different messages race freely.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from attrs import Factory, define

from quorum.messages import NodeId
from quorum.simulation.faults import Faults


@define
class Network:
    """Who can reach whom, and how badly."""

    random: Random
    latency: float
    """Usual seconds from server to server."""
    faults: Faults = Factory(Faults)
    counts: Counter[str] = Factory(Counter)
    """Faults injected so far, by kind."""
    _cut: set[tuple[NodeId, NodeId]] = Factory(set)

    def open(self, sender: NodeId, to: NodeId) -> bool:
        """Whether the link in this direction carries anything at present."""
        return (sender, to) not in self._cut

    def copies(self, sender: NodeId, to: NodeId) -> tuple[float, ...]:
        """After how many seconds each copy of a message arrives; empty if none ever does."""
        if not self.open(sender, to):
            self.counts["cut"] += 1
            return ()
        if self._strikes("loss", self.faults.loss):
            return ()
        delays = [self._delay()]
        if self._strikes("duplicate", self.faults.duplicate):
            delays.append(self._delay() + self.latency * self.random.expovariate(0.1))
        return tuple(delays)

    def heal(self) -> None:
        """Open all links."""
        self._cut.clear()

    def cut(self, sender: NodeId, to: NodeId) -> None:
        """Close the link in this direction only."""
        self._cut.add((sender, to))

    def isolate(self, names: Sequence[NodeId], everyone: Sequence[NodeId]) -> None:
        """Cut these servers off from all that are not among them, in both directions."""
        for one in names:
            for other in everyone:
                if other not in names:
                    self.cut(one, other)
                    self.cut(other, one)

    def partition(self, everyone: Sequence[NodeId]) -> str:
        """Cut the network in one of the shapes that have stopped real clusters; say which."""
        self.heal()
        names = list(everyone)
        self.random.shuffle(names)
        half = self.random.randint(1, max(1, len(names) - 1))
        shape = self.random.choice(("split", "isolate", "one way", "bridge", "link", "ring"))
        match shape:
            case "split":
                self.isolate(names[:half], everyone)
            case "isolate":
                self.isolate(names[:1], everyone)
            case "one way":
                # The first hears all and is heard by none, or the other way round.
                inward = self.random.random() < 0.5
                for other in names[1:]:
                    self.cut(*((other, names[0]) if inward else (names[0], other)))
            case "bridge":
                # Two halves that only one server sees both of.
                self.isolate(names[1 : 1 + half], names[1:])
            case "link":
                self.isolate(names[:1], names[:2])
            case _:
                # Each sees its two neighbours only.
                for place, one in enumerate(names):
                    self.isolate([one], names[place + 2 : place + len(names) - 1])
        self.counts[f"partition: {shape}"] += 1
        return shape

    def _delay(self) -> float:
        delay = self.latency * self.random.uniform(0.1, 2)
        if self._strikes("delay", self.faults.delay):
            delay += self.latency * self.random.expovariate(0.05)
        return delay

    def _strikes(self, kind: str, chance: float) -> bool:
        struck = self.random.random() < chance
        self.counts[kind] += struck
        return struck
