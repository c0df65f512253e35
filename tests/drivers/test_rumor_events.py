"""User events through agents, over memory in virtual time."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from random import Random

import pytest
import trio
import trio.testing

from rumor import (
    AgentClosed,
    Config,
    EventTooLarge,
    Health,
    Overloaded,
    Subscription,
    UserEvent,
    open_agent,
)
from rumor.trio.memory import MemoryNetwork


async def read(events: Subscription, seconds: float) -> list[tuple[str, bytes]]:
    """Read user events for so long."""
    found: list[tuple[str, bytes]] = []
    with trio.move_on_after(seconds):
        async for event in events:
            if isinstance(event, UserEvent):
                found.append((event.name, event.payload))  # noqa: PERF401  # they come over time
    return found


async def test_an_event_reaches_everybody_once_and_latecomers_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A tenth of the datagrams is lost; two equal events are two; the newcomer hears of both."""
    network = MemoryNetwork(Random(1), loss=0.1)
    async with AsyncExitStack() as stack:
        agents = []
        for i in range(8):
            seeds = [agents[0].address] if agents else []
            opened = open_agent(f"n{i}", seeds=seeds, open_port=network.open_port, random=Random(i))
            agents.append(await stack.enter_async_context(opened))
        streams = [await stack.enter_async_context(a.subscribe()) for a in agents]
        await agents[3].broadcast("deploy", b"v2")
        await agents[3].broadcast("deploy", b"v2")
        heard = [await read(stream, 15) for stream in streams]
        late = await stack.enter_async_context(
            open_agent("late", seeds=[agents[0].address], open_port=network.open_port)
        )
        stream = await stack.enter_async_context(late.subscribe())

        assert heard == [[("deploy", b"v2")] * 2] * 8
        assert await read(stream, 30) == [("deploy", b"v2")] * 2


async def test_what_cannot_be_told_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    """Too large, too much at once, or too late."""
    config = Config(events_max=4)
    port = MemoryNetwork().open_port
    async with (
        open_agent("b", open_port=port) as b,
        open_agent("a", seeds=[b.address], config=config, open_port=port) as a,
    ):
        for name, payload in (("", b""), ("x" * 65, b""), ("x", b"x" * 513)):
            with pytest.raises(EventTooLarge, match="nobody was told"):
                await a.broadcast(name, payload)
        await a.broadcast("x" * 64, b"x" * 512)
        await a.broadcast("x")
        with pytest.raises(Overloaded):
            await a.broadcast("x")
        await a.leave()
        with pytest.raises(AgentClosed):
            await a.broadcast("x")


async def test_a_flood_of_events_starves_no_farewell_and_none_of_them_gets_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One member says as much as it may while another leaves, at 5 % loss."""
    network = MemoryNetwork(Random(4), loss=0.05)
    async with AsyncExitStack() as stack:
        agents = []
        for i in range(8):
            seeds = [agents[0].address] if agents else []
            opened = open_agent(f"n{i}", seeds=seeds, open_port=network.open_port, random=Random(i))
            agents.append(await stack.enter_async_context(opened))
        await trio.sleep(20)
        streams = [await stack.enter_async_context(a.subscribe()) for a in agents[:7]]
        said: list[tuple[str, bytes]] = []

        async def flood() -> None:
            for number in range(300):
                payload = str(number).encode().rjust(512)
                with suppress(Overloaded):
                    await agents[0].broadcast("flood", payload)
                    said.append(("flood", payload))
                await trio.sleep(0.005)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            await trio.sleep(0.5)
            began = trio.current_time()
            await agents[7].leave()
            while any(a.members["n7"].health is not Health.LEFT for a in agents):  # noqa: ASYNC110
                await trio.sleep(0.05)
            took = trio.current_time() - began
        await trio.sleep(20)
        heard = [await read(stream, 1) for stream in streams]

        assert took < 2
        assert 200 < len(said) < 300  # the rest was refused, as too much waited
        assert [sorted(each) for each in heard] == [sorted(said)] * 7
