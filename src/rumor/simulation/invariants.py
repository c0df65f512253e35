"""What must hold whatever happens, checked after every step of every member.

The promises, by the names under which a violation is reported:

``Incarnation``   no list lets a member's incarnation fall, or knows a higher one than the member
                  itself has ever claimed: only a member raises its own number (SWIM §4.2).
``Transition``    every change of a record is one of the table in :data:`KEEPS_INCARNATION`, written
                  down here a second time; and brings a larger incarnation otherwise.
``Authenticity``  address and metadata of a record are some that the member gave itself, and a
                  living member's address is not taken over.
``Liveness``      a member never holds itself for suspect or dead, and leaves only when asked to; an
                  accusation that it has heard is answered by a larger incarnation.
``Resurrection``  who was reaped comes back only with a larger incarnation or after a restart, or
                  because it was there all the time, behind a partition.
``Walk``          what the user is told of one member is a walk on the diagram of
                  :mod:`rumor.effects`, and ends where the list stands.
``Bounds``        lists, backlogs and datagrams stay within their limits.
``Storm``         the members send a bounded number of datagrams in a period.
``Deadline``      no member wants to be stepped for ever without time passing.

Most changes are notified, and so each is checked by itself; those of an incarnation only are
compared from step to step. A step may only change what its events speak of, what it notifies, and
the member's own record; so a step costs as much as it does, not as much as the list is long. A
look at the whole list, once in a period, sees to it that nothing else has changed.

What must come about *in the end* (convergence, detection, rest) needs a calm world and is asked for
by :mod:`rumor.simulation.chaos`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field

from rumor.config import Config
from rumor.core.swim import Statistics
from rumor.effects import (
    Answer,
    Collect,
    Conflicted,
    Deliver,
    Effect,
    Exchange,
    Failed,
    Joined,
    Left,
    Notification,
    Reachable,
    Reaped,
    Recovered,
    Refuse,
    Send,
    Settled,
    Suspected,
    Unreachable,
    Updated,
)
from rumor.events import Answered, Asked, Event, Received
from rumor.messages import Address, Dead, Health, Incarnation, Name, Peer, Push, Suspect
from rumor.simulation.host import Host

KEEPS_INCARNATION = {
    Health.ALIVE: (Health.SUSPECT, Health.DEAD, Health.LEFT),
    Health.SUSPECT: (Health.DEAD, Health.LEFT),
    Health.DEAD: (Health.LEFT,),
    Health.LEFT: (),
}
"""Where a record may go from each health without a larger incarnation."""

STEPS: dict[type[Notification], tuple[tuple[Health | None, ...], Health | None]] = {
    Joined: ((None, Health.DEAD, Health.LEFT), Health.ALIVE),
    Updated: ((Health.ALIVE,), Health.ALIVE),
    Suspected: ((Health.ALIVE,), Health.SUSPECT),
    Recovered: ((Health.SUSPECT,), Health.ALIVE),
    Failed: ((Health.ALIVE, Health.SUSPECT), Health.DEAD),
    Left: ((Health.ALIVE, Health.SUSPECT, Health.DEAD), Health.LEFT),
    Reaped: ((Health.DEAD, Health.LEFT), None),
}
"""The diagram: from where each notification may come, and where it leads."""


class Violation(AssertionError):
    """A promise is broken; `promise` is its name in this module's or in chaos' list."""

    def __init__(self, promise: str, detail: str) -> None:
        super().__init__(f"{promise}: {detail}")
        self.promise = promise
        self.detail = detail


@define
class View:
    """One member's list as it was after its last step."""

    peers: dict[Name, Peer]
    walk: dict[Name, Health]
    """Where the user who follows the notifications stands."""
    reaped: dict[Name, tuple[Incarnation, int]] = field(factory=dict)
    """What was forgotten: the incarnation, and how often the member had been started by then."""


