"""What waits for the disk.

Figure 2: "Updated on stable storage before responding to RPCs". Nothing in the core waits, so the
gate holds back what may not be said yet: each `Persist` has a ticket, each held message names the
ticket that it needs, and `Persisted(ticket)` lets go of all up to it. Tickets are answered in
order, so one sync answers many.

The gate also knows how far our own log is durable (`durable`): that, and not the log's end, is what
a leader counts for itself, what a follower acknowledges, and how far anything is applied. A
truncation takes back what the tickets still out would have promised: an entry that was replaced
while its write was under way must not be taken for its successor at the same index.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field

from quorum.effects import Send
from quorum.events import Ticket
from quorum.messages import Index


@define
class _Write:
    """A `Persist` that the driver has not answered yet."""

    ticket: Ticket
    last: Index
    """Our log is durable up to here once this is answered."""
    since: float


@define
class Gate:
    """Tickets out, and what waits for them."""

    durable: Index
    issued: Ticket = 0
    persisted: Ticket = 0
    hard: Ticket = 0
    """The ticket that carried the newest change of term or vote."""
    _writes: deque[_Write] = field(factory=deque)
    _held: deque[tuple[Ticket, Send]] = field(factory=deque)

    def issue(self, last: Index, now: float, *, hard: bool) -> Ticket:
        """A ticket for a `Persist` after which our log is durable up to `last`."""
        self.issued += 1
        if hard:
            self.hard = self.issued
        self._writes.append(_Write(self.issued, last, now))
        return self.issued

    def persisted_up_to(self, ticket: Ticket) -> None:
        """The driver answered this ticket, and with it all before it."""
        assert self.persisted < ticket <= self.issued, "tickets are answered once, in order"
        self.persisted = ticket
        while self._writes and self._writes[0].ticket <= ticket:
            self.durable = self._writes.popleft().last

    def truncated(self, start: Index) -> None:
        """Entries from `start` on were dropped: no write under way promises them any more."""
        self.durable = min(self.durable, start - 1)
        for write in self._writes:
            write.last = min(write.last, start - 1)

    def hold(self, ticket: Ticket, send: Send) -> None:
        """Keep a message until this ticket is answered."""
        self._held.append((ticket, send))

    def release(self) -> list[Send]:
        """The messages that may go now.

        Tickets need not be in order here: a reply needs the newest write, a request only the newest
        change of term. The few that are held are looked at one by one.
        """
        if not self._held:
            return []
        free = [send for ticket, send in self._held if ticket <= self.persisted]
        if free:
            self._held = deque(pair for pair in self._held if pair[0] > self.persisted)
        return free

    def stalled_since(self) -> float:
        """When the oldest write under way was ordered; `inf` when there is none."""
        return self._writes[0].since if self._writes else float("inf")
