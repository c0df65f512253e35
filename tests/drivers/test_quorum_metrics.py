"""quorum.metrics: what Prometheus is told of the servers of a process."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import attrs
from attrs import evolve
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from quorum.metrics import COUNTERS, GAUGES, exported
from quorum.trio.counters import Counters


def samples(registry):
    """All samples in the text that would be scraped."""
    text = generate_latest(registry).decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_servers_expose_what_they_know_and_have_done(autojump_clock, cluster):
    """State, roles, the leader's view of its peers, and counters; several servers together."""
    await cluster.start()
    leader = await cluster.leader()
    await leader.propose_many([b"a", b"b", b"c"])
    await cluster.agree()
    registry = CollectorRegistry()
    with ExitStack() as stack:
        for server in cluster.servers.values():
            stack.enter_context(exported(server, registry))
        found = samples(registry)
        for server in cluster.servers.values():
            statistics = server.statistics()
            for name in GAUGES:
                assert getattr(statistics, name) == found[f"quorum_{name}", server.id]
            for name in COUNTERS:
                assert getattr(server.counters(), name) == found[f"quorum_{name}_total", server.id]
            assert 1 == found["quorum_has_leader", server.id]
            assert 3 == found["quorum_voters", server.id]
            assert (server is leader) == found["quorum_role", *sorted((server.id, "leader"))]
            assert 4 == found["quorum_entries_applied_total", server.id]
            assert 4 == found["quorum_entries_written_total", server.id]
            assert 1 == found["quorum_leader_changes_total", server.id]
            assert found["quorum_messages_received_total", server.id] > 1
            assert found["quorum_messages_sent_total", server.id] > 1
        for follower in cluster.followers(leader):
            assert 4 == found["quorum_match_index", *sorted((leader.id, follower.id))]
    assert {} == samples(registry)


async def test_transfers_of_snapshots_are_counted(autojump_clock, cluster):
    """Those that failed, those that were confirmed, and those that came."""
    cluster.config = evolve(cluster.config, snapshot_entries=10, tail_entries=0)
    await cluster.start()
    leader = await cluster.leader()
    laggard = cluster.followers(leader)[0].id
    await cluster.stop(laggard)
    for number in range(20):
        await leader.propose(b"%d" % number)
    original = cluster.links[leader.id].send_snapshot

    async def fail_once(to, message, snapshot):
        cluster.links[leader.id].send_snapshot = original
        raise OSError("cut")

    cluster.links[leader.id].send_snapshot = fail_once
    await cluster.start(laggard)
    await cluster.agree()
    counted = leader.counters()
    assert (1, 1) == (counted.snapshots_failed, counted.snapshots_sent)
    assert 1 == cluster.servers[laggard].counters().snapshots_received


def test_every_counter_has_a_help_and_every_name_is_documented():
    """Whoever adds one says what it means."""
    assert list(COUNTERS) == [field.name for field in attrs.fields(Counters)]
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    names = (*GAUGES, *(f"{name}_total" for name in COUNTERS), "role", "match_index", "voters")
    assert [] == [name for name in names if f"`{name}`" not in text]
