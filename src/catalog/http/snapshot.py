"""Snapshots of everything: `/v1/snapshot`, compressed as Consul's are."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import Response, StreamingResponse

from catalog.errors import ProtocolError
from catalog.http.answers import empty
from catalog.http.bodies import read_bytes
from catalog.http.calls import Call
from catalog.http.trouble import Trouble
from catalog.snapshots import restore, save

__all__ = ["get", "put"]

SNAPSHOT_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of a snapshot that is sent to us, compressed or not; it is held in memory while it is checked."""
GZIP: Final = 16 + zlib.MAX_WBITS


async def get(call: Call) -> Response:
    """Return a snapshot, piece by piece; what ends early is no gzip file, and so no snapshot."""
    pieces = save(call.site.catalog)
    first = await anext(pieces)  # an error comes as a status while there is still one to send
    return StreamingResponse(_compressed(first, pieces), media_type="application/x-gzip")


async def _compressed(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(wbits=GZIP)
    yield packer.compress(first)
    async for piece in rest:
        yield packer.compress(piece)
    yield packer.flush()


async def put(call: Call) -> Response:
    """Replace everything by what a snapshot holds."""
    body = await read_bytes(call.request, limit=SNAPSHOT_BYTES_MAX, what="Snapshot")
    unpacker = zlib.decompressobj(wbits=GZIP)
    try:
        data = unpacker.decompress(body, SNAPSHOT_BYTES_MAX)
    except zlib.error as error:
        raise Trouble(400, f"this is no snapshot: {error}; nothing was restored") from None
    if not unpacker.eof:
        raise Trouble(400, "this snapshot is cut off, or too large; nothing was restored")
    try:
        await restore(call.site.catalog, data)
    except ProtocolError as error:
        raise Trouble(400, f"{error}; nothing was restored") from None
    return empty()
