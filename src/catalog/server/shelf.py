"""Snapshots that a server holds ready for whoever fetches them, piece by piece."""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Final

import trio
from attrs import define, field

from catalog.errors import Busy
from catalog.operations import SNAPSHOT_CHUNK_BYTES, SnapshotMark

__all__ = ["Shelf"]

SNAPSHOTS_MAX: Final = 2
"""Held at a time, each in memory as a whole."""
KEPT_SECONDS: Final = 60.0
"""For so long after the last piece was asked for."""


@define
class Held:
    """A snapshot, and when it was last wanted."""

    data: bytes
    wanted: float = field(factory=trio.current_time)


@define
class Shelf:
    """The snapshots by token."""

    _held: dict[str, Held] = field(factory=dict)

    def check_room(self) -> None:
        """Raise `Busy` unless there is room for one more."""
        now = trio.current_time()
        self._held = {
            token: one for token, one in self._held.items() if now - one.wanted < KEPT_SECONDS
        }
        if len(self._held) >= SNAPSHOTS_MAX:
            raise Busy(
                f"{SNAPSHOTS_MAX} snapshots are being fetched from this server: wait a minute"
            )

    def put(self, data: bytes, index: int) -> SnapshotMark:
        """Hold a snapshot."""
        self.check_room()
        token = secrets.token_hex(8)
        self._held[token] = Held(data)
        return SnapshotMark(token, index, len(data), sha256(data).digest())

    def read(self, token: str, offset: int) -> bytes:
        """Return a piece, and let the snapshot go with the last one.

        Raises:
            ValueError: it is not held (any more), or does not go so far.

        """
        held = self._held.get(token)
        if held is None or not 0 <= offset <= len(held.data):
            raise ValueError(
                "this server does not hold that snapshot, or it ends before: begin again"
            )
        held.wanted = trio.current_time()
        if offset + SNAPSHOT_CHUNK_BYTES >= len(held.data):
            del self._held[token]
        return held.data[offset : offset + SNAPSHOT_CHUNK_BYTES]
