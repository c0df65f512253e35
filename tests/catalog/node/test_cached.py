"""Lookups from an agent's own copies, against servers that are a script."""

from __future__ import annotations

from random import Random

import pytest
import trio

from catalog.errors import NoServers
from catalog.model import Delta, Instance, Node, Service, View
from catalog.node.cached import IDLE_SECONDS, Cached
from catalog.requests import Follow, Lookup, News, Reply

WEB = Instance(Node("n", "h"), Service("web", tags=["a"]), None, (), 3, 3)
VIEW = View(3, "web", (WEB,))


class Servers:
    """Answer lookups and followers, or do not."""

    def __init__(self) -> None:
        self.down = False
        self.lookups: list[Lookup] = []
        self.followed: set[str] = set()

    async def __call__(self, request):
        if isinstance(request, Follow):
            self.followed.add(request.name)
        try:
            return await self._answer(request)
        finally:
            if isinstance(request, Follow):
                self.followed.discard(request.name)

    async def _answer(self, request):
        await trio.sleep(0.01)
        if self.down:
            raise NoServers("down")
        match request:
            case Lookup():
                self.lookups.append(request)
                return Reply(VIEW.select(healthy=request.healthy, tag=request.tag), 3)
            case Follow(name, None):
                return News(View(3, name, VIEW.instances), 0.0, "e")
            case Follow(name, int(after), wait):
                await trio.sleep(wait)
                if self.down:
                    raise NoServers("down")
                return News(Delta(after, after, name, ()), 0.0, "e")
        raise AssertionError(request)


@pytest.fixture
def servers() -> Servers:
    """They are up."""
    return Servers()


@pytest.fixture
async def cached(servers, nursery) -> Cached:
    """No copies yet."""
    return Cached(servers, nursery, Random(1))


async def test_only_the_first_lookup_asks(cached, servers, autojump_clock):
    """After it the agent has a copy, and selects by itself."""
    first = await cached.lookup(Lookup("web", max_age=60.0))
    assert (False, VIEW) == (first.cached, first.value)
    await trio.sleep(1)
    for _ in range(10):
        found = await cached.lookup(Lookup("web", max_age=60.0))
        assert (True, VIEW, 3, True) == (
            found.cached,
            found.value,
            found.index,
            found.known_leader,
        )
        assert 0 < found.age <= 6
        await trio.sleep(10)

    none = await cached.lookup(Lookup("web", tag="b", max_age=60.0))
    assert (True, ()) == (none.cached, none.value.instances)
    assert [Lookup("web")] == servers.lookups


async def test_a_copy_that_is_too_old_is_not_used_while_servers_answer(
    cached, servers, autojump_clock
):
    """Between two signs of life it may be older than the asker wants."""
    await cached.lookup(Lookup("web", max_age=1.0))
    await trio.sleep(4)
    found = await cached.lookup(Lookup("web", max_age=1.0))

    assert not found.cached
    assert 2 == len(servers.lookups)


async def test_without_servers_the_copy_answers_and_says_its_age(cached, servers, autojump_clock):
    """However old; and what was never asked for cannot be answered."""
    await cached.lookup(Lookup("web", max_age=1.0))
    await trio.sleep(1)
    servers.down = True
    await trio.sleep(4)
    found = await cached.lookup(Lookup("web", max_age=1.0))
    assert (True, VIEW) == (found.cached, found.value)
    await trio.sleep(3600)
    found = await cached.lookup(Lookup("web", max_age=1.0))
    assert (True, VIEW, False) == (found.cached, found.value, found.known_leader)
    assert 3600 < found.age < 3610

    with pytest.raises(NoServers):
        await cached.lookup(Lookup("db", max_age=1.0))

    servers.down = False
    await trio.sleep(5)
    found = await cached.lookup(Lookup("web", max_age=10.0))
    assert (True, True) == (found.cached, found.age < 10)


async def test_what_a_copy_cannot_answer_is_asked(cached, servers, autojump_clock):
    """Nearness and waiting are the servers' business."""
    await cached.lookup(Lookup("web", near="n", max_age=60.0))
    await cached.lookup(Lookup("web", node_meta={"a": "b"}, max_age=60.0))
    await cached.lookup(Lookup("web", after=2, max_age=60.0))

    assert 3 == len(servers.lookups)
    assert set() == servers.followed


async def test_copies_are_bounded(nursery, servers, autojump_clock):
    """In number, and by how long nobody asked for them."""
    cached = Cached(servers, nursery, Random(1), copies_max=20)
    for number in range(30):
        await cached.lookup(Lookup(f"s{number}", max_age=60.0))
    await trio.sleep(1)
    assert 20 == len(servers.followed)
    assert "s9" not in servers.followed

    await trio.sleep(IDLE_SECONDS)
    await cached.lookup(Lookup("web", max_age=60.0))
    await trio.sleep(1)
    assert {"web"} == servers.followed
