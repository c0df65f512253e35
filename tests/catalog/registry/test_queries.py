"""Prepared queries: names, templates, and which instances they give."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from catalog.answers import Applied, Refusal
from catalog.commands import (
    DeleteQuery,
    Operation,
    RegisterCheck,
    RegisterNode,
    RegisterService,
    SetCoordinates,
    SetQuery,
)
from catalog.model import CheckState, Coordinate, Node, Service, Status
from catalog.queries import PreparedQuery, QueryService, Template
from catalog.registry import Registry
from catalog.requests import ExecuteQuery, Queries

Write = Callable[..., list[Applied]]


def query(name: str, id: str = "", template: Template | None = None, **service) -> SetQuery:
    """Return the command that keeps a query."""
    wanted = QueryService(**{"service": "web", **service})
    return SetQuery(PreparedQuery(id or f"id-{name}", wanted, name, template=template))


@pytest.fixture
def full(registry: Registry, write: Write) -> Registry:
    """Three instances of "web": blue that passes, green that warns, and one that is critical."""
    found: list[Operation] = []
    for number, (tag, status) in enumerate(
        (("blue", Status.PASSING), ("green", Status.WARNING), ("red", Status.CRITICAL))
    ):
        node = f"n{number}"
        found += [
            RegisterNode(Node(node, "10.0.0.1", {"rack": tag})),
            RegisterService(node, Service("web", tags=[tag], meta={"v": str(number)})),
            RegisterCheck(node, CheckState("c", status), "web"),
            SetCoordinates([Coordinate(node, (float(number),))]),
        ]
    write(registry, *found)
    return registry


def nodes(registry: Registry, name: str, near: str = "") -> list[str] | None:
    """Return the nodes that a query gives."""
    result = registry.find(ExecuteQuery(name, near=near))[0]
    return None if result is None else [one.node.name for one in result.instances]


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({}, ["n0", "n1"]),
        ({"only_passing": True}, ["n0"]),
        ({"tags": ["GREEN"]}, ["n1"]),
        ({"tags": ["!blue"]}, ["n1"]),
        ({"node_meta": {"rack": "blue"}}, ["n0"]),
        ({"service_meta": {"v": "1"}}, ["n1"]),
        ({"ignore_check_ids": ["c"]}, ["n0", "n1", "n2"]),
        ({"near": "n2"}, ["n1", "n0"]),
        ({"service": "other"}, []),
    ],
)
def test_a_query_gives_what_it_asks_for(full: Registry, write: Write, service, expected) -> None:
    """Critical instances never; the nearest first if it says near whom."""
    write(full, query("q", **service))

    assert expected == nodes(full, "q") == nodes(full, "id-q")


def test_who_asks_may_say_near_whom(full: Registry, write: Write) -> None:
    """Instead of what the query says."""
    write(full, query("q", near="n0"))

    assert nodes(full, "q", near="n2") == ["n1", "n0"]


def test_a_name_belongs_to_one_query(full: Registry, write: Write) -> None:
    """Another one is refused; a query may change its name, and free it."""
    write(full, query("q"))
    (answer,) = write(full, query("q", id="other"))
    assert Refusal.ID_TAKEN is answer.refusal

    write(full, query("r", id="id-q"))
    assert write(full, query("q", id="other"))[0].ok
    write(full, DeleteQuery("other"))
    assert nodes(full, "q") is None
    assert nodes(full, "r") == ["n0", "n1"]


def test_saying_it_again_changes_nothing(full: Registry, write: Write) -> None:
    """The index stays, and nobody is woken."""
    write(full, query("q"))
    _, index, _ = full.find(Queries())
    full.drain()
    write(full, query("q"))

    assert index == full.find(Queries())[1]
    assert not full.drain()


def test_a_template_answers_to_what_begins_with_its_name(full: Registry, write: Write) -> None:
    """The longest name wins; a query of the very name comes first."""
    write(
        full,
        query("", id="all", template=Template(), service="${name.full}"),
        query("geo-", template=Template(), service="${name.suffix}"),
        query("geo-x-", template=Template(), service="nothing"),
        query("geo-exact", tags=["green"]),
    )

    assert nodes(full, "web") == ["n0", "n1"]
    assert nodes(full, "geo-web") == ["n0", "n1"]
    assert nodes(full, "geo-x-web") == []
    assert nodes(full, "geo-exact") == ["n1"]


def test_a_template_may_take_a_name_apart(full: Registry, write: Write) -> None:
    """By a regular expression, whose groups it uses."""
    regexp = Template(regexp="^(.+)-of-(.+)$")
    write(full, query("", id="t", template=regexp, service="${match(2)}", tags=["${match(1)}"]))

    assert nodes(full, "green-of-web") == ["n1"]
    assert nodes(full, "nothing-like-it") == []


def test_a_template_that_makes_nonsense_of_a_name_has_no_answer(
    full: Registry, write: Write
) -> None:
    """What it makes is too long for a service's name."""
    write(full, query("", id="t", template=Template(), service="${name.full}${name.full}"))

    assert nodes(full, "x" * 200) is None
