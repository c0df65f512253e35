"""Nodes, services and checks: what joins, what changes which index, what is refused."""

from __future__ import annotations

import pytest

from catalog.answers import Reason, Refusal
from catalog.commands import (
    DeregisterCheck,
    DeregisterNode,
    DeregisterService,
    RegisterCheck,
    RegisterNode,
    RegisterService,
)
from catalog.model import (
    Change,
    ChangeKind,
    CheckState,
    Instance,
    Node,
    NodeView,
    Service,
    Status,
    TtlCheck,
    View,
)
from catalog.registry.services import ServiceTable

N1, N2 = Node("n1", "10.0.0.1"), Node("n2", "10.0.0.2")
WEB = Service("web", "w", checks=[TtlCheck(5, id="c")])
DB = Service("db", checks=[TtlCheck(1, id="c")])
FINE = CheckState("serfHealth", Status.PASSING)
DEAD = CheckState("serfHealth", Status.CRITICAL)


@pytest.fixture
def table() -> ServiceTable:
    """Two nodes, and a service on the first, entered by entries 1 to 3."""
    table = ServiceTable()
    table.register_node(RegisterNode(N1), 1)
    table.register_node(RegisterNode(N2), 2)
    table.register_service(RegisterService("n1", WEB), 3)
    table.commit(3)
    return table


def only(table: ServiceTable) -> Instance:
    """Return the only instance of "web"."""
    (instance,) = table.view("web").instances
    return instance


def refused(reason: Reason | None) -> Refusal | None:
    """Return the kind of a refusal."""
    return reason and reason[0]


def test_an_instance_joins_node_service_and_checks(table: ServiceTable) -> None:
    """A lookup answers with all that a caller needs, in one value."""
    critical = CheckState("c", Status.CRITICAL, name="Service 'web' check", kind="ttl")

    assert View(3, "web", (Instance(N1, WEB, None, (critical,), 3, 3),)) == table.view("web")


def test_instances_are_ordered_by_node_and_id(table: ServiceTable) -> None:
    """The order of registration leaves no trace."""
    for node, service_id in (("n2", "a"), ("n1", "z"), ("n1", "b")):
        table.register_service(RegisterService(node, Service("web", service_id)), 4)
    table.commit(4)

    keys = [("n1", "b"), ("n1", "w"), ("n1", "z"), ("n2", "a")]
    assert keys == [instance.key for instance in table.view("web").instances]


def test_a_service_needs_its_node() -> None:
    """Nothing is entered on a node that nobody registered."""
    table = ServiceTable()

    for reason in (
        table.register_service(RegisterService("n1", WEB), 1),
        table.set_check("n1", "c", Status.PASSING, "", 1),
        table.set_node_health("n1", FINE.status, "", 1),
    ):
        assert reason is not None
        assert Refusal.UNKNOWN_NODE is reason[0]
    assert table.commit(1) is None


def test_a_check_must_be_known(table: ServiceTable) -> None:
    """A state for a check that no service of the node has is refused."""
    reason = table.set_check("n1", "x", Status.PASSING, "", 4)

    assert reason is not None
    assert Refusal.UNKNOWN_CHECK is reason[0]


def test_a_check_id_belongs_to_one_service(table: ServiceTable) -> None:
    """A second service of the node with the same check id is refused, and leaves no trace."""
    reason = table.register_service(RegisterService("n1", DB), 4)

    assert reason is not None
    assert Refusal.CHECK_TAKEN is reason[0]
    assert table.view("db").instances == ()
    assert table.register_service(RegisterService("n2", DB), 5) is None


def test_a_freed_check_id_may_be_taken(table: ServiceTable) -> None:
    """An id is free again when its service lets go of it, or goes."""
    table.register_service(RegisterService("n1", Service("web", "w")), 4)
    assert table.register_service(RegisterService("n1", DB), 5) is None
    table.deregister_service(DeregisterService("n1", "db"))
    assert table.register_service(RegisterService("n1", WEB), 6) is None


