"""The agent's own record, and what the catalog must be told to agree with it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.commands import (
    Applied,
    Batch,
    DeregisterService,
    RegisterNode,
    RegisterService,
    SetCheck,
    SetNodeHealth,
    batches,
)
from catalog.errors import NotRegistered
from catalog.model import Node, Role, Service, Status, TtlCheck
from catalog.node.difference import difference
from catalog.node.local import Local
from catalog.registry import Registry
from catalog.server.reconcile import ALIVE
from catalog.wire import encode
from quorum.messages import Entries

Write = Callable[..., list[Applied]]
NODE = Node("n1", "10.0.0.1")
WEB = Service("web", checks=[TtlCheck(10, id="c")])


@pytest.fixture
def local() -> Local:
    """An agent that runs "web", whose check passes."""
    local = Local(NODE)
    local.register(WEB, now=0.0)
    local.report("c", Status.PASSING, "fine", now=0.0)
    return local


@pytest.fixture
def synced(local: Local, registry: Registry, write: Write) -> Registry:
    """A registry that has all that the agent has."""
    write(registry, *difference(local, None))
    return registry


def test_an_unknown_node_is_entered_with_all_it_has(local: Local) -> None:
    """A new node comes with its health (or it would count as external), services and checks."""
    assert (
        RegisterNode(NODE),
        SetNodeHealth("n1", ALIVE.status, ALIVE.output),
        RegisterService("n1", WEB),
        SetCheck("n1", "c", Status.PASSING, "fine"),
    ) == difference(local, None)


def test_what_agrees_is_not_written(local: Local, synced: Registry) -> None:
    """An agent in step with the catalog writes nothing."""
    assert difference(local, synced.node("n1")) == ()


def test_the_agent_wins_over_the_catalog(local: Local, synced: Registry, write: Write) -> None:
    """What only the catalog has goes, what it has otherwise is written again."""
    write(
        synced,
        RegisterService("n1", Service("web", port=1, checks=WEB.checks)),
        RegisterService("n1", Service("ghost")),
        SetCheck("n1", "c", Status.CRITICAL),
    )

    assert (
        DeregisterService("n1", "ghost"),
        RegisterService("n1", WEB),
        SetCheck("n1", "c", Status.PASSING, "fine"),
    ) == difference(local, synced.node("n1"))


def test_the_nodes_description_is_the_leaders_business(
    local: Local, synced: Registry, write: Write
) -> None:
    """Gossip describes a node through the leader; the agent does not quarrel with it."""
    write(synced, RegisterNode(Node("n1", "10.0.0.9")), SetNodeHealth("n1", Status.CRITICAL))

    assert difference(local, synced.node("n1")) == ()


def test_output_alone_may_wait(local: Local, synced: Registry) -> None:
    """Another output is written on a full pass only; another status always."""
    local.report("c", Status.PASSING, "busy", now=1.0)
    view = synced.node("n1")
    assert difference(local, view, outputs=False) == ()
    assert (SetCheck("n1", "c", Status.PASSING, "busy"),) == difference(local, view)

    local.report("c", Status.WARNING, "busy", now=2.0)
    assert len(difference(local, view, outputs=False)) == 1


def test_services_may_swap_their_checks(local: Local, synced: Registry, write: Write) -> None:
    """Two services that exchange check ids do not stand in each other's way."""
    local.register(Service("db", checks=[TtlCheck(10, id="d")]), now=0.0)
    write(synced, *difference(local, synced.node("n1")))
    local.deregister("db")
    local.register(Service("web", checks=[TtlCheck(10, id="d")]), now=0.0)
    local.register(Service("db", checks=[TtlCheck(10, id="c")]), now=0.0)

    assert all(one.ok for one in write(synced, *difference(local, synced.node("n1"))))
    assert difference(local, synced.node("n1")) == ()


def test_a_service_is_taken_on_and_let_go(local: Local) -> None:
    """What the agent runs is on record until it is let go, checks and all."""
    assert local.services == {"web": WEB}
    assert {one.id: (one.status, one.output) for one in local.checks.values()} == {
        "c": (Status.PASSING, "fine")
    }
    local.deregister("web")
    assert local.services == {}
    assert local.checks == {}
    assert inf == local.deadline


def test_registering_again_keeps_the_checks_it_keeps(local: Local) -> None:
    """A service that is edited keeps the states of its checks; dropped checks are forgotten."""
    local.register(Service("web", checks=[TtlCheck(1, id="d"), TtlCheck(20, id="c")]), now=1.0)
    assert Status.PASSING is local.checks["c"].status
    assert Status.CRITICAL is local.checks["d"].status

    local.register(Service("web"), now=2.0)
    assert local.checks == {}


def test_a_check_id_is_used_once(local: Local) -> None:
    """Another service with the same check id is refused, and nothing changes."""
    with pytest.raises(ValueError, match="belongs to service 'web'"):
        local.register(Service("db", checks=[TtlCheck(10, id="c")]), now=0.0)

    assert list(local.services) == ["web"]


