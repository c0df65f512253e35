"""Plain values as bytes, exactly: what comes back has the types and the order that went in.

A tag byte, and what belongs to it; lengths and counts are u32, little-endian:

    N  None     T  True     F  False
    i  length · two's complement, as short as it can be
    f  eight bytes, IEEE 754
    s  length · UTF-8      b  length · bytes      !  length · the reason of a `Failed`, UTF-8
    l  count · values      t  count · values      d  count · key and value, each in the dict's order

CBOR would do but for its manners: it takes tuples for lists and reads more types than it is told
to write. Every value has one encoding, and `decode` takes nothing else: each length is checked
against the bytes that are there before anything is made of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final

from quorum.machine import Failed

DEPTH_MAX: Final = 32
"""Containers within containers."""

_LENGTH = struct.Struct("<I")
_TAGGED_LENGTH = struct.Struct("<BI")
_FLOAT = struct.Struct("<d")
_NONE, _TRUE, _FALSE, _INT, _FLOATING, _STR, _BYTES, _FAILED, _LIST, _TUPLE, _DICT = b"NTFifsb!ltd"
_CONSTANTS: Final = {_NONE: None, _TRUE: True, _FALSE: False}


def encode(value: object, *, bytes_max: int) -> bytes:
    """The value as bytes; ValueError if it is not plain, too deep, or above `bytes_max`.

    Subclasses are not plain: what comes back would be of another type.
    """
    writer = _Writer(bytes_max)
    writer.value(value, DEPTH_MAX)
    return bytes(writer.out)


def decode(data: bytes) -> Any:
    """The value that `encode` made these bytes of; ValueError if they are anything else."""
    reader = _Reader(data)
    value = reader.value(DEPTH_MAX)
    if reader.offset != len(data):
        raise ValueError(f"{len(data) - reader.offset} bytes follow the value")
    return value


class _Writer:
    """Bytes so far, and how many there may be."""

    def __init__(self, bytes_max: int) -> None:
        self.out = bytearray()
        self._bytes_max = bytes_max

    def value(self, value: Any, depth: int) -> None:
        kind = type(value)
        if value is None:
            self.out.append(_NONE)
        elif kind is bool:
            self.out.append(_TRUE if value else _FALSE)
        elif kind is int:
            self._bytes(_INT, _int_bytes(value))
        elif kind is str:
            self._bytes(_STR, _utf8(value))
        elif kind is bytes:
            self._bytes(_BYTES, value)
        elif kind is float:
            self.out.append(_FLOATING)
            self.out += _FLOAT.pack(value)
        elif kind is Failed and type(value.reason) is str:
            self._bytes(_FAILED, _utf8(value.reason))
        elif kind is list:
            self._items(_LIST, len(value), value, depth)
        elif kind is tuple:
            self._items(_TUPLE, len(value), value, depth)
        elif kind is dict:
            pairs = (part for pair in value.items() for part in pair)
            self._items(_DICT, len(value), pairs, depth)
        else:
            raise ValueError(f"a {kind.__name__} is not a plain value")
        self._check(len(self.out))

    def _bytes(self, tag: int, data: bytes) -> None:
        self._check(len(data))  # before it is copied
        self.out += _TAGGED_LENGTH.pack(tag, len(data))
        self.out += data

    def _items(self, tag: int, count: int, items: Iterable[Any], depth: int) -> None:
        if depth == 0:
            raise ValueError(f"it has more than {DEPTH_MAX} containers within each other")
        self._check(count)
        self.out += _TAGGED_LENGTH.pack(tag, count)
        for item in items:
            self.value(item, depth - 1)

    def _check(self, size: int) -> None:
        if size > self._bytes_max:
            raise ValueError(f"it takes more than {self._bytes_max} bytes")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # whose own words may differ between versions of Python
        raise ValueError("a str that is not valid Unicode is not a plain value") from None


def _int_bytes(value: int) -> bytes:
    bits = (value if value >= 0 else ~value).bit_length()
    return value.to_bytes(bits // 8 + 1, "little", signed=True)


class _Reader:
    """Bytes, and how far they have been read."""

    def __init__(self, data: bytes) -> None:
        self.offset = 0
        self._data = data

    def value(self, depth: int) -> Any:
        tag = self._take(1)[0]
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        if tag == _FLOATING:
            return _FLOAT.unpack(self._take(_FLOAT.size))[0]
        length = _LENGTH.unpack(self._take(_LENGTH.size))[0]
        if tag == _INT:
            return _int(self._take(length))
        if tag == _STR:
            return self._take(length).decode()
        if tag == _BYTES:
            return self._take(length)
        if tag == _FAILED:
            return Failed(self._take(length).decode())
        if depth == 0:
            raise ValueError(f"more than {DEPTH_MAX} containers within each other")
        if tag == _LIST:
            return self._items(length, depth)
        if tag == _TUPLE:
            return tuple(self._items(length, depth))
        if tag == _DICT:
            return _dict(self._items(2 * length, depth))
        raise ValueError(f"no value starts with {tag:#04x}")

    def _items(self, count: int, depth: int) -> list[Any]:
        if count > len(self._data) - self.offset:  # an item has a byte at least
            raise ValueError(f"{count} values do not fit in the bytes that are left")
        return [self.value(depth - 1) for _ in range(count)]

    def _take(self, length: int) -> bytes:
        stop = self.offset + length
        if stop > len(self._data):
            raise ValueError(f"a value ends before its {length} bytes")
        taken = self._data[self.offset : stop]
        self.offset = stop
        return taken


def _int(data: bytes) -> int:
    value = int.from_bytes(data, "little", signed=True)
    if _int_bytes(value) != data:
        raise ValueError("a number is as short as it can be")
    return value


def _dict(items: list[Any]) -> dict[Any, Any]:
    try:
        made = dict(zip(items[::2], items[1::2], strict=True))
    except TypeError:
        raise ValueError("a dict's keys are hashable") from None
    if 2 * len(made) != len(items):
        raise ValueError("a dict has each of its keys once")
    return made
