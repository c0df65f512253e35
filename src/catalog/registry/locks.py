"""Who may hold a key: the rules that join keys and sessions.

A key without a holder may be acquired by any session; its lock index then counts one up, and
(key, lock index, session) is the fencing token. The holder may write it again by acquiring it
again, and releases it when it is done.

When a session ends otherwise, its former holder may not know yet that it has lost its locks. So
nobody acquires them until the session's lock-delay is over (Chubby, Burrows 2006, section 2.4).
Consul keeps that time in each server's memory, where a change of leaders or a restart loses it.
Here it is counted by the clock of the log, and kept in snapshots: whatever happens to servers, no
replica lets the next holder in earlier than another.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from attrs import Factory, define

from catalog.answers import Reason, Refusal
from catalog.commands import Acquire, Release
from catalog.model import Behaviour, Session
from catalog.registry.keys import KeyTable
from catalog.registry.refusals import unknown_session
from catalog.registry.rows import Rows
from catalog.registry.sessions import SessionTable

__all__ = ["Locks"]


@define
class Locks:
    """The rules, and the delays under way."""

    keys: KeyTable
    sessions: SessionTable
    _delays: Rows[str, int] = Factory(Rows)
    """Keys that may not be acquired before this moment, in ms by the clock of the log."""
    _ends: list[tuple[int, str]] = Factory(list)
    """A heap of the same; what is in here only is over."""

    def acquire(self, command: Acquire, index: int, stamp: int) -> Reason | None:
        """Write a key and hold it."""
        key, session = command.key, command.session
        if self.sessions.get(session) is None:
            return unknown_session(session)
        old = self.keys.get(key)
        if old is not None and old.session == session:
            self.keys.write(key, command.value, command.flags, index)
            return None
        if old is not None and old.session:
            return Refusal.LOCKED, (
                f"key {key!r} is held by session {old.session!r}; it is unchanged: wait until it "
                f"changes, then try again"
            )
        until = self._delays.get(key) or 0
        if stamp < until:
            return Refusal.LOCK_DELAYED, (
                f"the session that held key {key!r} ended, and its lock-delay lasts for another "
                f"{until - stamp} ms; the key is unchanged: try again then"
            )
        lock = self.keys.next_lock(key)
        self.keys.write(key, command.value, command.flags, index, session=session, lock_index=lock)
        return None

    def release(self, command: Release, index: int) -> Reason | None:
        """Write a key and let go of it."""
        old = self.keys.get(command.key)
        if old is None or old.session != command.session:
            return Refusal.NOT_HOLDER, (
                f"key {command.key!r} is not held by session {command.session!r}; it is unchanged"
            )
        self.keys.write(command.key, command.value, command.flags, index, session="")
        return None

    def end(self, session_id: str, index: int, stamp: int) -> Session | None:
        """End a session, and free what it holds; return it, or `None`: it was gone."""
        session = self.sessions.remove(session_id)
        if session is None:
            return None
        until = stamp + round(session.lock_delay * 1000)
        for key in self.keys.held(session_id):
            if until > stamp:
                self._delays.set(key, until)
                heappush(self._ends, (until, key))
            entry = self.keys.get(key)
            if session.behaviour is Behaviour.DELETE or entry is None:
                self.keys.remove(key)
            else:
                self.keys.write(key, entry.value, entry.flags, index, session="")
        return session

    def commit(self, stamp: int) -> None:
        """End an entry; forget the delays that are over."""
        while self._ends and self._ends[0][0] <= stamp:
            until, key = heappop(self._ends)
            if self._delays.get(key) == until:
                self._delays.delete(key)
        self._delays.commit()

    def rollback(self) -> None:
        """Take back what the current entry did."""
        self._delays.rollback()

    def image(self) -> tuple[tuple[str, int], ...]:
        """Return the delays under way, in canonical order."""
        found = ((key, self._delays.get(key) or 0) for key in sorted(self._delays))
        return tuple(found)

    @classmethod
    def from_image(
        cls, keys: KeyTable, sessions: SessionTable, image: tuple[tuple[str, int], ...]
    ) -> Locks:
        """Return the locks that made this image."""
        ends = [(until, key) for key, until in image]
        heapify(ends)
        return cls(keys, sessions, Rows(dict(image)), ends)
