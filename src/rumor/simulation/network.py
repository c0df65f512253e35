"""The network between simulated members: what it does to a datagram and to a stream.

Datagrams get lost, arrive twice, arrive late and overtake each other. Links can be cut in one
direction only, so that A hears B while B does not hear A, and so that A and C each reach B but not
each other. Streams are what TCP makes of the same links: whole, in order, or failed.
"""

from __future__ import annotations

from random import Random

from attrs import define, field

from rumor.messages import Name


@define
class Network:
    """Chances for each datagram, and the links that are cut."""

    random: Random
    latency: float = 0.001
    """Usual time one way, in seconds; each datagram draws between a half and twice this."""
    loss: float = 0.0
    """Chance that a datagram vanishes."""
    duplicate: float = 0.0
    """Chance that a datagram arrives a second time, up to `delay` later."""
    held_up: float = 0.0
    """Chance that a datagram arrives up to `delay` later, and so is overtaken."""
    delay: float = 0.0
    """The longest such lateness, in seconds."""
    stream_loss: float = 0.0
    """Chance that a stream breaks."""
    cuts: set[tuple[Name, Name]] = field(factory=set)
    """Pairs (from, to) between which nothing passes; asked for membership, never iterated."""
    sides: dict[Name, int] = field(factory=dict)
    """A partition: members on different sides are cut off from each other; 0 if not named."""

    def is_open(self, source: Name, to: Name) -> bool:
        """Whether the link carries anything in this direction."""
        sides = self.sides
        if sides and sides.get(source, 0) != sides.get(to, 0):
            return False
        return not self.cuts or (source, to) not in self.cuts

    def copies(self, source: Name, to: Name) -> list[float]:
        """After how many seconds each copy of a datagram arrives: usually one, perhaps none."""
        if not self.is_open(source, to):
            return []
        random = self.random
        delays = [] if self.loss and random.random() < self.loss else [self._latency()]
        if self.duplicate and random.random() < self.duplicate:
            delays.append(self._latency() + random.random() * self.delay)
        if delays and self.held_up and random.random() < self.held_up:
            delays[0] += random.random() * self.delay
        return delays

    def round_trip(self, source: Name, to: Name) -> float | None:
        """After how many seconds a stream's bytes are there; ``None``: the stream breaks.

        A lost segment is sent again, which costs time and not the stream.
        """
        if not (self.is_open(source, to) and self.is_open(to, source)):
            return None
        if self.stream_loss and self.random.random() < self.stream_loss:
            return None
        again = 0.2 if self.loss and self.random.random() < 2 * self.loss else 0.0
        return 2 * self._latency() + again

    def heal(self) -> None:
        """Mend every cut; the chances stay."""
        self.cuts.clear()
        self.sides.clear()

    def calm(self) -> None:
        """Mend every cut, and lose, hold up and repeat nothing any more."""
        self.heal()
        self.loss = self.duplicate = self.held_up = self.stream_loss = 0.0

    def _latency(self) -> float:
        return self.latency * (0.5 + 1.5 * self.random.random())
