"""The recorder: keeps a member's snapshot up to date while the agent runs.

It writes what has changed twice a second, in a thread, so that a slow disk delays nobody. A disk
that fails costs the snapshot and not the agent; it is tried again with the next change.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import trio

from rumor.core.swim import Swim
from rumor.errors import ConfigError
from rumor.messages import Address, Health, Name, Peer
from rumor.snapshot import GONE, LEFT, MINE, SEEN, Record, SnapshotFile

logger = logging.getLogger("rumor")

WRITE_INTERVAL = 0.5
"""Seconds between two looks at what has changed; what a crash may cost."""


class Recorder:
    """Writes one agent's snapshot."""

    def __init__(self, file: SnapshotFile, swim: Swim, tombstone_time: float) -> None:
        self._file = file
        self._swim = swim
        self._dirty: dict[Name, None] = {}
        self._turn = trio.Lock()
        self._fails = False
        self._tombstone_time = tombstone_time

    def note(self, name: Name) -> None:
        """Look at this member when it is time to write."""
        self._dirty[name] = None

    async def run(self) -> None:
        """Write what has changed, for ever.

        Whoever was known in an earlier life, and of whom nobody has heard in a tombstone time of
        this one, is forgotten then.
        """
        with trio.move_on_after(self._tombstone_time):
            await self._run()
        self._dirty.update(dict.fromkeys(self._file.state.members))
        await self._run()

    async def _run(self) -> None:
        while True:
            await trio.sleep(WRITE_INTERVAL)
            await self.write()

    async def write(self) -> None:
        """Write what has changed."""
        async with self._turn:
            records = self._changes()
            if records:
                await trio.to_thread.run_sync(self._append, records)

    def finish(self) -> None:
        """Write what has changed, without waiting for a thread: nobody runs any more."""
        if records := self._changes():
            self._append(records)

    def _append(self, records: list[Record]) -> None:
        try:
            self._file.append(records)
        except OSError as error:
            if not self._fails:
                logger.warning("%s: not written, will be tried again: %s", self._file.path, error)
            self._fails = True
        else:
            self._fails = False

    def _changes(self) -> list[Record]:
        swim = self._swim
        dirty, self._dirty = self._dirty, {}
        state = self._file.state
        records = [
            record
            for name in dirty
            if name != state.name
            if (record := _record_of(name, swim.members, state.members)) is not None
        ]
        me = swim.members[state.name]
        if me.health is Health.LEFT:
            return records if state.has_left else [*records, (LEFT,)]
        if (me.incarnation, swim.clock) != (state.incarnation, state.clock):
            records.append((MINE, me.incarnation, swim.clock))
        return records


def _record_of(
    name: Name, members: Mapping[Name, Peer], written: Mapping[Name, Address]
) -> Record | None:
    """Say what has changed about a member, if anything has."""
    peer = members.get(name)
    if peer is None or peer.health is Health.LEFT:
        return (GONE, name) if name in written else None
    return None if written.get(name) == peer.address else (SEEN, name, *peer.address)


def open_snapshot(
    path: Path | str | None, cluster: str, name: Name, *, rejoin_after_leave: bool
) -> SnapshotFile | None:
    """Open a member's file, for its next life.

    Raises :class:`~rumor.errors.ConfigError` if it is not this member's, or cannot be written.
    """
    if path is None:
        return None
    try:
        file = SnapshotFile(Path(path), cluster=cluster, name=name)
        state = file.state
        if state.has_left and not rejoin_after_leave:
            state.members.clear()
        state.has_left = False
        state.incarnation += file.was_there
        file.rewrite()
    except OSError as error:
        raise ConfigError(f"{path}: {error}; nothing was started, name a file to write") from error
    return file
