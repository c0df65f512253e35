"""The backlog: updates still to be passed on, piggybacked on other messages (SWIM §4.1).

"Each group member maintains a buffer of recent membership updates, along with a local count for
each buffer element": elements "that have been gossiped fewer times" are preferred, and an element
is dropped once it was sent lambda * log(n) times.

The buffer holds at most one update about each member, the newest, under the member's name; the
list of members decides what is newer before it calls :meth:`Backlog.put`. Updates are encoded
once, when they enter; drawing packs bytes to a budget.

The elements lie in one ordered dict for each count of transmissions, so that drawing touches
little more than what it takes: no sorting, whatever the length.
"""

from __future__ import annotations

from attrs import define, field

from rumor.messages import Name

SKIPS_MAX = 16
"""Drawing gives up after this many elements that do not fit: the datagram is full enough."""


@define
class Backlog:
    """Encoded updates by name, least often sent first; among those never sent, the newest."""

    _sent: dict[Name, int] = field(factory=dict)  # how often the update about a name was drawn
    _levels: list[dict[Name, bytes]] = field(factory=list)  # _levels[i]: those drawn i times
    fresh: bool = False
    """Whether anything entered since the driver of the backlog last cleared this mark."""

    def __len__(self) -> int:
        return len(self._sent)

    def __contains__(self, name: Name) -> bool:
        return name in self._sent

    def put(self, name: Name, update: bytes) -> None:
        """Queue the update about `name` in place of an older one; its count starts again."""
        self.remove(name)
        self._place(name, update, 0)
        self.fresh = True

    def remove(self, name: Name) -> None:
        """Forget the update about `name`, if there is one."""
        sent = self._sent.pop(name, None)
        if sent is not None:
            del self._levels[sent][name]

    def draw(self, room: int, limit: int) -> tuple[bytes, ...]:
        """Take updates for one datagram: at most `room` bytes; each is drawn `limit` times."""
        drawn: list[tuple[Name, bytes, int]] = []
        skips = 0
        for sent, level in enumerate(self._levels):
            for name in reversed(level):
                update = level[name]
                if len(update) <= room:
                    room -= len(update)
                    drawn.append((name, update, sent))
                else:
                    skips += 1
                    if skips == SKIPS_MAX:
                        break
            if skips == SKIPS_MAX:
                break
        for name, update, sent in reversed(drawn):  # so that they keep their order among equals
            self.remove(name)
            if sent + 1 < limit:
                self._place(name, update, sent + 1)
        return tuple(update for _, update, _ in drawn)

    def _place(self, name: Name, update: bytes, sent: int) -> None:
        while len(self._levels) <= sent:
            self._levels.append({})
        self._levels[sent][name] = update
        self._sent[name] = sent