def test_a_check_result_changes_the_instance(table: ServiceTable) -> None:
    """A new state shows, with the index of its entry."""
    assert table.set_check("n1", "c", Status.PASSING, "ok", 4) is None
    table.commit(4)

    (check,) = only(table).checks
    assert (Status.PASSING, "ok", 3, 4) == (
        check.status,
        check.output,
        check.create_index,
        check.modify_index,
    )
    assert (only(table).create_index, only(table).modify_index) == (3, 4)
    assert table.view("web").index == 4


def test_registering_again_keeps_known_checks(table: ServiceTable) -> None:
    """An edited service keeps the state of the checks that it keeps; new ones start anew."""
    table.set_check("n1", "c", Status.PASSING, "", 4)
    new = TtlCheck(9, id="d", status=Status.WARNING)
    table.register_service(
        RegisterService("n1", Service("web", "w", port=80, checks=[new, WEB.checks[0]])), 5
    )
    table.commit(5)

    states = [(state.id, state.status) for state in only(table).checks]
    assert states == [("d", Status.WARNING), ("c", Status.PASSING)]


def test_node_health_reaches_every_instance(table: ServiceTable) -> None:
    """A failed node makes its services critical, in one entry; their checks stay as they were."""
    table.set_check("n1", "c", Status.PASSING, "", 4)
    table.set_node_health("n1", DEAD.status, "", 5)
    done = table.commit(5)

    assert Status.CRITICAL is only(table).status
    assert Status.PASSING is only(table).checks[0].status
    assert [("web", Change(5, ChangeKind.UPDATED, only(table)))] == done.changes
    assert list(done.nodes) == ["n1"]


def test_a_moved_node_reaches_every_instance(table: ServiceTable) -> None:
    """An instance shows its node's new address."""
    table.register_node(RegisterNode(Node("n1", "10.0.0.9")), 4)
    table.commit(4)

    assert only(table).address == "10.0.0.9"
    assert only(table).modify_index == 4


def test_a_node_takes_its_services_with_it(table: ServiceTable) -> None:
    """Deregistering a node leaves nothing of it behind."""
    before = only(table)
    table.deregister_node(DeregisterNode("n1"))

    done = table.commit(4)
    assert [("web", Change(4, ChangeKind.REMOVED, before))] == done.changes
    assert list(done.nodes) == ["n1"]
    assert table.node("n1") is None
    assert table.tags({}) == {}
    assert table.node_names() == ["n2"]


def test_saying_it_again_changes_nothing(table: ServiceTable) -> None:
    """A write of what is there already moves no index and wakes nobody."""
    table.set_node_health("n1", FINE.status, "", 4)
    table.commit(4)
    before = table.image()
    table.register_node(RegisterNode(N1), 5)
    table.register_service(RegisterService("n1", WEB), 5)
    table.set_node_health("n1", FINE.status, "", 5)
    table.set_check("n1", "c", Status.CRITICAL, "", 5)
    table.deregister_service(DeregisterService("n1", "nothing"))
    table.deregister_service(DeregisterService("nowhere", "nothing"))
    table.deregister_node(DeregisterNode("nowhere"))

    assert table.commit(5) is None
    assert before == table.image()


def test_another_service_leaves_an_index_alone(table: ServiceTable) -> None:
    """A reader of one service is not woken by another."""
    table.register_service(RegisterService("n1", Service("db")), 4)
    table.commit(4)

    assert table.view("web").index == 3
    assert table.view("db").index == 4
    assert table.services_index == 4


def test_a_vanished_service_has_the_index_of_the_last_extinction(table: ServiceTable) -> None:
    """A reader of a service that just lost its last instance sees the index grow."""
    table.deregister_service(DeregisterService("n1", "w"))
    table.commit(4)

    assert View(4, "web", ()) == table.view("web")
    assert View(4, "never there", ()) == table.view("never there")


def test_losing_one_of_two_is_no_extinction(table: ServiceTable) -> None:
    """The index of the service moves, that of absent services does not."""
    table.register_service(RegisterService("n2", WEB), 4)
    table.commit(4)
    table.deregister_service(DeregisterService("n2", "w"))
    table.commit(5)

    assert table.view("web").index == 5
    assert table.service_index("never there") == 0


