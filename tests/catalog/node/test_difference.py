"""What the agent writes so that the catalog agrees: checks alone, maintenance, edited tags."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from catalog.answers import Applied
from catalog.commands import (
    DeregisterCheck,
    DeregisterService,
    RegisterCheck,
    RegisterService,
    SetCheck,
)
from catalog.model import CheckState, Node, Role, Service, Status, TtlCheck
from catalog.node.difference import difference
from catalog.node.local import Local
from catalog.registry import Registry

Write = Callable[..., list[Applied]]
WEB = Service("web", checks=[TtlCheck(10, id="c")])


@pytest.fixture
def local() -> Local:
    """An agent with a service, a check of it alone, and a check of the node."""
    local = Local(Node("n1", "10.0.0.1"))
    local.register(WEB, now=0.0)
    local.register_check(TtlCheck(10, id="extra"), "web", now=0.0)
    local.register_check(TtlCheck(10, id="disk", status=Status.PASSING), "", now=0.0)
    return local


@pytest.fixture
def synced(local: Local, registry: Registry, write: Write) -> Registry:
    """A registry that has all that the agent has."""
    write(registry, *difference(local, None))
    return registry


def test_checks_alone_are_entered_with_their_owners(local: Local, synced: Registry) -> None:
    """Of a service, or of the node and so of all on it; then nothing differs."""
    (instance,) = synced.lookup("web", healthy=False).instances

    assert ["c", "extra"] == [state.id for state in instance.checks]
    assert ["disk"] == [state.id for state in instance.node_checks]
    assert difference(local, synced.node("n1")) == ()


def test_maintenance_is_a_critical_check(local: Local, synced: Registry, write: Write) -> None:
    """It says why, takes the service out of use, and leaves no trace when it is over."""
    before = synced.node("n1")
    local.maintain("web", "new disk")
    local.maintain("", "")
    write(synced, *difference(local, synced.node("n1")))
    (instance,) = synced.lookup("web", healthy=False).instances
    assert Status.CRITICAL is instance.status
    found = {state.id: state.notes for state in instance.all_checks}
    assert "new disk" == found["_service_maintenance:web"]
    assert "no reason" in found["_node_maintenance"]

    local.maintain("web", None)
    local.maintain("", None)
    assert (
        DeregisterCheck("n1", "_node_maintenance"),
        DeregisterCheck("n1", "_service_maintenance:web"),
    ) == difference(local, synced.node("n1"))
    write(synced, *difference(local, synced.node("n1")))
    assert before.checks == synced.node("n1").checks


def test_what_only_the_catalog_has_goes(local: Local, synced: Registry, write: Write) -> None:
    """Checks that somebody else put on this node or its services do not stay."""
    write(
        synced,
        RegisterCheck("n1", CheckState("ghost", Status.CRITICAL)),
        RegisterCheck("n1", CheckState("spook", Status.CRITICAL), "web"),
    )

    assert (
        DeregisterCheck("n1", "ghost"),
        DeregisterCheck("n1", "spook"),
    ) == difference(local, synced.node("n1"))


def test_a_removed_check_is_written_again(local: Local, synced: Registry, write: Write) -> None:
    """Also one that came with its service."""
    local.report("c", Status.PASSING, now=1.0)
    write(synced, DeregisterCheck("n1", "c"), DeregisterCheck("n1", "disk"))
    operations = difference(local, synced.node("n1"))

    assert (
        RegisterService("n1", WEB),
        SetCheck("n1", "c", Status.PASSING),
        RegisterCheck("n1", local.checks["disk"]),
    ) == operations
    write(synced, *operations)
    assert difference(local, synced.node("n1")) == ()


def test_a_check_that_changed_hands_is_moved(local: Local, synced: Registry, write: Write) -> None:
    """What the catalog has under another owner goes first, so that the id is free."""
    local.deregister_check("disk")
    local.register_check(TtlCheck(10, id="disk"), "web", now=1.0)
    local.deregister_check("extra")
    local.register_check(TtlCheck(10, id="extra"), "", now=1.0)
    for answer in write(synced, *difference(local, synced.node("n1"))):
        assert answer.ok

    assert difference(local, synced.node("n1")) == ()


def test_tags_may_be_edited_in_the_catalog_if_the_service_says_so(
    registry: Registry, write: Write
) -> None:
    """Everything else is still the agent's."""
    local = Local(Node("n1", "10.0.0.1"))
    local.register(Service("web", tags=["v1"], enable_tag_override=True), now=0.0)
    write(registry, *difference(local, None))
    edited = Service("web", port=1, tags=["v2"], enable_tag_override=True)
    write(registry, RegisterService("n1", edited))
    write(registry, *difference(local, registry.node("n1")))

    (instance,) = registry.lookup("web", healthy=False).instances
    assert (("v2",), 0) == (instance.service.tags, instance.service.port)
    assert difference(local, registry.node("n1")) == ()


def test_outputs_wait_for_a_rarer_pass(local: Local, synced: Registry) -> None:
    """Output changes often and matters little."""
    local.report("extra", Status.CRITICAL, "still", now=1.0)

    assert difference(local, synced.node("n1"), outputs=False) == ()
    (operation,) = difference(local, synced.node("n1"))
    assert RegisterCheck("n1", local.checks["extra"], "web") == operation


def test_the_service_of_the_servers_stays_on_a_server_alone(
    registry: Registry, write: Write
) -> None:
    """The leader wrote it, so a server's agent leaves it alone; a client has no such service."""
    server, client = Node("n1", "10.0.0.1", role=Role.SERVER), Node("n1", "10.0.0.1")
    write(registry, *difference(Local(server), None), RegisterService("n1", Service("consul")))
    view = registry.node("n1")

    assert difference(Local(server), view) == ()
    assert (DeregisterService("n1", "consul"),) == difference(Local(client), view)
