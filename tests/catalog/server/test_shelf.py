"""Snapshots held ready."""

from __future__ import annotations

from hashlib import sha256

import pytest
import trio

from catalog.errors import Busy
from catalog.operations import SNAPSHOT_CHUNK_BYTES
from catalog.server.shelf import KEPT_SECONDS, Shelf

DATA = bytes(range(256)) * (2 * SNAPSHOT_CHUNK_BYTES // 256) + b"rest"


async def test_pieces_make_the_whole():
    """The last one lets it go."""
    shelf = Shelf()
    mark = shelf.put(DATA, 7)
    whole = b""
    while len(whole) < mark.size:
        whole += shelf.read(mark.token, len(whole))

    assert DATA == whole
    assert (7, sha256(DATA).digest()) == (mark.index, mark.sha256)
    with pytest.raises(ValueError, match="begin again"):
        shelf.read(mark.token, 0)


async def test_few_are_held_and_not_for_long(autojump_clock):
    """One that nobody fetches makes room after a minute."""
    shelf = Shelf()
    first = shelf.put(DATA, 1)
    shelf.put(DATA, 2)
    with pytest.raises(Busy, match="wait a minute"):
        shelf.put(DATA, 3)
    await trio.sleep(KEPT_SECONDS - 1)
    shelf.read(first.token, 0)
    await trio.sleep(2)
    shelf.put(DATA, 3)
    assert shelf.read(first.token, SNAPSHOT_CHUNK_BYTES)


@pytest.mark.parametrize("offset", [-1, len(DATA) + 1])
async def test_nothing_is_read_beyond(offset):
    """Nor before."""
    shelf = Shelf()
    mark = shelf.put(DATA, 7)
    with pytest.raises(ValueError, match="ends before"):
        shelf.read(mark.token, offset)
