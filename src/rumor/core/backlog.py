"""The backlog: updates still to be passed on, piggybacked on other messages (SWIM §4.1).

"Each group member maintains a buffer of recent membership updates, along with a local count for
each buffer element": elements "that have been gossiped fewer times" are preferred, and an element
is dropped once it was sent lambda * log(n) times.

The buffer holds at most one update about each member, the newest, under the member's name; the
list of members decides what is newer before it calls :meth:`Backlog.put`. User events wait in a
backlog of their own, each under its own key. Updates are encoded
once, when they enter; drawing packs bytes to a budget.

The elements lie in one ordered dict for each count of transmissions, so that drawing touches
little more than what it takes: no sorting, whatever the length.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from attrs import define, field

Key = TypeVar("Key", bound=Hashable)

SKIPS_MAX = 16
"""Drawing gives up after this many elements that do not fit: the datagram is full enough."""


@define
class Backlog(Generic[Key]):
    """Encoded updates by key, least often sent first; among those never sent, the newest."""

    _sent: dict[Key, int] = field(factory=dict)  # how often the update about a key was drawn
    _levels: list[dict[Key, bytes]] = field(factory=list)  # _levels[i]: those drawn i times
    fresh: bool = False
    """Whether anything entered since the driver of the backlog last cleared this mark."""

    def __len__(self) -> int:
        return len(self._sent)

    def __contains__(self, key: Key) -> bool:
        return key in self._sent

    def put(self, key: Key, update: bytes) -> None:
        """Queue the update about `key` in place of an older one; its count starts again."""
        self.remove(key)
        self._place(key, update, 0)
        self.fresh = True

    def remove(self, key: Key) -> None:
        """Forget the update about `key`, if there is one."""
        sent = self._sent.pop(key, None)
        if sent is not None:
            del self._levels[sent][key]

    def draw(self, room: int, limit: int) -> tuple[bytes, ...]:
        """Take updates for one datagram: at most `room` bytes; each is drawn `limit` times."""
        drawn: list[tuple[Key, bytes, int]] = []
        skips = 0
        for sent, level in enumerate(self._levels):
            for key in reversed(level):
                update = level[key]
                if len(update) <= room:
                    room -= len(update)
                    drawn.append((key, update, sent))
                else:
                    skips += 1
                    if skips == SKIPS_MAX:
                        break
            if skips == SKIPS_MAX:
                break
        for key, update, sent in reversed(drawn):  # so that they keep their order among equals
            self.remove(key)
            if sent + 1 < limit:
                self._place(key, update, sent + 1)
        return tuple(update for _, update, _ in drawn)

    def _place(self, key: Key, update: bytes, sent: int) -> None:
        while len(self._levels) <= sent:
            self._levels.append({})
        self._levels[sent][key] = update
        self._sent[key] = sent
