"""A storage on disk: an append-only journal in segments, and snapshots beside it.

A batch of `Persist`s is one record, one write and one sync: term, vote, a truncation and the
entries after it become durable together or not at all. `quorum.storage.files` does it; this module
decides in which thread, and when it is over.

Anything that fails while writing is the end of this storage: after a failed sync the system may
have dropped the data, and a second sync would report it as written (Rebello et al., ATC 2020).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import trio

from quorum.effects import Persist, Trim
from quorum.errors import (
    AlreadyFounded,
    ConfigError,
    CorruptJournal,
    SnapshotFailed,
    StorageError,
    WrongDirectory,
)
from quorum.events import Recovered
from quorum.machine import SnapshotData
from quorum.messages import Members, NodeId, SnapshotMark
from quorum.storage.disk import Disk, RealDisk
from quorum.storage.files import (
    FILL_BYTES,
    SEGMENT_BYTES,
    JournalFiles,
    Layout,
    Report,
)
from quorum.storage.replay import Outline
from quorum.storage.snapshots import Draft, SnapshotFile
from quorum.storage.worker import Worker

T = TypeVar("T")


class _Aside(Protocol):
    """Runs a call that blocks."""

    async def __call__(self, call: Callable[[], T], /) -> T: ...


INLINE_SECONDS_MAX = 200e-6
"""A write and sync that is expected to take less is done at once, in the caller's task: to hand it
to a thread and back costs 30 to 45 µs, and as much again of the processor."""

PROBE_WRITES = 64
"""Of so many writes one is done inline although they go to the thread, if they take less than ten
times `INLINE_SECONDS_MAX` there: a thread's measurement includes its waiting for the interpreter.
"""

_WEIGHT = 1 / 8  # of the newest measurement, in the moving estimate of a write's duration


class JournalSnapshot:
    """A `StoredSnapshot` in a file, read in threads."""

    def __init__(self, file: SnapshotFile, aside: _Aside) -> None:
        self.size = file.size
        self._file = file
        self._aside = aside

    async def read(self, offset: int, size: int) -> bytes:
        """See `StoredSnapshot.read`."""
        try:
            return await self._aside(partial(self._file.read, offset, size))
        except OSError as error:
            raise StorageError(f"a snapshot cannot be read: {_in_words(error)}") from error

    def close(self) -> None:
        """See `StoredSnapshot.close`."""
        self._file.close()


class JournalIncoming:
    """An `IncomingSnapshot` in a file, written in threads."""

    def __init__(self, draft: Draft, aside: _Aside) -> None:
        self._draft = draft
        self._aside = aside

    @property
    def size(self) -> int:
        """See `IncomingSnapshot.size`."""
        return self._draft.size

    async def write(self, data: bytes) -> None:
        """See `IncomingSnapshot.write`."""
        await self._aside(partial(self._draft.write, data))

    async def save(self) -> None:
        """See `IncomingSnapshot.save`."""
        await self._aside(self._draft.save)

    def discard(self) -> None:
        """See `IncomingSnapshot.discard`."""
        self._draft.discard()


class JournalStorage:
    """Keeps a server's state in a directory of its own. Use one object per run: load, ..., close.

    Errors are `StorageError`s and final, except `SnapshotFailed` and those of `open_snapshot`.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        node: NodeId,
        cluster: str,
        members: Members | None = None,
        sync: bool = True,
        sync_inline: bool | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        fill_bytes: int = FILL_BYTES,
        disk: Disk | None = None,
    ) -> None:
        """Nothing is touched before `load`.

        `members` is the configuration that the cluster is founded with. It counts only if the
        directory is empty; else it must be the same as then (`AlreadyFounded`), or left out. It is
        empty, or left out, on a server that is to be added later. Without `sync` a power cut may
        lose or damage the journal: for throw-away clusters. `sync_inline` says whether writes block
        the caller's loop (True), go to a thread (False), or whatever is faster as measured (None).
        `disk` is for tests.
        """
        if members is not None and members.everyone and node not in members.everyone:
            raise ConfigError(
                f"the cluster is to be founded with {', '.join(members.everyone)}, without this "
                f"server, {node}; nothing was changed: correct the names, or leave the members out "
                f"on a server that is to be added later"
            )
        layout = Layout(Path(directory), node, cluster, sync, segment_bytes, fill_bytes)
        outline = Outline(mark=SnapshotMark(members=members or Members()))
        self.report: Report | None = None
        self._layout = layout
        disk = disk if disk is not None else RealDisk()
        self._files = JournalFiles(layout, outline, disk, founding=members)
        self._over = "the journal is not open: load it first"
        self._sync_inline = sync_inline
        self._seconds, self._writes = 2 * INLINE_SECONDS_MAX, 0
        self._turn = trio.Lock()
        self._worker = Worker(f"journal of {node}")

    @property
    def inline(self) -> bool:
        """See `Storage.inline`: as told, or as measured."""
        if self._sync_inline is not None:
            return self._sync_inline
        bound = INLINE_SECONDS_MAX if self._writes % PROBE_WRITES else 10 * INLINE_SECONDS_MAX
        return self._seconds < bound or not self._layout.sync

    async def load(self) -> Recovered:
        """See `Storage.load`. Also raises `WrongDirectory`, and StorageError if it is in use."""
        async with self._turn:
            load = self._files.load
            recovered, self.report = await self._guard(load, inline=self._sync_inline is True)
            self._over = ""
            return recovered

    async def persist(self, batch: Sequence[Persist]) -> None:
        """See `Storage.persist`. When `inline`, this does not yield to other tasks."""
        if batch:
            await self._take_turn(partial(self._persist, batch), inline=self.inline)

    async def trim(self, order: Trim) -> None:
        """See `Storage.trim`."""
        await self._take_turn(partial(self._files.trim, order), inline=self._sync_inline is True)

    async def save_snapshot(self, mark: SnapshotMark, data: SnapshotData) -> None:
        """See `Storage.save_snapshot`."""
        self._check_open()
        chunks = (data,) if isinstance(data, bytes) else data
        await self._try_snapshot(mark, partial(self._files.save_snapshot, mark, chunks))

    async def receive_snapshot(self, mark: SnapshotMark) -> JournalIncoming:
        """See `Storage.receive_snapshot`."""
        self._check_open()
        draft = await self._try_snapshot(mark, partial(self._files.draft_snapshot, mark))
        return JournalIncoming(draft, partial(self._try_snapshot, mark))

    async def open_snapshot(self, mark: SnapshotMark) -> JournalSnapshot:
        """See `Storage.open_snapshot`."""
        file = await self._aside(partial(self._files.open_snapshot, mark))
        return JournalSnapshot(file, self._aside)

    async def close(self) -> None:
        """See `Storage.close`."""
        with trio.CancelScope(shield=True):
            async with self._turn:
                self._over = self._over or "the journal is closed"
                self._worker.close()
                self._files.close()

    async def _try_snapshot(self, mark: SnapshotMark, call: Callable[[], T]) -> T:
        try:
            return await self._aside(call)
        except OSError as error:
            raise SnapshotFailed(
                f"the snapshot at index {mark.index} was not saved: {_in_words(error)} "
                f"({self._layout.directory}). The one before it and the log are as they were; "
                f"the log grows until one can be saved"
            ) from error

    async def _take_turn(self, call: Callable[[], None], *, inline: bool) -> None:
        try:  # an uncontended `async with` would yield to other tasks, twice
            self._turn.acquire_nowait()
        except trio.WouldBlock:
            await self._turn.acquire()
        try:
            self._check_open()
            await self._guard(call, inline=inline)
        finally:
            self._turn.release()

    async def _aside(self, call: Callable[[], T]) -> T:
        """Snapshots are long: they do not hold up the worker."""
        return call() if self._sync_inline else await trio.to_thread.run_sync(call)

    async def _guard(self, call: Callable[[], T], *, inline: bool) -> T:
        try:
            return call() if inline else await self._worker.run(call)
        except (AlreadyFounded, CorruptJournal, WrongDirectory):
            raise  # nothing was changed, and nothing is open
        except Exception as error:
            raise self._fail(error) from error
        except BaseException:
            self._over = "a write was interrupted: restart this server"
            raise

    def _check_open(self) -> None:
        if self._over:
            raise StorageError(self._over)

    def _fail(self, error: Exception) -> StorageError:
        """Note that this storage is at its end, and why."""
        place = self._layout.directory
        match error:
            case StorageError():
                self._over = str(error)
            case OSError(errno=errno.ENOSPC | errno.EDQUOT):
                self._over = (
                    f"{_in_words(error)} for {place}. This server acknowledges nothing more; what "
                    "it acknowledged is safe. Free some space, then restart it"
                )
            case _:
                self._over = (
                    f"{place} failed: {error!r}. This server acknowledges nothing more; what it "
                    "acknowledged is safe. Mend the disk, then restart it"
                )
        return StorageError(self._over)

    def _persist(self, batch: Sequence[Persist]) -> None:
        seconds = self._files.persist(batch)
        weight = _WEIGHT if self._writes % PROBE_WRITES else 1
        self._seconds += weight * (seconds - self._seconds)
        self._writes += 1


def _in_words(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "no space is left" if full else f"{error!r}"
