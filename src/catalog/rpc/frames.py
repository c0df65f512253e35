"""Calls between agents as bytes: frames of CBOR arrays, believed only after a look at every field.

    length u32, big-endian · [kind, field, ...]

A connection begins with the four bytes `CAT1` and a `Hello` each way; the caller waits for the
other's before it says more. Then it sends `Call`s and, when it does not want an answer any more,
`Cancel`s; the other end sends one `Result` or `Failure` for each call, in whatever order they are
ready. The numbers are the caller's, and tell its calls apart. What is in a body is the business of
`catalog.requests` and `catalog.wire`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import cbor2
from attrs import astuple, frozen

from catalog.errors import ProtocolError
from catalog.wire import COMMAND_BYTES_MAX, MESSAGE_BYTES_MAX

__all__ = [
    "ANSWER_BYTES_MAX",
    "CALL_BYTES_MAX",
    "MAGIC",
    "VERSION",
    "Call",
    "Cancel",
    "Failure",
    "Frame",
    "FrameReader",
    "Hello",
    "Result",
    "decode",
    "encode",
]

MAGIC: Final = b"CAT1"
"""The first bytes of every connection, so that one port can serve several protocols."""
VERSION: Final = 1
CALL_BYTES_MAX: Final = COMMAND_BYTES_MAX + 4096
"""A frame from a caller: a command, and room for what is round it."""
ANSWER_BYTES_MAX: Final = MESSAGE_BYTES_MAX + 4096
"""A frame to a caller."""
LENGTH_BYTES: Final = 4


@frozen
class Hello:
    """Who speaks; both ends begin with it."""

    version: int
    cluster: str
    """Empty, from a caller: whichever."""
    name: str
    """Of the agent; empty: no agent, a user's client."""


@frozen
class Call:
    """Please answer a request."""

    id: int
    method: str
    """A key of `REQUESTS`."""
    direct: bool
    """Answer yourself or say that you cannot; ask nobody else."""
    body: bytes


@frozen
class Cancel:
    """The answer to this call is not wanted any more."""

    id: int


@frozen
class Result:
    """The answer to a call."""

    id: int
    body: bytes


@frozen
class Failure:
    """A call failed."""

    id: int
    code: str
    """Which error; see `catalog.rpc.faults`."""
    text: str


Frame: TypeAlias = Hello | Call | Cancel | Result | Failure

KINDS: Final[Mapping[int, tuple[type[Any], tuple[type, ...]]]] = {
    0: (Hello, (int, str, str)),
    1: (Call, (int, str, bool, bytes)),
    2: (Cancel, (int,)),
    3: (Result, (int, bytes)),
    4: (Failure, (int, str, str)),
}
"""Each kind of frame with the types of its fields, in order."""
NUMBERS: Final = {cls: number for number, (cls, _) in KINDS.items()}


def encode(frame: Frame) -> bytes:
    """Return a frame with its length in front."""
    body = cbor2.dumps([NUMBERS[type(frame)], *astuple(frame)])
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def decode(body: bytes) -> Frame:
    """Return the frame in `body`.

    Raises:
        ProtocolError: there is no frame, or more than that.

    """
    try:
        array = cbor2.loads(body)
    except Exception as error:
        # Whatever a decoder raises about a stranger's bytes, they are not ours.
        raise ProtocolError(f"a frame that is no CBOR: {error!r:.200}") from error
    if not isinstance(array, list) or not array or type(array[0]) is not int:
        raise ProtocolError("a frame is an array that begins with a number")
    cls, types = KINDS.get(array[0], (None, ()))
    if cls is None:
        raise ProtocolError(f"no frame is of kind {array[0]}")
    if tuple(map(type, array[1:])) != types:
        raise ProtocolError(f"the fields of a {cls.__name__} frame are of the wrong types")
    frame: Frame = cls(*array[1:])
    return frame


class FrameReader:
    """Cuts a stream of bytes into frames; after an error it is of no more use."""

    def __init__(self, *, frame_bytes_max: int) -> None:
        self._buffer = bytearray()
        self._frame_bytes_max = frame_bytes_max

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished frame; at the end of a stream anything but 0 is a cut."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that this data completes.

        Raises:
            ProtocolError: a frame is too long or not one of ours; close the connection.

        """
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        start = 0
        while len(buffer) - start >= LENGTH_BYTES:
            begin = start + LENGTH_BYTES
            length = int.from_bytes(buffer[start:begin], "big")
            if length > self._frame_bytes_max:
                raise ProtocolError(
                    f"a frame of {length} bytes; the limit is {self._frame_bytes_max}"
                )
            if len(buffer) - begin < length:
                break
            frames.append(decode(bytes(buffer[begin : begin + length])))
            start = begin + length
        del buffer[:start]
        return frames
