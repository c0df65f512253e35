"""quorum.storage.journal, .worker and .disk: threads, failures and the real file system."""

from __future__ import annotations

import errno
import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from quorum.effects import Trim
from quorum.errors import AlreadyFounded, ConfigError, SnapshotFailed, StorageError, WrongDirectory
from quorum.messages import Members, SnapshotMark
from quorum.storage import CHUNK_BYTES
from quorum.storage import files as files_module
from quorum.storage.disk import RealDisk
from quorum.storage.journal import INLINE_SECONDS_MAX, PROBE_WRITES, JournalStorage
from quorum.storage.worker import Worker
from quorum.testing import FaultyDisk, entries, write

MARK = SnapshotMark(2, 1, 10)


def journal(place: Path, *, disk: FaultyDisk | None = None, node: str = "n1") -> JournalStorage:
    return JournalStorage(place, node=node, cluster="test", disk=disk, sync_inline=True)


FOUNDING = Members(("n1", "n2"), addresses=(("n1", "here:1"),))


def founded(place: Path, members: Members | None) -> JournalStorage:
    return JournalStorage(place, node="n1", cluster="test", members=members)


async def test_a_cluster_is_founded_once(tmp_path: Path) -> None:
    """The same members again, at new addresses, or none, are a restart; others are refused."""
    for members in (FOUNDING, FOUNDING, None, Members(("n2", "n1"))):
        storage = founded(tmp_path, members)
        found = await storage.load()
        await storage.close()
        assert found.mark == SnapshotMark(members=FOUNDING)
    before = RealDisk().names(tmp_path)
    for members in (Members(("n1",)), Members(("n1", "n2"), learners=("n3",)), Members()):
        storage = founded(tmp_path, members)
        with pytest.raises(AlreadyFounded, match="was founded with voters n1, n2; one that"):
            await storage.load()
        await storage.close()
    assert before == RealDisk().names(tmp_path)


async def test_the_founding_is_remembered_when_the_log_is_not(tmp_path: Path) -> None:
    """Behind a snapshot with other members, and after many segments."""
    storage = JournalStorage(
        tmp_path, node="n1", cluster="test", members=FOUNDING, segment_bytes=1000, sync=False
    )
    await storage.load()
    mark = SnapshotMark(50, 1, 10, Members(("n7", "n8")), 9)
    for first in range(1, 101, 10):
        await storage.persist([write(entries(first, *[1] * 10))])
    await storage.save_snapshot(mark, b"state")
    await storage.trim(Trim(mark, 51, 1))
    await storage.close()
    storage = founded(tmp_path, Members(("n1", "n8")))
    with pytest.raises(AlreadyFounded, match="voters n1, n8 was asked for"):
        await storage.load()
    storage = founded(tmp_path, FOUNDING)
    assert mark == (await storage.load()).mark
    await storage.close()


async def test_a_server_that_was_added_does_not_found_anything(tmp_path: Path) -> None:
    """Its directory began without members; it is part of a cluster already."""
    storage = founded(tmp_path, None)
    await storage.load()
    await storage.close()
    with pytest.raises(AlreadyFounded, match="this server was added to later; one that was"):
        await founded(tmp_path, FOUNDING).load()


def test_members_without_the_server_itself_are_a_mistake(tmp_path: Path) -> None:
    """Nothing is begun with them."""
    with pytest.raises(ConfigError, match="without this server, n1; nothing was changed"):
        founded(tmp_path, Members(("n8", "n9")))


@pytest.mark.parametrize(("node", "cluster"), [("n2", "test"), ("n1", "other")])
async def test_a_foreign_directory_is_refused(tmp_path: Path, node: str, cluster: str) -> None:
    """A directory of another server or cluster is not touched, and both are named."""
    storage = journal(tmp_path)
    await storage.load()
    await storage.close()
    before = RealDisk().names(tmp_path)
    stranger = JournalStorage(tmp_path, node=node, cluster=cluster)
    with pytest.raises(WrongDirectory, match="belongs to server 'n1' of cluster 'test'"):
        await stranger.load()
    await stranger.close()

    assert before == RealDisk().names(tmp_path)