@define
class Invariants:
    """Watches all members of one world."""

    config: Config
    highest: dict[Name, Incarnation] = field(factory=dict)
    """The largest incarnation that each member has claimed, over all its lives."""
    starts: dict[Name, int] = field(factory=dict)
    said: set[tuple[Name, Address, bytes]] = field(factory=set)
    """What members have said of themselves; asked for membership, never iterated."""
    views: dict[Name, View] = field(factory=dict)

    def started(self, me: Peer) -> None:
        """A member begins a life, knowing itself only."""
        self.starts[me.name] = self.starts.get(me.name, 0) + 1
        self.highest.setdefault(me.name, me.incarnation)
        self.described(me.name, me.address, me.meta)
        self.views[me.name] = View({me.name: me}, {me.name: Health.ALIVE})

    def acquainted(self, name: Name, peers: Mapping[Name, Peer]) -> None:
        """A member knows others from before the run."""
        self.views[name] = View(dict(peers), {peer.name: peer.health for peer in peers.values()})

    def described(self, name: Name, address: Address, meta: bytes) -> None:
        """A member is given metadata, which others may hold from now on."""
        self.said.add((name, address, meta))

    def ended(self, name: Name) -> None:
        """A member's life is over."""
        self.views.pop(name, None)

    def stepped(
        self,
        host: Host,
        members: Mapping[Name, Peer],
        events: Sequence[Event],
        effects: Iterable[Effect],
    ) -> None:
        """A member took these events, gave these orders, and holds this list now."""
        view = self.views[host.name]
        touched = dict.fromkeys((host.name,))
        for event in events:
            touched.update(dict.fromkeys(_names(event)))
        for effect in effects:
            if not isinstance(effect, _ORDERS):
                touched[effect.member.name] = None
                self._walk(host, view, effect)
        for name in touched:
            peer = members.get(name)
            if peer is not None and view.peers.get(name) is not peer:
                self._change(host, view, peer)
            self._compare(host, view, name, peer)
        for event in events:
            if isinstance(event, Received) and event.updates:
                self._heard(host, event, members[host.name])

    def sent(self, name: Name, data: bytes) -> None:
        """A member sends a datagram."""
        if len(data) > self.config.datagram_bytes_max:
            raise Violation("Bounds", f"{name} sends a datagram of {len(data)} bytes")

    def audited(self, host: Host, members: Mapping[Name, Peer], statistics: Statistics) -> None:
        """Look at all that a member keeps: at its size, and for changes that nothing explains."""
        view = self.views[host.name]
        if view.peers != members:
            raise Violation("Walk", f"{host.name} has changed what it was told nothing about")
        known = statistics.alive + statistics.suspect + statistics.dead + statistics.left
        if statistics.backlog > known:
            raise Violation("Bounds", f"{host.name}: {statistics.backlog} updates on {known}")
        if known > len(self.highest):
            raise Violation("Bounds", f"{host.name} knows {known} of {len(self.highest)}")
        if not 0 <= statistics.health_score <= self.config.awareness_max:
            raise Violation("Bounds", f"{host.name}: health score {statistics.health_score}")

    def _compare(self, host: Host, view: View, name: Name, peer: Peer | None) -> None:
        at, health = view.walk.get(name), peer.health if peer is not None else None
        if at is not health:
            raise Violation("Walk", f"{host.name} was told {name} {at!r}, and holds it {health!r}")

    def _change(self, host: Host, view: View, peer: Peer) -> None:
        held = view.peers.get(peer.name)
        view.peers[peer.name] = peer
        if held is None:
            self._check_arrival(host, view, peer)
        elif held != peer:
            self._check_change(host, held, peer)
        self._check_record(host, peer)

    def _check_arrival(self, host: Host, view: View, peer: Peer) -> None:
        reaped = view.reaped.pop(peer.name, None)
        if reaped is not None:
            incarnation, starts = reaped
            is_newer = peer.incarnation > incarnation or self.starts[peer.name] > starts
            if not is_newer and peer.name not in self.views:
                raise Violation("Resurrection", f"{host.name} brings back {peer}")

    def _check_change(self, host: Host, held: Peer, peer: Peer) -> None:
        step = f"{host.name}: {_brief(held)} -> {_brief(peer)}"
        if peer.incarnation < held.incarnation:
            raise Violation("Incarnation", step)
        if (
            peer.incarnation == held.incarnation
            and peer.health not in KEEPS_INCARNATION[held.health]
        ):
            raise Violation("Transition", step)
        live = (Health.ALIVE, Health.SUSPECT)
        if peer.address != held.address and held.health in live:
            raise Violation("Authenticity", f"{step}: another address")

    def _check_record(self, host: Host, peer: Peer) -> None:
        if peer.name == host.name:
            self.highest[host.name] = max(self.highest[host.name], peer.incarnation)
        if peer.incarnation > self.highest.get(peer.name, -1):
            raise Violation("Incarnation", f"{host.name}: {_brief(peer)} was never claimed")
        if (peer.name, peer.address, peer.meta) not in self.said:
            raise Violation("Authenticity", f"{host.name} holds {peer}")
        if peer.name == host.name:
            may_be = (Health.ALIVE, Health.LEFT) if host.left else (Health.ALIVE,)
            if peer.health not in may_be or peer.address != host.address:
                raise Violation("Liveness", f"{host.name} holds itself for {peer}")

    def _heard(self, host: Host, event: Received, mine: Peer) -> None:
        for update in event.updates:
            if (
                isinstance(update, Suspect | Dead)
                and update.name == host.name
                and mine.incarnation <= update.incarnation
                and mine.health is Health.ALIVE
            ):
                raise Violation("Liveness", f"{_brief(mine)} has not refuted {update}")

    def _walk(self, host: Host, view: View, told: Notification) -> None:
        peer = told.member
        if isinstance(told, Conflicted | Reachable | Unreachable):
            return
        may_come_from, to = STEPS[type(told)]
        at = view.walk.get(peer.name)
        if at not in may_come_from:
            raise Violation("Walk", f"{host.name}: {type(told).__name__} {peer.name} from {at!r}")
        if to is None:
            del view.walk[peer.name]
            del view.peers[peer.name]
            view.reaped[peer.name] = peer.incarnation, self.starts[peer.name]
        else:
            view.walk[peer.name] = to
            self._change(host, view, peer)


def _names(event: Event) -> Iterable[Name]:
    """Whom an event speaks of."""
    match event:
        case Received(updates=updates):
            return (update.name for update in updates)
        case Asked(_, Push(peers)) | Answered(_, Push(peers)):
            return (peer.name for peer in peers)
        case _:
            return ()


_ORDERS = (Send, Exchange, Answer, Settled, Deliver, Collect, Refuse)


def _brief(peer: Peer) -> str:
    return f"{peer.name} {peer.health.name}@{peer.incarnation}"
