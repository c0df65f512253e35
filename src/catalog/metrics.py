"""An agent's state and counters for Prometheus; needs the extra `quorumkit[metrics]`.

    with exported(agent, REGISTRY): ...     # into a registry of your own
    text = await catalog.ask(Metrics())     # or as text, from any agent (`catalog metrics`)

All names of this package begin with `catalog_`, those of consensus with `quorum_` (see
`quorum.metrics`). Metrics are read when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import attrs
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from catalog.agent import Agent, AgentStatistics
from quorum.metrics import ServerCollector

__all__ = ["exported", "exposition"]

GOSSIP_GAUGES: Final = {
    "health_score": "Local health: 0 is well.",
    "backlog": "Updates still to be passed on.",
    "events_waiting": "User events still to be passed on.",
}
"""Fields of rumor's statistics that go up and down, with their help."""
HEALTHS: Final = ("alive", "suspect", "dead", "left")
LABELS: Final = ("agent",)


class AgentCollector(Collector):
    """Gives a registry the metrics of one agent, labelled with its name."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def describe(self) -> Iterator[Metric]:
        """No metrics: their names are those of every agent, so they may not be unique."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector.collect`."""
        statistics = self._agent.statistics()
        yield from _of_agent(self._agent.name, statistics)
        yield from _of_gossip(self._agent.name, statistics)
        if self._agent.server is not None:
            yield from ServerCollector(self._agent.server).collect()


@contextmanager
def exported(agent: Agent, registry: CollectorRegistry) -> Iterator[None]:
    """Register an agent for the `with` block."""
    collector = AgentCollector(agent)
    registry.register(collector)
    try:
        yield
    finally:
        registry.unregister(collector)


def exposition(agent: Agent) -> str:
    """Return an agent's metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    with exported(agent, registry):
        return generate_latest(registry).decode()


def _of_agent(name: str, statistics: AgentStatistics) -> Iterator[Metric]:
    yield _gauge("services", "Services registered on this node.", name, statistics.services)
    yield _gauge(
        "connections", "Connections of agents and users to this one.", name, statistics.connections
    )
    if statistics.replica_age is not None:
        what = "Seconds since this replica was known to have everything."
        yield _gauge("replica_age_seconds", what, name, statistics.replica_age)


def _of_gossip(name: str, statistics: AgentStatistics) -> Iterator[Metric]:
    swim = attrs.asdict(statistics.gossip.swim)
    members = GaugeMetricFamily(
        "catalog_members", "Agents that gossip knows.", labels=("agent", "health")
    )
    for health in HEALTHS:
        members.add_metric((name, health), swim.pop(health))
    yield members
    for gauge, what in GOSSIP_GAUGES.items():
        yield _gauge(f"gossip_{gauge}", what, name, swim.pop(gauge))
    traffic = attrs.asdict(statistics.gossip, filter=lambda field, _: field.name != "swim")
    for counter, value in {**swim, **traffic}.items():
        metric = CounterMetricFamily(
            f"catalog_gossip_{counter}", "See rumor's statistics.", labels=LABELS
        )
        metric.add_metric((name,), value)
        yield metric


def _gauge(metric: str, what: str, agent: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(f"catalog_{metric}", what, labels=LABELS)
    gauge.add_metric((agent,), value)
    return gauge
