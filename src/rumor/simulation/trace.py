"""What happened: as a hash, by which two runs are the same run, and as a timeline to read."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from attrs import define, field

from rumor.messages import Name


def _hasher() -> Any:
    return blake2b(digest_size=16)


@define
class Trace:
    """The run so far."""

    keep: bool = False
    """Whether to write lines, not only to hash."""
    lines: list[str] = field(factory=list)
    _hash: Any = field(factory=_hasher)

    def sent(self, now: float, source: Name, data: bytes) -> None:
        """Note bytes that left a member, for a datagram or a stream."""
        self._hash.update(f"{now!r}{source}".encode())
        self._hash.update(data)

    def note(self, now: float, name: Name, text: str) -> None:
        """Note that something befell a member, or that it told its user something."""
        self._hash.update(f"{now!r}{name}{text}".encode())
        if self.keep:
            self.lines.append(f"{now:10.3f}  {name:<8} {text}")

    @property
    def digest(self) -> str:
        """Hexadecimal; equal for equal runs, whatever the process or machine."""
        return str(self._hash.hexdigest())
