"""Measurements on simulated clusters, each beside the figures that others have published."""

from __future__ import annotations

from collections.abc import Callable

from rumor.simulation.scenarios.coordinates import coordinates
from rumor.simulation.scenarios.events import events
from rumor.simulation.scenarios.grid import grid
from rumor.simulation.scenarios.join import join
from rumor.simulation.scenarios.lifeguard import lifeguard
from rumor.simulation.scenarios.partition import partition
from rumor.simulation.scenarios.result import Gate, Result
from rumor.simulation.scenarios.scale import scale
from rumor.simulation.scenarios.swim import swim

SCENARIOS: dict[str, Callable[..., Result]] = {
    "lifeguard": lifeguard,
    "grid": grid,
    "join": join,
    "events": events,
    "partition": partition,
    "swim": swim,
    "coordinates": coordinates,
    "scale": scale,
}
"""By name; each takes ``first``, and some take ``seeds`` and ``nodes``."""

__all__ = ["SCENARIOS", "Gate", "Result"]
