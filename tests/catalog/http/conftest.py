"""An agent of one server, and an HTTP client in front of it, without a port between."""

from __future__ import annotations

import httpx
import pytest

from catalog.agent import open_catalog
from catalog.config import AgentConfig
from catalog.http.app import build_app
from catalog.http.calls import Site
from quorum import Config


@pytest.fixture
async def agent():
    """A server that leads; quick to elect itself."""
    config = AgentConfig(
        "n1",
        server=True,
        bind="127.0.0.1:0",
        bootstrap_expect=1,
        raft=Config(heartbeat=0.02, election_timeout=0.15, disk_grace=2.0),
    )
    async with open_catalog(config) as agent:
        await agent.wait_leader()
        yield agent


@pytest.fixture
async def web(agent):
    """A client; paths begin after `/v1/`."""
    transport = httpx.ASGITransport(build_app(Site(agent, "n1", "dc1")))
    async with httpx.AsyncClient(transport=transport, base_url="http://agent/v1/") as client:
        yield client
