"""What is registered here, kept true in a catalog that misbehaves."""

from __future__ import annotations

from random import Random

import pytest
import trio

from catalog.commands import DeregisterNode, DeregisterService, RegisterService
from catalog.config import AgentConfig
from catalog.errors import CatalogError, Indeterminate, NoLeader, NotRegistered
from catalog.limits import META_VALUE_CHARS_MAX
from catalog.model import Node, Service, Status, TcpCheck, TtlCheck
from catalog.node.keeper import Keeper
from catalog.node.record import open_record
from catalog.registry import Registry
from catalog.requests import AskedNode, Heartbeat, LocalService, Reply, Write

NODE = Node("n", "10.0.0.1")


class Catalog:
    """A registry that answers, or does not."""

    def __init__(self, write) -> None:
        self.registry = Registry()
        self.down = False
        self.writes = 0
        self.asked = 0
        self.loses_answers = False
        self._write = write

    async def __call__(self, request):
        await trio.sleep(0.01)
        if self.down:
            raise NoLeader("down")
        match request:
            case AskedNode(name):
                self.asked += 1
                value, index, _ = self.registry.find(AskedNode(name))
                return Reply(value, index)
            case Write(command):
                self.writes += 1
                answer = self.do(command)
                if self.loses_answers:
                    raise Indeterminate("lost")
                return answer
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


async def test_a_service_is_waited_for_until_it_is_another_one(keeper, autojump_clock):
    """Or until the time is over; without anything to compare there is no wait."""
    before, after = Service("web", port=1), Service("web", port=2)
    await keeper.register(before)
    began = trio.current_time()
    assert before == await keeper.answer(LocalService("web"))
    assert began == trio.current_time()
    assert before == await keeper.answer(LocalService("web", before, wait=7.0))
    assert began + 7.0 == trio.current_time()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.register, after)
        assert after == await keeper.answer(LocalService("web", before, wait=7.0))
    assert began + 8.0 > trio.current_time()
    assert await keeper.answer(LocalService("db", before, wait=7.0)) is None


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


async def test_outputs_alone_are_written_now_and_then(catalog, keeper, autojump_clock):
    """A status is written at once; an output that changes with every report, rarely."""
    await keeper.register(Service("web", checks=[TtlCheck(5)]))
    keeper.heartbeat(Heartbeat("web"))
    await trio.sleep(0.1)
    asked, writes = catalog.asked, catalog.writes
    for number in range(900):
        keeper.heartbeat(Heartbeat("web", output=str(number)))
        await trio.sleep(1)

    (web,) = catalog.registry.lookup("web").instances
    assert 2 <= catalog.writes - writes <= 6
    assert 8 <= catalog.asked - asked <= 25  # full comparisons, and no others
    assert 450 <= int(web.checks[0].output)


async def test_registrations_survive_their_agent(catalog, nursery, tmp_path, autojump_clock):
    """Those from outside; with checks, drain state and maintenance. What was removed is gone."""

    def start() -> Keeper:
        record = open_record(AgentConfig("n", data_dir=tmp_path))
        return Keeper(NODE, catalog, interval=60.0, random=Random(1), record=record)

    keeper = start()
    await keeper.register(Service("web", checks=[TtlCheck(5)]))
    await keeper.register(Service("gone"))
    await keeper.register(Service("own"), keep=False)
    await keeper.register_check(TcpCheck("h:1", id="c"), "web")
    await keeper.register_check(TcpCheck("h:2", id="of-own"), "own")
    await keeper.drain("web", terminating=True)
    await keeper.maintain("web", "repairs")
    await keeper.maintain("", "moving house")
    await keeper.deregister("gone")

    again = start()
    assert {"web": Service("web", checks=[TtlCheck(5)], terminating=True)} == again.local.services
    assert keeper.local.checks.keys() - again.local.checks.keys() == {"of-own"}
    assert "repairs" == again.local.checks["_service_maintenance:web"].notes
    assert "moving house" == again.local.checks["_node_maintenance"].notes
    nursery.start_soon(again.run)
    await trio.sleep(1)
    assert ["web"] == [one.service.id for one in catalog.registry.node("n").instances]


