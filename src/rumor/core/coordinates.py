"""Network coordinates: how far any two members are from each other, by measuring only a few.

Vivaldi (Dabek, Cox, Kaashoek, Morris: "Vivaldi: A Decentralized Network Coordinate System",
SIGCOMM 2004) gives each member a point in a space of few dimensions such that the distance of two
points predicts the round trip time. Imagine a spring between each pair of members, at rest when it
is as long as their round trip. Whoever measures a round trip moves a little along that one spring;
in the end the whole net lies with little tension.

- The step depends on who is surer (§3.4): each point carries an *error*, and one's own step is
  weighted by its share of both errors.
- A *height* above the space (§5.4) is the way from a member to the network's core, which every
  route of it takes: it adds to all distances.
- An *adjustment*, the mean of what the last measurements were off by, corrects what no space can
  fit (Ledlie, Gardner, Seltzer: "Network Coordinates in the Wild", NSDI 2007, §4).
- From each member the median of the last few measurements counts, not a single slow one (ibid.).
- A weak pull towards the origin (ibid., "gravity") keeps the net as a whole from drifting away.

All lengths are seconds. The numbers below are Serf's. Whatever a peer sends, and whatever is
measured, the point stays finite: what does not fit is left out, and if arithmetic fails all the
same, the point begins anew at the origin.
"""

from __future__ import annotations

from collections import deque
from math import hypot, isfinite
from statistics import median
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from rumor.messages import COORDINATE_DIMENSIONS as DIMENSIONS
from rumor.messages import Coordinate, Name

if TYPE_CHECKING:
    from random import Random

ERROR_MAX = 1.5
ERROR_GAIN = 0.25
"""The paper's c_e: how fast one's own error follows a measurement."""
FORCE_GAIN = 0.25
"""The paper's c_c: how much of a spring's tension one step takes away."""
HEIGHT_MIN = 1e-5
GRAVITY_RADIUS = 150.0
"""At this distance from the origin the pull towards it is one second a step."""
ADJUSTMENT_SAMPLES = 20
FILTER_SAMPLES = 3
ROUND_TRIP_MAX = 10.0
"""A longer round trip is a pause of somebody's process, not a distance."""
TINY = 1e-6

ORIGIN = Coordinate((0.0,) * DIMENSIONS, ERROR_MAX, 0.0, HEIGHT_MIN)


def raw_distance(one: Coordinate, two: Coordinate) -> float:
    """The way through the space, and up and down the heights."""
    return hypot(*_minus(one.vector, two.vector)) + one.height + two.height


def distance(one: Coordinate, two: Coordinate) -> float:
    """The round trip time between two points, in seconds, as far as can be told."""
    raw = raw_distance(one, two)
    adjusted = raw + one.adjustment + two.adjustment
    return adjusted if adjusted > 0 else raw


def is_sound(coordinate: Coordinate) -> bool:
    """Tell whether one can reckon with a point; it may be of any origin."""
    numbers = (*coordinate.vector, coordinate.error, coordinate.adjustment, coordinate.height)
    return (
        len(coordinate.vector) == DIMENSIONS
        and all(map(isfinite, numbers))
        and 0 <= coordinate.error <= ERROR_MAX
        and coordinate.height >= 0
    )


@define
class Vivaldi:
    """One's own point, and what is kept to move it well."""

    random: Random
    point: Coordinate = ORIGIN
    resets: int = 0
    _offs: deque[float] = field(factory=lambda: deque(maxlen=ADJUSTMENT_SAMPLES))
    _recent: dict[Name, deque[float]] = field(factory=dict)

    def observe(self, name: Name, other: Coordinate, round_trip: float) -> bool:
        """Move after measuring the round trip to a member at `other`; false if it is left out."""
        if not (0 <= round_trip <= ROUND_TRIP_MAX and is_sound(other)):
            return False
        recent = self._recent.setdefault(name, deque(maxlen=FILTER_SAMPLES))
        recent.append(round_trip)
        usual = max(median(recent), TINY)
        try:
            self._move(other, usual)
            self._adjust(other, usual)
            self._fall()
        except OverflowError:
            self._reset()
        if not is_sound(self.point):
            self._reset()
        return True

    def forget(self, name: Name) -> None:
        """Drop what was measured to a member."""
        self._recent.pop(name, None)

    def _move(self, other: Coordinate, round_trip: float) -> None:
        """One step of the paper's algorithm (Figure 3)."""
        mine = self.point
        wrong = abs(distance(mine, other) - round_trip) / round_trip
        weight = mine.error / max(mine.error + other.error, TINY)
        gain = ERROR_GAIN * weight
        error = min(wrong * gain + mine.error * (1 - gain), ERROR_MAX)
        force = FORCE_GAIN * weight * (round_trip - distance(mine, other))
        self.point = self._pushed(evolve(mine, error=error), other, force)

    def _adjust(self, other: Coordinate, round_trip: float) -> None:
        self._offs.append(round_trip - raw_distance(self.point, other))
        # Half of it: the other member corrects for the other half.
        adjustment = sum(self._offs) / (2 * ADJUSTMENT_SAMPLES)
        self.point = evolve(self.point, adjustment=adjustment)

    def _fall(self) -> None:
        """Be pulled towards the origin, the more the farther away."""
        pull = distance(ORIGIN, self.point) / GRAVITY_RADIUS
        self.point = self._pushed(self.point, ORIGIN, -pull * pull)

    def _pushed(self, mine: Coordinate, other: Coordinate, force: float) -> Coordinate:
        """Move away from `other` by `force`; the height takes its part of it (§5.4)."""
        away = _minus(mine.vector, other.vector)
        length = hypot(*away)
        height = mine.height
        if length > TINY:
            height = max((height + other.height) * force / length + height, HEIGHT_MIN)
            unit = [part / length for part in away]
        else:
            unit = _direction(self.random)
        vector = tuple([at + force * part for at, part in zip(mine.vector, unit, strict=True)])
        return evolve(mine, vector=vector, height=height)

    def _reset(self) -> None:
        self.point = ORIGIN
        self._offs.clear()
        self.resets += 1


def _direction(random: Random) -> list[float]:
    """Where to go from a point that somebody else is at, too.

    "a unit vector in a randomly chosen direction" (§2.3), another one each time: with one for good,
    members that are all alike, as in one rack, come to rest in the wrong places.
    """
    while True:
        away = [random.random() - 0.5 for _ in range(DIMENSIONS)]
        length = hypot(*away)
        if length > TINY:
            return [part / length for part in away]


def _minus(one: tuple[float, ...], two: tuple[float, ...]) -> list[float]:
    return [a - b for a, b in zip(one, two, strict=True)]
