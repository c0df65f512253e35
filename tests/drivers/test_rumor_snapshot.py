"""Agents that come back: from their snapshots, without seeds, with numbers that are believed."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from rumor import (
    Agent,
    Config,
    ConfigError,
    Failed,
    Health,
    Subscription,
    Suspected,
    UserEvent,
    open_agent,
)
from rumor.inspect import main as inspect
from rumor.snapshot import SnapshotFile, read
from rumor.trio.memory import MemoryNetwork
from rumor.trio.ports import open_sockets

Clock = trio.testing.MockClock
FAST = Config.local()


async def eventually(condition: Callable[[], bool], within: float = 30.0) -> None:
    """Wait until a condition holds."""
    with trio.fail_after(within):
        while not condition():  # noqa: ASYNC110  # a test may poll what has no event
            await trio.sleep(0.05)


def names_in(path: Path) -> set[str]:
    """Whom a file names."""
    return set(read(path.read_bytes()).members)


async def in_file(path: Path, names: set[str]) -> None:
    """Wait until a file names just these; its writer is a thread, which no mock clock waits for."""
    for _ in range(1_000):
        if names_in(path) == names:
            break
        await trio.to_thread.run_sync(time.sleep, 0.01)
    assert names_in(path) == names


def living(agent: Agent) -> set[str]:
    """Who is alive, as this agent sees it."""
    return {m.name for m in agent.members.values() if m.health is Health.ALIVE}


class Town:
    """Members that keep their addresses and their files over restarts."""

    def __init__(self, directory: Path, size: int) -> None:
        self.network = MemoryNetwork()
        self.directory = directory
        self.addresses = {f"n{i}": ("10.0.0.1", 7_000 + i) for i in range(size)}

    @asynccontextmanager
    async def run(
        self, name: str, *, seeds: bool = False, again: bool = False
    ) -> AsyncIterator[Agent]:
        """Run one of them; only with `seeds` it is told of another."""
        async with open_agent(
            name,
            bind=self.addresses[name],
            seeds=[self.addresses["n0"]] if seeds else [],
            config=FAST,
            open_port=self.network.open_port,
            random=Random(name),
            snapshot=self.directory / name,
            rejoin_after_leave=again,
        ) as agent:
            yield agent


async def boot(town: Town, stack: AsyncExitStack) -> dict[str, Agent]:
    """Let all of them join for the first time."""
    agents = {
        name: await stack.enter_async_context(town.run(name, seeds=True)) for name in town.addresses
    }
    await eventually(lambda: all(len(living(a)) == len(agents) for a in agents.values()))
    await trio.sleep(1)  # files are written twice a second
    return agents


async def test_a_whole_cluster_comes_back_one_by_one_without_seeds(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """All are down at once; the first to come back finds nobody, and is found."""
    town = Town(tmp_path, 6)
    async with AsyncExitStack() as stack:
        await boot(town, stack)
    async with AsyncExitStack() as stack:
        again = []
        for name in reversed(town.addresses):
            again.append(await stack.enter_async_context(town.run(name)))
            await trio.sleep(3)
        await eventually(lambda: all(len(living(a)) == 6 for a in again))

        assert {a.members[a.name].incarnation for a in again} == {1}


async def test_a_restarted_member_is_believed_at_once_and_nobody_fails(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """Its incarnation is larger than that of its earlier life, or of its grave."""
    town = Town(tmp_path, 4)
    async with AsyncExitStack() as stack, AsyncExitStack() as short:
        agents = {
            name: await stack.enter_async_context(town.run(name, seeds=True))
            for name in ("n0", "n1", "n2")
        }
        last = await short.enter_async_context(town.run("n3", seeds=True))
        await eventually(lambda: all(len(living(a)) == 4 for a in (last, *agents.values())))
        await trio.sleep(1)
        await short.aclose()
        await eventually(lambda: agents["n0"].members["n3"].health is Health.DEAD)
        async with town.run("n3") as back:
            assert living(back) >= {"n3"}
            await eventually(lambda: all("n3" in living(a) for a in agents.values()), within=1)

            assert agents["n0"].members["n3"].incarnation == 1


async def test_who_has_left_comes_back_only_if_asked_to(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """A clean leave is remembered; with `rejoin_after_leave` the members are, too."""
    town = Town(tmp_path, 3)
    async with AsyncExitStack() as stack:
        agents = await boot(town, stack)
        await agents["n2"].leave()
        assert read((tmp_path / "n2").read_bytes()).has_left
        await stack.enter_async_context(trio.open_nursery())
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(town.run(name)) for name in ("n0", "n1")]
        await eventually(lambda: living(others[0]) == {"n0", "n1"})
        async with town.run("n2", again=True) as back:
            await eventually(lambda: living(back) == living(others[1]) == {"n0", "n1", "n2"})
            await back.leave()
        async with town.run("n2") as alone:
            await trio.sleep(20)
            assert living(alone) == {"n2"}


async def events_of(subscription: Subscription, seconds: float) -> list[bytes]:
    """Read user events for so long."""
    found: list[bytes] = []
    with trio.move_on_after(seconds):
        async for event in subscription:
            if isinstance(event, UserEvent):
                found.append(event.payload)  # noqa: PERF401  # they come over time
    return found


async def test_events_of_an_earlier_life_are_not_delivered_again(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """Those that were said meanwhile are; and the lists of events agree, as exchanges see."""
    town = Town(tmp_path, 3)
    async with AsyncExitStack() as stack, AsyncExitStack() as short:
        n0, n1 = [
            await stack.enter_async_context(town.run(name, seeds=True)) for name in ("n0", "n1")
        ]
        n2 = await short.enter_async_context(town.run("n2", seeds=True))
        await n0.broadcast("e", b"heard")
        async with n2.subscribe() as events:
            assert await events_of(events, 5) == [b"heard"]
        await short.aclose()
        await n1.broadcast("e", b"missed")
        async with town.run("n2") as back, back.subscribe() as events:
            heard = await events_of(events, 15)
            await back.broadcast("e", b"new")
            async with n0.subscribe() as others:
                everything = await events_of(others, 10)
            before = [a.statistics().swim.exchanges for a in (n0, n1, back)]
            await trio.sleep(60)
            exchanges = sum(a.statistics().swim.exchanges for a in (n0, n1, back)) - sum(before)

        assert heard == [b"missed"]
        assert everything == [b"heard", b"missed", b"new"]
        assert exchanges < 40  # one in 5 s by each: no digest shows a difference


async def test_the_departed_and_the_forgotten_are_not_asked(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """The failed are: they may be back. What nobody has heard of for long is forgotten."""
    town = Town(tmp_path, 5)
    async with AsyncExitStack() as stack:
        agents = await boot(town, stack)
        await agents["n4"].leave()
        await trio.sleep(5)
        await in_file(tmp_path / "n0", {"n1", "n2", "n3"})

    file = SnapshotFile(tmp_path / "n0", cluster="default", name="n0")
    file.append([(1, "ghost", "10.9.9.9", 1)])
    config = Config(tombstone_time=60)
    async with open_agent(
        "n0", open_port=town.network.open_port, snapshot=tmp_path / "n0", config=config
    ):
        await trio.sleep(50)
        assert "ghost" in read((tmp_path / "n0").read_bytes()).members
        await trio.sleep(20)
        await in_file(tmp_path / "n0", set())


async def test_a_disk_that_fails_is_logged_once_and_costs_the_snapshot_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When it works again everything is written."""
    town = Town(tmp_path, 2)
    path = tmp_path / "n0"

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with town.run("n0") as n0, town.run("n1", seeds=True):
        with caplog.at_level(logging.WARNING), monkeypatch.context() as patch:
            patch.setattr("rumor.snapshot._write_all", fail)
            for number in range(4):
                await n0.set_meta({"k": str(number)})
                await trio.sleep(0.4)
        assert [r.message for r in caplog.records if f"{path}" in r.message] == [
            f"{path}: not written, will be tried again: [Errno 28] No space left on device"
        ]
        assert read(path.read_bytes()).incarnation < n0.members["n0"].incarnation
        await n0.set_meta({"k": "last"})
        await eventually(lambda: read(path.read_bytes()).incarnation == 5, within=3)

        assert set(read(path.read_bytes()).members) == {"n1"}


