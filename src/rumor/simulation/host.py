"""One simulated process: a real core, and what keeps it from running well."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from math import inf
from random import Random
from typing import Any

from attrs import define, field

from rumor.core.swim import Swim
from rumor.events import Event
from rumor.messages import Address, Name


class Mode(Enum):
    """Whether a process runs."""

    RUNNING = "running"
    BLOCKED = "blocked"
    """It neither completes a send nor handles what it receives, but its timers run: Lifeguard's
    model of a member that is slow at processing messages."""
    PAUSED = "paused"
    """It does nothing at all, as after SIGSTOP; its clock goes on."""


@define(eq=False)
class Host:
    """A process that is a member, was one, or will be one."""

    name: Name
    address: Address
    meta: bytes = b""
    core: Swim | None = None
    """``None``: not running."""
    life: int = 0
    """Counts starts and ends, so that what was meant for an earlier life is recognised."""
    mode: Mode = Mode.RUNNING
    left: bool = False
    """Whether this life was asked to leave."""
    lateness: tuple[float, float] = (0.0, 0.0)
    """A starved process reads what comes this many seconds late: least and most."""
    wake: float = inf
    """When the next alarm that counts will ring."""
    spins: int = 0
    inbox: list[Event] = field(factory=list)
    """What arrived while it did not read."""
    outbox: list[tuple[Callable[..., None], tuple[Any, ...]]] = field(factory=list)
    """What it would have sent while it was blocked."""
    settled: dict[int, int] = field(factory=dict)
    """By tag: how many answered a ``join`` or ``leave`` of this life."""
    packets: int = 0
    """Datagrams sent, in all lives."""
    bytes: int = 0
    """Bytes sent in datagrams, in all lives."""

    def lag(self, random: Random) -> float:
        """How late it reads what arrives now."""
        return random.uniform(*self.lateness) if self.lateness[1] else 0.0

    @property
    def up(self) -> bool:
        """Whether the process exists."""
        return self.core is not None
