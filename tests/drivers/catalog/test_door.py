"""One port for three protocols."""

from __future__ import annotations

import pytest
import trio

from catalog.rpc import door as door_module
from catalog.rpc.door import open_door

MAGICS = (b"AAA1", b"BBB1")


async def test_connections_are_sorted_by_their_first_bytes(nursery):
    """Each protocol gets its own, unread, also when the bytes come one by one."""
    async with open_door(("127.0.0.1", 0), MAGICS) as door:
        nursery.start_soon(door.run)
        for magic in MAGICS:
            stream = await trio.open_tcp_stream(*door.address)
            for byte in magic:
                await stream.send_all(bytes([byte]))
            await stream.send_all(b"rest")
            with trio.fail_after(10):
                accepted = await door.doorway(magic).accept()
                data = b""
                while len(data) < 8:
                    data += await accepted.receive_some(8)

            assert magic + b"rest" == data
            await stream.aclose()
            await accepted.aclose()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n", b"AA", b""])
async def test_strangers_are_shown_out(nursery, monkeypatch, sent):
    """Who says nothing, too little or something else is closed, and nobody else minds."""
    monkeypatch.setattr(door_module, "PEEK_SECONDS_MAX", 0.05)
    async with open_door(("127.0.0.1", 0), MAGICS) as door:
        nursery.start_soon(door.run)
        stranger = await trio.open_tcp_stream(*door.address)
        await stranger.send_all(sent)
        with trio.fail_after(10):
            assert await is_closed(stranger)
            friend = await trio.open_tcp_stream(*door.address)
            await friend.send_all(b"AAA1")
            await (await door.doorway(b"AAA1").accept()).aclose()
        await friend.aclose()
        await stranger.aclose()
        nursery.cancel_scope.cancel()


async def test_a_closed_doorway_refuses_and_a_full_one_too(nursery, monkeypatch):
    """Connections that nobody accepts do not pile up."""
    monkeypatch.setattr(door_module, "WAITING_MAX", 2)
    async with open_door(("127.0.0.1", 0), MAGICS) as door:
        nursery.start_soon(door.run)
        door.doorway(b"BBB1").closed = True
        refused = await trio.open_tcp_stream(*door.address)
        await refused.send_all(b"BBB1")
        streams = [await trio.open_tcp_stream(*door.address) for _ in range(3)]
        for stream in streams:
            await stream.send_all(b"AAA1")
        with trio.fail_after(10):
            assert await is_closed(refused)
            closed = [await is_closed(stream, patience=0.5) for stream in streams]

        assert 1 == sum(closed)
        for stream in (refused, *streams):
            await stream.aclose()
        nursery.cancel_scope.cancel()


async def test_the_end_of_a_door_ends_its_doorways():
    """Whoever waits at one is told, and the port is free again."""
    async with open_door(("127.0.0.1", 0), MAGICS) as door:
        doorway = door.doorway(b"AAA1")
        address = door.address
    with pytest.raises(trio.ClosedResourceError):
        await doorway.accept()
    async with open_door(address, MAGICS) as door:
        assert address == door.address


async def is_closed(stream, *, patience=10.0):
    """Return whether the other end closes the stream."""
    with trio.move_on_after(patience):
        try:
            return await stream.receive_some(1) == b""
        except trio.BrokenResourceError:
            return True
    return False