async def test_a_snapshot_that_cannot_be_used_is_refused_at_the_start(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """Another member's, something else, or a place where nothing can be written."""
    (tmp_path / "other").write_bytes(b"hello")
    SnapshotFile(tmp_path / "bob", cluster="default", name="bob").rewrite()
    port = MemoryNetwork().open_port
    for path, words in (
        (tmp_path / "other", "not a member snapshot"),
        (tmp_path / "bob", "belongs to 'bob'"),
        (tmp_path / "no" / "such" / "directory", "No such file"),
        (tmp_path, "directory"),
    ):
        with pytest.raises(ConfigError, match=words):
            async with open_agent("ada", open_port=port, snapshot=path):
                pass


async def test_two_agents_on_sockets_find_each_other_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In real time; the command shows the file that a process left behind."""
    accusations: list[object] = []
    async with open_agent("ada", config=FAST, open_port=open_sockets) as ada:
        async with open_agent(
            "bob", seeds=[ada.address], config=FAST, snapshot=tmp_path / "bob"
        ) as bob:
            address = bob.address
            await eventually(lambda: "bob" in living(ada))
        async with (
            ada.subscribe() as events,
            open_agent("bob", bind=address, config=FAST, snapshot=tmp_path / "bob") as bob,
        ):
            assert living(bob) == {"ada", "bob"}
            await eventually(lambda: ada.members["bob"].incarnation == 1, within=2)
            with trio.move_on_after(1):
                async for event in events:
                    if isinstance(event, Suspected | Failed):
                        accusations.append(event)  # noqa: PERF401  # they come over time

    assert accusations == []
    assert inspect([str(tmp_path / "bob")]) == 0
    out = capsys.readouterr().out
    assert "incarnation 1" in out
    assert f"ada  127.0.0.1:{ada.address[1]}" in out
