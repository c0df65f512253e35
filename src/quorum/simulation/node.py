"""A server as the simulation sees it: a real core, a disk, a machine, a clock and a mailbox."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from attrs import define, field

from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import Apply, Restore, Snapshot
from quorum.events import Event
from quorum.machine import StateMachine
from quorum.messages import Index, NodeId
from quorum.simulation.disks import Disk

Task: TypeAlias = Apply | Snapshot | tuple[Restore, bytes]
"""What the machine has to do, in order; a `Restore` with the snapshot's bytes."""


@define(eq=False, kw_only=True)
class Node:
    """One server. What is not on the disk is lost when it crashes."""

    id: NodeId
    config: Config
    disk: Disk
    machine: StateMachine
    rate: float = 1.0
    """Seconds of its clock in a true second."""
    offset: float = 0.0
    life: int = 0
    """Counts starts: what was meant for an earlier life does not reach this one."""
    core: Raft | None = None
    """None while it is down."""
    mail: list[Event] = field(factory=list)
    turn_due: bool = False
    wake: float | None = None
    """The true time of the alarm that is set."""
    paused_until: float = 0.0
    slow_until: float = 0.0
    """Until then its disk is slow."""
    frozen: bool = False
    """Left as it is (down, or cut off) while the others must make progress."""
    tasks: deque[Task] = field(factory=deque)
    applied: Index = 0
    spins: int = 0
    """Steps in a row that were called for a deadline and left it in the past."""

    @property
    def up(self) -> bool:
        """Whether it is running."""
        return self.core is not None

    def local(self, now: float) -> float:
        """What its clock shows at this true time."""
        return self.offset + self.rate * now

    def alarm(self) -> float:
        """The true time of the core's deadline."""
        assert self.core is not None
        return (self.core.deadline - self.offset) / self.rate

    def die(self) -> None:
        """Lose everything that is not on the disk."""
        self.core = None
        self.life += 1
        self.mail, self.turn_due, self.wake = [], False, None
        self.tasks.clear()
        self.applied = self.spins = 0
