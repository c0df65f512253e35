"""Questions: what each finds, as of which index, and by what it is woken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from catalog.answers import Applied
from catalog.commands import (
    CreateSession,
    PutKey,
    RegisterNode,
    RegisterService,
    SetCoordinates,
    SetNodeHealth,
)
from catalog.model import Coordinate, Node, Service, Session, Status, TtlCheck
from catalog.registry import Registry
from catalog.requests import (
    AskedNode,
    AskedSession,
    Checks,
    Coordinates,
    Get,
    Items,
    Keys,
    Lookup,
    Nodes,
    Services,
    Sessions,
)

Write = Callable[..., list[Applied]]
EAST = {"zone": "east"}


@pytest.fixture
def full(registry: Registry, write: Write) -> Registry:
    """Two nodes, far apart, each with an instance of "web"; keys and a session."""
    write(
        registry,
        RegisterNode(Node("n1", "10.0.0.1", EAST)),
        RegisterNode(Node("n2", "10.0.0.2")),
        SetNodeHealth("n1", Status.PASSING),
        RegisterService("n1", Service("web", tags=["v1"])),
        RegisterService("n2", Service("web", tags=["v2"], checks=[TtlCheck(5, id="c")])),
        RegisterService("n2", Service("db", terminating=True)),
        SetCoordinates([Coordinate("n1", (0.0,)), Coordinate("n2", (1.0,))]),
        PutKey("a/1/x", b""),
        PutKey("a/1/y", b""),
        PutKey("a/2", b""),
        PutKey("b", b""),
        CreateSession(Session("s", "n1")),
    )
    return registry


@pytest.mark.parametrize(
    ("read", "expected", "index", "topics"),
    [
        (Services(), {"db": (), "web": ("v1", "v2")}, 6, [("services", "")]),
        (Services(node_meta=EAST), {"web": ("v1",)}, 6, [("services", ""), ("nodes", "")]),
        (Keys("a/"), ("a/1/x", "a/1/y", "a/2"), 10, [("prefix", "a/")]),
        (Keys("a/", separator="/"), ("a/1/", "a/2"), 10, [("prefix", "a/")]),
        (Keys("", separator="/"), ("a/", "b"), 11, [("prefix", "")]),
        (Get("zz"), None, 0, [("key", "zz")]),
        (Items("zz"), (), 0, [("prefix", "zz")]),
        (AskedNode("zz"), None, 0, [("node", "zz")]),
        (AskedSession("zz"), None, 0, [("session", "zz")]),
        (Sessions("n2"), (), 0, [("sessions", "n2")]),
        (Checks(Status.WARNING), (), 0, [("checks", "warning")]),
        (Coordinates("n2"), (Coordinate("n2", (1.0,)),), 7, [("coordinates", "")]),
    ],
    ids=repr,
)
def test_a_question_finds_a_value_an_index_and_topics(full, read, expected, index, topics) -> None:
    """What is not there has an index as well."""
    assert (expected, index, tuple(topics)) == full.find(read)


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (Lookup("web"), ["n1"]),
        (Lookup("db", healthy=True), []),
        (Lookup("web", healthy=False), ["n1", "n2"]),
        (Lookup("web", healthy=False, tag="v2"), ["n2"]),
        (Lookup("web", healthy=False, near="n2"), ["n2", "n1"]),
        (Lookup("web", healthy=False, node_meta=EAST), ["n1"]),
    ],
)
def test_a_lookup_chooses(full: Registry, read: Lookup, expected: list[str]) -> None:
    """By health, tag, place and the node's metadata; what drains is not healthy."""
    assert expected == [one.node.name for one in full.find(read)[0].instances]


def test_nodes_come_with_their_instances_or_without(full: Registry) -> None:
    """Without, what runs on them concerns nobody."""
    found, index, topics = full.find(Nodes())
    assert ([1, 2], 6, (("everything", ""),)) == (
        [len(one.instances) for one in found],
        index,
        topics,
    )

    found, index, topics = full.find(Nodes(instances=False, near="n2"))
    assert ["n2", "n1"] == [one.node.name for one in found]
    assert ([0, 0], 3, (("nodes", ""),)) == ([len(one.instances) for one in found], index, topics)


def test_checks_come_with_where_they_belong(full: Registry) -> None:
    """Of the node, or of a service."""
    found, index, _ = full.find(Checks())

    assert [("n1", None, "serfHealth"), ("n2", "web", "c")] == [
        (one.node.name, one.service and one.service.name, one.state.id) for one in found
    ]
    assert index == 5
    assert [one.state.id for one in full.find(Checks(Status.CRITICAL, near="n1"))[0]] == ["c"]
    assert full.find(Checks(Status.CRITICAL, node_meta=EAST))[0] == ()
