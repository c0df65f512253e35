"""The files of a journal: the half of `quorum.storage.journal` that blocks, and knows no task.

    lock                     held while the directory is open
    journal-0000000007       segments, in order; see `quorum.storage.format` for their bytes
    snapshot-<index>-<term>  see `quorum.storage.snapshots`
    *.new                    files that are being made; their names are theirs only when complete

A file is never written again once it was closed: whoever opens the directory begins a new segment.
So recovery changes nothing before it has succeeded, and may be interrupted and repeated; what a
crash has torn stays out of the chain. Order matters in three places: a segment has its name only
when its opening is durable, the one before is cut to its end only after that, and old segments go
oldest first and one by one, so that a crash cannot leave a hole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from time import perf_counter

from attrs import evolve, frozen

from quorum.effects import Persist, Trim
from quorum.errors import AlreadyFounded, StorageError
from quorum.events import Recovered
from quorum.messages import Members, NodeId, SnapshotMark
from quorum.storage.bodies import Opening, pack_opening, pack_trim, pack_write
from quorum.storage.disk import Disk, File, Lock, finish
from quorum.storage.format import FRAME_SIZE, Link, seal
from quorum.storage.recovery import Kept, Recovery, Segment, corrupt, recover
from quorum.storage.replay import Outline
from quorum.storage.snapshots import (
    Draft,
    SnapshotFile,
    check_snapshot,
    gathered,
    parse_snapshot_name,
    snapshot_name,
)

SEGMENT_BYTES = 64 << 20
"""A segment is closed when it is this long, and deleted when its last entry was trimmed."""

FILL_BYTES = 1 << 20
"""Zeros written ahead at a time: a sync that does not change the file's size costs half as much
(`benchmarks/journal.py`). Records above a quarter of it extend the file themselves."""

_TEMPORARY = ".new"


@frozen
class Report:
    """What `load` found."""

    segments: int
    records: int
    dropped_bytes: int
    """Bytes of a write that a crash had interrupted; it was never acknowledged."""


@frozen
class Layout:
    """Where the files are, whose they are, and how they grow."""

    directory: Path
    node: NodeId
    cluster: str
    sync: bool = True
    segment_bytes: int = SEGMENT_BYTES
    fill_bytes: int = FILL_BYTES


def segment_name(number: int) -> str:
    """The name of the file of this segment."""
    return f"journal-{number:010}"


def read_segments(disk: Disk, directory: Path) -> Iterator[Segment]:
    """The segments in this directory, in order, one in memory at a time."""
    for name in disk.names(directory):
        prefix, _, number = name.partition("-")
        if prefix == "journal" and number.isdecimal():
            yield Segment(int(number), name, disk.read(directory / name))


class JournalFiles:
    """A directory, once it is open. After an error in `persist` or `trim` it must not be used."""

    def __init__(
        self, layout: Layout, outline: Outline, disk: Disk, *, founding: Members | None = None
    ) -> None:
        """`outline` is what an empty directory begins with.

        With `founding` one that is not empty must have begun with these members.
        """
        self._layout, self._outline, self._disk = layout, outline, disk
        self._founding, self._founded = founding, outline.mark.members
        self._lock: Lock | None = None
        self._file: File | None = None
        self._offset = self._filled = 0
        self._link = Link()
        self._segments: list[Kept] = []
        self._serial = count()  # of temporary files

    def load(self) -> tuple[Recovered, Report]:
        """Open the directory; on an error it is as it was, and not open."""
        disk, directory = self._disk, self._layout.directory
        disk.make_directory(directory)
        try:
            self._lock = disk.lock(directory / "lock")
        except BlockingIOError:
            raise StorageError(
                f"{directory} is in use by another process (or storage). It was not touched: stop "
                "the other one, or use another directory"
            ) from None
        try:
            return self._recover()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the directory."""
        for held in (self._file, self._lock):
            if held is not None:
                held.close()
        self._file = self._lock = None

    def persist(self, batch: Sequence[Persist]) -> float:
        """Make a batch durable; return the seconds that its write and sync took."""
        if self._offset >= self._layout.segment_bytes:
            self._open_segment()
        for order in batch:
            if order.reset is not None:
                self._check_saved(order.reset)
            self._outline.persist(order)
        return self._append(pack_write(batch))

    def trim(self, order: Trim) -> None:
        """Note the order durably, then delete what it has made useless."""
        if self._outline.overtook(order):
            return
        self._check_saved(order.mark)
        self._outline.trim(order)
        self._append([pack_trim(order, term=self._outline.term, vote=self._outline.vote)])
        # A segment can go when the next one was opened with nothing but trimmed entries before it.
        while len(self._segments) > 1 and self._segments[1].last < self._outline.first:
            self._remove(segment_name(self._segments.pop(0).number))
        for name in self._disk.names(self._layout.directory):
            place = parse_snapshot_name(name)
            if place is not None and place[0] < self._outline.mark.index:
                self._remove(name)

    def save_snapshot(self, mark: SnapshotMark, chunks: Iterable[bytes]) -> None:
        """Make a snapshot durable; it replaces one with the same mark. Any thread may call this.

        After an error the directory is as it was, whatever has failed: no journal's data went
        through the file that is given up.
        """
        draft = self.draft_snapshot(mark)
        try:
            for chunk in gathered(chunks):
                draft.write(chunk)
            draft.save()
        finally:
            draft.discard()

    def draft_snapshot(self, mark: SnapshotMark) -> Draft:
        """Begin a snapshot; it is nowhere until it is saved. Any thread may call this."""
        name = f"{snapshot_name(mark)}.{next(self._serial)}{_TEMPORARY}"
        return Draft(self._disk, self._layout.directory / name, mark, sync=self._layout.sync)

    def open_snapshot(self, mark: SnapshotMark) -> SnapshotFile:
        """Open a snapshot for reading, and check all of it. Any thread may call this."""
        name = snapshot_name(mark)
        try:
            source = self._disk.open(self._layout.directory / name)
        except FileNotFoundError:
            raise StorageError(f"no snapshot was saved at index {mark.index}") from None
        except OSError as error:
            raise StorageError(f"{name} cannot be read: {error}") from error
        try:
            found = check_snapshot(source, mark)
        except OSError as error:
            source.close()
            raise StorageError(f"{name} cannot be read: {error}") from error
        except ValueError as error:
            source.close()
            place = str(self._layout.directory)
            raise corrupt(name, 0, str(error), directory=place) from error
        return SnapshotFile(source, found.start, found.size)

    def _remove(self, name: str) -> None:
        self._disk.remove(self._layout.directory / name)
        self._disk.sync_directory(self._layout.directory)

    def check(self) -> None:
        """Look for damage, in the snapshot in force, too; nothing is opened or changed."""
        mark = self._read()[0].replay.outline.mark
        if mark.index > 0:
            self.open_snapshot(mark).close()

    def _recover(self) -> tuple[Recovered, Report]:
        recovery, recovered = self._read()
        self._check_founding(recovery.founded)
        report = Report(len(recovery.segments), recovery.records, recovery.dropped)
        self._begin(recovery, self._disk.names(self._layout.directory))
        return recovered, report

    def _read(self) -> tuple[Recovery, Recovered]:
        disk, layout = self._disk, self._layout
        segments = read_segments(disk, layout.directory)
        place = str(layout.directory)
        recovery = recover(segments, node=layout.node, cluster=layout.cluster, directory=place)
        names = disk.names(layout.directory)
        if not recovery.segments:
            self._check_new(names)
            recovery.replay.outline, recovery.founded = self._outline, self._founded
        try:
            recovered = recovery.replay.recovered()
        except ValueError as error:
            raise corrupt(place, 0, str(error), directory=place) from error
        outline = recovery.replay.outline
        if outline.mark.index > 0 and snapshot_name(outline.mark) not in names:
            what = "the snapshot in force is missing"
            raise corrupt(snapshot_name(outline.mark), 0, what, directory=place)
        return recovery, recovered

    def _check_founding(self, founded: Members) -> None:
        """Refuse to found a cluster anew; where its servers listen may have changed since."""
        asked = self._founding
        if asked is None or (asked.voters, asked.learners) == (founded.voters, founded.learners):
            return
        raise AlreadyFounded(
            f"{self._layout.directory} has the state of a cluster that {_founding(founded)}; "
            f"one that {_founding(asked)} was asked for. Nothing was changed: leave the members "
            f"out when you restart a server, and change them by Server.change_members"
        )

    def _check_new(self, names: Sequence[str]) -> None:
        """Refuse a directory that has snapshots but no journal."""
        for name in names:
            if parse_snapshot_name(name) is not None:
                raise corrupt(segment_name(1), 0, f"it is missing, although there is {name}")

    def _begin(self, recovery: Recovery, names: Sequence[str]) -> None:
        """Everything was read: from here on the directory changes."""
        self._outline, self._founded = recovery.replay.outline, recovery.founded
        self._link = recovery.link
        self._segments = recovery.segments
        for name in names:
            if name.endswith(_TEMPORARY):
                self._disk.remove(self._layout.directory / name)
        self._open_segment()

    def _open_segment(self) -> None:
        """Close the segment that is written, if any, and begin the next one."""
        layout = self._layout
        before = self._segments[-1] if self._segments else None
        number = before.number + 1 if before is not None else 1
        opening = Opening(layout.node, layout.cluster, self._outline, self._founded)
        body = pack_opening(opening)
        stop = len(body) + FRAME_SIZE
        filled = stop + (layout.fill_bytes if layout.sync else 0)
        record, link = seal([body], self._link, filled=filled)
        if before is not None and self._file is not None:
            before = evolve(before, size=self._offset)
            self._file.close()
            self._file = None
        self._file = self._create(segment_name(number), record, bytes(filled - stop))
        if before is not None:  # the new opening vouches for its end: what is behind may go
            self._disk.truncate(layout.directory / segment_name(before.number), before.size)
        self._link, self._offset, self._filled = link, stop, filled
        self._segments.append(Kept(number, self._outline.last, stop))

    def _create(self, name: str, *parts: bytes) -> File:
        """A file that, after a crash, is either there with all of this or not there."""
        temporary = self._layout.directory / (name + _TEMPORARY)
        file = self._disk.create(temporary)
        try:
            offset = 0
            for part in parts:
                file.write_at(part, offset)
                offset += len(part)
            finish(self._disk, file, temporary, name, sync=self._layout.sync)
        except BaseException:
            file.close()
            raise
        return file

    def _append(self, body: Sequence[bytes]) -> float:
        """Write one record and make it durable; return the seconds that this took."""
        assert self._file is not None, "the journal is open"
        sync, fill_bytes = self._layout.sync, self._layout.fill_bytes
        length = sum(map(len, body)) + FRAME_SIZE
        stop = self._offset + length
        if stop > self._filled and sync and length <= fill_bytes // 4:
            self._file.write_at(bytes(fill_bytes), self._filled)
            self._file.sync()
            self._filled += fill_bytes
        record, link = seal(body, self._link, filled=self._filled)
        began = perf_counter()
        self._file.write_at(record, self._offset)
        if sync:
            self._file.sync()
        seconds = perf_counter() - began
        self._link, self._offset, self._filled = link, stop, max(self._filled, stop)
        return seconds

    def _check_saved(self, mark: SnapshotMark) -> None:
        """Refuse to bring a snapshot into force that is not there: the log before it would go."""
        if mark.index > 0 and snapshot_name(mark) not in self._disk.names(self._layout.directory):
            raise StorageError(f"the snapshot at index {mark.index} was not saved")


def _founding(members: Members) -> str:
    if not members.everyone:
        return "this server was added to later"
    learners = f" and learners {', '.join(members.learners)}" if members.learners else ""
    return f"was founded with voters {', '.join(members.voters)}{learners}"