async def test_a_directory_is_open_once(tmp_path: Path) -> None:
    """While one storage has the directory, another is refused; afterwards it is not."""
    first, second, third = (journal(tmp_path) for _ in range(3))
    await first.load()
    with pytest.raises(StorageError, match="in use by another process"):
        await second.load()
    await first.persist([write(entries(1, 1))])
    await first.close()
    await second.close()
    assert entries(1, 1) == (await third.load()).entries
    await third.close()


async def test_nothing_is_done_before_load_and_after_close(tmp_path: Path) -> None:
    """A storage that is not open says so."""
    storage = journal(tmp_path / "deep" / "er")
    with pytest.raises(StorageError, match="load it first"):
        await storage.persist([write()])
    await storage.load()
    await storage.close()
    for call in (storage.persist([write()]), storage.save_snapshot(MARK, b"")):
        with pytest.raises(StorageError, match="closed"):
            await call


def failing(name: str, at: int, code: int) -> Callable[[str, int], None]:
    """The `at`-th operation of this name fails once; the next ones would work."""
    seen = 0

    def before(operation: str, _number: int) -> None:
        nonlocal seen
        seen += operation == name
        if operation == name and seen == at:
            raise OSError(code, os.strerror(code))

    return before


@pytest.mark.parametrize("operation", ["write", "sync"])
async def test_a_failure_is_final(operation: str) -> None:
    """After one failed write or sync nothing is acknowledged any more, though the disk works."""
    disk = FaultyDisk()
    storage = journal(Path("/j"), disk=disk)
    await storage.load()
    await storage.persist([write(entries(1, 1))])
    disk.before = failing(operation, 1, errno.EIO)
    for _ in range(3):
        with pytest.raises(StorageError, match="acknowledges nothing more"):
            await storage.persist([write(entries(2, 1))])
    for call in (storage.trim(Trim(SnapshotMark(), 1, 0)), storage.save_snapshot(MARK, b"")):
        with pytest.raises(StorageError, match="acknowledges nothing more"):
            await call
    operations = disk.operations
    await storage.close()

    assert operations == disk.operations
    again = journal(Path("/j"), disk=next(disk.survivors()))
    assert entries(1, 1) == (await again.load()).entries
    await again.close()


async def test_a_full_disk_says_so() -> None:
    """Without space the error says what to do, and what was acknowledged is safe."""
    disk = FaultyDisk()
    storage = journal(Path("/j"), disk=disk)
    await storage.load()
    disk.before = failing("write", 1, errno.ENOSPC)
    for _ in range(2):
        with pytest.raises(StorageError, match=r"no space is left for /j.* Free some space"):
            await storage.persist([write()])
    await storage.close()


@pytest.mark.parametrize(
    ("operation", "at"), [("create", 1), ("write", 1), ("write", 2), ("sync", 1), ("rename", 1)]
)
async def test_a_snapshot_that_cannot_be_saved_is_all_that_is_lost(operation: str, at: int) -> None:
    """Its space is free again, the older one is in force, and the journal goes on."""
    disk = FaultyDisk()
    storage = journal(Path("/j"), disk=disk)
    await storage.load()
    await storage.persist([write(entries(1, 1, 1, 1))])
    older = SnapshotMark(1, 1)
    await storage.save_snapshot(older, b"old")
    await storage.trim(Trim(older, 2, 1))
    before = disk.names(Path("/j"))
    disk.before = failing(operation, at, errno.ENOSPC)
    with pytest.raises(SnapshotFailed, match=r"at index 2 was not saved: no space is left \(/j\)"):
        await storage.save_snapshot(MARK, [b"a", b"b", b"c"])
    left = [name for name in disk.names(Path("/j")) if name not in before]
    assert (operation in ("create", "rename")) == bool(left)  # as far as the disk lets us
    await storage.persist([write(entries(4, 1))])
    await storage.save_snapshot(MARK, [b"a", b"b", b"c"])
    await storage.trim(Trim(MARK, 3, 1))
    await storage.close()
    again = journal(Path("/j"), disk=next(disk.survivors()))
    found = await again.load()
    snapshot = await again.open_snapshot(MARK)
    assert (MARK, entries(3, 1, 1)) == (found.mark, found.entries)
    assert await snapshot.read(0, 9) == b"abc"
    await again.close()


