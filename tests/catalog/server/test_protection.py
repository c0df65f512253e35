"""Protection against mass eviction: when it freezes, what it holds, when it thaws."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.commands import RegisterService, batches
from catalog.model import Service
from catalog.registry import Registry
from catalog.server.protection import KEPT, Guard
from catalog.server.reconcile import ALIVE, FAILED, Health, MemberView, reconcile

NAMES = [f"n{number}" for number in range(10)]


class Cluster:
    """Ten nodes with an instance each, their gossip, and a leader who reconciles."""

    def __init__(self, registry, write) -> None:
        self.registry = registry
        self.write = write
        self.guard = Guard(0.3, 60.0)
        self.health = dict.fromkeys([*NAMES, "leader"], Health.ALIVE)
        self.now = 0.0
        self.reconcile()
        for name in NAMES:
            write(registry, RegisterService(name, Service("web")))

    def reconcile(self, *, seconds: float = 1.0) -> int:
        """Let time pass and the leader work; return how much it wrote."""
        self.now += seconds
        members = {name: MemberView(name, "h", {}, one) for name, one in self.health.items()}
        nodes = {view.node.name: view for view in self.registry.nodes()}
        operations = reconcile(self.registry, members, leader="leader")
        admitted = self.guard.admit(operations, nodes, members, now=self.now)
        self.write(self.registry, *batches(admitted))
        return len(admitted)

    def fail(self, *names: str, seconds: float = 1.0) -> None:
        self.health |= dict.fromkeys(names, Health.FAILED)
        self.reconcile(seconds=seconds)

    @property
    def in_use(self) -> int:
        return len(self.registry.lookup("web").instances)


@pytest.fixture
def cluster(registry, write) -> Cluster:
    """All is well."""
    return Cluster(registry, write)


def test_few_failures_are_evicted_as_always(cluster):
    """Up to the share within one window, and any number slowly."""
    cluster.fail("n0", "n1", "n2")
    assert 7 == cluster.in_use
    for name in NAMES[3:8]:
        cluster.fail(name, seconds=61)
    assert 2 == cluster.in_use
    assert not cluster.guard.frozen


def test_many_at_once_stay_in_use_and_the_answers_say_so(cluster):
    """Those of the pass in which it is too much, and all after it."""
    cluster.fail("n0", "n1")
    cluster.fail("n2", "n3", "n4")
    cluster.fail("n5", seconds=1000)

    view = cluster.registry.lookup("web")
    assert ["n2", "n3", "n4", "n5"] == [one.node.name for one in view.instances if one.kept]
    assert view.frozen
    assert 8 == cluster.in_use  # n0 and n1 were evicted before
    assert "too many failed at once" in cluster.registry.node("n5").health.output


def test_a_frozen_cluster_costs_no_log_entries(cluster):
    """What is kept is written once."""
    cluster.fail(*NAMES[:6])
    assert 10 == cluster.in_use

    assert 0 == cluster.reconcile()
    assert 0 == cluster.reconcile(seconds=1000)


def test_evictions_go_on_when_the_incident_is_over(cluster):
    """Who came back is well again, who did not is evicted then."""
    cluster.fail(*NAMES[:6])
    cluster.health |= dict.fromkeys(NAMES[:2], Health.ALIVE)
    cluster.reconcile(seconds=300)
    assert cluster.guard.frozen
    assert ALIVE == cluster.registry.node("n0").health

    cluster.health["n2"] = Health.ALIVE
    cluster.reconcile()
    assert not cluster.guard.frozen
    assert FAILED == cluster.registry.node("n5").health
    assert 7 == cluster.in_use
    assert not cluster.registry.lookup("web", healthy=False).frozen


def test_who_leaves_goes_and_who_is_forgotten_stays(cluster):
    """An operator ends an incident by having the dead leave."""
    cluster.fail(*NAMES[:6])
    del cluster.health["n0"]
    cluster.reconcile()
    assert cluster.registry.node("n0") is not None

    cluster.health |= dict.fromkeys(NAMES[1:6], Health.LEFT)
    cluster.reconcile()
    assert not cluster.guard.frozen
    assert 4 == cluster.in_use
    assert cluster.registry.node("n0") is None


def test_a_new_leader_goes_on_with_the_freeze(cluster):
    """It finds what was kept, and takes old failures for no incident."""
    cluster.fail(*NAMES[:3])
    cluster.fail(*NAMES[3:8], seconds=100)
    assert 7 == cluster.in_use
    cluster.guard = Guard(0.3, 60.0)
    cluster.reconcile()
    assert cluster.guard.frozen
    assert 7 == cluster.in_use

    cluster.health |= dict.fromkeys(NAMES[3:8], Health.ALIVE)
    cluster.reconcile()
    cluster.guard = Guard(0.3, 60.0)
    cluster.fail("n3")
    assert not cluster.guard.frozen


def test_one_node_is_no_incident(cluster, write):
    """Even if most of what there is runs on it."""
    for number in range(50):
        write(cluster.registry, RegisterService("n0", Service("web", f"w{number}")))
    cluster.fail("n0")
    assert not cluster.guard.frozen
    assert 9 == cluster.in_use


def test_instances_count_and_not_nodes(cluster, write):
    """Empty nodes may fail in any number."""
    for number in range(50):
        write(cluster.registry, RegisterService("n9", Service("web", f"w{number}")))
    cluster.fail(*NAMES[:8])
    assert not cluster.guard.frozen
    assert KEPT != cluster.registry.node("n0").health


STEPS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(list(Health)),
        st.sampled_from([0.0, 1.0, 31.0, 61.0]),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_whatever_happens_the_kept_are_failed_and_only_while_frozen(write, steps):
    """And a second look at the same moment writes nothing."""
    cluster = Cluster(Registry(), write)
    for name, health, seconds in steps:
        cluster.health[name] = health
        cluster.reconcile(seconds=seconds)
        nodes = {view.node.name: view for view in cluster.registry.nodes()}
        kept = [name for name, view in nodes.items() if view.health == KEPT]
        assert all(cluster.health[name] is Health.FAILED for name in kept)
        assert cluster.guard.frozen or not kept
        alive = [name for name, view in nodes.items() if view.health == ALIVE]
        assert all(cluster.health[name] is Health.ALIVE for name in alive)
        assert 0 == cluster.reconcile(seconds=0.0)
