"""The list of members, and the table that tells which of two statements is newer (SWIM §4.2).

The paper orders statements about one member so: Alive overrides what has a smaller incarnation;
Suspect overrides Alive of the same or a smaller one; Confirm ("dead") overrides both. We keep that
order and add two things. The dead may return with a larger incarnation, which the paper leaves to
a fresh identity. And a farewell stands above a death of the same incarnation, so that who has left
is never reported as failed. The whole table, i for what arrives and j for what is held:

    arrives | held     Alive j    Suspect j    Dead j    Left j
    Alive i           i > j      i > j        i > j     i > j
    Suspect i         i >= j     i > j        i > j     i > j
    Dead i            i >= j     i >= j       i > j     i > j
    Left i            i >= j     i >= j       i >= j    i > j

which is the lexicographic order of (incarnation, health). It is total, so statements may arrive in
any order, twice, or by way of others, and every list ends with the same record: the greatest.

A statement about somebody unknown is of use only if it brings an address: Alive does. Suspicions,
deaths and farewells of the unknown are ignored.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, assert_never

from rumor.messages import (
    Alive,
    Dead,
    Health,
    Incarnation,
    Leave,
    Name,
    Peer,
    Suspect,
    Update,
    Version,
)

if TYPE_CHECKING:
    from random import Random

LIVE = (Health.ALIVE, Health.SUSPECT)
"""A suspect is a member like any other until it is declared dead."""


def supersedes(incarnation: Incarnation, health: Health, *, held: Peer | Version) -> bool:
    """Tell whether a statement is newer than the record that is held: the table above."""
    return (incarnation, health) > (held.incarnation, held.health)


def update_of(peer: Peer) -> Update:
    """Say as an update what the record says."""
    match peer.health:
        case Health.ALIVE:
            return Alive(peer.name, peer.address, peer.incarnation, peer.meta)
        case Health.SUSPECT:
            return Suspect(peer.name, peer.incarnation, peer.accuser or peer.name)
        case Health.DEAD:
            return Dead(peer.name, peer.incarnation, peer.accuser or peer.name)
        case Health.LEFT:
            return Leave(peer.name, peer.incarnation)
        case _:
            assert_never(peer.health)


class Members:
    """Records by name; the living others also in a list, so that choosing some is cheap."""

    def __init__(self, me: Peer) -> None:
        self.me = me.name
        self._peers: dict[Name, Peer] = {}
        self._live: list[Name] = []  # living members but for ourselves, in no order
        self._slots: dict[Name, int] = {}  # where in _live
        self._died: dict[Name, float] = {}  # when, the latest last
        self.view: Mapping[Name, Peer] = MappingProxyType(self._peers)
        self.changes = 0  # counts changes of any record
        self.put(me, 0.0)

    def __len__(self) -> int:
        return len(self._peers)

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def __contains__(self, name: Name) -> bool:
        return name in self._peers

    def get(self, name: Name) -> Peer | None:
        """The record of a member, if it is known."""
        return self._peers.get(name)

    @property
    def myself(self) -> Peer:
        """Our own record."""
        return self._peers[self.me]

    @property
    def others(self) -> int:
        """How many others live, suspects included."""
        return len(self._live)

    @property
    def size(self) -> int:
        """The paper's n: the living and ourselves. The dead do not slow the living down."""
        return len(self._live) + 1

    def put(self, peer: Peer, now: float) -> None:
        """Replace a member's record; the caller has asked :func:`supersedes`."""
        name = peer.name
        self.changes += 1
        self._peers[name] = peer
        self._died.pop(name, None)
        if peer.health in LIVE:
            if name not in self._slots and name != self.me:
                self._slots[name] = len(self._live)
                self._live.append(name)
            return
        self._drop_live(name)
        if peer.health is Health.DEAD:
            self._died[name] = now

    def forget(self, name: Name) -> Peer:
        """Remove a member altogether."""
        assert name != self.me
        self.changes += 1
        self._drop_live(name)
        self._died.pop(name, None)
        return self._peers.pop(name)

    def live_names(self) -> list[Name]:
        """The living others, a copy."""
        return list(self._live)

    def sample(self, count: int, random: Random, *, without: Container[Name] = ()) -> list[Peer]:
        """Choose up to `count` of the living others at random, without repeats."""
        if len(self._live) <= 4 * count:
            names = [name for name in self._live if name not in without]
            random.shuffle(names)
            return [self._peers[name] for name in names[:count]]
        # A bounded number of tries: in a list this long they nearly always suffice, and one helper
        # or listener fewer now and then does no harm.
        chosen: dict[Name, Peer] = {}
        for _ in range(4 * count):
            name = self._live[random.randrange(len(self._live))]
            if name not in without:
                chosen[name] = self._peers[name]
            if len(chosen) == count:
                break
        return list(chosen.values())

    def died_since(self, then: float) -> list[Name]:
        """Members that died at `then` or later, the latest first."""
        recent: list[Name] = []
        for name in reversed(self._died):
            if self._died[name] < then:
                break
            recent.append(name)
        return recent

    def dead_names(self) -> list[Name]:
        """Members that failed and are not yet forgotten, the earliest first."""
        return list(self._died)

    def _drop_live(self, name: Name) -> None:
        slot = self._slots.pop(name, None)
        if slot is None:
            return
        last = self._live.pop()
        if last != name:
            self._live[slot] = last
            self._slots[last] = slot
