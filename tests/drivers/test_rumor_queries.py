"""Queries through agents: over memory in virtual time, and once over loopback sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest
import trio
import trio.testing

from rumor import (
    Agent,
    AgentClosed,
    Config,
    Overloaded,
    QueryInvalid,
    Question,
    open_agent,
)
from rumor.trio.memory import MemoryNetwork
from rumor.trio.ports import OpenPort, open_sockets

Clock = trio.testing.MockClock


async def answer_all(agent: Agent, *, task_status: trio.TaskStatus[None]) -> None:
    """Answer each question with one's own name."""
    async with agent.subscribe() as events:
        task_status.started()
        async for event in events:
            if isinstance(event, Question):
                with suppress(AgentClosed):  # a question in the last moment
                    await event.answer(f"{agent.name}: {event.payload.decode()}".encode())


@asynccontextmanager
async def cluster(
    size: int, open_port: OpenPort, config: Config | None = None
) -> AsyncIterator[list[Agent]]:
    """Run agents of which the even ones are databases; all answer."""
    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
        agents: list[Agent] = []
        for i in range(size):
            opened = open_agent(
                f"n{i}",
                seeds=[agents[0].address] if agents else [],
                meta={"role": "web" if i % 2 else "db"},
                open_port=open_port,
                config=config,
                random=Random(i),
            )
            agents.append(await stack.enter_async_context(opened))
            await nursery.start(answer_all, agents[-1])
        with trio.fail_after(30):
            while any(len(agent.members) < size for agent in agents):  # noqa: ASYNC110
                await trio.sleep(0.02)
        yield agents
        nursery.cancel_scope.cancel()


async def ask(agent: Agent, **filters: Any) -> list[str]:
    """Ask, and sort the answers."""
    async with agent.query("hello", b"hi", **filters) as poll:
        return sorted([response.payload.decode() async for response in poll])


async def test_everybody_answers_or_those_who_are_meant(autojump_clock: Clock) -> None:
    """Once each, the asker too; filters by name, by tag, and by both."""
    async with cluster(6, MemoryNetwork().open_port) as agents:
        assert await ask(agents[1]) == [f"n{i}: hi" for i in range(6)]
        assert await ask(agents[1], names=["n2", "n3"]) == ["n2: hi", "n3: hi"]
        assert await ask(agents[1], tags={"role": "db"}) == ["n0: hi", "n2: hi", "n4: hi"]
        assert await ask(agents[1], tags={"role": "db"}, names=["n0", "n1"]) == ["n0: hi"]
        assert await ask(agents[1], tags={"role": "none"}) == []


async def test_a_query_lasts_as_long_as_serfs_or_as_is_said(autojump_clock: Clock) -> None:
    """0.2 s times 16 for less than ten; leaving the context ends it at once."""
    async with cluster(3, MemoryNetwork().open_port) as agents:
        start = trio.current_time()
        await ask(agents[0])
        assert trio.current_time() - start == pytest.approx(3.2)
        await ask(agents[0], timeout=1.5)
        assert trio.current_time() - start == pytest.approx(4.7)
        async with agents[0].query("hello", b"hi") as poll:
            async for _ in poll:
                break
        assert trio.current_time() - start < 5.5


async def test_acknowledgements_tell_who_got_the_query(autojump_clock: Clock) -> None:
    """Whether or not it has anything to say."""
    async with cluster(4, MemoryNetwork().open_port) as agents:
        async with agents[3].query("hello", b"hi", acks=True, tags={"role": "web"}) as poll:
            answers = [response.source async for response in poll]

        assert sorted(answers) == sorted(poll.acknowledged) == ["n1", "n3"]


async def test_relays_bring_answers_that_get_lost(autojump_clock: Clock) -> None:
    """A quarter of the datagrams is lost: one way loses some answers, five ways hardly any."""
    network = MemoryNetwork(Random(5))
    async with cluster(12, network.open_port) as agents:
        network.loss = 0.25
        alone = sum([len(await ask(agents[0])) for _ in range(5)])
        relayed = sum([len(await ask(agents[0], relays=4)) for _ in range(5)])

        assert alone < 54
        assert relayed > 56


async def test_nonsense_and_too_much_are_refused(autojump_clock: Clock) -> None:
    """With a sentence that says that nobody was asked."""
    port = MemoryNetwork().open_port
    async with open_agent("a", open_port=port, config=Config(queries_max=1)) as agent:
        nonsense: list[tuple[Any, Any, dict[str, Any]]] = [
            ("", b"", {}),
            ("x" * 65, b"", {}),
            ("x", b"x" * 513, {}),
            ("x", "text", {}),
            ("x", b"", {"relays": 9}),
            ("x", b"", {"timeout": 0}),
            ("x", b"", {"names": ["n" * 100] * 10}),
            ("x", b"", {"tags": {"a": 1}}),
        ]
        for name, payload, options in nonsense:
            with pytest.raises(QueryInvalid):
                async with agent.query(name, payload, **options):
                    pass
        async with agent.query("first"):
            with pytest.raises(Overloaded, match="nobody was asked"):
                async with agent.query("second"):
                    pass
        async with agent.subscribe() as events, agent.query("third") as poll:
            async for event in events:
                if isinstance(event, Question):
                    assert (event.origin, event.name, event.payload) == ("a", "third", b"")
                    with pytest.raises(QueryInvalid, match="768"):
                        await event.answer(b"x" * 769)
                    await event.answer(b"yes")
                    break
            assert [(r.source, r.payload) async for r in poll] == [("a", b"yes")]
        await agent.leave()
        with pytest.raises(AgentClosed):
            async with agent.query("late"):
                pass


async def test_a_poll_ends_with_its_agent(autojump_clock: Clock) -> None:
    """Whoever waits for answers is not left waiting, and a late answer says that it is late."""
    async with open_agent("a", open_port=MemoryNetwork().open_port) as agent:
        async with agent.subscribe() as events, trio.open_nursery() as nursery:
            seen: list[str] = []

            async def wait() -> None:
                async with agent.query("q", timeout=100) as poll:
                    seen.extend([response.source async for response in poll])
                    seen.append("end")

            nursery.start_soon(wait)
            questions = [event async for event in first_question(events)]
            agent.close()
        with pytest.raises(AgentClosed):
            await questions[0].answer(b"late")

        assert seen == ["end"]


async def first_question(events: Any) -> AsyncIterator[Question]:
    """Read until somebody asks."""
    async for event in events:
        if isinstance(event, Question):
            yield event
            return


async def test_queries_work_over_sockets() -> None:
    """On loopback, in real time."""
    async with cluster(4, open_sockets, Config.local()) as agents:
        with trio.fail_after(10):
            assert await ask(agents[2], relays=1) == [f"n{i}: hi" for i in range(4)]
