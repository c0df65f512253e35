"""When sessions with a TTL expire: a pure clock that the leader keeps.

A renewal writes nothing to the log; the leader notes it here. So a session that is renewed costs
one small request, and a new leader, who knows of no renewals, gives each a full lifetime anew.
A session is given twice its TTL, as in Consul: the owner may count on its TTL, and the leader may
be that much slower without taking a living session's locks. So it ends between one and two TTLs
after the last renewal, and later only if there is no leader meanwhile.

Once `expired` has named a session its end is on its way into the log, and `renew` refuses it: what
was granted would be taken back a moment later. It is named again after a while, for as long as
`follow` says that it is there, since its end may not have been committed.

How a leader uses it:

    clock = SessionClock()                  # a new one for each term of leading
    after a barrier, and after each change of the sessions: clock.follow(sessions, now=now)
    at clock.deadline: destroy what clock.expired(now=now) names
    on RenewSession, after a barrier: clock.renew(session, now=now) or "there is no such session"
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush, heapreplace
from math import inf
from typing import Final

from attrs import Factory, define

from catalog.kv import Session

__all__ = ["GRACE_FACTOR", "RETRY_SECONDS", "SessionClock"]

GRACE_FACTOR: Final = 2.0
"""TTLs without a renewal after which a session has expired."""
RETRY_SECONDS: Final = 2.0
"""After this time an expired session that is still there is named again."""


@define
class SessionClock:
    """The deadlines of sessions that have a TTL."""

    _ttls: dict[str, float] = Factory(dict)
    _deadlines: dict[str, float] = Factory(dict)
    _heap: list[tuple[float, str]] = Factory(list)
    """One for each session, soonest first; its deadline may have moved on since."""
    _expired: dict[str, None] = Factory(dict)

    @property
    def deadline(self) -> float:
        """When to call `expired` next, in seconds; `inf`: not as things stand."""
        self._tidy()
        return self._heap[0][0] if self._heap else inf

    def follow(self, sessions: Iterable[Session], *, now: float) -> None:
        """Learn which sessions there are: new ones begin to count, those that are gone stop."""
        ttls = {session.id: session.ttl for session in sessions if session.ttl is not None}
        for gone in [known for known in self._ttls if known not in ttls]:
            del self._ttls[gone], self._deadlines[gone]
            self._expired.pop(gone, None)
        for new in [known for known in ttls if known not in self._ttls]:
            self._ttls[new] = ttls[new]
            self._deadlines[new] = now + GRACE_FACTOR * ttls[new]
            heappush(self._heap, (self._deadlines[new], new))

    def renew(self, id: str, *, now: float) -> bool:
        """Give a session another lifetime; return whether it has one.

        `False`: it is unknown, or it has expired and is about to end. A session without a TTL is
        unknown here.
        """
        if id not in self._ttls or id in self._expired or self._deadlines[id] <= now:
            return False
        self._deadlines[id] = now + GRACE_FACTOR * self._ttls[id]
        return True

    def expired(self, *, now: float) -> tuple[str, ...]:
        """Return the sessions to destroy now, the longest expired first."""
        found = []
        self._tidy()
        while self._heap and self._heap[0][0] <= now:
            session = self._heap[0][1]
            found.append(session)
            self._expired[session] = None
            self._deadlines[session] = now + RETRY_SECONDS
            self._tidy()
        return tuple(found)

    def _tidy(self) -> None:
        """Make the first deadline of the heap a true one."""
        while self._heap:
            noted, session = self._heap[0]
            deadline = self._deadlines.get(session)
            if deadline is None:
                heappop(self._heap)
            elif deadline > noted:
                heapreplace(self._heap, (deadline, session))
            else:
                return