def test_a_renamed_instance_leaves_one_service_for_another(table: ServiceTable) -> None:
    """Under the same id another name: readers of either name are told."""
    before = only(table)
    table.register_service(RegisterService("n1", Service("api", "w")), 4)
    done = table.commit(4)

    (after,) = table.view("api").instances
    assert [
        ("web", Change(4, ChangeKind.REMOVED, before)),
        ("api", Change(4, ChangeKind.ADDED, after)),
    ] == done.changes
    assert after.create_index == 3


def test_an_entry_makes_one_change_of_an_instance(table: ServiceTable) -> None:
    """Readers see whole entries: what was registered and checked at once was added at once."""
    table.register_service(RegisterService("n2", WEB), 4)
    table.set_check("n2", "c", Status.PASSING, "", 4)
    table.set_node_health("n2", FINE.status, "", 4)
    done = table.commit(4)

    assert [("web", Change(4, ChangeKind.ADDED, table.view("web").instances[1]))] == done.changes
    assert list(done.nodes) == ["n2"]


def test_what_came_and_went_in_one_entry_never_was(table: ServiceTable) -> None:
    """An instance registered and removed by the same entry makes no change."""
    table.register_service(RegisterService("n2", WEB), 4)
    table.deregister_service(DeregisterService("n2", "w"))

    assert table.commit(4).changes == []
    assert table.services_index == 3


def test_a_check_from_outside_stays_with_its_service(table: ServiceTable) -> None:
    """A check that somebody else runs counts, and outlives a new description of the service."""
    outside = CheckState("x", Status.WARNING, "slow", "probe from abroad")
    assert table.register_check(RegisterCheck("n1", outside, "w"), 4) is None
    table.register_service(RegisterService("n1", Service("web", "w", checks=WEB.checks)), 5)
    table.commit(5)

    assert [state.id for state in only(table).checks] == ["c", "x"]
    assert outside == only(table).checks[1]
    table.deregister_check(DeregisterCheck("n1", "x"), 6)
    table.commit(6)
    assert [state.id for state in only(table).checks] == ["c"]


def test_a_check_of_the_node_reaches_every_instance(table: ServiceTable) -> None:
    """What speaks against a node speaks against all that runs there."""
    full = CheckState("disk", Status.CRITICAL, "full")
    assert table.register_check(RegisterCheck("n1", full), 4) is None
    table.commit(4)

    assert Status.CRITICAL is only(table).status
    assert (full,) == only(table).node_checks == table.node("n1").checks
    assert [("disk", 4)] == [
        (one.state.id, one.state.modify_index) for one in table.checks(Status.CRITICAL)[1:]
    ]


def test_a_check_needs_its_service_and_an_id_of_its_own(table: ServiceTable) -> None:
    """Nothing is attached to what is not there, nor taken from who has it."""
    for command, refusal in (
        (RegisterCheck("n1", CheckState("x", Status.PASSING), "gone"), Refusal.UNKNOWN_SERVICE),
        (RegisterCheck("n1", CheckState("c", Status.PASSING)), Refusal.CHECK_TAKEN),
        (RegisterCheck("n9", CheckState("x", Status.PASSING)), Refusal.UNKNOWN_NODE),
        (RegisterCheck("n1", CheckState("c", Status.PASSING), "w", cas=9), Refusal.CONFLICT),
    ):
        assert refusal is refused(table.register_check(command, 4))
    assert table.commit(4) is None


def test_a_removed_check_comes_back_with_its_service(table: ServiceTable) -> None:
    """A check that a service defines is there again when the service is registered anew."""
    table.deregister_check(DeregisterCheck("n1", "c"), 4)
    table.commit(4)
    assert only(table).checks == ()

    table.register_service(RegisterService("n1", WEB), 5)
    table.commit(5)
    assert [state.id for state in only(table).checks] == ["c"]


def test_each_state_of_checks_has_its_index(table: ServiceTable) -> None:
    """Who waits for critical checks is not woken by those that go from passing to warning."""
    table.set_check("n1", "c", Status.PASSING, "", 4)
    table.commit(4)
    table.set_check("n1", "c", Status.WARNING, "", 5)
    done = table.commit(5)

    assert [Status.WARNING, Status.PASSING] == list(done.statuses)
    assert (4, 5, 5, 5) == (
        table.checks_index(Status.CRITICAL),
        table.checks_index(Status.PASSING),
        table.checks_index(Status.WARNING),
        table.checks_index(None),
    )


