"""What is registered with an agent, on its disk: so that it is there again after a restart.

    data_dir/registrations    replaced as a whole with every change that lasts

The file is written before the catalog is: so what was registered comes back after a crash, and what
was deregistered does not. Checks begin anew after a restart, in the state that they are defined
with: nobody knows how things went meanwhile.

It holds what came from other processes. What the agent's own process registered, its configuration
file included, is registered by that again, or else is not wanted any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final

from attrs import field, frozen

from catalog.config import AgentConfig
from catalog.durably import write_durably
from catalog.errors import ProtocolError, StartError
from catalog.model import Check, Service
from catalog.wire import dumps, loads

__all__ = ["Kept", "KeptCheck", "Record", "open_record"]

FILE: Final = "registrations"
MAGIC: Final = b"catalog registrations 1\n"
DIGEST_BYTES: Final = 16


@frozen
class KeptCheck:
    """A check that was registered by itself."""

    check: Check
    service_id: str
    """Empty: of the node."""


@frozen
class Kept:
    """All that survives."""

    node: str
    """Whose it is."""
    services: tuple[Service, ...] = ()
    checks: tuple[KeptCheck, ...] = ()
    maintenance: Mapping[str, str] = field(factory=dict, hash=False)
    """Reasons, by service id; of the node: under the empty id."""


class Record:
    """The file."""

    def __init__(self, path: Path, kept: Kept) -> None:
        self.path = path
        self.kept = kept
        """What it holds."""

    def save(self, kept: Kept) -> None:
        """Replace what it holds; blocks until it is safe.

        Raises:
            OSError: it holds what it held before.
            ProtocolError: that is too much for one file; as above.

        """
        if kept == self.kept:
            return
        body = dumps(kept, Kept)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self.path, MAGIC + _digest(body) + body, mode=0o600)
        self.kept = kept


def open_record(config: AgentConfig) -> Record | None:
    """Return an agent's file with what it holds; `None`: it has no directory.

    Raises:
        StartError: the file is damaged, cannot be read, or is another agent's.

    """
    if config.data_dir is None:
        return None
    path = config.data_dir / FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Record(path, Kept(config.name))
    except OSError as error:
        raise StartError(f"{path} cannot be read: {error.strerror}") from error
    kept = _parse(path, data)
    if kept.node != config.name:
        raise StartError(
            f"{path} belongs to agent {kept.node!r}, not to {config.name!r}: give each agent a "
            f"data_dir of its own"
        )
    return Record(path, kept)


def _parse(path: Path, data: bytes) -> Kept:
    head = len(MAGIC) + DIGEST_BYTES
    body = data[head:]
    if data[:head] != MAGIC + _digest(body):
        raise StartError(
            f"{path} is damaged, or was written by another version; nothing was registered: "
            f"restore it, or delete it and register again what runs here"
        )
    try:
        return loads(body, Kept)
    except ProtocolError as error:
        raise StartError(f"{path} makes no sense to this version: {error}") from error


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=DIGEST_BYTES).digest()
