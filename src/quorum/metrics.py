"""A server's state and counters for Prometheus; needs the extra `quorumkit[metrics]`.

Register a collector for each server of the process, and expose the registry as usual::

    from prometheus_client import REGISTRY, start_http_server

    async with open_server(...) as server:
        with exported(server, REGISTRY):
            start_http_server(9100)
            ...

Metrics are read when they are asked for, at the price of one `Server.statistics()`. An exposition
that runs in a thread of its own, as `start_http_server` does, may see a turn half done: each number
is right, they may be of neighbouring moments.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from quorum.core.raft import Statistics
from quorum.effects import Role
from quorum.trio.counters import Counters
from quorum.trio.server import Server

GAUGES = {
    "term": "The newest term that the server has seen.",
    "commit": "Index of the last entry known to be committed.",
    "applied": "Index of the last entry that the machine has applied.",
    "first_index": "Index of the first entry in the log.",
    "last_index": "Index of the last entry in the log.",
    "snapshot_index": "Index of the last entry that the snapshot in force covers.",
    "durable": "Index of the last entry that is on the disk.",
    "members_index": "Index of the configuration in force.",
    "version": "Version of the machine by which commands are applied.",
    "uncommitted_bytes": "Payload bytes in a leader's log that no majority has yet.",
}
"""Fields of `Statistics` that are exposed as they are, with their help."""

COUNTERS = {
    "turns": "Turns of the driver's loop.",
    "messages_received": "Messages from other servers.",
    "messages_sent": "Messages for other servers, some of which may have been dropped.",
    "writes": "Writes ordered from the storage.",
    "entries_written": "Entries in these writes.",
    "entries_applied": "Entries that were ordered to be applied.",
    "snapshots_taken": "Snapshots of the machine here that were saved.",
    "snapshots_not_saved": "Snapshots of the machine here that could not be saved.",
    "snapshots_received": "Snapshots that came from a leader and were saved.",
    "snapshots_sent": "Snapshots that a follower has confirmed.",
    "snapshots_failed": "Transfers of snapshots that failed; they are tried again.",
    "leader_changes": "Leaders that were announced and were not the one before.",
}
"""Fields of `Counters`, with their help."""


class ServerCollector(Collector):
    """Gives a registry the metrics of one server, labelled with its name."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def describe(self) -> Iterator[Metric]:
        """No metrics: their names are those of every server, so they may not be unique."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector.collect`."""
        yield from _of_statistics(self._server.statistics())
        yield from _of_counters(self._server.id, self._server.counters())


@contextmanager
def exported(server: Server, registry: CollectorRegistry) -> Iterator[None]:
    """Register a server for the `with` block."""
    collector = ServerCollector(server)
    registry.register(collector)
    try:
        yield
    finally:
        registry.unregister(collector)


def _of_statistics(statistics: Statistics) -> Iterator[Metric]:
    server = statistics.id
    for name, text in GAUGES.items():
        yield _gauge(name, text, server, getattr(statistics, name))
    yield _gauge(
        "has_leader", "Whether a leader is known: 1 or 0.", server, statistics.leader is not None
    )
    yield _gauge("voters", "Voters in force.", server, len(statistics.members.voters))
    role = GaugeMetricFamily("quorum_role", "1 for the server's role.", labels=("server", "role"))
    for each in Role:
        role.add_metric((server, each.value), each is statistics.role)
    yield role
    match = GaugeMetricFamily(
        "quorum_match_index",
        "When leading: up to where a peer's log is known to equal this one.",
        labels=("server", "peer"),
    )
    for peer, index in statistics.match:
        match.add_metric((server, peer), index)
    yield match


def _of_counters(server: str, counters: Counters) -> Iterator[Metric]:
    for field in attrs.fields(Counters):
        name = field.name
        metric = CounterMetricFamily(f"quorum_{name}", COUNTERS[name], labels=("server",))
        metric.add_metric((server,), getattr(counters, name))
        yield metric


def _gauge(name: str, text: str, server: str, value: float) -> Metric:
    metric = GaugeMetricFamily(f"quorum_{name}", text, labels=("server",))
    metric.add_metric((server,), value)
    return metric
