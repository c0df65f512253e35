"""Snapshot files: what is in them, and what is refused."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import ProtocolError
from catalog.snapshots import MARK, Saved, unpack

IMAGE = b"the image"
HEAD = {
    "cluster": "c",
    "index": 7,
    "sha256": sha256(IMAGE).hexdigest(),
    "size": len(IMAGE),
    "version": "1",
}


def pack(**changes):
    """A file with another head than it should have."""
    return MARK + json.dumps({**HEAD, **changes}).encode() + b"\n" + IMAGE


def test_a_file_is_taken_apart():
    """Its head is for people, its image for the servers."""
    assert Saved("c", 7, "1", IMAGE) == unpack(pack())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "begins with"),
        (b"GIF89a", "begins with"),
        (MARK, "head"),
        (MARK + b"{}\n", "head"),
        (pack(index="x"), "head"),
        (pack()[:-1], "should have 9 bytes, and has 8"),
        (pack() + b"x", "and has 10"),
        (pack(sha256="00"), "damaged"),
    ],
)
def test_what_is_no_snapshot_is_refused(data, says):
    """Before anything is sent."""
    with pytest.raises(ProtocolError, match=says):
        unpack(data)


@given(st.integers(0, len(pack()) - 1), st.integers(1, 255))
def test_no_flipped_byte_changes_the_image(at, flip):
    """Either it is refused, or it was in what people read."""
    data = bytearray(pack())
    data[at] ^= flip
    try:
        assert IMAGE == unpack(bytes(data)).image
    except ProtocolError:
        return
