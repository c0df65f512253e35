"""Gossip into catalog: Consul's rules, one by one, and as a fixed point."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.commands import (
    Applied,
    DeregisterNode,
    DeregisterService,
    Operation,
    RegisterNode,
    RegisterService,
    SetNodeHealth,
    batches,
)
from catalog.model import Node, Role, Service, Status
from catalog.registry import Registry
from catalog.server.reconcile import ALIVE, FAILED, Health, MemberView, reconcile
from catalog.wire import encode
from quorum.messages import Entries

Write = Callable[..., list[Applied]]
LEADER = MemberView("leader", "10.0.0.1")
MEMBER = MemberView("n1", "10.0.0.2", {"zone": "a"})
PASSING = SetNodeHealth("n1", Status.PASSING, "Agent alive and reachable")
CRITICAL = SetNodeHealth("n1", Status.CRITICAL, "Agent not live or unreachable")


@pytest.fixture
def settled(registry: Registry, write: Write) -> Registry:
    """A registry that knows the leader and n1, alive, and a service on n1."""
    write(registry, *do(registry, LEADER, MEMBER), RegisterService("n1", Service("web")))
    return registry


def do(registry: Registry, *members: MemberView) -> tuple[Operation, ...]:
    """Reconcile these members."""
    return reconcile(registry, {one.name: one for one in members}, leader="leader")


def with_health(health: Health, member: MemberView = MEMBER) -> MemberView:
    """Return the member with another health."""
    return MemberView(member.name, member.address, member.meta, health)


def test_a_new_member_is_registered_and_passing(registry: Registry) -> None:
    """Alive and unknown: a node, with its health."""
    expected = (RegisterNode(Node("n1", "10.0.0.2", {"zone": "a"})), PASSING)

    assert expected == do(registry, MEMBER)


def test_nothing_is_written_when_nothing_changed(settled: Registry) -> None:
    """A pass over a quiet cluster costs no log entry."""
    assert do(settled, LEADER, MEMBER) == ()


def test_a_changed_member_is_described_anew(settled: Registry) -> None:
    """A member with another address is registered again; its health needs no word."""
    moved = MemberView("n1", "10.0.0.9")

    assert (RegisterNode(moved.node),) == do(settled, LEADER, moved)


def test_a_failed_member_turns_critical_and_keeps_its_services(
    settled: Registry, write: Write
) -> None:
    """Failed: critical, once; the services stay, and pass no lookup until it is back."""
    failed = with_health(Health.FAILED)
    operations = do(settled, LEADER, failed)
    assert operations == (CRITICAL,)

    write(settled, *operations)
    assert settled.lookup("web").instances == ()
    assert len(settled.lookup("web", healthy=False).instances) == 1
    assert do(settled, LEADER, failed) == ()
    assert do(settled, LEADER, MEMBER) == (PASSING,)


def test_a_failed_stranger_is_not_registered(registry: Registry) -> None:
    """A member that the catalog never met is not entered just to be called dead."""
    assert do(registry, with_health(Health.FAILED)) == ()


def test_a_member_that_left_goes_with_its_services(settled: Registry, write: Write) -> None:
    """Left: deregistered, once, with all that it ran."""
    left = with_health(Health.LEFT)
    operations = do(settled, LEADER, left)
    assert (DeregisterNode("n1"),) == operations

    write(settled, *operations)
    assert settled.lookup("web", healthy=False).instances == ()
    assert do(settled, LEADER, left) == ()


def test_a_reaped_member_goes(settled: Registry) -> None:
    """What gossip knows no more, and once knew, is deregistered."""
    assert (DeregisterNode("n1"),) == do(settled, LEADER)


def test_a_node_from_outside_is_left_alone(settled: Registry, write: Write) -> None:
    """A node without gossip health was never gossip's."""
    write(settled, RegisterNode(Node("router", "10.0.0.254")))

    assert do(settled, LEADER, MEMBER) == ()


def test_the_leader_stays_whatever_gossip_says(settled: Registry) -> None:
    """The leader neither deregisters itself nor calls itself failed."""
    for leader in (with_health(Health.LEFT, LEADER), with_health(Health.FAILED, LEADER)):
        assert do(settled, leader, MEMBER) == ()
    assert do(settled, MEMBER) == ()


def test_a_member_that_describes_itself_badly_is_refused() -> None:
    """What a peer says of itself is checked where it enters, one member at a time."""
    with pytest.raises(ValueError, match=r"MemberView\.meta"):
        MemberView("n1", "10.0.0.1", {"k": "x" * 1000})


def test_a_server_is_an_instance_of_the_service_of_servers(
    registry: Registry, write: Write
) -> None:
    """Written once, at the port of the server; again when it moved or somebody removed it."""
    server = MemberView("n1", "10.0.0.2", role=Role.SERVER, port=8300)
    there = RegisterService("n1", Service("consul", port=8300))
    operations = do(registry, server)
    assert (RegisterNode(server.node), PASSING, there) == operations

    write(registry, *operations)
    assert do(registry, server) == ()
    write(registry, DeregisterService("n1", "consul"))
    assert (there,) == do(registry, server)
    moved = evolve(server, port=8301)
    assert (RegisterService("n1", Service("consul", port=8301)),) == do(registry, moved)


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["leader", "n1", "n2"]),
            st.tuples(st.sampled_from(["10.0.0.1", "10.0.0.2"]), st.sampled_from(Health)),
        ),
        max_size=4,
    )
)
def test_reconciling_is_done_in_one_pass(views: list[dict[str, tuple[str, Health]]]) -> None:
    """After the commands are applied the same gossip asks for nothing, and all is as it says."""
    registry = Registry()
    for view in views:
        members = {
            name: MemberView(name, address, {}, health) for name, (address, health) in view.items()
        }
        known = {node.node.name for node in registry.nodes()}
        for command in batches(reconcile(registry, members, leader="leader")):
            first = registry.applied + 1
            (answer,) = registry.apply(Entries(first, (1,), (0,), b"\0", (encode(command),)))
            assert answer.ok
        assert reconcile(registry, members, leader="leader") == ()
        for name, member in members.items():
            found = registry.node(name)
            if name == "leader" or member.health is Health.ALIVE:
                assert found is not None
                assert (member.node, ALIVE) == (found.node, found.health)
            elif member.health is Health.FAILED and name in known:
                assert found is not None
                assert found.health == FAILED
            else:
                assert found is None