@pytest.mark.parametrize("operation", ["create", "write", "sync"])
async def test_a_snapshot_that_comes_in_may_fail_and_leaves_nothing(operation: str) -> None:
    """Each step says so in its way, and the journal goes on."""
    disk = FaultyDisk()
    storage = journal(Path("/j"), disk=disk)
    await storage.load()
    before = disk.names(Path("/j"))
    disk.before = failing(operation, 1, errno.EIO)
    with pytest.raises(SnapshotFailed, match="at index 2 was not saved: OSError"):  # noqa: PT012 - the block is the point
        incoming = await storage.receive_snapshot(MARK)
        try:
            await incoming.write(b"abc")
            await incoming.save()
        finally:
            incoming.discard()
    if operation != "create":
        assert before == disk.names(Path("/j"))
    await storage.persist([write(entries(1, 1))])
    await storage.close()


async def test_a_large_snapshot_is_never_whole_in_memory(tmp_path: Path) -> None:
    """64 MiB pass through a few."""
    storage = JournalStorage(tmp_path, node="n1", cluster="test")
    await storage.load()
    chunk = Random(1).randbytes(CHUNK_BYTES)
    tracemalloc.start()
    try:
        await storage.save_snapshot(MARK, (bytes(chunk[::-1]) for _ in range(64)))
        incoming = await storage.receive_snapshot(SnapshotMark(3, 1))
        snapshot = await storage.open_snapshot(MARK)
        for offset in range(0, snapshot.size, CHUNK_BYTES):
            await incoming.write(await snapshot.read(offset, CHUNK_BYTES))
        await incoming.save()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    snapshot.close()
    incoming.discard()
    await storage.close()

    assert incoming.size == snapshot.size == 64 * CHUNK_BYTES
    assert peak < 8 * CHUNK_BYTES


@pytest.mark.parametrize("operation", ["create", "write", "sync", "rename", "sync_directory"])
async def test_a_start_that_fails_can_be_repeated(operation: str) -> None:
    """An error while opening is reported, lets go of the directory, and loses nothing."""
    disk = FaultyDisk()
    storage = journal(Path("/j"), disk=disk)
    await storage.load()
    await storage.persist([write(entries(1, 1))])
    await storage.close()
    disk.before = failing(operation, 1, errno.EIO)
    storage = journal(Path("/j"), disk=disk)
    with pytest.raises(StorageError):
        await storage.load()
    await storage.close()
    storage = journal(Path("/j"), disk=disk)
    assert entries(1, 1) == (await storage.load()).entries
    await storage.close()


async def test_a_torn_write_is_reported() -> None:
    """What a crash has torn is dropped and told, as a number of bytes."""
    disk = FaultyDisk()
    storage = journal(Path("/j"), disk=disk)
    await storage.load()
    assert storage.report is not None
    assert (storage.report.segments, storage.report.dropped_bytes) == (0, 0)
    disk.before = failing("sync", 1, errno.EIO)
    with pytest.raises(StorageError):
        await storage.persist([write(entries(1, 1))])
    reports = []
    for survivor in disk.survivors():
        storage = journal(Path("/j"), disk=survivor)
        await storage.load()
        assert storage.report is not None
        reports.append((storage.report.records, storage.report.dropped_bytes))
        await storage.close()

    assert (1, 0) in reports
    assert (2, 0) in reports
    assert (1, 1) in reports


