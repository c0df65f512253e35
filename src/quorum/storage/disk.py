"""The few file operations that a journal needs, behind a protocol so that tests can break them.

`RealDisk` is the operating system. `quorum.testing.FaultyDisk` forgets what was not synced, tears
writes and fails on demand. All calls block; any of them may raise OSError.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

_sync_data = getattr(os, "fdatasync", os.fsync)  # not every system has fdatasync


class File(Protocol):
    """A file open for writing."""

    def write_at(self, data: bytes, offset: int) -> None:
        """Write all of this at this place."""
        ...

    def sync(self) -> None:
        """Return when everything written is durable, with the file's size."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Source(Protocol):
    """A file open for reading; it stays readable when its name is removed."""

    @property
    def size(self) -> int:
        """Bytes in the file."""
        ...

    def read_at(self, size: int, offset: int) -> bytes:
        """So many bytes from this place, fewer only where the file ends."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Lock(Protocol):
    """A lock that is held."""

    def close(self) -> None:
        """Let go of it."""
        ...


class Disk(Protocol):
    """A file system."""

    def make_directory(self, path: Path) -> None:
        """Make this directory and those above it, durably; it may exist."""
        ...

    def lock(self, path: Path) -> Lock:
        """Hold this file, which is made if need be; BlockingIOError if somebody else does."""
        ...

    def names(self, directory: Path) -> list[str]:
        """Names of the files in this directory, sorted."""
        ...

    def read(self, path: Path) -> bytes:
        """The whole content of a file."""
        ...

    def open(self, path: Path) -> Source:
        """Open a file for reading; FileNotFoundError if there is none."""
        ...

    def create(self, path: Path) -> File:
        """Open an empty file, in place of what was there."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name, in place of what was there."""
        ...

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file to this size."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file."""
        ...

    def sync_directory(self, directory: Path) -> None:
        """Return when the names in this directory are durable."""
        ...


def finish(disk: Disk, file: File, path: Path, name: str, *, sync: bool) -> None:
    """Make a file durable, then give it this name, durably: it is there with all of it, or not."""
    if sync:
        file.sync()
    disk.rename(path, path.with_name(name))
    if sync:
        disk.sync_directory(path.parent)


class _RealFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write_at(self, data: bytes, offset: int) -> None:
        written = os.pwrite(self._descriptor, data, offset)
        while written < len(data):  # a signal, or more than the system writes at once
            with memoryview(data) as view:
                written += os.pwrite(self._descriptor, view[written:], offset + written)

    def sync(self) -> None:
        _sync_data(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class _RealSource:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read_at(self, size: int, offset: int) -> bytes:
        parts: list[bytes] = []
        while size > 0 and (data := os.pread(self._descriptor, size, offset)):
            parts.append(data)
            size, offset = size - len(data), offset + len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        os.close(self._descriptor)


class RealDisk:
    """The operating system's files; those it makes are readable by their owner only."""

    def make_directory(self, path: Path) -> None:
        """See `Disk.make_directory`."""
        if path.is_dir():
            return
        self.make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        self.sync_directory(path.parent)

    def lock(self, path: Path) -> Lock:
        """See `Disk.lock`: flock, which the system releases when the process ends."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(descriptor)
            raise
        return _RealFile(descriptor)

    def names(self, directory: Path) -> list[str]:
        """See `Disk.names`."""
        return sorted(path.name for path in directory.iterdir())

    def read(self, path: Path) -> bytes:
        """See `Disk.read`."""
        return path.read_bytes()

    def open(self, path: Path) -> Source:
        """See `Disk.open`."""
        return _RealSource(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def create(self, path: Path) -> File:
        """See `Disk.create`."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return _RealFile(os.open(path, flags, 0o600))

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk.rename`."""
        source.rename(target)

    def truncate(self, path: Path, size: int) -> None:
        """See `Disk.truncate`."""
        os.truncate(path, size)

    def remove(self, path: Path) -> None:
        """See `Disk.remove`."""
        path.unlink()

    def sync_directory(self, directory: Path) -> None:
        """See `Disk.sync_directory`."""
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
