"""What Prometheus is told of an agent."""

from __future__ import annotations

import builtins

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from catalog import Service, connect
from catalog.housekeeping import Metrics
from catalog.metrics import exported


def values(text):
    """Return the value of each sample, by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_server_tells_of_itself_of_gossip_and_of_consensus(agents):
    """Asked from outside, or in a registry of one's own."""
    server = await agents.start("s1", server=True, bootstrap_expect=1)
    client = await agents.start("c1", join=[server.address])
    await server.register(Service("web"))
    async with connect(server.address) as user:
        found = values(await user.ask(Metrics()))
        edge = values(await client.ask(Metrics()))

    assert 1.0 == found["catalog_services", "s1"]
    assert 2.0 == found["catalog_members", "alive", "s1"]
    assert 1.0 <= found["catalog_connections", "s1"]
    assert 0.0 <= found["catalog_replica_age_seconds", "s1"] < 60.0
    assert 1.0 == found["quorum_has_leader", "s1"]
    assert ("catalog_gossip_bytes_sent_total", "c1") in edge
    assert not [name for name, *_ in edge if name.startswith("quorum_")]
    registry = CollectorRegistry()
    with exported(server, registry):
        assert 1.0 == registry.get_sample_value("catalog_services", {"agent": "s1"})
    assert registry.get_sample_value("catalog_services", {"agent": "s1"}) is None


async def test_without_the_extra_it_says_what_to_install(agents, monkeypatch):
    """And nothing else needs it."""
    agent = await agents.start("s1", server=True, bootstrap_expect=1)
    load = builtins.__import__

    def refuse(name, *rest):
        if name == "catalog.metrics":
            raise ModuleNotFoundError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ValueError, match=r"quorumkit\[metrics\]"):
        await agent.ask(Metrics())