def test_what_is_not_registered_is_not_taken(local: Local) -> None:
    """Reports and removals of unknown things fail in words."""
    with pytest.raises(NotRegistered, match="Known: c"):
        local.report("x", Status.PASSING, now=0.0)
    with pytest.raises(NotRegistered, match="no service 'x'"):
        local.deregister("x")


def test_silence_and_patience_run_by_the_deadline(local: Local) -> None:
    """The deadline names the next thing to happen: a TTL, then the end of patience."""
    local.register(
        Service("web", checks=[TtlCheck(10, id="c", deregister_critical_after=60)]), now=0.0
    )
    assert local.deadline == 10.0
    assert local.expire(now=9.9) == ()
    assert local.expire(now=10.0) == ("c",)
    assert Status.CRITICAL is local.checks["c"].status

    assert local.deadline == 70.0
    assert local.condemned(now=69.9) == ()
    assert local.condemned(now=70.0) == ("web",)


services = st.builds(
    Service,
    st.sampled_from(["web", "db"]),
    id=st.sampled_from(["a", "b", "c"]),
    port=st.integers(0, 1),
    checks=st.lists(st.sampled_from(["c1", "c2", "c3"]), unique=True, max_size=2).map(
        lambda ids: [TtlCheck(5, id=one) for one in ids]
    ),
)


@settings(deadline=None)
@given(
    st.lists(services, max_size=3),
    st.lists(services, max_size=3),
    st.dictionaries(st.sampled_from(["c1", "c2", "c3"]), st.sampled_from(Status)),
)
def test_one_pass_makes_the_catalog_agree(
    ours: list[Service], theirs: list[Service], results: dict[str, Status]
) -> None:
    """Whatever the catalog had, after one pass it has what the agent has; no command fails."""
    registry, local = Registry(), Local(NODE)
    for service in ours:
        try:
            local.register(service, now=0.0)
        except ValueError:
            continue
    for check_id in results.keys() & local.checks.keys():
        local.report(check_id, results[check_id], "said", now=1.0)

    def apply(*commands: Batch | RegisterNode | RegisterService) -> bool:
        payloads = tuple(map(encode, commands))
        count = len(payloads)
        run = Entries(registry.applied + 1, (1,) * count, (0,) * count, bytes(count), payloads)
        return all(one.ok for one in registry.apply(run))

    apply(RegisterNode(NODE), *(RegisterService("n1", service) for service in theirs))
    operations = difference(local, registry.node("n1"))
    assert not operations or apply(Batch(operations))
    assert len(batches(operations)) <= 1

    view = registry.node("n1")
    assert view is not None
    assert difference(local, view) == ()
    assert local.services == {one.service.id: one.service for one in view.instances}
    assert local.checks == {state.id: state for one in view.instances for state in one.checks}


def test_a_check_alone_goes_with_its_service(local: Local) -> None:
    """And with it its maintenance."""
    local.register_check(TtlCheck(5, id="extra"), "web", now=0.0)
    local.maintain("web", "why")
    local.deregister("web")

    assert local.checks == {}
    assert local.entries() == ()


def test_a_check_alone_needs_an_id_of_its_own_and_its_service(local: Local) -> None:
    """Nothing is registered otherwise."""
    before = local.entries()
    local.register(Service("db"), now=0.0)
    with pytest.raises(ValueError, match="needs an id"):
        local.register_check(TtlCheck(5), "", now=0.0)
    with pytest.raises(ValueError, match="belongs to service 'web'"):
        local.register_check(TtlCheck(5, id="c"), "db", now=0.0)
    with pytest.raises(NotRegistered, match="gone"):
        local.register_check(TtlCheck(5, id="x"), "gone", now=0.0)

    assert before == local.entries()


def test_a_check_may_leave_its_service(local: Local) -> None:
    """Or be replaced by one that is registered alone, and stays with the service."""
    local.register_check(TtlCheck(7, id="c"), "web", now=0.0)
    (entry,) = local.entries()
    assert (7.0, "web") == (entry.definition.ttl, entry.service.name)
    assert local.services["web"].checks == ()

    local.deregister_check("c")
    assert local.entries() == ()
    with pytest.raises(NotRegistered):
        local.deregister_check("c")


def test_only_a_service_is_condemned(local: Local) -> None:
    """A check of the node that is critical for too long leaves nothing to do, nor a deadline."""
    local.register_check(TtlCheck(5, id="n", deregister_critical_after=60), "", now=0.0)

    assert local.condemned(now=100.0) == ()
    assert local.deadline == 10.0


def test_a_server_does_not_take_on_the_service_of_the_servers() -> None:
    """The leader keeps that one; on a client the name is as good as any."""
    with pytest.raises(ValueError, match="the servers' own service"):
        Local(Node("n1", "10.0.0.1", role=Role.SERVER)).register(Service("consul"), now=0.0)
    local = Local(NODE)
    local.register(Service("consul"), now=0.0)

    assert ["consul"] == list(local.services)
