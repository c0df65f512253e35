"""Nodes, services and checks: what joins, what changes which index, what is refused."""

from __future__ import annotations

import pytest

from catalog.commands import Refusal
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
FINE = CheckState("gossip", Status.PASSING)
DEAD = CheckState("gossip", Status.CRITICAL)


@pytest.fixture
def table() -> ServiceTable:
    """Two nodes, and a service on the first, entered by entries 1 to 3."""
    table = ServiceTable()
    table.register_node(N1, 1)
    table.register_node(N2, 2)
    table.register_service("n1", WEB, 3)
    table.commit(3)
    return table


def only(table: ServiceTable) -> Instance:
    """Return the only instance of "web"."""
    (instance,) = table.view("web").instances
    return instance


def test_an_instance_joins_node_service_and_checks(table: ServiceTable) -> None:
    """A lookup answers with all that a caller needs, in one value."""
    critical = CheckState("c", Status.CRITICAL)

    assert View(3, "web", (Instance(N1, WEB, None, (critical,), 3, 3),)) == table.view("web")


def test_instances_are_ordered_by_node_and_id(table: ServiceTable) -> None:
    """The order of registration leaves no trace."""
    for node, service_id in (("n2", "a"), ("n1", "z"), ("n1", "b")):
        table.register_service(node, Service("web", service_id), 4)
    table.commit(4)

    keys = [("n1", "b"), ("n1", "w"), ("n1", "z"), ("n2", "a")]
    assert keys == [instance.key for instance in table.view("web").instances]


def test_a_service_needs_its_node() -> None:
    """Nothing is entered on a node that nobody registered."""
    table = ServiceTable()

    for reason in (
        table.register_service("n1", WEB, 1),
        table.set_check("n1", CheckState("c", Status.PASSING), 1),
        table.set_node_health("n1", FINE, 1),
    ):
        assert reason is not None
        assert Refusal.UNKNOWN_NODE is reason[0]
    assert table.commit(1) == ([], [])


def test_a_check_must_be_known(table: ServiceTable) -> None:
    """A state for a check that no service of the node has is refused."""
    reason = table.set_check("n1", CheckState("x", Status.PASSING), 4)

    assert reason is not None
    assert Refusal.UNKNOWN_CHECK is reason[0]


def test_a_check_id_belongs_to_one_service(table: ServiceTable) -> None:
    """A second service of the node with the same check id is refused, and leaves no trace."""
    reason = table.register_service("n1", Service("db", checks=[TtlCheck(1, id="c")]), 4)

    assert reason is not None
    assert Refusal.CHECK_TAKEN is reason[0]
    assert table.view("db").instances == ()
    assert table.register_service("n2", Service("db", checks=[TtlCheck(1, id="c")]), 5) is None


def test_a_freed_check_id_may_be_taken(table: ServiceTable) -> None:
    """An id is free again when its service lets go of it, or goes."""
    table.register_service("n1", Service("web", "w"), 4)
    assert table.register_service("n1", Service("db", checks=[TtlCheck(1, id="c")]), 5) is None
    table.deregister_service("n1", "db")
    assert table.register_service("n1", WEB, 6) is None


def test_a_check_result_changes_the_instance(table: ServiceTable) -> None:
    """A new state shows, with the index of its entry."""
    assert table.set_check("n1", CheckState("c", Status.PASSING, "ok"), 4) is None
    table.commit(4)

    assert (CheckState("c", Status.PASSING, "ok"),) == only(table).checks
    assert (only(table).create_index, only(table).modify_index) == (3, 4)
    assert table.view("web").index == 4


def test_registering_again_keeps_known_checks(table: ServiceTable) -> None:
    """An edited service keeps the state of the checks that it keeps; new ones start anew."""
    table.set_check("n1", CheckState("c", Status.PASSING), 4)
    new = TtlCheck(9, id="d", status=Status.WARNING)
    table.register_service("n1", Service("web", "w", port=80, checks=[new, WEB.checks[0]]), 5)
    table.commit(5)

    states = [(state.id, state.status) for state in only(table).checks]
    assert states == [("d", Status.WARNING), ("c", Status.PASSING)]


def test_node_health_reaches_every_instance(table: ServiceTable) -> None:
    """A failed node makes its services critical, in one entry; their checks stay as they were."""
    table.set_check("n1", CheckState("c", Status.PASSING), 4)
    table.set_node_health("n1", DEAD, 5)
    changes, nodes = table.commit(5)

    assert Status.CRITICAL is only(table).status
    assert Status.PASSING is only(table).checks[0].status
    assert [("web", Change(5, ChangeKind.UPDATED, only(table)))] == changes
    assert nodes == ["n1"]


def test_a_moved_node_reaches_every_instance(table: ServiceTable) -> None:
    """An instance shows its node's new address."""
    table.register_node(Node("n1", "10.0.0.9"), 4)
    table.commit(4)

    assert only(table).address == "10.0.0.9"
    assert only(table).modify_index == 4


