"""The table of sessions: which there are, and which end with what.

A session ends when it is destroyed (by its owner, or by the leader because its TTL is over), when
its node is deregistered, and when one of its checks turns critical or is deregistered.
What its end means for the keys that it holds is the business of `catalog.registry.locks`.
"""

from __future__ import annotations

from typing import TypeVar

from attrs import Factory, define, evolve

from catalog.answers import Reason, Refusal
from catalog.model import Session
from catalog.registry.image import SessionsImage
from catalog.registry.rows import Indexes, Rows

__all__ = ["SessionTable"]

K = TypeVar("K")


@define
class SessionTable:
    """Sessions by id, by node, and by the checks that they stand on."""

    index: int = 0
    """Of the last time that a session came or went."""
    _rows: Rows[str, Session] = Factory(Rows)
    _by_node: dict[str, dict[str, None]] = Factory(dict)
    _by_check: dict[tuple[str, str], dict[str, None]] = Factory(dict)
    """By node and check id."""
    _indexes: Indexes = Factory(Indexes)
    """By node."""

    def get(self, session_id: str) -> Session | None:
        """Return a session, or `None`."""
        return self._rows.get(session_id)

    def create(self, session: Session, index: int) -> Reason | None:
        """Enter a session."""
        if session.id in self._rows:
            return Refusal.ID_TAKEN, (
                f"there is a session {session.id!r} already; nothing was created: choose another "
                f"id, at random"
            )
        session = evolve(session, create_index=index, modify_index=index)
        self._rows.set(session.id, session)
        self._link(session)
        return None

    def remove(self, session_id: str) -> Session | None:
        """Remove a session and return it; `None`: there is none of this id."""
        if session_id not in self._rows:
            return None
        session = self._rows.delete(session_id)
        self._unlink(session)
        return session

    def on_node(self, node: str) -> tuple[str, ...]:
        """Return the sessions of a node, sorted."""
        return tuple(sorted(self._by_node.get(node, ())))

    def on_check(self, node: str, check_id: str) -> tuple[str, ...]:
        """Return the sessions that stand on a check, sorted."""
        return tuple(sorted(self._by_check.get((node, check_id), ())))

    def sessions(self, node: str = "") -> tuple[Session, ...]:
        """Return all sessions, or those of a node, sorted by id."""
        ids = self.on_node(node) if node else sorted(self._rows)
        found = map(self._rows.get, ids)
        return tuple(session for session in found if session is not None)

    def node_index(self, node: str) -> int:
        """Return the index of the last time that a session of this node came or went."""
        return self._indexes.of(node)

    def session_index(self, session_id: str) -> int:
        """Return the index of a session; of one that is gone, when the last one of all went."""
        session = self._rows.get(session_id)
        return self._indexes.extinction if session is None else session.modify_index

    def commit(self, index: int) -> list[Session]:
        """End an entry: return the sessions that came or went."""
        before = self._rows.commit()
        if not before:
            return []
        touched = []
        for session_id, old in before.items():
            new = self._rows.get(session_id)
            if old is not None:
                self._indexes.end(old.node, index)
                touched.append(old)
            if new is not None:
                touched.append(new)
        for session in touched:
            if session.node in self._by_node:
                self._indexes.move(session.node, index)
        self.index = index if touched else self.index
        return touched

    def rollback(self) -> None:
        """Take back what the current entry did."""
        if self._rows.touched:
            self._rows.rollback()
            self._by_node.clear()
            self._by_check.clear()
            for session in self._rows.values():
                self._link(session)

    def image(self) -> SessionsImage:
        """Return all that this table is, in canonical order."""
        return SessionsImage(
            self.sessions(), self.index, self._indexes.image(), self._indexes.extinction
        )

    @classmethod
    def from_image(cls, image: SessionsImage) -> SessionTable:
        """Return the table that made this image."""
        rows = Rows({session.id: session for session in image.sessions})
        table = cls(image.index, rows, indexes=Indexes(image.extinction_index, dict(image.indexes)))
        for session in image.sessions:
            table._link(session)
        return table

    def _link(self, session: Session) -> None:
        self._by_node.setdefault(session.node, {})[session.id] = None
        for check_id in session.checks:
            self._by_check.setdefault((session.node, check_id), {})[session.id] = None

    def _unlink(self, session: Session) -> None:
        _drop(self._by_node, session.node, session.id)
        for check_id in session.checks:
            _drop(self._by_check, (session.node, check_id), session.id)


def _drop(groups: dict[K, dict[str, None]], key: K, member: str) -> None:
    group = groups.get(key, {})
    group.pop(member, None)  # a check may be named twice
    if not group:
        groups.pop(key, None)
