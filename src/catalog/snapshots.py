"""Saving the whole registry to a file, and restoring it from one.

    catalog-snapshot/1
    {"cluster": ..., "index": ..., "sha256": ..., "size": ..., "version": ...}
    (the image: see `catalog.registry.image`)

The first two lines are text, for people and scripts; the image is what replicas exchange. Saving
disturbs nobody, restoring replaces everything on all servers at one log entry, watchers included
(see `catalog.server.restoring`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Final

from attrs import frozen

from catalog.api import Catalog
from catalog.errors import CatalogError, ProtocolError, Refused
from catalog.operations import (
    SNAPSHOT_CHUNK_BYTES,
    OpenSnapshot,
    ReadSnapshot,
    RestoreChunk,
)
from catalog.requests import Info

__all__ = ["Saved", "restore", "save", "unpack"]

MARK: Final = b"catalog-snapshot/1\n"
HEAD_BYTES_MAX: Final = 4096


@frozen
class Saved:
    """A snapshot file, taken apart and checked."""

    cluster: str
    index: int
    """Of the last log entry that it has."""
    version: str
    """Of the software that saved it."""
    image: bytes


async def save(catalog: Catalog) -> AsyncIterator[bytes]:
    """Give the bytes of a snapshot file, piece by piece.

    What was acknowledged before is in it.

    Raises:
        CatalogError: it ended early; what came so far is no snapshot.

    """
    info = await catalog.ask(Info())
    mark = await catalog.ask(OpenSnapshot())
    head = {
        "cluster": info.cluster,
        "index": mark.index,
        "sha256": mark.sha256.hex(),
        "size": mark.size,
        "version": version("quorumkit"),
    }
    yield MARK + json.dumps(head, sort_keys=True).encode() + b"\n"
    digest, offset = sha256(), 0
    while offset < mark.size:
        piece = await catalog.ask(ReadSnapshot(mark.token, offset))
        digest.update(piece)
        offset += len(piece)
        yield piece
    if digest.digest() != mark.sha256:
        raise CatalogError("the snapshot was damaged on its way: save it again")


def unpack(data: bytes) -> Saved:
    """Take a snapshot file apart.

    Raises:
        ProtocolError: it is something else, cut, or damaged.

    """
    if not data.startswith(MARK):
        raise ProtocolError(f"a snapshot begins with {MARK!r}, this with {data[:20]!r}")
    end = data.find(b"\n", len(MARK), len(MARK) + HEAD_BYTES_MAX)
    try:
        head: dict[str, Any] = json.loads(data[len(MARK) : end])
        image = data[end + 1 :]
        saved = Saved(str(head["cluster"]), int(head["index"]), str(head["version"]), image)
        size, digest = int(head["size"]), str(head["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"the head of this snapshot cannot be read: {error!r:.200}") from error
    if len(image) != size:
        raise ProtocolError(f"this snapshot should have {size} bytes, and has {len(image)}")
    if sha256(image).hexdigest() != digest:
        raise ProtocolError("this snapshot is damaged: its checksum is another")
    return saved


async def restore(catalog: Catalog, data: bytes) -> int:
    """Replace the whole registry by what a snapshot file holds; return the index at which it is.

    Nothing changes before the last piece has arrived; a restoration that breaks off leaves
    everything as it was.

    Raises:
        ProtocolError: the file is no snapshot, or damaged; nothing was sent.
        Refused: the servers could not read it; nothing was restored.

    """
    image = unpack(data).image
    name, checksum = secrets.token_hex(8), sha256(image).digest()
    count = max(1, -(-len(image) // SNAPSHOT_CHUNK_BYTES))
    for number in range(count):
        start = number * SNAPSHOT_CHUNK_BYTES
        piece = image[start : start + SNAPSHOT_CHUNK_BYTES]
        last = checksum if number == count - 1 else b""
        applied = await catalog.ask(RestoreChunk(name, number, piece, last))
        if not applied.ok:
            raise Refused(applied)
    return applied.index
