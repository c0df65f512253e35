"""What the values say of themselves."""

from __future__ import annotations

import pytest

from catalog.model import (
    CheckState,
    HttpCheck,
    Instance,
    Node,
    Service,
    Status,
    TtlCheck,
    View,
    worst,
)

NODE = Node("n1", "10.0.0.1")
GOOD = CheckState("serfHealth", Status.PASSING)


def instance(
    *statuses: Status, health: CheckState | None = GOOD, service: Service | None = None
) -> Instance:
    """Return an instance whose checks have these statuses."""
    states = tuple(CheckState(f"c{n}", status) for n, status in enumerate(statuses))
    return Instance(NODE, service or Service("web"), health, states, 1, 1)


def test_id_defaults_to_the_name() -> None:
    """A service without an id has its name for one."""
    assert Service("web", "web") == Service("web")


def test_durations_become_floats() -> None:
    """Whole seconds are the same value as the float: they encode alike."""
    assert TtlCheck(5).ttl == 5.0
    assert isinstance(TtlCheck(5).ttl, float)


def test_one_check_is_named_after_its_service() -> None:
    """A single check without an id is `service:<id>`."""
    assert list(Service("web", "w1", checks=[TtlCheck(1)]).named_checks()) == ["service:w1"]


def test_several_checks_are_numbered() -> None:
    """Several checks without ids are `service:<id>:1..n`; an own id stays."""
    service = Service("web", checks=[TtlCheck(1), HttpCheck("http://x/", id="up"), TtlCheck(2)])

    assert list(service.named_checks()) == ["service:web:1", "up", "service:web:3"]


@pytest.mark.parametrize(
    ("expected", "statuses"),
    [
        (Status.PASSING, []),
        (Status.PASSING, [Status.PASSING]),
        (Status.WARNING, [Status.PASSING, Status.WARNING]),
        (Status.CRITICAL, [Status.CRITICAL, Status.WARNING, Status.PASSING]),
    ],
)
def test_the_worst_status_wins(expected: Status, statuses: list[Status]) -> None:
    """Critical beats warning beats passing; nothing at all is passing."""
    assert expected == worst(statuses)


def test_a_critical_node_makes_its_instances_critical() -> None:
    """A dead node takes its services with it, whatever their checks last said."""
    dead = CheckState("serfHealth", Status.CRITICAL)

    assert Status.CRITICAL is instance(Status.PASSING, health=dead).status
    assert Status.WARNING is instance(Status.WARNING).status
    assert Status.PASSING is instance(health=None).status


def test_address_falls_back_to_the_node() -> None:
    """An instance is reached at its own address, or else at its node's."""
    assert instance().address == "10.0.0.1"
    assert instance(service=Service("web", address="10.9.9.9")).address == "10.9.9.9"


def test_a_view_selects_by_health_and_tag() -> None:
    """Selecting keeps name and index and leaves out what warns, fails or lacks the tag."""
    blue = instance(service=Service("web", "b", tags=["blue"]))
    good, bad = instance(Status.PASSING), instance(Status.WARNING)
    view = View(7, "web", (bad, blue, good))

    assert view is view.select()
    assert View(7, "web", (blue, good)) == view.select(healthy=True)
    assert View(7, "web", (blue,)) == view.select(tag="blue")


def test_values_are_hashable() -> None:
    """Values can be kept in sets, metadata or not."""
    assert len({Service("web", meta={"a": "1"}), Service("web", meta={"a": "1"})}) == 1
