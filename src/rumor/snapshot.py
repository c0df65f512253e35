"""A member's snapshot: whom it knew, and where its own numbers stood, for the time after a restart.

The file is a hint, not a truth: it says whom to ask, and how to speak so that one is believed.
Nothing is lost with it but time. It grows at its end and is rewritten when it has become long::

    RUMS1 ⏎
    length(4) crc32(4) [kind, field, …]          one CBOR item for each record, as often as needed

    [0, cluster, name]        whose file it is; the first record, and only the first
    [1, name, host, port]     this member was there, alive or failed: worth asking
    [2, name]                 this member has left, or was forgotten: not worth asking
    [3, incarnation, clock]   our own numbers; what is said later must be larger
    [4]                       we have left, and do not come back unless asked to

Appending is not synced to the disk, rewriting is. A process that dies while it writes leaves a torn
record at the end, and a machine that dies may damage more; reading stops at the first record that
is not whole, and what came before it counts. Rewriting goes to another file, which takes the place
of the first when it is complete.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias
from zlib import crc32

import cbor2
from attrs import define, field

from rumor.errors import ConfigError, ProtocolError
from rumor.fields import check_address, check_name, check_natural
from rumor.messages import Address, Incarnation, Name
from rumor.wire import loads

MAGIC: Final = b"RUMS1\n"
HEAD_BYTES: Final = 8
RECORD_BYTES_MAX: Final = 1_024
COMPACT_BYTES_MIN: Final = 128 * 1024
"""A file is rewritten when it is longer than this, and twice as long as it need be."""

OWNER, SEEN, GONE, MINE, LEFT = range(5)
Record: TypeAlias = tuple[Any, ...]


@define
class Snapshot:
    """What a file says, record by record."""

    cluster: str = ""
    name: Name = ""
    members: dict[Name, Address] = field(factory=dict)
    """Who is worth asking, in the order in which they were seen first."""
    incarnation: Incarnation = 0
    clock: int = 0
    has_left: bool = False
    records: int = 0
    dropped: int = 0
    """Bytes at the end that are no whole records."""
    damage: str = ""
    """Why they are not; a torn write is the usual reason."""

    def take(self, record: Record) -> None:
        """Let a record count, or raise :class:`~rumor.errors.ProtocolError`."""
        match record:
            case (0, str(cluster), name) if self.records == 0:
                self.cluster, self.name = cluster, check_name(name)
            case (1, name, host, port) if self.records:
                self.members[check_name(name)] = check_address([host, port])
            case (2, name) if self.records:
                self.members.pop(check_name(name), None)
            case (3, incarnation, clock) if self.records:
                self.incarnation, self.clock = check_natural(incarnation), check_natural(clock)
                self.has_left = False
            case (4,) if self.records:
                self.has_left = True
            case _:
                raise ProtocolError("a record of a kind that does not belong here")
        self.records += 1

    def compact(self) -> list[Record]:
        """Say the same in as few records as possible."""
        records: list[Record] = [(OWNER, self.cluster, self.name)]
        records += [(SEEN, name, *address) for name, address in self.members.items()]
        records.append((MINE, self.incarnation, self.clock))
        return [*records, (LEFT,)] if self.has_left else records


def pack(records: Iterable[Record]) -> bytes:
    """Write records."""
    parts: list[bytes] = []
    for record in records:
        body = cbor2.dumps(list(record))
        parts += (len(body).to_bytes(4, "big"), crc32(body).to_bytes(4, "big"), body)
    return b"".join(parts)


def read(data: bytes) -> Snapshot:
    """Read a file's bytes, as far as they are whole.

    Raises :class:`~rumor.errors.ProtocolError` if they are something else than a snapshot.
    """
    snapshot = Snapshot()
    if not data.startswith(MAGIC):
        raise ProtocolError("not a member snapshot: it begins with other bytes")
    at = len(MAGIC)
    while at < len(data):
        try:
            record, end = _record_at(data, at)
            snapshot.take(record)
        except ProtocolError as error:
            snapshot.dropped, snapshot.damage = len(data) - at, str(error)
            break
        at = end
    return snapshot


def _record_at(data: bytes, at: int) -> tuple[Record, int]:
    """Read the record that begins there; return where it ends, too."""
    length = int.from_bytes(data[at : at + 4], "big")
    end = at + HEAD_BYTES + length
    body = data[at + HEAD_BYTES : end]
    if length > RECORD_BYTES_MAX:
        raise ProtocolError(f"a record of {length} bytes, the limit is {RECORD_BYTES_MAX}")
    if end > len(data):
        raise ProtocolError("a record was not written to its end")
    if crc32(body) != int.from_bytes(data[at + 4 : at + HEAD_BYTES], "big"):
        raise ProtocolError("a record does not fit its checksum")
    item = loads(body)
    return tuple(item) if type(item) is list else (), end


class SnapshotFile:
    """One member's file, open for writing; one agent at a time may have it.

    Raises :class:`~rumor.errors.ConfigError` if the file is another member's or none at all, and
    ``OSError`` if it cannot be read or written.
    """

    def __init__(self, path: Path, *, cluster: str, name: Name) -> None:
        self.path = path
        self._size = self._compact_size = 0
        self._is_broken = False
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = b""
        try:
            self.state = read(data) if data else Snapshot()
        except ProtocolError as error:
            raise ConfigError(f"{path}: {error}; nothing was started, name another file") from error
        if self.state.records == 0:
            self.state = Snapshot(cluster, name, records=1)
        if (self.state.cluster, self.state.name) != (cluster, name):
            raise ConfigError(
                f"{path} belongs to {self.state.name!r} of cluster {self.state.cluster!r}, not to "
                f"{name!r} of {cluster!r}; nothing was started, name another file"
            )
        self.was_there = bool(data)

    def append(self, records: list[Record]) -> None:
        """Let these records count, and write them; raise ``OSError`` if that fails.

        They count all the same, and are written with the next that are.
        """
        for record in records:
            self.state.take(record)
        data = pack(records)
        is_long = self._size + len(data) > max(COMPACT_BYTES_MIN, 2 * self._compact_size)
        if self._is_broken or self._size == 0 or is_long:
            self.rewrite()
            return
        self._is_broken = True  # until we know better: the end may be torn
        with self.path.open("ab", buffering=0) as file:
            _write_all(file.fileno(), data)
        self._is_broken = False
        self._size += len(data)

    def rewrite(self) -> None:
        """Write everything anew, into another file that takes this one's place."""
        self._is_broken = True
        data = MAGIC + pack(self.state.compact())
        beside = self.path.with_name(self.path.name + ".new")
        with beside.open("wb", buffering=0) as file:
            _write_all(file.fileno(), data)
            os.fsync(file.fileno())
        beside.replace(self.path)
        self._sync_directory()
        self._size = self._compact_size = len(data)
        self._is_broken = False

    def _sync_directory(self) -> None:
        with suppress(OSError):  # not all file systems can, and nothing is lost but the newest
            directory = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)


def _write_all(descriptor: int, data: bytes) -> None:
    """Write, however often the system takes a part only."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
