"""Compression through agents: sealed, mixed with agents that do without, and under attack."""

from __future__ import annotations

import zlib
from contextlib import AsyncExitStack
from random import Random

import trio
import trio.testing

from rumor import Agent, Config, Health, Keyring, open_agent
from rumor.trio.memory import MemoryNetwork, MemoryPort
from rumor.wire import COMPRESSED, MAGIC

Clock = trio.testing.MockClock


async def boot(*, compression: bool, keyring: Keyring | None) -> int:
    """Boot fifteen members with much to say of themselves; return the bytes that all sent."""
    network = MemoryNetwork()
    async with AsyncExitStack() as stack:
        agents: list[Agent] = []
        for i in range(15):
            opened = open_agent(
                f"member-{i}",
                seeds=[agents[0].address] if agents else [],
                meta={"role": "database", "zone": "europe-west", "version": "1.2.3"},
                config=Config(compression=compression and i != 7),
                keyring=keyring,
                open_port=network.open_port,
                random=Random(i),
            )
            agents.append(await stack.enter_async_context(opened))
        await trio.sleep(5)

        for agent in agents:
            assert {m.health for m in agent.members.values()} == {Health.ALIVE}
            assert len(agent.members) == 15
            assert agent.statistics().datagrams_malformed == 0
        return sum(agent.statistics().bytes_sent for agent in agents)


async def test_compression_saves_bytes_with_keys_and_without(autojump_clock: Clock) -> None:
    """One of the members does not compress, and is understood."""
    keyring = Keyring(b"k" * 32)
    plain, sealed = [await boot(compression=False, keyring=ring) for ring in (None, keyring)]
    squeezed, both = [await boot(compression=True, keyring=ring) for ring in (None, keyring)]

    assert squeezed < 0.8 * plain
    assert both < 0.8 * sealed


async def test_bombs_are_dropped_and_counted(autojump_clock: Clock) -> None:
    """By datagram and by stream; nobody is disturbed."""
    network = MemoryNetwork()
    bomb = bytes((COMPRESSED,)) + zlib.compress(bytes(40 << 20))
    stranger = await network.open_port(("127.0.0.1", 0))
    assert isinstance(stranger, MemoryPort)
    async with (
        open_agent("a", open_port=network.open_port) as a,
        open_agent("b", seeds=[a.address], open_port=network.open_port) as b,
    ):
        for _ in range(5):
            stranger.send_nowait(bomb, a.address)
        stream = await stranger.dial(a.address)
        await stream.send_all(MAGIC + len(bomb).to_bytes(4, "big") + bomb)
        assert await stream.receive_some(1) == b""
        await stream.aclose()
        await trio.sleep(5)

        assert a.statistics().datagrams_malformed == 5
        assert a.statistics().streams_failed == 1
        assert b.members["a"].health is a.members["b"].health is Health.ALIVE
