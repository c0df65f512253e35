"""Tests of quorum.session_image: a table of sessions at rest."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from quorum.session_image import Image, Limits, Row, pack, unpack

LIMITS = Limits(sessions_max=3, window_max=4, ttl_ms=100, result_bytes_max=1024)
NONE = b"N"
ROW = Row(id=5, ttl_ms=50, heard=60, below=3, results=((3, NONE), (6, b"T")))
IMAGE = Image(LIMITS, 100, (ROW, Row(id=2, ttl_ms=100, heard=70, below=1, results=())))


def test_a_table_comes_back_with_what_follows_it():
    """The machine's own snapshot, also an empty one."""
    assert (IMAGE, b"rest") == unpack(pack(IMAGE) + b"rest")
    assert (Image(LIMITS, 0, ()), b"") == unpack(pack(Image(LIMITS, 0, ())))


def test_a_table_that_ends_early_is_refused():
    """At every byte."""
    data = pack(IMAGE)
    for cut in range(len(data)):
        with pytest.raises(ValueError, match="nothing was restored"):
            unpack(data[:cut])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (evolve(ROW, id=0), "start at 1"),
        (evolve(ROW, id=2), "the same id"),
        (evolve(ROW, below=0, results=()), "start at 1"),
        (evolve(ROW, ttl_ms=0), "lives longer"),
        (evolve(ROW, ttl_ms=101), "lives longer"),
        (evolve(ROW, ttl_ms=39), "has ended"),
        (evolve(ROW, heard=101), "has ended"),
        (evolve(ROW, heard=71), "by their last word"),
        (evolve(ROW, results=((2, NONE),)), "out of its window"),
        (evolve(ROW, results=((7, NONE),)), "out of its window"),
        (evolve(ROW, results=((4, NONE), (4, NONE))), "out of its window"),
        (evolve(ROW, results=((4, NONE), (3, NONE))), "out of its window"),
        (evolve(ROW, results=tuple((n, NONE) for n in range(3, 8))), "more results"),
        (evolve(ROW, results=((3, b"b" + (1020).to_bytes(4, "little") + bytes(1020)),)), "length"),
        (evolve(ROW, results=((3, b""),)), "ends before"),
        (evolve(ROW, results=((3, b"NN"),)), "follow the value"),
    ],
)
def test_a_table_that_no_machine_has_is_refused(row, reason):
    """Each rule of the table is checked, so that what is restored can be worked with."""
    with pytest.raises(ValueError, match=reason):
        unpack(pack(evolve(IMAGE, rows=(row, IMAGE.rows[1]))))


def test_more_sessions_than_there_may_be_are_refused():
    """By their number, before any of them is read."""
    rows = tuple(Row(key, 100, 100, 1, ()) for key in range(1, 5))
    with pytest.raises(ValueError, match="more sessions"):
        unpack(pack(Image(LIMITS, 100, rows)))


@settings(max_examples=100)
@given(st.integers(18, len(pack(IMAGE)) - 1), st.integers(1, 255))
def test_a_changed_byte_makes_another_sound_table_or_none(position, change):
    """Never an error of another kind, and never a table that has two encodings."""
    data = bytearray(pack(IMAGE))
    data[position] ^= change
    try:
        image, rest = unpack(bytes(data))
    except ValueError:
        return
    assert bytes(data) == pack(image) + rest
