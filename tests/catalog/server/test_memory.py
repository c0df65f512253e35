"""Memory goes back to the system."""

from __future__ import annotations

import ctypes

import trio

from catalog.server import memory


async def test_it_is_given_back_now_and_then(monkeypatch, autojump_clock):
    """For as long as the server runs."""
    given: list[float] = []
    monkeypatch.setattr(memory, "give_back", lambda: given.append(trio.current_time()))
    begun = trio.current_time()
    with trio.move_on_after(3.5 * memory.PAUSE_SECONDS):
        await memory.keep_giving_back()
    assert [memory.PAUSE_SECONDS * count for count in (1, 2, 3)] == [
        round(moment - begun, 3) for moment in given
    ]


def test_what_was_freed_goes_back():
    """Where the C library can do so; elsewhere nothing happens."""
    pieces = [bytes(100_000) for _ in range(200)]
    last = bytes(100_000)  # else the end of the heap shrinks by itself
    del pieces
    assert memory.give_back() is (memory._malloc_trim() is not None)
    assert 100_000 == len(last)


def test_a_c_library_that_cannot_is_left_alone(monkeypatch):
    """It is an offer of glibc's only."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert memory.give_back() is False
