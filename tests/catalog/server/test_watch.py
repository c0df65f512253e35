"""Bells: who waits is woken by what it waits for, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from catalog.answers import Applied
from catalog.commands import DeleteKey, PutKey, RegisterNode, RegisterService, SetNodeHealth
from catalog.model import Node, Service, Status
from catalog.registry import Topic
from catalog.server.watch import WatchedRegistry

Write = Callable[..., list[Applied]]


@pytest.fixture
def watched() -> WatchedRegistry:
    """An empty registry."""
    return WatchedRegistry()


async def woken(nursery: trio.Nursery, watched: WatchedRegistry, *topics: Topic) -> list[Topic]:
    """Wait for topics, a task each; return the list of those woken as it grows."""
    found: list[Topic] = []

    async def wait(topic: Topic) -> None:
        await watched.wait_change(topic)
        found.append(topic)

    for topic in topics:
        nursery.start_soon(wait, topic)
    await wait_all_tasks_blocked()
    return found


async def test_a_key_wakes_itself_and_its_prefixes(watched, write, nursery) -> None:
    """And nobody who waits for another key, or for another prefix."""
    topics = [("key", "a/b"), ("key", "a"), ("key", "a/bc")]
    topics += [("prefix", ""), ("prefix", "a/"), ("prefix", "a/b"), ("prefix", "a/bc")]
    found = await woken(nursery, watched, *topics)
    write(watched, PutKey("a/b", b""))
    await wait_all_tasks_blocked()

    assert {("key", "a/b"), ("prefix", ""), ("prefix", "a/"), ("prefix", "a/b")} == set(found)
    write(watched, DeleteKey("", recurse=True), PutKey("a", b""), PutKey("a/bc", b""))
    await wait_all_tasks_blocked()
    assert set(topics) == set(found)
    assert not watched._bells
    assert not watched._prefix_lengths


async def test_one_bell_may_hang_on_several_topics(watched, write, nursery) -> None:
    """The first to be touched wakes; afterwards nothing is left of any."""
    done = []

    async def wait() -> None:
        await watched.wait_change(("key", "a"), ("service", "web"))
        done.append(True)

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    write(watched, RegisterNode(Node("n", "h")), RegisterService("n", Service("web")))
    await wait_all_tasks_blocked()

    assert done == [True]
    assert not watched._bells


async def test_a_restored_snapshot_wakes_everybody(watched, write, nursery) -> None:
    """What they wait for may have come, gone or gone back."""
    found = await woken(nursery, watched, ("key", "a"), ("prefix", "b"), ("nodes", ""))
    watched.restore(WatchedRegistry().to_bytes())
    await wait_all_tasks_blocked()

    assert len(found) == 3
    assert watched.restored == 1


async def test_ten_thousand_who_wait_for_other_things_sleep_on(watched, write, nursery) -> None:
    """Not one of them is woken by a service, a key and a node that they did not ask for."""
    topics = [(kind, f"x{number}") for number in range(2500) for kind in ("key", "service")]
    topics += [(kind, f"x{number}") for number in range(2500) for kind in ("prefix", "node")]
    found = await woken(nursery, watched, *topics)
    write(
        watched,
        RegisterNode(Node("n", "h")),
        RegisterService("n", Service("web")),
        SetNodeHealth("n", Status.PASSING),
        PutKey("k", b""),
    )
    await wait_all_tasks_blocked()
    assert found == []

    write(watched, PutKey("x17", b""))
    await wait_all_tasks_blocked()
    assert {("key", "x17"), ("prefix", "x17"), ("prefix", "x1")} == set(found)
    nursery.cancel_scope.cancel()


async def test_who_gives_up_leaves_nothing(watched) -> None:
    """Bells of those who stopped waiting must not pile up."""
    with trio.move_on_after(0):
        await watched.wait_change(("key", "a"), ("prefix", "b"))

    assert not watched._bells
    assert not watched._prefix_lengths
