"""An agent's port under hostile bytes: it closes the connection, and goes on."""

from __future__ import annotations

from random import Random

import trio

from catalog.rpc import door
from catalog.rpc.frames import MAGIC, VERSION, Hello, encode
from quorum.trio.links import MAGIC as QUORUM_MAGIC
from rumor.wire import MAGIC as RUMOR_MAGIC

ATTACKS = 150
CLOSED_SECONDS = 20.0
"""A connection that makes no sense is closed within this time."""


def attack(random: Random) -> bytes:
    """Draw bytes: a protocol's first ones or none, a greeting or none, and nonsense."""
    start = random.choice((MAGIC, QUORUM_MAGIC, RUMOR_MAGIC, b"", b"GET ", b"\x16\x03\x01\x00"))
    greeting = encode(Hello(VERSION, random.choice(("default", "", "x" * 200)), "mallory"))
    if random.random() < 0.4:
        start += greeting
    if random.random() < 0.3:
        start += random.choice((b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"))
    if random.random() < 0.3:
        broken = bytearray(greeting)
        broken[random.randrange(len(broken))] ^= 1 << random.randrange(8)
        start += broken
    return start + random.randbytes(random.choice((0, 1, 7, 300, 70_000)))


async def test_an_agent_survives_hostile_bytes(agents, run_seed, monkeypatch):
    """Every connection ends in bounded time, none is left, and users are served meanwhile."""
    monkeypatch.setattr(door, "PEEK_SECONDS_MAX", 0.2)
    random = Random(run_seed)
    server = await agents.start("s1", server=True, bootstrap_expect=1)
    await server.wait_leader()
    host, port = server.address.rsplit(":", 1)

    async def hit(data: bytes) -> None:
        stream = await trio.open_tcp_stream(host, int(port))
        try:
            await stream.send_all(data)
            await stream.send_eof()
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass  # closed while we spoke
        finally:
            await stream.aclose()

    with trio.fail_after(CLOSED_SECONDS):
        for _ in range(ATTACKS // 10):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(hit, attack(random))
            await server.put("alive", b"yes")
        while server.statistics().connections:  # noqa: ASYNC110 - nobody rings for this
            await trio.sleep(0.02)
    entry = await server.get("alive")

    assert entry is not None
    assert b"yes" == entry.value
