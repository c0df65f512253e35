"""Swim: one member of the group, as a pure machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from rumor.config import Config
from rumor.effects import Effect
from rumor.events import Event
from rumor.messages import Message, Name, Peer, Update

if TYPE_CHECKING:
    from random import Random


@frozen
class Statistics:
    """A look at one member; counts are since its start."""

    alive: int
    suspect: int
    dead: int
    left: int
    health_score: int
    """Local health: 0 is well; every step stretches the probe times by one more interval."""
    backlog: int
    """Updates still to be passed on."""
    probes: int
    probes_failed: int
    refutations: int
    exchanges: int
    refused: int
    """Newcomers, relays and seeds that a limit turned away."""


class Swim:
    """One member: takes what happened, says what to do. See :mod:`rumor.core.swim`."""

    def __init__(
        self,
        me: Peer,
        config: Config,
        *,
        now: float,
        random: Random,
        encode: Callable[[Update | Message], bytes],
    ) -> None:
        raise NotImplementedError

    def step(self, events: Iterable[Event], *, now: float) -> list[Effect]:
        """Take what happened until `now`, then fire what is due; return the orders."""
        raise NotImplementedError

    @property
    def deadline(self) -> float:
        """When to call :meth:`step` next even if nothing happens (``inf``: never)."""
        raise NotImplementedError

    @property
    def members(self) -> Mapping[Name, Peer]:
        """All that is known, this member, the dead and the departed included; a live view."""
        raise NotImplementedError

    def statistics(self) -> Statistics:
        """Counts of members and of work done."""
        raise NotImplementedError
