"""A disk in memory that can be broken: for tests of the journal, and of what uses it.

It keeps what was written apart from what was synced, file by file and for the names of files, so
that a test can stop anywhere and look at every disk that a power cut there may leave behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from attrs import define, field

_Pending: TypeAlias = list[tuple[int, bytes | None]]
"""Writes (offset, data) and cuts (size, None) that were not synced."""

_Fate: TypeAlias = Callable[[_Pending], _Pending]
"""What is left of them."""


class PowerCut(OSError):
    """The machine is off: this operation and all that follow do not happen."""


@define(eq=False)
class _Inode:
    durable: bytes = b""
    pending: _Pending = field(factory=list)

    def content(self) -> bytes:
        data = bytearray(self.durable)
        for offset, piece in self.pending:
            if piece is None:
                del data[offset:]
            else:
                data.extend(bytes(max(0, offset - len(data))))
                data[offset : offset + len(piece)] = piece
        return bytes(data)

    def survivor(self, fate: _Fate) -> _Inode:
        """The file after a power cut that did this to what was not synced."""
        return _Inode(_Inode(self.durable, fate(self.pending)).content())


@define(eq=False)
class _FaultyFile:
    disk: FaultyDisk
    inode: _Inode

    def write_at(self, data: bytes, offset: int) -> None:
        self.inode.pending.append((offset, data))
        self.disk.reached("write")

    def sync(self) -> None:
        self.disk.reached("sync")
        self.inode.durable, self.inode.pending = self.inode.content(), []

    def close(self) -> None:
        pass


@define(eq=False)
class _FaultySource:
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read_at(self, size: int, offset: int) -> bytes:
        return self.content[offset : offset + size]

    def close(self) -> None:
        pass


@define(eq=False)
class _FaultyLock:
    held: set[Path]
    path: Path

    def close(self) -> None:
        self.held.discard(self.path)


@define(eq=False)
class FaultyDisk:
    """A disk in memory that forgets what was not synced (see `quorum.storage.disk.Disk`).

    `before` is called with each operation's name and number (from 1); what it raises, the operation
    raises: an OSError is a fault, and `PowerCut` ends the world, of which `survivors` shows what
    may be left. A write that raises may still have reached the disk, a sync that raises has not.
    """

    before: Callable[[str, int], None] = lambda _name, _number: None
    operations: int = 0
    _off: bool = False
    _names: dict[Path, _Inode] = field(factory=dict)
    _durable_names: dict[Path, _Inode] = field(factory=dict)
    _held: set[Path] = field(factory=set)

    def reached(self, name: str) -> None:
        """Count an operation, and let `before` break it."""
        self.operations += 1
        try:
            self.before(name, self.operations)
        except PowerCut:
            self._off = True
            raise

    def survivors(self, *, sector: int = 512) -> Iterator[FaultyDisk]:
        """Disks that a power cut at this moment may leave behind.

        What was not synced is there, or not, or only the last write to each file is, or that was
        cut after any of some bytes, or lacks any one of its sectors. New names are there or not,
        and removed ones are gone, or all back, or any one of them is.
        """
        pending = [inode.pending[-1] for inode in self._names.values() if inode.pending]
        longest = max((len(piece) for _, piece in pending if piece is not None), default=0)
        cuts = {1, 20, 40, longest // 2, longest - 2, longest - 1}
        fates: list[_Fate] = [lambda _: [], lambda pending: pending, lambda pending: pending[-1:]]
        fates += [_cut(size) for size in sorted(cuts) if 0 < size < longest]
        fates += [_lacking(number, sector) for number in range(longest // sector + 2)]
        removed = self._durable_names.keys() - self._names.keys()
        back = [{**self._names, path: self._durable_names[path]} for path in sorted(removed)]
        for names in (self._names, self._durable_names, *back):
            for fate in fates:
                yield _disk({path: inode.survivor(fate) for path, inode in names.items()})

    def make_directory(self, path: Path) -> None:
        """See `Disk`."""

    def lock(self, path: Path) -> _FaultyLock:
        """See `Disk`."""
        if path in self._held:
            raise BlockingIOError
        self._held.add(path)
        return _FaultyLock(self._held, path)

    def names(self, directory: Path) -> list[str]:
        """See `Disk`."""
        return sorted(path.name for path in self._names if path.parent == directory)

    def read(self, path: Path) -> bytes:
        """See `Disk`."""
        if path not in self._names:
            raise FileNotFoundError(path)
        return self._names[path].content()

    def open(self, path: Path) -> _FaultySource:
        """See `Disk`."""
        return _FaultySource(self.read(path))

    def put(self, path: Path, content: bytes) -> None:
        """Replace a file by this content, durably: damage, for instance."""
        self._names[path] = self._durable_names[path] = _Inode(content)

    def create(self, path: Path) -> _FaultyFile:
        """See `Disk`."""
        self._names[path] = _Inode()
        self.reached("create")
        return _FaultyFile(self, self._names[path])

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        self._names[target] = self._names.pop(source)
        self.reached("rename")

    def truncate(self, path: Path, size: int) -> None:
        """See `Disk`."""
        self._names[path].pending.append((size, None))
        self.reached("truncate")

    def remove(self, path: Path) -> None:
        """See `Disk`."""
        if path not in self._names:
            raise FileNotFoundError(path)
        if not self._off:  # who cleans up after an error does so in vain
            del self._names[path]
        self.reached("remove")

    def sync_directory(self, directory: Path) -> None:
        """See `Disk`."""
        self.reached("sync_directory")
        self._durable_names = {
            path: inode
            for path, inode in {**self._durable_names, **self._names}.items()
            if path.parent != directory or path in self._names
        }


def _cut(size: int) -> _Fate:
    """Only the first bytes of the last write arrived."""

    def fate(pending: _Pending) -> _Pending:
        return [
            *pending[:-1],
            *((offset, piece and piece[:size]) for offset, piece in pending[-1:]),
        ]

    return fate


def _lacking(number: int, sector: int) -> _Fate:
    """All but one of the file's sectors in the last write arrived; counted from its begin."""

    def fate(pending: _Pending) -> _Pending:
        if not pending:
            return pending
        *others, (offset, piece) = pending
        if piece is None:
            return pending
        low = max(0, (offset // sector + number) * sector - offset)
        high = (offset // sector + number + 1) * sector - offset
        return [*others, (offset, piece[:low]), (offset + high, piece[high:])]

    return fate


def _disk(names: dict[Path, _Inode]) -> FaultyDisk:
    disk = FaultyDisk()
    disk._names, disk._durable_names = names, dict(names)  # noqa: SLF001 - its own class
    return disk