async def test_a_crash_between_disk_and_catalog_leaves_no_zombie(
    catalog, nursery, tmp_path, autojump_clock
):
    """What was deregistered while no server answered does not come back."""
    record = open_record(AgentConfig("n", data_dir=tmp_path))
    keeper = Keeper(NODE, catalog, interval=60.0, random=Random(1), record=record)
    await keeper.register(Service("web"))
    catalog.down = True
    with pytest.raises(NoLeader):
        await keeper.deregister("web")
    catalog.down = False

    record = open_record(AgentConfig("n", data_dir=tmp_path))
    again = Keeper(NODE, catalog, interval=60.0, random=Random(1), record=record)
    assert {"web": Status.PASSING} == catalog.statuses()
    nursery.start_soon(again.run)
    await trio.sleep(1)
    assert {} == catalog.statuses()


async def test_who_leaves_comes_back_with_its_services(catalog, tmp_path, autojump_clock):
    """They leave the catalog, and stay on the disk."""
    record = open_record(AgentConfig("n", data_dir=tmp_path))
    keeper = Keeper(NODE, catalog, interval=60.0, random=Random(1), record=record)
    await keeper.register(Service("web"))
    await keeper.clear()
    assert {} == catalog.statuses()

    record = open_record(AgentConfig("n", data_dir=tmp_path))
    assert [Service("web")] == list(record.kept.services)


async def test_a_full_disk_is_told_to_who_registers(catalog, tmp_path, autojump_clock):
    """The service is there until the agent stops, and the error says so."""
    record = open_record(AgentConfig("n", data_dir=tmp_path / "d"))
    (tmp_path / "d").write_text("a file where the directory should be")
    keeper = Keeper(NODE, catalog, interval=60.0, random=Random(1), record=record)
    with pytest.raises(CatalogError, match="cannot be written"):
        await keeper.register(Service("web"))

    assert ["web"] == list(keeper.local.services)
    (tmp_path / "d").unlink()
    await keeper.register(Service("db"))
    assert ["db", "web"] == [
        one.id for one in open_record(AgentConfig("n", data_dir=tmp_path / "d")).kept.services
    ]


async def test_a_burst_of_registrations_shares_files(
    catalog, tmp_path, autojump_clock, monkeypatch
):
    """Whatever came while the file was written goes with the next one."""
    record = open_record(AgentConfig("n", data_dir=tmp_path))
    files = 0
    save = record.save

    def counting(kept) -> None:
        nonlocal files
        files += 1
        save(kept)

    monkeypatch.setattr(record, "save", counting)
    keeper = Keeper(NODE, catalog, interval=60.0, random=Random(1), record=record)
    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(keeper.register, Service("web", f"web-{number}"))

    assert files <= 3
    assert 200 == len(open_record(AgentConfig("n", data_dir=tmp_path)).kept.services)


class Roster:
    """Knows servers, and rings."""

    def __init__(self) -> None:
        self.servers = {"s1": ("h", 1)}
        self.bell = trio.Event()

    async def wait_change(self) -> None:
        await self.bell.wait()

    def become(self, *names: str) -> None:
        self.servers = dict.fromkeys(names, ("h", 1))
        self.bell.set()
        self.bell = trio.Event()


async def test_a_server_that_comes_is_compared_with_soon(catalog, keeper, nursery, autojump_clock):
    """It may lack what the others had; one that goes is no reason."""
    roster = Roster()
    nursery.start_soon(keeper.follow, roster)
    await keeper.register(Service("web"))
    catalog.do(DeregisterService("n", "web"))
    await trio.sleep(1)
    roster.become()
    await trio.sleep(4)
    assert {} == catalog.statuses()
    roster.become("s2")
    await trio.sleep(4)
    assert {"web": Status.PASSING} == catalog.statuses()


async def test_all_is_forgotten_at_once_when_leaving(catalog, keeper, autojump_clock):
    """Before the farewell."""
    await keeper.register(Service("web", "a"))
    await keeper.register(Service("web", "b"))
    await keeper.clear()

    assert {} == catalog.statuses()


async def test_the_index_is_one_at_which_the_catalog_has_it(catalog, nursery, autojump_clock):
    """Also if it was written by a write whose answer was lost."""
    keeper = Keeper(NODE, catalog, interval=60.0, random=Random(1))
    await keeper.register(Service("web", "first"))
    catalog.loses_answers = True
    with pytest.raises(Indeterminate):
        await keeper.register(Service("web", "second"))

    assert catalog.registry.applied == await keeper.settle()
