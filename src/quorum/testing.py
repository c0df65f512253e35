"""For tests of storages: checks that any `Storage` must pass, and a disk that can be broken.

Run the checks on a storage of your own like this::

    @pytest.mark.parametrize("check", STORAGE_CHECKS, ids=lambda check: check.__name__)
    async def test_my_storage(check: StorageCheck, tmp_path: Path) -> None:
        await check(lambda: MyStorage(tmp_path))

Each call of the function that a check is given is a restart: it returns a storage over the same
place, which the check loads, uses and closes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeAlias

import trio.testing

from quorum.effects import Persist, Trim
from quorum.errors import StorageError
from quorum.events import Recovered
from quorum.messages import Entries, Index, NodeId, SnapshotMark, Term
from quorum.storage import Storage
from quorum.storage.faulty import FaultyDisk, PowerCut

__all__ = ["STORAGE_CHECKS", "FaultyDisk", "PowerCut", "StorageCheck", "StorageFactory"]

StorageFactory: TypeAlias = Callable[[], Storage]
StorageCheck: TypeAlias = Callable[[StorageFactory], Awaitable[None]]


def entries(first: Index, *terms: Term) -> Entries:
    """A run whose payloads tell index and term, for tests."""
    payloads = tuple(f"{index}@{term}".encode() for index, term in enumerate(terms, first))
    return Entries(first, terms, tuple(10 * term for term in terms), bytes(len(terms)), payloads)


def write(
    run: Entries | None = None,
    *,
    term: Term = 1,
    vote: NodeId | None = None,
    reset: SnapshotMark | None = None,
    ticket: int = 1,
) -> Persist:
    """A `Persist` in short."""
    return Persist(ticket, term, vote, run, reset)


async def reopened(make: StorageFactory) -> Recovered:
    """What a restart finds."""
    storage = make()
    try:
        return await storage.load()
    finally:
        await storage.close()


async def after(make: StorageFactory, *batches: Sequence[Persist]) -> Recovered:
    """Load, persist these batches, close; return what a restart finds."""
    storage = make()
    await storage.load()
    for batch in batches:
        await storage.persist(batch)
    await storage.close()
    return await reopened(make)


async def content(storage: Storage, mark: SnapshotMark) -> bytes:
    """A whole snapshot, read in small pieces."""
    snapshot = await storage.open_snapshot(mark)
    pieces = [await snapshot.read(offset, 3) for offset in range(0, snapshot.size, 3)]
    snapshot.close()
    return b"".join(pieces)


async def begins_empty(make: StorageFactory) -> None:
    """A new storage has no term, no vote and no entries, and says so again after a restart."""
    first = await reopened(make)
    assert (first.term, first.vote, len(first.entries)) == (0, None, 0)
    assert (first.mark.index, first.entries.first, first.base_term) == (0, 1, 0)
    assert first == await reopened(make)


async def keeps_term_vote_and_entries(make: StorageFactory) -> None:
    """What was persisted comes back: hard state and entries of all batches, in order."""
    run = Entries(1, (1, 1, 2), (5, 6, 6), b"\x01\x02\x00", (b"", b'{"a":1}', bytes(3000)))
    found = await after(make, [write(run, term=2, vote="b")], [write(entries(4, 3), term=3)])
    assert (found.term, found.vote) == (3, None)
    assert list(found.entries) == [*run, *entries(4, 3)]


async def keeps_the_newest_hard_state_of_a_batch(make: StorageFactory) -> None:
    """Several writes in one batch are done in order; the last term and vote count."""
    batch = [write(entries(1, 1), vote="a"), write(term=2), write(entries(2, 2), term=2, vote="c")]
    found = await after(make, batch)
    assert (found.term, found.vote, found.entries) == (2, "c", entries(1, 1, 2))


async def replaces_what_overlaps(make: StorageFactory) -> None:
    """Entries replace everything from their first index on, be it in one batch or in two."""
    found = await after(
        make,
        [write(entries(1, 1, 1, 1, 1))],
        [write(entries(3, 2, 2), term=2), write(entries(4, 3), term=3)],
    )
    assert entries(1, 1, 1, 2, 3) == found.entries
    found = await after(make, [write(entries(1, 4), term=4)])
    assert entries(1, 4) == found.entries


async def replaces_back_and_forth(make: StorageFactory) -> None:
    """An index written in term 1, 2 and 3 holds term 3, whatever was acknowledged between."""
    batches = [[write(entries(1, term), term=term, ticket=term)] for term in (1, 2, 3)]
    assert entries(1, 3) == (await after(make, *batches)).entries


async def refuses_a_gap(make: StorageFactory) -> None:
    """Entries that do not follow the log are refused, and nothing of them is kept."""
    storage = make()
    await storage.load()
    await storage.persist([write(entries(1, 1))])
    try:
        await storage.persist([write(entries(3, 1))])
    except (ValueError, StorageError):
        pass
    else:
        raise AssertionError("a gap in the log was accepted")
    await storage.close()
    assert entries(1, 1) == (await reopened(make)).entries


async def trims(make: StorageFactory) -> None:
    """A trim brings a snapshot into force and forgets the log before its tail."""
    storage = make()
    await storage.load()
    await storage.persist([write(entries(1, 1, 1, 2, 2), term=2)])
    mark = SnapshotMark(3, 2, 20)
    await storage.save_snapshot(mark, b"three")
    await storage.trim(Trim(mark, 3, 1))
    await storage.persist([write(entries(5, 2), term=2)])
    assert await content(storage, mark) == b"three"
    await storage.close()
    found = await reopened(make)
    assert (found.mark, found.base_term, found.entries) == (mark, 1, entries(3, 2, 2, 2))


async def keeps_the_older_snapshot_until_told(make: StorageFactory) -> None:
    """A snapshot that was saved and not brought into force changes nothing."""
    storage = make()
    await storage.load()
    await storage.persist([write(entries(1, 1, 1))])
    older, newer = SnapshotMark(1, 1), SnapshotMark(2, 1)
    await storage.save_snapshot(older, b"one")
    await storage.trim(Trim(older, 1, 0))
    await storage.save_snapshot(newer, b"two")
    await storage.close()
    storage = make()
    found = await storage.load()
    assert (found.mark, found.entries) == (older, entries(1, 1, 1))
    assert await content(storage, older) == b"one"
    assert await content(storage, newer) == b"two"
    await storage.close()


async def keeps_snapshots_that_come_in_chunks(make: StorageFactory) -> None:
    """They are read back whole, from any place, also while they are deleted."""
    storage = make()
    await storage.load()
    await storage.persist([write(entries(1, 1, 1))])
    older, newer = SnapshotMark(1, 1), SnapshotMark(2, 1)
    await storage.save_snapshot(older, iter([b"", b"on", b"e" * 100_000]))
    await storage.trim(Trim(older, 1, 0))
    await storage.save_snapshot(newer, ())
    snapshot = await storage.open_snapshot(older)
    await storage.trim(Trim(newer, 2, 1))
    assert (snapshot.size, await snapshot.read(1, 3)) == (100_002, b"nee")
    assert await snapshot.read(100_001, 9) == b"e"
    snapshot.close()
    assert await content(storage, newer) == b""
    await storage.close()


async def leaves_all_as_it_was_when_chunks_fail(make: StorageFactory) -> None:
    """A snapshot whose maker fails in the middle is not there, and the storage goes on."""

    def broken() -> Iterator[bytes]:
        yield b"begun"
        raise LookupError("the maker's own")

    storage = make()
    await storage.load()
    await storage.persist([write(entries(1, 1, 1))])
    older, newer = SnapshotMark(1, 1), SnapshotMark(2, 1)
    await storage.save_snapshot(older, b"one")
    await storage.trim(Trim(older, 1, 0))
    try:
        await storage.save_snapshot(newer, broken())
    except LookupError:
        pass
    else:
        raise AssertionError("the error of the chunks was lost")
    try:
        await storage.open_snapshot(newer)
    except StorageError:
        pass
    else:
        raise AssertionError("half a snapshot was kept")
    await storage.persist([write(entries(3, 1))])
    await storage.close()
    found = await reopened(make)
    assert (found.mark, found.entries) == (older, entries(1, 1, 1, 1))


async def keeps_snapshots_that_come_in_pieces(make: StorageFactory) -> None:
    """They are nowhere until they are saved; those that are discarded stay nowhere."""
    storage = make()
    await storage.load()
    await storage.persist([write(entries(1, 1, 1))])
    mark, other = SnapshotMark(1, 1), SnapshotMark(2, 1)
    incoming, discarded = await storage.receive_snapshot(mark), await storage.receive_snapshot(mark)
    for piece in (b"on", b"", b"e" * 1_000):
        await incoming.write(piece)
        await discarded.write(b"x")
    assert (incoming.size, discarded.size) == (1_002, 3)
    try:
        await storage.open_snapshot(mark)
    except StorageError:
        pass
    else:
        raise AssertionError("a snapshot is there before it is saved")
    await incoming.save()
    for _ in range(2):
        incoming.discard()
        discarded.discard()
    await storage.trim(Trim(mark, 1, 0))
    assert await content(storage, mark) == b"on" + b"e" * 1_000
    left = await storage.receive_snapshot(other)
    await left.write(b"never saved")
    await storage.close()
    found = await reopened(make)
    assert (found.mark, found.entries) == (mark, entries(1, 1, 1))


async def resets(make: StorageFactory) -> None:
    """A reset empties the log and begins it behind the snapshot, in one write with new entries."""
    storage = make()
    await storage.load()
    await storage.persist([write(entries(1, 1, 1))])
    mark = SnapshotMark(9, 4)
    await storage.save_snapshot(mark, b"nine")
    await storage.persist([write(entries(10, 5), term=5, reset=mark)])
    await storage.trim(Trim(SnapshotMark(1, 1), 1, 0))  # overtaken: it changes nothing
    assert await content(storage, mark) == b"nine"
    await storage.close()
    found = await reopened(make)
    assert (found.mark, found.base_term, found.entries) == (mark, 4, entries(10, 5))


async def refuses_snapshots_that_are_not_there(make: StorageFactory) -> None:
    """A snapshot that was never saved is neither loaded nor brought into force."""
    storage = make()
    await storage.load()
    mark = SnapshotMark(1, 1)
    await storage.persist([write(entries(1, 1))])
    for call in (storage.open_snapshot(mark), storage.trim(Trim(mark, 2, 1))):
        try:
            await call
        except StorageError:
            continue
        raise AssertionError("a snapshot that was never saved was found")
    await storage.close()
    assert (await reopened(make)).mark.index == 0


async def does_not_yield_when_inline(make: StorageFactory) -> None:
    """While it says `inline`, a write runs through without letting other tasks run."""
    storage = make()
    await storage.load()
    for index in range(1, 6):
        if storage.inline:
            with trio.testing.assert_no_checkpoints():
                await storage.persist([write(entries(index, 1))])
        else:
            await storage.persist([write(entries(index, 1))])
    await storage.close()
    assert entries(1, 1, 1, 1, 1, 1) == (await reopened(make)).entries


STORAGE_CHECKS: tuple[StorageCheck, ...] = (
    begins_empty,
    keeps_term_vote_and_entries,
    keeps_the_newest_hard_state_of_a_batch,
    replaces_what_overlaps,
    replaces_back_and_forth,
    refuses_a_gap,
    trims,
    keeps_the_older_snapshot_until_told,
    keeps_snapshots_that_come_in_chunks,
    keeps_snapshots_that_come_in_pieces,
    leaves_all_as_it_was_when_chunks_fail,
    resets,
    refuses_snapshots_that_are_not_there,
    does_not_yield_when_inline,
)
