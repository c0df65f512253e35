"""One agent: a server by itself, its settings, its directory, its services and keys."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import trio

from catalog import (
    AgentConfig,
    AgentFailed,
    ChangeKind,
    Consistency,
    NoServers,
    NotRegistered,
    Refused,
    Service,
    StartError,
    Status,
    TtlCheck,
    View,
    connect,
    open_catalog,
)
from catalog.server.home import Home
from catalog.server.reconcile import SERVERS
from quorum import Members, MemoryStorage

DEV = AgentConfig.dev(bind="127.0.0.1:0")


def contents(directory: Path) -> list[tuple[Path, bytes]]:
    """Return all files with what is in them."""
    return sorted((path, path.read_bytes()) for path in directory.rglob("*") if path.is_file())


async def test_a_service_is_found_once_it_reports_and_not_when_it_falls_silent(eventually):
    """A TTL check passes with the heartbeat, and turns critical by itself."""
    async with open_catalog(DEV) as agent:
        await agent.register(Service("web", port=80, checks=[TtlCheck(0.5)]))
        before = await agent.lookup("web")
        await agent.heartbeat("web")
        found = await agent.lookup("web")

        async def is_gone() -> bool:
            nonlocal found
            view = await agent.lookup("web")
            found = view if view.instances else found
            return bool(found.instances) and not view.instances

        await eventually(is_gone)
        after = await agent.lookup("web", healthy=False)

        assert before.instances == ()
        assert [("127.0.0.1", 80)] == [(one.address, one.service.port) for one in found.instances]
        assert "TTL expired" in after.instances[0].checks[0].output


async def test_a_service_that_stays_critical_is_removed():
    """`deregister_critical_after` ends the registration."""
    check = TtlCheck(0.1, deregister_critical_after=0.2)
    async with open_catalog(DEV) as agent, agent.subscribe("web") as web:
        await anext(web)
        await agent.register(Service("web", checks=[check]))
        with trio.fail_after(20):
            async for news in web:
                if not isinstance(news, View) and news.kind is ChangeKind.REMOVED:
                    break

        assert web.view.instances == ()


async def test_a_block_registers_for_as_long_as_it_lasts():
    """`registered` removes the service at its end."""
    async with open_catalog(DEV) as agent:
        async with agent.registered(Service("web")) as index:
            inside = await agent.lookup("web")
        outside = await agent.lookup("web")

        assert index >= inside.index > 0
        assert 1 == len(inside.instances)
        assert outside.instances == ()


async def test_keys_are_compared_and_set():
    """A key changes only for who has its newest index; deletion likewise."""
    async with open_catalog(DEV) as agent:
        index = await agent.put("app/a", b"1", cas=0, flags=7)
        with pytest.raises(Refused, match="compared with 0"):
            await agent.put("app/a", b"2", cas=0)
        newer = await agent.put("app/a", b"2", cas=index)
        await agent.put("other", b"")
        found = await agent.get("app/a")
        with pytest.raises(Refused):
            await agent.delete("app/a", cas=index)
        keys = await agent.keys("app/")
        await agent.delete("app/", recurse=True)

        assert found is not None
        assert (b"2", 0, index, newer) == (
            found.value,
            found.flags,
            found.create_index,
            found.modify_index,
        )
        assert ("app/a",) == keys
        assert await agent.get("app/a") is None
        assert ("other",) == await agent.keys()


async def test_a_waiting_question_is_answered_by_a_change():
    """`wait_change` returns when its service changes, and else when its time is up."""
    async with open_catalog(DEV) as agent:
        index = await agent.register(Service("web"))
        unchanged = await agent.wait_change("web", index, timeout=0.05)
        answers = []

        async def wait() -> None:
            answers.append(await agent.wait_change("web", index, timeout=60))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(0.05)
            await agent.register(Service("web", "web-2"))

        assert index == unchanged.index
        assert ["web", "web-2"] == [one.service.id for one in answers[0].instances]
        assert answers[0].index > index


async def test_a_stale_answer_says_how_old_it_may_be():
    """A linearizable one has no age."""
    async with open_catalog(DEV) as agent:
        await agent.register(Service("web"))
        current = await agent.lookup("web")
        stale = await agent.lookup("web", consistency=Consistency.STALE)

        assert 0.0 == current.age
        assert 0.0 <= stale.age < 60.0
        assert current.instances == stale.instances


async def test_a_heartbeat_needs_a_ttl_check():
    """Reports on what is not there are refused, from near and from afar, and harm nothing."""
    async with open_catalog(DEV) as agent, connect(agent.address) as client:
        for catalog in (agent, client):
            with pytest.raises(NotRegistered, match="no service 'web'"):
                await catalog.heartbeat("web")
            with pytest.raises(NotRegistered):
                await catalog.deregister("web")
        await agent.register(Service("web"))
        with pytest.raises(NotRegistered, match="no TTL check"):
            await client.heartbeat("web", Status.WARNING)


async def test_a_check_id_belongs_to_one_service():
    """The error of the agent is raised where it was asked."""
    async with open_catalog(DEV) as agent, connect(agent.address) as client:
        await client.register(Service("a", checks=[TtlCheck(9, id="c")]))
        with pytest.raises(ValueError, match="'c' belongs to service 'a'"):
            await client.register(Service("b", checks=[TtlCheck(9, id="c")]))

        assert {"a"} == set(await client.services()) - {SERVERS}


async def test_errors_in_the_block_come_out_as_they_are():
    """No exception group is made of them."""
    with pytest.raises(KeyError, match="mine"):
        async with (
            open_catalog(DEV) as agent,
            connect(agent.address) as client,
            client.subscribe("web"),
        ):
            raise KeyError("mine")


async def test_info_speaks_of_roles_and_indexes():
    """What `catalog info` shows."""
    async with open_catalog(DEV) as agent:
        await agent.put("a", b"1")
        with trio.fail_after(20):
            assert "dev" == await agent.wait_leader()
        info = await agent.info()

        assert ("dev", "server", "leader", "dev", 1) == tuple(
            info[key] for key in ("name", "agent", "role", "leader", "term")
        )
        assert info["applied_index"] >= 2
        assert {"dev": agent.address} == info["peers"]


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path):
    """A server with a directory keeps keys; it needs no `bootstrap_expect` the second time."""
    settings: dict[str, Any] = {
        "server": True,
        "bind": "127.0.0.1:0",
        "data_dir": tmp_path / "data",
    }
    async with open_catalog(AgentConfig("a", bootstrap_expect=1, **settings)) as agent:
        await agent.put("key", b"value")
        first = await agent.info()
    async with open_catalog(AgentConfig("a", **settings)) as agent:
        found = await agent.get("key")
        second = await agent.info()

        assert found is not None
        assert b"value" == found.value
        assert first["epoch"] == second["epoch"]


async def test_a_taken_port_is_named(tmp_path: Path):
    """For TCP and for UDP."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind(("127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                taken.listen()
            where = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(StartError, match=f"{where}: another process listens there"):
                async with open_catalog(AgentConfig.dev(bind=where)):
                    pass


