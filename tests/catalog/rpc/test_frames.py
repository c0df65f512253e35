"""Frames: bytes between agents."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import ProtocolError
from catalog.rpc.frames import Call, Cancel, Failure, FrameReader, Hello, Result, decode, encode

NUMBERS = st.integers(-(2**63), 2**63)
FRAMES = st.one_of(
    st.builds(Hello, NUMBERS, st.text(), st.text()),
    st.builds(Call, NUMBERS, st.text(), st.booleans(), st.binary()),
    st.builds(Cancel, NUMBERS),
    st.builds(Result, NUMBERS, st.binary()),
    st.builds(Failure, NUMBERS, st.text(), st.text()),
)


@given(st.lists(FRAMES), st.integers(1, 40))
def test_frames_come_out_as_they_went_in(frames, size):
    """However the stream is cut."""
    data = b"".join(map(encode, frames))
    reader = FrameReader(frame_bytes_max=1 << 20)
    found = [
        frame for at in range(0, len(data), size) for frame in reader.feed(data[at : at + size])
    ]

    assert frames == found
    assert 0 == reader.buffered


@given(st.binary())
def test_arbitrary_bytes_give_frames_or_one_error(data):
    """And memory is bounded by the limit."""
    reader = FrameReader(frame_bytes_max=64)
    try:
        reader.feed(data)
    except ProtocolError:
        return
    assert reader.buffered <= 68


@pytest.mark.parametrize(
    "array",
    [
        [],
        {},
        5,
        [None],
        [True, 1],
        ["1", 1],
        [99],
        [2, "5"],
        [2, True],
        [2, 1, 1],
        [1, 1, "get", 0, b""],
        [1, 1, "get", False, "body"],
        [0, 1, b"cluster", ""],
    ],
)
def test_no_field_is_coerced(array):
    """Wrong types, too few fields, too many: refused."""
    with pytest.raises(ProtocolError):
        decode(cbor2.dumps(array))


def test_a_frame_above_the_limit_is_refused_before_it_comes():
    """Its length is enough."""
    with pytest.raises(ProtocolError, match="the limit is 10"):
        FrameReader(frame_bytes_max=10).feed((11).to_bytes(4, "big"))