async def test_inline_writes_do_not_yield(tmp_path: Path) -> None:
    """While writes go inline, `persist` runs through without letting other tasks run."""
    storage = journal(tmp_path)
    await storage.load()
    with trio.testing.assert_no_checkpoints():
        await storage.persist([write(entries(1, 1))])
    await storage.close()


async def test_writing_adapts_to_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fast disk is written inline, a slow one in the thread, and a disk may change its mind."""
    now = duration = 0.0

    def before(operation: str, _number: int) -> None:
        nonlocal now
        now += duration if operation == "sync" else 0.0

    disk = FaultyDisk(before)
    monkeypatch.setattr(files_module, "perf_counter", lambda: now)
    storage = JournalStorage("/j", node="n1", cluster="test", disk=disk)
    await storage.load()
    modes = []
    fast, slow = INLINE_SECONDS_MAX / 2, 100 * INLINE_SECONDS_MAX
    for seconds in (fast, slow, fast):
        duration = seconds
        for _ in range(3 * PROBE_WRITES):
            await storage.persist([write()])
        modes.append(storage.inline)
    await storage.close()

    assert modes == [True, False, True]


async def test_writes_trims_and_snapshots_may_overlap(tmp_path: Path) -> None:
    """Tasks that write, trim and save at once do not disturb each other."""
    storage = JournalStorage(
        tmp_path, node="n1", cluster="test", sync_inline=False, segment_bytes=2000
    )
    await storage.load()

    async def snapshots() -> None:
        for index in range(1, 10):
            mark = SnapshotMark(index, 1)
            await storage.save_snapshot(mark, b"x" * 1000)
            await storage.trim(Trim(mark, index, 1 if index > 1 else 0))

    await storage.persist([write(entries(1, *[1] * 10))])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(snapshots)
        for index in range(11, 60):
            await storage.persist([write(entries(index, 1))])
    await storage.close()
    storage = journal(tmp_path)
    found = await storage.load()
    await storage.close()

    assert (found.mark, found.entries) == (SnapshotMark(9, 1), entries(9, *[1] * 51))


async def test_a_cancelled_write_is_finished(tmp_path: Path) -> None:
    """A write in the thread cannot be taken back: `persist` returns when it is durable."""
    storage = JournalStorage(tmp_path, node="n1", cluster="test", sync_inline=False)
    await storage.load()
    with trio.CancelScope() as scope:
        scope.cancel()
        await storage.persist([write(entries(1, 1))])
    await storage.close()
    storage = journal(tmp_path)
    found = await storage.load()
    await storage.close()

    assert entries(1, 1) == found.entries


async def test_the_thread_ends_with_the_storage(tmp_path: Path) -> None:
    """Closing leaves no thread behind."""
    storage = JournalStorage(tmp_path, node="lonely", cluster="test", sync_inline=False)
    await storage.load()
    mine = [thread for thread in threading.enumerate() if "lonely" in thread.name]
    await storage.close()
    for thread in mine:
        thread.join(5)

    assert len(mine) == 1
    assert not mine[0].is_alive()


async def test_a_worker_returns_and_raises_what_its_job_does() -> None:
    """Results and errors of jobs come back to the task that asked, one job after the other."""
    worker = Worker("test")
    assert await worker.run(lambda: threading.current_thread().name) == "test"
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    worker.close()


def test_a_write_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may write less than it was asked to; the file has all of it."""
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: whole(fd, data[:3], offset))
    file = RealDisk().create(tmp_path / "file")
    file.write_at(b"0123456789", 2)
    file.sync()
    file.close()

    assert (tmp_path / "file").read_bytes() == b"\0\0" + b"0123456789"


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """Nobody else may read what the cluster's commands say."""
    storage = JournalStorage(tmp_path / "data", node="n1", cluster="test")
    await storage.load()
    await storage.close()
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "data").iterdir()}

    assert modes == {0}
