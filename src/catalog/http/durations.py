"""Durations as Go writes them: `15s`, `1h30m`, `1.5ms`; inside, seconds.

Consul's clients send a duration as such a text or as a number of nanoseconds, and are sent texts
by some answers and nanoseconds by others.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["format_duration", "nanoseconds", "parse_duration"]

UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "\u00b5s": 1e-6,  # the micro sign
    "\u03bcs": 1e-6,  # the Greek letter
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
PART: Final = re.compile(rf"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)({'|'.join(UNITS)})")
NANOSECONDS_MAX: Final = 2**63
"""Go's: 292 years."""
TEXT_CHARS_MAX: Final = 64
"""A longer text is no duration that anybody wrote."""


def parse_duration(value: object, *, what: str = "duration") -> float:
    """Return seconds; a text is Go's notation, a number counts nanoseconds.

    Raises:
        ValueError: it is neither; the message begins with `what`.

    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= NANOSECONDS_MAX:
            raise ValueError(f"{what}: {value!r:.40} is no duration")
        return value / 1e9
    if isinstance(value, str) and value == "0":
        return 0.0
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARS_MAX:
        raise ValueError(f"{what}: {str(value)[:TEXT_CHARS_MAX]!r} is no duration such as 15s")
    sign, text = (-1.0, value[1:]) if value[0] == "-" else (1.0, value.removeprefix("+"))
    seconds, at = 0.0, 0
    while at < len(text):
        part = PART.match(text, at)
        if part is None:
            break
        seconds += float(part[1]) * UNITS[part[2]]
        at = part.end()
    if not text or at < len(text):
        raise ValueError(f"{what}: {value!r} is no duration such as 15s, 1h30m or 500ms")
    return sign * seconds


def nanoseconds(seconds: float) -> int:
    """Return the whole number of nanoseconds in so many seconds."""
    return round(seconds * 1e9)


def format_duration(seconds: float) -> str:
    """Return the shortest text that Go writes for so many seconds: `1m30s`, `20ms`, `0s`."""
    total = nanoseconds(seconds)
    sign, total = ("-", -total) if total < 0 else ("", total)
    if total < 10**9:
        for unit, size in (("ms", 10**6), ("\u00b5s", 10**3), ("ns", 1)):
            if total >= size:
                return sign + _decimal(total, size) + unit
        return "0s"
    minutes, rest = divmod(total, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return sign + text + _decimal(rest, 10**9) + "s"


def _decimal(count: int, size: int) -> str:
    """Return `count / size` without trailing zeros, exactly."""
    whole, rest = divmod(count, size)
    digits = str(rest).zfill(len(str(size)) - 1).rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)
