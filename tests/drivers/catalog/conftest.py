"""Agents in one process, on loopback sockets and real files, to be started and crashed at will."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

import rumor
from catalog import Agent, AgentConfig, open_catalog

PATIENCE = 40.0
"""Seconds that anything may take on a busy machine; nothing is measured."""


@define
class Agents:
    """Agents by name."""

    nursery: trio.Nursery
    directory: Path
    scopes: dict[str, trio.CancelScope] = field(factory=dict)
    ended: dict[str, trio.Event] = field(factory=dict)

    def open(self, name: str, **settings: Any) -> AbstractAsyncContextManager[Agent]:
        """Open an agent in the test itself."""
        settings = {"bind": "127.0.0.1:0", "gossip": rumor.Config.local(), **settings}
        return open_catalog(AgentConfig(name, **settings))

    async def start(self, name: str, **settings: Any) -> Agent:
        """Start an agent; any free port, gossip fast enough for tests."""
        agent: Agent = await self.nursery.start(self._run, name, settings)
        return agent

    async def start_server(self, name: str, **settings: Any) -> Agent:
        """Start a server with a directory of its own."""
        return await self.start(name, server=True, data_dir=self.directory / name, **settings)

    async def start_three(self, **settings: Any) -> dict[str, Agent]:
        """Start three servers that found a cluster, and wait for their leader."""
        servers: dict[str, Agent] = {}
        for name in ("s1", "s2", "s3"):
            join = [servers["s1"].address] if servers else []
            servers[name] = await self.start_server(name, bootstrap_expect=3, join=join, **settings)
        with trio.fail_after(PATIENCE):
            for server in servers.values():
                await server.wait_leader()
        return servers

    async def crash(self, name: str) -> None:
        """End an agent without a farewell."""
        self.scopes.pop(name).cancel()
        await self.ended[name].wait()

    async def _run(
        self, name: str, settings: dict[str, Any], *, task_status: trio.TaskStatus[Agent]
    ) -> None:
        ended = self.ended[name] = trio.Event()
        try:
            with trio.CancelScope() as scope:
                self.scopes[name] = scope
                async with self.open(name, **settings) as agent:
                    task_status.started(agent)
                    await trio.sleep_forever()
        finally:
            ended.set()


@pytest.fixture
async def agents(nursery: trio.Nursery, tmp_path: Path) -> Agents:
    """No agents yet; all that are started end with the test."""
    return Agents(nursery, tmp_path)


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    """Wait until something holds."""

    async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
        with trio.fail_after(PATIENCE):
            while not await holds():  # noqa: ASYNC110 - nobody rings for everything
                await trio.sleep(0.02)

    return eventually


@pytest.fixture
def unused_address() -> Iterator[str]:
    """A port at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{unused.getsockname()[1]}"
