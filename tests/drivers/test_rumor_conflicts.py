"""One name, two addresses: reported with both, without flapping, and ended as soon as one ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
import trio.testing

from rumor import (
    Agent,
    AgentEvent,
    Config,
    Conflicted,
    Failed,
    Health,
    Joined,
    Left,
    Recovered,
    Suspected,
    open_agent,
)
from rumor.messages import Address
from rumor.trio.memory import MemoryNetwork

Clock = trio.testing.MockClock
FAST = Config.local()
FLAPS = (Joined, Suspected, Recovered, Failed, Left)


class Watch:
    """What one agent was told, from now on."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.events: list[AgentEvent] = []

    async def run(self) -> None:
        """Read all events."""
        async with self.agent.subscribe() as events:
            async for event in events:
                self.events.append(event)

    @property
    def conflicts(self) -> list[frozenset[Address]]:
        """The two addresses of each conflict."""
        return [
            frozenset((event.member.address, event.rival))
            for event in self.events
            if isinstance(event, Conflicted)
        ]

    @property
    def flaps(self) -> list[AgentEvent]:
        """Changes of health."""
        return [event for event in self.events if isinstance(event, FLAPS)]


@asynccontextmanager
async def watching(agents: list[Agent], *, all_of_it: bool = False) -> AsyncIterator[list[Watch]]:
    """Watch agents; what is known already is left out, unless `all_of_it` is wanted."""
    async with trio.open_nursery() as nursery:
        watches = [Watch(agent) for agent in agents]
        for watch in watches:
            nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        for watch in watches:
            if not all_of_it:
                watch.events.clear()
        yield watches
        nursery.cancel_scope.cancel()


class Town:
    """Agents that can be started and killed one by one."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.network = MemoryNetwork()
        self._nursery = nursery
        self._scopes: dict[Address, trio.CancelScope] = {}

    async def start(self, name: str, seed: Agent | None = None) -> Agent:
        """Run an agent."""
        agent: Agent = await self._nursery.start(self._host, name, seed)
        return agent

    def kill(self, agent: Agent) -> None:
        """End an agent without a word."""
        self._scopes[agent.address].cancel()

    async def _host(
        self, name: str, seed: Agent | None, *, task_status: trio.TaskStatus[Agent]
    ) -> None:
        with trio.CancelScope() as scope:
            async with open_agent(
                name,
                seeds=[] if seed is None else [seed.address],
                config=FAST,
                open_port=self.network.open_port,
                random=Random(name),
            ) as agent:
                self._scopes[agent.address] = scope
                task_status.started(agent)
                await trio.sleep_forever()


@pytest.fixture
async def town(nursery: trio.Nursery) -> Town:
    """A town without anybody."""
    return Town(nursery)


async def settle(town: Town) -> tuple[Agent, list[Agent]]:
    """Start four members that know each other."""
    first = await town.start("a")
    return first, [first, *[await town.start(f"n{i}", first) for i in range(3)]]


async def test_two_live_hosts_of_one_name_are_reported_by_both_and_nobody_flaps(
    autojump_clock: Clock, town: Town
) -> None:
    """At most once in 30 s; the first owner stays; whoever looks later is told as well."""
    first, others = await settle(town)
    owner = await town.start("x", first)
    await trio.sleep(10)
    async with watching([*others, owner]) as watches:
        rival = await town.start("x", first)
        async with watching([rival], all_of_it=True) as (late,):
            await trio.sleep(120)

            both = frozenset((owner.address, rival.address))
            assert set(late.conflicts) == set(watches[-1].conflicts) == {both}
            assert {pair for watch in watches for pair in watch.conflicts} == {both}
            told = [len(watch.conflicts) for watch in (late, *watches)]
            assert max(told) <= 120 / FAST.conflict_interval + 1
            assert [watch.flaps for watch in watches] == [[]] * len(watches)
    assert {a.members["x"].address for a in (*others, owner)} == {owner.address}
    assert rival.members["x"].address == rival.address
    assert {a.members["x"].health for a in (*others, owner, rival)} == {Health.ALIVE}


async def test_partitions_with_one_name_in_common_heal_and_report_it(
    autojump_clock: Clock, town: Town
) -> None:
    """All else is one cluster again; each side keeps its own owner, for good, and no one flaps."""
    network = town.network
    left = [await town.start("a")]
    left += [await town.start(name, left[0]) for name in ("b", "x")]
    host, port = left[-1].address
    network.cut([(host, port + i) for i in (1, 2, 3)])
    right = [await town.start("c")]
    right += [await town.start(name, right[0]) for name in ("d", "x")]
    await trio.sleep(10)
    assert ({*left[0].members}, {*right[0].members}) == ({*"abx"}, {*"cdx"})

    everybody = [*left, *right]
    both = frozenset((left[2].address, right[2].address))
    async with watching(everybody) as watches:
        network.heal()
        await left[1].join([right[1].address])
        await trio.sleep(20)
        for side in (watches[:3], watches[3:]):
            assert {pair for watch in side for pair in watch.conflicts} == {both}
            assert side[2].conflicts
        for watch in watches:
            watch.events.clear()
        await trio.sleep(120)

        assert [watch.flaps for watch in watches] == [[]] * len(watches)
        assert max(len(watch.conflicts) for watch in watches) <= 120 / FAST.conflict_interval + 1
    for agent in everybody:
        assert {m.name for m in agent.members.values()} == set("abcdx")
        assert {m.health for m in agent.members.values()} == {Health.ALIVE}
    for agents, owner in ((left, left[2]), (right, right[2])):
        assert {a.members["x"].address for a in agents} == {owner.address}


@pytest.mark.parametrize("farewell", [False, True])
async def test_when_one_of_two_owners_goes_the_other_is_known_to_all(
    autojump_clock: Clock, town: Town, *, farewell: bool
) -> None:
    """Dead or departed: the survivor has the name everywhere, and the reports end."""
    first, others = await settle(town)
    owner = await town.start("x", first)
    await trio.sleep(10)
    rival = await town.start("x", first)
    await trio.sleep(10)
    if farewell:
        await owner.leave()
    town.kill(owner)
    await trio.sleep(60)
    agents = [*others, rival]
    assert {a.members["x"].address for a in agents} == {rival.address}
    assert {a.members["x"].health for a in agents} == {Health.ALIVE}
    async with watching(agents) as watches:
        await trio.sleep(60)
        assert [watch.conflicts for watch in watches] == [[]] * len(watches)
        assert [watch.flaps for watch in watches] == [[]] * len(watches)


@pytest.mark.parametrize("changes", [0, 5])
async def test_a_restart_under_the_same_name_at_another_address_takes_it_over(
    autojump_clock: Clock, town: Town, changes: int
) -> None:
    """As soon as the old address is held to be dead, whatever the old incarnation was."""
    first, others = await settle(town)
    old = await town.start("x", first)
    for number in range(changes):
        await old.set_meta({"k": str(number)})
    await trio.sleep(5)
    town.kill(old)
    new = await town.start("x", first)
    agents = [*others, new]
    with trio.fail_after(30):
        while {a.members["x"].address for a in agents} != {new.address}:  # noqa: ASYNC110
            await trio.sleep(0.5)
    async with watching(agents) as watches:
        await trio.sleep(60)

        assert [watch.flaps for watch in watches] == [[]] * len(watches)
        assert [watch.conflicts for watch in watches] == [[]] * len(watches)
    assert {a.members["x"].health for a in agents} == {Health.ALIVE}
