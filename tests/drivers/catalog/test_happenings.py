"""User events through gossip, and where nodes are."""

from __future__ import annotations

import pytest
import trio

from catalog import Service
from catalog.events import EVENTS_MAX, Events, FireEvent
from catalog.requests import Coordinates

PATIENCE = 40.0


async def names(agent, name=""):
    """Return the names of the events that an agent remembers."""
    return [event.name for event in (await agent.ask(Events(name))).events]


async def test_an_event_reaches_those_it_is_meant_for(agents, eventually):
    """By node, by service and tag; whoever comes later gets what is still known."""
    first = await agents.start("s1", server=True, bootstrap_expect=1)
    second = await agents.start("c1", join=[first.address])
    await second.register(Service("web", tags=["blue"]))
    fired = await first.ask(FireEvent("all", b"payload"))
    for request in (
        FireEvent("nodes", node="^c"),
        FireEvent("services", service="we."),
        FireEvent("tags", service="web", tag="blue"),
        FireEvent("nobody", service="web", tag="green"),
    ):
        await first.ask(request)

    async def has_come() -> bool:
        return sorted(await names(second)) == ["all", "nodes", "services", "tags"]

    await eventually(has_come)
    assert ["all"] == await names(first)
    assert ["tags"] == await names(second, "tags")
    [event] = (await second.ask(Events("all"))).events
    assert (fired.id, b"payload") == (event.id, event.payload)
    late = await agents.start("c2", join=[first.address])

    async def has_caught_up() -> bool:
        return sorted(await names(late)) == ["all", "nodes"]

    await eventually(has_caught_up)


async def test_whoever_waits_for_an_event_is_woken(agents):
    """By the next one, and else when the time is up."""
    agent = await agents.start("s1", server=True, bootstrap_expect=1)
    none = await agent.ask(Events(after=0, wait=0.05))
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(agent.ask, FireEvent("deploy"))
            found = await agent.ask(Events(after=0, wait=60.0))

    assert ((), 0) == (none.events, none.index)
    assert (["deploy"], 1) == ([event.name for event in found.events], found.index)


async def test_few_events_are_remembered_and_big_ones_refused(agents):
    """The latest, in order."""
    agent = await agents.start("s1", server=True, bootstrap_expect=1)
    with trio.fail_after(PATIENCE):
        for number in range(EVENTS_MAX + 3):
            await agent.ask(FireEvent(f"e{number}"))
        while (index := (await agent.ask(Events())).index) < EVENTS_MAX + 3:
            await agent.ask(Events(after=index, wait=1.0))

    assert [f"e{number}" for number in range(3, EVENTS_MAX + 3)] == await names(agent)
    with pytest.raises(ValueError, match="too big"):
        await agent.ask(FireEvent("big", bytes(600)))


async def test_nodes_are_placed(agents, eventually):
    """By their agents, through the leader, once they have measured anything."""
    first = await agents.start("s1", server=True, bootstrap_expect=1, coordinate_interval=0.3)
    second = await agents.start("c1", join=[first.address], coordinate_interval=0.3)

    async def are_known() -> bool:
        found = (await second.ask(Coordinates())).value
        return ["c1", "s1"] == [one.node for one in found]

    await eventually(are_known)