async def test_a_foreign_directory_is_not_touched(tmp_path: Path):
    """The names of server and cluster must be those in the directory."""
    settings: dict[str, Any] = {
        "server": True,
        "bind": "127.0.0.1:0",
        "data_dir": tmp_path,
        "bootstrap_expect": 1,
    }
    async with open_catalog(AgentConfig("a", **settings)):
        pass
    before = contents(tmp_path)
    for other in (AgentConfig("b", **settings), AgentConfig("a", cluster="x", **settings)):
        with pytest.raises(StartError, match="belongs to server 'a' of cluster 'default'"):
            async with open_catalog(other):
                pass

    assert before == contents(tmp_path)


async def test_two_agents_do_not_share_a_directory(tmp_path: Path):
    """The second is refused while the first runs."""
    settings: dict[str, Any] = {
        "server": True,
        "bind": "127.0.0.1:0",
        "data_dir": tmp_path,
        "bootstrap_expect": 1,
    }
    config = AgentConfig("a", **settings)
    async with open_catalog(config):
        with pytest.raises(StartError, match="in use by another agent"):
            async with open_catalog(config):
                pass


async def test_nobody_at_the_address_to_join_is_an_error():
    """A fresh agent that was told whom to join does not start alone."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(StartError, match=f"nobody answers at {where}"):
            async with open_catalog(AgentConfig("c", bind="127.0.0.1:0", join=[where])):
                pass
        with pytest.raises(NoServers, match=where):
            async with connect(where):
                pass


async def test_a_broken_disk_stops_the_agent(monkeypatch: pytest.MonkeyPatch):
    """The block is cancelled, and the reason raised in one piece."""

    class Broken(MemoryStorage):
        inline = False

        async def persist(self, batch):
            for order in batch:
                if order.entries is not None and b"poison" in b"".join(order.entries.payloads):
                    raise OSError("the disk is on fire")
            await super().persist(batch)

    monkeypatch.setattr(Home, "open_storage", lambda _: Broken(members=Members(voters=["dev"])))
    with pytest.raises(AgentFailed, match="the disk is on fire"):  # noqa: PT012 - as above
        async with open_catalog(DEV) as agent:
            await agent.put("a", b"fine")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(agent.put, "b", b"poison")
                await trio.sleep_forever()
