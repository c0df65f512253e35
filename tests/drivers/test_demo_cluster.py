"""What the demo stands on, with real agents: its start, its load, and a check that can fail."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from catalog import Agent, AgentConfig, Consistency, open_catalog
from catalog.demo import cluster as cluster_module
from catalog.demo.cluster import Cluster, free_port
from catalog.demo.load import Ledger, Writer, value_of
from catalog.demo.processes import Household
from catalog.demo.scene import Scene
from catalog.demo.verify import count_lost

LIMIT_SECONDS = 60
HOST = "127.0.0.1"


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    """A server alone, in memory, on a free port."""
    async with open_catalog(AgentConfig.dev(bind=f"{HOST}:0")) as agent:
        with trio.fail_after(LIMIT_SECONDS):
            await agent.wait_leader()
        yield agent


@pytest.fixture
def household() -> Iterator[Household]:
    """An empty household, closed at the end."""
    household = Household.open(None)
    yield household
    household.close()


@pytest.mark.parametrize("consistency", list(Consistency))
async def test_a_lost_or_altered_write_is_counted(agent: Agent, consistency: Consistency) -> None:
    """The check that the demo's verdict rests on does find what is wrong."""
    for key in ("kept", "altered"):
        await agent.put(key, value_of(key))
    written = {key: value_of(key) for key in ("kept", "altered", "missing")}
    assert await count_lost(written, agent.address, consistency) == 1

    await agent.put("altered", b"otherwise")
    assert await count_lost(written, agent.address, consistency) == 2
    assert await count_lost({"kept": value_of("kept")}, agent.address, consistency) == 0


async def test_a_writer_notes_exactly_what_was_acknowledged(agent: Agent) -> None:
    """It goes on to the next agent where one does not answer, and stops when told to."""
    ledger = Ledger()
    nobody = f"{HOST}:{free_port()}"
    writer = Writer("w0", ledger, lambda: [nobody, agent.address], first=0)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(LIMIT_SECONDS):
            nursery.start_soon(writer.run)
            await ledger.wait_acknowledged(begun_after=trio.current_time())
            writer.stopping = True
            await writer.stopped.wait()

    assert ledger.retries == 1
    assert tuple(ledger.acknowledged) == await agent.keys("demo/w0/")
    assert await count_lost(ledger.acknowledged, agent.address) == 0
    last = await agent.get(max(ledger.acknowledged))
    assert last is not None
    assert last.modify_index == ledger.index


async def test_a_port_that_was_taken_meanwhile_is_replaced(
    household: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All agents start anew on other ports, and the cluster comes about."""
    with socket.socket() as stranger:
        stranger.bind((HOST, 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        ports = [free_port(), taken]
        monkeypatch.setattr(
            cluster_module, "free_port", lambda: ports.pop(0) if ports else free_port()
        )
        cluster = Cluster(household, Scene(), size=3)
        with trio.fail_after(LIMIT_SECONDS):
            await cluster.start()
            async with trio.open_nursery() as nursery:
                for server in cluster.servers.values():
                    nursery.start_soon(cluster.observe, server)
                leader = await cluster.wait_leader()
                await cluster.wait_edge()
                nursery.cancel_scope.cancel()

    assert leader.name in ("s1", "s2", "s3")
    assert f"{HOST}:{taken}" not in cluster.addresses()
    assert len(cluster.addresses()) == 4
