"""JSON from clients: keys in any case, each value of the type that its field has, nothing endless.

Go matches the keys of an object without regard to case, and so clients write `name`, `Name` and
`NAME`; some fields have a second spelling with underscores.
A field that is missing, or null, is empty.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import trio
from attrs import frozen
from starlette.requests import Request

from catalog.http.durations import parse_duration
from catalog.http.trouble import Trouble

__all__ = ["BODY_BYTES_MAX", "Fields", "read_bytes", "read_fields", "read_list"]

BODY_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of any JSON body: a transaction's values come as base64 inside it."""
BODY_SECONDS_MAX: Final = 30.0
"""A body must be here within this time; else whoever sends it byte by byte keeps its place."""
NUMBER_MAX: Final = 2**64
"""No field is larger; and no float can hold what JSON can spell."""
DEPTH_MAX: Final = 32
"""Of objects within objects; a definition needs six."""


@frozen
class Fields:
    """An object that a client sent; each method takes one field by its name."""

    where: str
    """For messages: which object this is."""
    _values: Mapping[str, Any]

    @classmethod
    def of(cls, value: object, where: str) -> Fields:
        """Take an object; `None` is an empty one.

        Raises:
            Trouble: it is no object.

        """
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            raise Trouble(400, f"Request decode failed: {where} must be an object")
        return cls(where, {_plain(key): one for key, one in value.items()})

    def __contains__(self, name: str) -> bool:
        return self._values.get(_plain(name)) is not None

    def any(self, name: str) -> object:
        """Return a value as it came."""
        value: object = self._values.get(_plain(name))
        return value

    def text(self, name: str, default: str = "") -> str:
        """Return a string."""
        value: str = self._take(name, str, "a string", default)
        return value

    def flag(self, name: str, default: bool = False) -> bool:  # noqa: FBT001, FBT002 - as `text`
        """Return true or false."""
        value: bool = self._take(name, bool, "true or false", default)
        return value

    def number(self, name: str, default: int = 0) -> int:
        """Return a whole number."""
        value = self._take(name, (int, float), "a number", default)
        if isinstance(value, bool) or value % 1 != 0:  # which infinity and NaN are not either
            raise self._wrong(name, "a whole number")
        return int(value)

    def real(self, name: str, default: float = 0.0) -> float:
        """Return any number."""
        value = self._take(name, (int, float), "a number", default)
        if isinstance(value, bool) or not math.isfinite(value):
            raise self._wrong(name, "a number")
        return float(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings."""
        values = self._take(name, list, "a list of strings", [])
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(name, "a list of strings")
        return tuple(values)

    def reals(self, name: str) -> tuple[float, ...]:
        """Return a list of numbers."""
        values = self._take(name, list, "a list of numbers", [])
        return tuple(Fields(self._name(name), {"": value}).real("") for value in values)

    def pairs(self, name: str) -> dict[str, str]:
        """Return an object of strings; its keys stay as they are."""
        values: dict[str, str] = self._take(name, dict, "an object of strings", {})
        if not all(isinstance(value, str) for value in values.values()):
            raise self._wrong(name, "an object of strings")
        return values

    def text_lists(self, name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the lists of strings in an object, by their names."""
        values: dict[str, Any] = self._take(name, dict, "an object of lists of strings", {})
        for key, one in values.items():
            yield key, Fields(self._name(name), {"": one}).texts("")

    def objects(self, name: str) -> tuple[Fields, ...]:
        """Return a list of objects."""
        values = self._take(name, list, "a list of objects", [])
        return tuple(
            Fields.of(one, f"{self._name(name)}[{at}]")
            for at, one in enumerate(values)
            if one is not None
        )

    def object(self, name: str) -> Fields:
        """Return an object; of a missing one, an empty one."""
        return Fields.of(self._values.get(_plain(name)), self._name(name))

    def named(self, name: str) -> Iterator[tuple[str, Fields]]:
        """Yield the objects of an object whose keys are names."""
        values: dict[str, Any] = self._take(name, dict, "an object of objects", {})
        for key, one in values.items():
            yield key, Fields.of(one, f"{self._name(name)}.{key}")

    def duration(self, name: str) -> float | None:
        """Return seconds; `None`: there is no such field, or it is empty."""
        value = self._values.get(_plain(name))
        if value is None or value == "":
            return None
        try:
            return parse_duration(value, what=self._name(name))
        except ValueError as error:
            raise Trouble(400, f"Request decode failed: {error}") from None

    def _take(self, name: str, kind: Any, what: str, default: Any) -> Any:
        value = self._values.get(_plain(name))
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, int) and abs(value) > NUMBER_MAX):
            raise self._wrong(name, what)
        return value

    def _name(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def _wrong(self, name: str, what: str) -> Trouble:
        return Trouble(400, f"Request decode failed: {self._name(name)} must be {what}")


def _plain(name: str) -> str:
    """Return a key as it is compared."""
    return name.replace("_", "").lower()


async def read_bytes(request: Request, *, limit: int, what: str = "Request body") -> bytes:
    """Return the body.

    Raises:
        Trouble: it is longer than `limit`; it is not read to its end.

    """
    parts, size = [], 0
    with trio.move_on_after(BODY_SECONDS_MAX):
        async with aclosing(request.stream()) as stream:
            async for part in stream:
                size += len(part)
                if size > limit:
                    raise Trouble(413, f"{what} too large, max size: {limit} bytes")
                parts.append(part)
        return b"".join(parts)
    raise Trouble(408, f"{what} not complete after {BODY_SECONDS_MAX:g} s")


async def read_fields(request: Request) -> Fields:
    """Return the object in the body; of an empty body, an empty one."""
    return Fields.of(await _read_json(request), "")


async def read_list(request: Request, what: str) -> tuple[Fields, ...]:
    """Return the list of objects in the body."""
    value = await _read_json(request)
    if not isinstance(value, list):
        raise Trouble(400, "Request decode failed: the body must be a list of objects")
    return tuple(Fields.of(one, f"{what}[{at}]") for at, one in enumerate(value))


async def _read_json(request: Request) -> Any:
    body = await read_bytes(request, limit=BODY_BYTES_MAX)
    if not body.strip():
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Trouble(400, f"Request decode failed: {error}") from None
    if _depth(value) > DEPTH_MAX:
        raise Trouble(400, f"Request decode failed: more than {DEPTH_MAX} levels of objects")
    return value


def _depth(value: Any) -> int:
    """Return how deep objects and lists lie in each other, without recursion."""
    depth, level = 0, [value]
    while level and depth <= DEPTH_MAX:
        depth += 1
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return depth
