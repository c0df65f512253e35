"""Tests of quorum.values: plain values as bytes, and back, exactly."""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorum import Failed
from quorum.values import DEPTH_MAX, decode, encode

KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.binary()
SCALARS = KEYS | st.floats(allow_nan=False) | st.builds(Failed, st.text())
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS | st.tuples(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


class Colour(enum.IntEnum):
    """An int that is not plain."""

    RED = 1


class Point(NamedTuple):
    """A tuple that is not plain."""

    x: int


def exactly(value):
    """The value with its types, and its dicts with their order."""
    if isinstance(value, dict):
        return "dict", [(exactly(key), exactly(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [exactly(item) for item in value]
    return type(value).__name__, repr(value)


@settings(max_examples=100)
@given(VALUES)
def test_what_is_decoded_is_what_was_encoded(value):
    """In value, in type and in order, all the way down."""
    data = encode(value, bytes_max=1 << 20)
    assert exactly(value) == exactly(decode(data))
    assert data == encode(decode(data), bytes_max=1 << 20)


@settings(max_examples=100)
@given(VALUES, st.data())
def test_a_cut_encoding_is_refused(value, data):
    """No encoding is the beginning of another one."""
    encoded = encode(value, bytes_max=1 << 20)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(ValueError):
        decode(encoded[:cut])
    with pytest.raises(ValueError, match="1 bytes follow"):
        decode(encoded + b"N")


@settings(max_examples=100)
@given(st.binary(max_size=40) | st.lists(st.sampled_from(b"NTFifsb!ltd\0\1\2")).map(bytes))
def test_any_bytes_are_the_one_encoding_of_a_value_or_refused(data):
    """With ValueError and nothing else; there are no second spellings."""
    try:
        value = decode(data)
    except ValueError:
        return
    assert data == encode(value, bytes_max=1 << 20)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Colour.RED, "Colour"),
        (Point(1), "Point"),
        ({1, 2}, "set"),
        (bytearray(b"x"), "bytearray"),
        ([1, {"a": object()}], "object"),
        (2j, "complex"),
        (Failed(7), "Failed"),  # type: ignore[arg-type]
    ],
    ids=lambda value: str(value)[:12],
)
def test_what_is_not_plain_is_refused_by_name(value, name):
    """A subclass would come back as something else; the rest has no bytes of its own."""
    with pytest.raises(ValueError, match=f"a {name} is not a plain value"):
        encode(value, bytes_max=1 << 20)


def test_text_that_is_not_unicode_is_refused():
    """Half a surrogate pair has no UTF-8."""
    with pytest.raises(ValueError, match="not valid Unicode"):
        encode("\ud800", bytes_max=100)


def test_an_encoding_has_at_most_the_bytes_it_may_have():
    """The limit is exact, for a long value and for many short ones."""
    assert 5 + 95 == len(encode(b"x" * 95, bytes_max=100))
    for value in (b"x" * 96, [None] * 96, [[None] * 45] * 2, 1 << 800):
        with pytest.raises(ValueError, match="more than 100 bytes"):
            encode(value, bytes_max=100)


def nested(depth):
    """A list in a list in a list."""
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_containers_nest_to_a_limit():
    """Both ways, so that what is remembered can be recalled; a cycle ends there, too."""
    deepest = nested(DEPTH_MAX)
    assert deepest == decode(encode(deepest, bytes_max=1000))
    with pytest.raises(ValueError, match="containers within each other"):
        encode([deepest], bytes_max=1000)
    with pytest.raises(ValueError, match="containers within each other"):
        decode(b"l\1\0\0\0" * 100_000)
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(ValueError, match="containers within each other"):
        encode(cycle, bytes_max=1000)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends before"),
        (b"?\0\0\0\0", "no value starts with 0x3f"),
        (b"i\0\0\0\0", "as short as it can be"),
        (b"i\2\0\0\0\1\0", "as short as it can be"),
        (b"l\xff\xff\xff\xff", "4294967295 values do not fit"),
        (b"b\xff\xff\xff\xff", "ends before its 4294967295 bytes"),
        (b"s\1\0\0\0\xff", "utf-8"),
        (b"d\1\0\0\0l\0\0\0\0N", "hashable"),
        (b"d\2\0\0\0NTNF", "each of its keys once"),
    ],
)
def test_what_no_encoder_writes_is_refused(data, reason):
    """Each with its reason, before anything is made of a length that is not there."""
    with pytest.raises(ValueError, match=reason):
        decode(data)


def test_a_float_keeps_its_bits():
    """The sign of zero, and what is not a number."""
    for bits in (0x8000000000000000, 0x7FF8000000000001, 0xFFF0000000000000):
        (value,) = struct.unpack("<d", bits.to_bytes(8, "little"))
        back = decode(encode(value, bytes_max=9))
        assert bits == int.from_bytes(struct.pack("<d", back), "little")
