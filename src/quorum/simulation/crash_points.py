"""The script that is played at every crash point, and the list of those points.

The script has one of everything that the protocol does: elections, writes, a read, a follower that
is cut off and catches up by a snapshot, a change of members by joint consensus, and a transfer of
leadership. Each part is repeated until it succeeds, as a client would; what was acknowledged is
noted, and looked for at the end in every server's machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from attrs import define, evolve, field

from quorum.events import (
    Event,
    MembersProposed,
    Proposed,
    ReadRequested,
    Tag,
    TransferRequested,
)
from quorum.messages import Members, NodeId
from quorum.simulation.crashes import Crash, Rig
from quorum.simulation.invariants import Violation

FOUNDERS = ("a", "b", "c")
SUCCESSORS = ("b", "c", "d")
TRIES_MAX = 20


@define
class _Script:
    rig: Rig
    acknowledged: list[int] = field(factory=list)

    def play(self) -> None:
        """The whole history."""
        rig = self.rig
        rig.add(*FOUNDERS, members=Members(voters=FOUNDERS))
        self.write(2)
        rig.cut.add("c")
        self.write(6)
        rig.cut.clear()
        self.write(1)
        self.read()
        rig.add("d", members=Members())
        self.change(Members(voters=SUCCESSORS))
        self.transfer("c")
        self.write(2)
        self.settle()

    def write(self, count: int) -> None:
        """Append so many numbers, each until it is acknowledged."""
        for _ in range(count):
            number = len(self.acknowledged) + 1
            self._insist(partial(Proposed, commands=(f"x {number}".encode(),)))
            self.acknowledged.append(number)

    def read(self) -> None:
        """Read at the leader."""
        self._insist(ReadRequested)

    def change(self, members: Members) -> None:
        """Change the members, and wait until the change is over."""
        rig = self.rig

        def over() -> bool:
            return all(
                (server.core is not None and self._members(name) == members.voters)
                for name, server in rig.servers.items()
                if name in members.voters
            )

        for _ in range(TRIES_MAX):
            if self._members(rig.leader()) == members.voters:
                break
            rig.ask(rig.leader(), lambda tag: MembersProposed(tag, members))
            rig.wait(over, "the change", limit=2.0, strict=False)
        rig.wait(over, "the change")

    def _members(self, name: NodeId) -> tuple[NodeId, ...] | None:
        """The voters that this server goes by; None while they change."""
        core = self.rig.servers[name].core
        members = core.statistics().members if core is not None else None
        return members.voters if members is not None and not members.joint else None

    def transfer(self, to: NodeId) -> None:
        """Hand over leadership; whether it succeeds depends on who is down."""
        rig = self.rig
        rig.ask(rig.leader(), lambda tag: TransferRequested(tag, to))
        rig.leader()

    def _insist(self, make: Callable[[Tag], Event]) -> None:
        rig = self.rig
        for _ in range(TRIES_MAX):
            if rig.ask(rig.leader(), make) == "ok":
                return
            rig.wait(lambda: False, "a moment", limit=0.1, strict=False)
        raise Violation("Liveness", f"not after {TRIES_MAX} tries")

    def settle(self) -> None:
        """Everybody catches up, and has what was acknowledged, in that order."""
        rig = self.rig

        def caught_up() -> bool:
            states = [
                server.core.statistics()
                for name, server in rig.servers.items()
                if name in SUCCESSORS and server.core is not None
            ]
            return len(states) == len(SUCCESSORS) and all(
                state.applied == state.last_index == rig.observer.commit for state in states
            )

        rig.wait(caught_up, "everybody catches up")
        for name in SUCCESSORS:
            values = list(dict.fromkeys(rig.servers[name].machine.read("x")))
            if values != self.acknowledged:
                raise Violation("Acknowledged writes", f"{name} has {values}")


def play(crash: Crash | None = None) -> Rig:
    """Play the script; raise `Violation` if a promise is broken."""
    rig = Rig(crash)
    _Script(rig).play()
    return rig


def crash_points() -> Iterator[Crash]:
    """Every moment of every server; twice where a write is under way: lost, and written."""
    for name, server in play().servers.items():
        for moment in range(1, server.moments + 1):
            crash = Crash(name, moment)
            yield crash
            if moment in server.unwritten:
                yield evolve(crash, written=True)
