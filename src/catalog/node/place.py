"""Where this node is in the space of round trip times, told to the leader now and then.

The more agents there are the less often each of them tells, so that all together stay below a rate
(Consul's numbers); and one that has hardly moved says nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from math import dist
from random import Random
from typing import Any, Final

import trio

import rumor
from catalog.errors import CatalogError
from catalog.model import Coordinate
from catalog.operations import UpdateCoordinate
from catalog.requests import Request

__all__ = ["Place"]

log = logging.getLogger("catalog")

RATE_MAX: Final = 64.0
"""Updates per second by all agents together."""
MOVED_SECONDS: Final = 0.0001
"""A smaller move is not worth a log entry."""


class Place:
    """Tells the catalog where this node is."""

    def __init__(
        self,
        gossip: rumor.Agent,
        ask: Callable[[Request[Any]], Awaitable[Any]],
        *,
        interval: float,
        random: Random,
    ) -> None:
        self._gossip = gossip
        self._ask = ask
        self._interval = interval
        self._random = random
        self._told: Coordinate | None = None

    async def run(self) -> None:
        """Tell it, for ever."""
        while True:
            least = max(self._interval, len(self._gossip.members) / RATE_MAX)
            await trio.sleep(least * self._random.uniform(0.75, 1.25))
            point = self._gossip.coordinate
            here = Coordinate(
                self._gossip.name, point.vector, point.error, point.adjustment, point.height
            )
            if self._told is None or _has_moved(self._told, here):
                try:
                    await self._ask(UpdateCoordinate(here))
                except CatalogError as error:
                    log.debug("the coordinate of this node was not updated: %s", error)
                else:
                    self._told = here


def _has_moved(one: Coordinate, two: Coordinate) -> bool:
    way = dist(one.vector, two.vector) + abs(one.height - two.height)
    return way + abs(one.adjustment - two.adjustment) > MOVED_SECONDS
