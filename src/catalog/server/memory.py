"""Giving memory that is free back to the system.

A snapshot that is made, sent or restored takes memory in pieces of some 100 kB for a moment. The C
library keeps what of them was freed for later use. Registries of a hundred thousand instances were
seen to keep 50 MB in that way; so what is free is given back now and then.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

import trio

__all__ = ["give_back", "keep_giving_back"]

PAUSE_SECONDS: Final = 10.0


async def keep_giving_back() -> None:
    """Give back what is free, for ever; it takes some milliseconds each time."""
    while True:
        await trio.sleep(PAUSE_SECONDS)
        give_back()


def give_back() -> bool:
    """Give back what is free; return whether there was anything. Does nothing but with glibc."""
    trim = _malloc_trim()
    return trim is not None and bool(trim(0))


def _malloc_trim() -> Callable[[int], int] | None:
    """Return the function of that name in the C library (malloc_trim(3)), if it has one."""
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return None
    return trim
