"""What is registered here, kept true in a catalog that misbehaves."""

from __future__ import annotations

from random import Random

import pytest
import trio

from catalog.commands import DeregisterNode, DeregisterService, RegisterService
from catalog.errors import NoLeader, NotRegistered
from catalog.limits import META_VALUE_CHARS_MAX
from catalog.model import Node, Service, Status, TcpCheck, TtlCheck
from catalog.node.keeper import Keeper
from catalog.registry import Registry
from catalog.requests import AskedNode, Heartbeat, Reply, Write

NODE = Node("n", "10.0.0.1")


class Catalog:
    """A registry that answers, or does not."""

    def __init__(self, write) -> None:
        self.registry = Registry()
        self.down = False
        self.writes = 0
        self._write = write

    async def __call__(self, request):
        await trio.sleep(0.01)
        if self.down:
            raise NoLeader("down")
        match request:
            case AskedNode(name):
                return Reply(self.registry.node(name), 0)
            case Write(command):
                self.writes += 1
                return self.do(command)
        raise AssertionError(request)

    def do(self, command):
        (answer,) = self._write(self.registry, command)
        return answer

    def statuses(self):
        return {
            one.service.id: one.status
            for one in self.registry.lookup("web", healthy=False).instances
        }


@pytest.fixture
def catalog(write) -> Catalog:
    """An empty one."""
    return Catalog(write)


@pytest.fixture
async def keeper(catalog, nursery) -> Keeper:
    """A running keeper of it."""
    keeper = Keeper(NODE, catalog, interval=60.0, random=Random(1))
    nursery.start_soon(keeper.run)
    return keeper


async def test_registering_returns_when_the_catalog_has_it(catalog, keeper, autojump_clock):
    """At the index of the write; removal likewise."""
    index = await keeper.register(Service("web"))
    assert index == catalog.registry.applied
    assert {"web": Status.PASSING} == catalog.statuses()

    await keeper.deregister("web")
    assert {} == catalog.statuses()
    with pytest.raises(NotRegistered):
        await keeper.deregister("web")


async def test_registrations_at_the_same_time_share_writes(catalog, keeper, autojump_clock):
    """Whatever came while a write was under way goes with the next."""
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(keeper.register, Service("web", f"web-{number}"))

    assert 50 == len(catalog.statuses())
    assert catalog.writes <= 4


async def test_what_could_not_be_written_is_written_later(catalog, keeper, autojump_clock):
    """The caller is told, the record stays."""
    await trio.sleep(1)
    catalog.down = True
    with pytest.raises(NoLeader):
        await keeper.register(Service("web"))
    await trio.sleep(100)
    assert {} == catalog.statuses()
    catalog.down = False
    await trio.sleep(30)

    assert {"web": Status.PASSING} == catalog.statuses()


async def test_tampering_is_repaired(catalog, keeper, autojump_clock):
    """By the full comparison, at the latest after two intervals."""
    await keeper.register(Service("web"))
    catalog.do(DeregisterService("n", "web"))
    catalog.do(RegisterService("n", Service("web", "zombie")))
    await trio.sleep(125)
    assert {"web": Status.PASSING} == catalog.statuses()

    catalog.do(DeregisterNode("n"))
    await trio.sleep(125)
    assert {"web": Status.PASSING} == catalog.statuses()


async def test_heartbeats_change_the_catalog_only_when_the_state_changes(
    catalog, keeper, autojump_clock
):
    """And silence does, too."""
    await keeper.register(Service("web", checks=[TtlCheck(5)]))
    writes = catalog.writes
    for _ in range(20):
        keeper.heartbeat(Heartbeat("web"))
        await trio.sleep(1)
    assert {"web": Status.PASSING} == catalog.statuses()
    assert 1 >= catalog.writes - writes

    await trio.sleep(6)
    assert {"web": Status.CRITICAL} == catalog.statuses()


async def test_a_condemned_service_is_removed(catalog, keeper, autojump_clock):
    """Here and in the catalog."""
    await keeper.register(Service("web", checks=[TtlCheck(5, deregister_critical_after=10)]))
    await trio.sleep(11)

    assert {} == catalog.statuses()
    assert {} == keeper.local.services


async def test_a_heartbeat_needs_its_check(keeper, autojump_clock):
    """The error says what is missing."""
    with pytest.raises(NotRegistered, match="no service 'web'"):
        keeper.heartbeat(Heartbeat("web"))
    await keeper.register(Service("web", checks=[TcpCheck("h:1")]))
    with pytest.raises(NotRegistered, match="no TTL check"):
        keeper.heartbeat(Heartbeat("web"))


async def test_more_than_an_entry_holds_is_split(catalog, keeper, autojump_clock):
    """A hundred services with all the metadata that is allowed."""
    meta = {str(number): "x" * META_VALUE_CHARS_MAX for number in range(64)}
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(keeper.register, Service("web", f"web-{number}", meta=meta))

    assert 100 == len(catalog.statuses())


async def test_all_is_forgotten_at_once_when_leaving(catalog, keeper, autojump_clock):
    """Before the farewell."""
    await keeper.register(Service("web", "a"))
    await keeper.register(Service("web", "b"))
    await keeper.clear()

    assert {} == catalog.statuses()
