"""Frames: a stream of bytes cut into bodies, each with its length and a checksum.

    length u32 · CRC-32 of the body u32 · body          (little-endian)

The checksum is there because TCP's has 16 bits, and a snapshot may be large; it costs some 0.2 µs
a KiB. What a body means is `quorum.wire`'s business.
"""

from __future__ import annotations

import struct
import zlib

from quorum.errors import ProtocolError

FRAME_BYTES_MAX = 80 << 20
"""No body is longer, whatever the settings; `quorum.wire.frame_bytes_max` is the usual limit."""

_FRAME = struct.Struct("<II")


def frame(body: bytes) -> bytes:
    """A body with its length and checksum, ready to be sent."""
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


class FrameReader:
    """Cuts a stream of bytes into the bodies of its frames. After an error it is of no more use."""

    def __init__(self, *, limit: int = FRAME_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._limit = limit

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished frame; at the end of a stream anything but 0 is a cut."""
        return len(self._buffer)

    @property
    def missing(self) -> int:
        """Bytes that can be read without taking any that follow the next frame; at least one."""
        have = len(self._buffer)
        if have < _FRAME.size:
            return _FRAME.size - have
        length, _ = _FRAME.unpack_from(self._buffer)
        return max(_FRAME.size + int(length) - have, 1)

    def feed(self, data: bytes) -> list[bytes]:
        """Bodies completed by this data, in order.

        Raise ProtocolError at a frame that is longer than the limit or does not match its checksum;
        nothing before it in this call is delivered, and the connection is to be closed.
        """
        buffer = self._buffer
        buffer += data
        bodies: list[bytes] = []
        start, stop = 0, len(buffer)
        with memoryview(buffer) as view:
            while stop - start >= _FRAME.size:
                length, checksum = _FRAME.unpack_from(view, start)
                if length > self._limit:
                    raise ProtocolError(f"a frame of {length} bytes; the limit is {self._limit}")
                if stop - start - _FRAME.size < length:
                    break
                start += _FRAME.size
                body = bytes(view[start : start + length])
                if zlib.crc32(body) != checksum:
                    raise ProtocolError("a frame was damaged on its way")
                bodies.append(body)
                start += length
        del buffer[:start]
        return bodies
