"""Compression: fewer bytes for what is long, and no bombs.

DEFLATE in the zlib format (RFC 1950) of the standard library, at its fastest level. A few bytes can
unpack to a million times their number, so whoever unpacks says beforehand how many it takes, and
never holds more than that and one byte.
"""

from __future__ import annotations

import zlib
from typing import Final

from rumor.errors import ProtocolError

COMPRESSED_BYTES_MIN: Final = 256
"""Shorter data are left as they are: there is little to gain."""

LEVEL: Final = 1


def compress(data: bytes) -> bytes | None:
    """Pack data; ``None`` if that is not worth it."""
    if len(data) < COMPRESSED_BYTES_MIN:
        return None
    packed = zlib.compress(data, LEVEL)
    return packed if len(packed) < len(data) else None


def decompress(packed: bytes, bytes_max: int) -> bytes:
    """Unpack data of at most `bytes_max` bytes, or raise :class:`~rumor.errors.ProtocolError`."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, bytes_max + 1)
    except zlib.error as error:
        raise ProtocolError(f"not compressed as we do it: {error}") from error
    if len(data) > bytes_max:
        raise ProtocolError(f"unpacks to more than {bytes_max} bytes")
    if not stream.eof or stream.unused_data:
        raise ProtocolError("compressed data that end too early, or bytes behind them")
    return data