def test_a_comparison_that_fails_changes_nothing(table: ServiceTable) -> None:
    """Each command may name the index that it expects to replace."""
    before = table.image()
    for reason in (
        table.register_node(RegisterNode(Node("n1", "h"), cas=9), 4),
        table.register_node(RegisterNode(Node("n1", "h"), cas=0), 4),
        table.deregister_node(DeregisterNode("n1", cas=9)),
        table.register_service(RegisterService("n1", Service("web", "w"), cas=0), 4),
        table.deregister_service(DeregisterService("n1", "w", cas=9)),
        table.deregister_check(DeregisterCheck("n1", "c", cas=9), 4),
    ):
        assert Refusal.CONFLICT is refused(reason)

    assert table.commit(4) is None
    assert before == table.image()
    assert table.register_service(RegisterService("n1", Service("web", "w"), cas=3), 4) is None


def test_what_is_taken_back_never_was(table: ServiceTable) -> None:
    """A node with all that it had comes back, and what was new is gone."""
    table.register_check(RegisterCheck("n1", CheckState("disk", Status.PASSING)), 4)
    table.commit(4)
    before, view = table.image(), table.node("n1")
    table.register_service(RegisterService("n2", Service("db")), 5)
    table.set_check("n1", "c", Status.PASSING, "", 5)
    table.deregister_node(DeregisterNode("n1"))
    table.register_node(RegisterNode(Node("n1", "10.0.0.9")), 5)
    table.register_node(RegisterNode(Node("n3", "10.0.0.9")), 5)
    table.rollback()

    assert table.commit(5) is None
    assert before == table.image()
    assert view == table.node("n1")
    assert table.set_check("n1", "disk", Status.WARNING, "", 6) is None
    assert table.set_check("n1", "c", Status.WARNING, "", 6) is None


def test_checks_that_are_lost_are_named(table: ServiceTable) -> None:
    """Sessions stand on checks: they must hear of those that turned critical or went."""
    table.set_check("n1", "c", Status.PASSING, "", 4)
    table.commit(4)
    table.set_check("n1", "c", Status.WARNING, "", 5)
    assert table.records.lost_checks == []

    table.set_check("n1", "c", Status.CRITICAL, "", 5)
    table.deregister_service(DeregisterService("n1", "w"))
    assert table.records.lost_checks == [("n1", "c"), ("n1", "c")]


def test_tags_are_joined_and_sorted(table: ServiceTable) -> None:
    """The list of services has each name once, with every tag that an instance has."""
    table.register_service(RegisterService("n1", Service("db", "d1", tags=["b", "a"])), 4)
    table.register_service(RegisterService("n2", Service("db", "d2", tags=["b", "c"])), 4)
    table.commit(4)

    assert list(table.tags({}).items()) == [("db", ("a", "b", "c")), ("web", ())]


def test_a_node_is_shown_with_its_health_and_instances(table: ServiceTable) -> None:
    """A node has its own indexes; a service on it moves its own only."""
    table.set_node_health("n1", FINE.status, "", 4)
    table.commit(4)
    table.register_service(RegisterService("n1", Service("db")), 5)
    table.commit(5)

    view = table.node("n1")
    assert view == NodeView(N1, FINE, 1, 4, (*table.view("db").instances, only(table)))
    assert table.nodes_index == 4


def test_an_image_brings_the_table_back(table: ServiceTable) -> None:
    """A table from an image answers, and goes on, as the one that made it."""
    table.set_node_health("n1", FINE.status, "", 4)
    table.commit(4)
    copy = ServiceTable.from_image(table.image())

    assert table.image() == copy.image()
    assert table.view("web") == copy.view("web")
    assert table.node("n1") == copy.node("n1")
    for one in (table, copy):
        assert one.set_check("n1", "c", Status.WARNING, "", 5) is None
        one.commit(5)
    assert table.image() == copy.image()
