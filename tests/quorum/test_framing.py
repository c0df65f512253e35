"""quorum.framing: a stream of bytes cut into bodies."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorum.errors import ProtocolError
from quorum.framing import FrameReader, frame


@given(st.lists(st.binary(max_size=50), max_size=6), st.lists(st.integers(0, 400), max_size=8))
def test_bodies_survive_any_cutting_of_the_stream(bodies: list[bytes], cuts: list[int]) -> None:
    """However the network cuts the stream, the bodies come out whole and in order."""
    stream = b"".join(map(frame, bodies))
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = FrameReader()
    received = [body for start, stop in pairwise(edges) for body in reader.feed(stream[start:stop])]

    assert bodies == received
    assert reader.buffered == 0


def test_an_unfinished_frame_is_buffered() -> None:
    """The end of a stream inside a frame can be told from a clean end."""
    reader = FrameReader()

    assert reader.feed(frame(b"whole") + frame(b"cut")[:-1]) == [b"whole"]
    assert reader.buffered == 10


def test_a_long_frame_is_refused_at_its_header() -> None:
    """The limit holds before a byte of the body has arrived."""
    reader = FrameReader(limit=9)

    assert reader.feed(frame(b"123456789")) == [b"123456789"]
    with pytest.raises(ProtocolError, match="limit is 9"):
        reader.feed(frame(b"1234567890")[:8])


def test_every_flipped_bit_is_noticed() -> None:
    """No single flipped bit lets a changed body through."""
    sent = frame(b"payload")
    for bit in range(8 * len(sent)):
        damaged = bytearray(sent)
        damaged[bit // 8] ^= 1 << bit % 8
        reader = FrameReader(limit=1 << 20)
        try:
            assert reader.feed(bytes(damaged)) == []  # a longer frame: it never completes
            assert reader.buffered == len(sent)
        except ProtocolError:
            continue


def test_one_frame_can_be_read_without_a_byte_of_the_next() -> None:
    """Reading no more than is missing leaves what follows where it is."""
    stream, reader, at = frame(b"first") + frame(b"second"), FrameReader(), 0
    bodies: list[bytes] = []
    while not bodies:
        step = reader.missing
        bodies = reader.feed(stream[at : at + step])
        at += step

    assert [b"first"] == bodies
    assert frame(b"second") == stream[at:]