def test_a_node_takes_its_services_with_it(table: ServiceTable) -> None:
    """Deregistering a node leaves nothing of it behind."""
    before = only(table)
    table.deregister_node("n1", 4)

    assert ([("web", Change(4, ChangeKind.REMOVED, before))], ["n1"]) == table.commit(4)
    assert table.node("n1") is None
    assert table.tags() == {}
    assert table.node_names() == ["n2"]


def test_saying_it_again_changes_nothing(table: ServiceTable) -> None:
    """A write of what is there already moves no index and wakes nobody."""
    table.set_node_health("n1", FINE, 4)
    table.commit(4)
    before = table.image()
    table.register_node(N1, 5)
    table.register_service("n1", WEB, 5)
    table.set_node_health("n1", FINE, 5)
    table.set_check("n1", CheckState("c", Status.CRITICAL), 5)
    table.deregister_service("n1", "nothing")
    table.deregister_service("nowhere", "nothing")
    table.deregister_node("nowhere", 5)

    assert table.commit(5) == ([], [])
    assert before == table.image()


def test_another_service_leaves_an_index_alone(table: ServiceTable) -> None:
    """A reader of one service is not woken by another."""
    table.register_service("n1", Service("db"), 4)
    table.commit(4)

    assert table.view("web").index == 3
    assert table.view("db").index == 4
    assert table.services_index == 4


def test_a_vanished_service_has_the_index_of_the_last_extinction(table: ServiceTable) -> None:
    """A reader of a service that just lost its last instance sees the index grow."""
    table.deregister_service("n1", "w")
    table.commit(4)

    assert View(4, "web", ()) == table.view("web")
    assert View(4, "never there", ()) == table.view("never there")


def test_losing_one_of_two_is_no_extinction(table: ServiceTable) -> None:
    """The index of the service moves, that of absent services does not."""
    table.register_service("n2", WEB, 4)
    table.commit(4)
    table.deregister_service("n2", "w")
    table.commit(5)

    assert table.view("web").index == 5
    assert table.extinction_index == 0


def test_a_renamed_instance_leaves_one_service_for_another(table: ServiceTable) -> None:
    """Under the same id another name: readers of either name are told."""
    before = only(table)
    table.register_service("n1", Service("api", "w"), 4)
    changes, _ = table.commit(4)

    (after,) = table.view("api").instances
    assert [
        ("web", Change(4, ChangeKind.REMOVED, before)),
        ("api", Change(4, ChangeKind.ADDED, after)),
    ] == changes
    assert after.create_index == 3


def test_an_entry_makes_one_change_of_an_instance(table: ServiceTable) -> None:
    """Readers see whole entries: what was registered and checked at once was added at once."""
    table.register_service("n2", WEB, 4)
    table.set_check("n2", CheckState("c", Status.PASSING), 4)
    table.set_node_health("n2", FINE, 4)
    changes, nodes = table.commit(4)

    assert [("web", Change(4, ChangeKind.ADDED, table.view("web").instances[1]))] == changes
    assert nodes == ["n2"]


def test_what_came_and_went_in_one_entry_never_was(table: ServiceTable) -> None:
    """An instance registered and removed by the same entry makes no change."""
    table.register_service("n2", WEB, 4)
    table.deregister_service("n2", "w")

    assert table.commit(4)[0] == []
    assert table.services_index == 3


def test_tags_are_joined_and_sorted(table: ServiceTable) -> None:
    """The list of services has each name once, with every tag that an instance has."""
    table.register_service("n1", Service("db", "d1", tags=["b", "a"]), 4)
    table.register_service("n2", Service("db", "d2", tags=["b", "c"]), 4)
    table.commit(4)

    assert list(table.tags().items()) == [("db", ("a", "b", "c")), ("web", ())]


def test_a_node_is_shown_with_its_health_and_instances(table: ServiceTable) -> None:
    """A node has its own indexes; a service on it moves its own only."""
    table.set_node_health("n1", FINE, 4)
    table.register_service("n1", Service("db"), 5)
    table.commit(5)

    view = table.node("n1")
    assert view == NodeView(N1, FINE, 1, 4, (*table.view("db").instances, only(table)))
    assert table.nodes_index == 4


def test_an_image_brings_the_table_back(table: ServiceTable) -> None:
    """A table from an image answers, and goes on, as the one that made it."""
    table.set_node_health("n1", FINE, 4)
    table.commit(4)
    copy = ServiceTable.from_image(table.image())

    assert table.image() == copy.image()
    assert table.view("web") == copy.view("web")
    assert table.node("n1") == copy.node("n1")
    for one in (table, copy):
        assert one.set_check("n1", CheckState("c", Status.WARNING), 5) is None
        one.commit(5)
    assert table.image() == copy.image()
