"""Requests and answers on the wire."""

from __future__ import annotations

from math import inf

import pytest

from catalog.commands import Applied, PutKey, Refusal
from catalog.errors import ProtocolError
from catalog.model import Delta, KeyValue, Node, NodeView, Role, Service, TtlCheck, View
from catalog.requests import (
    REQUESTS,
    AgentInfo,
    Answer,
    AskedNode,
    Consistency,
    Deregister,
    Follow,
    Get,
    Heartbeat,
    Info,
    Keys,
    Lookup,
    Member,
    MemberHealth,
    Members,
    News,
    Nodes,
    Register,
    Services,
    Write,
)
from catalog.wire import dumps, loads

EXAMPLES = [
    (Write(PutKey("k", b"v", cas=3)), Applied(4, Refusal.CONFLICT, "no")),
    (Lookup("web", False, "t", Consistency.STALE, 3, 5.0), Answer(3, "web", (), 1.5)),
    (Follow("web", None), News(View(3, "web", ()), inf, "e")),
    (Follow("web", 3), News(Delta(3, 4, "web", ()), 0.0, "e")),
    (Services(), {"web": ("a", "b")}),
    (Nodes(), (NodeView(Node("n", "h"), None, 1, 2),)),
    (AskedNode("n"), None),
    (Get("k"), KeyValue("k", b"v")),
    (Get("k"), None),
    (Keys("k"), ("k1", "k2")),
    (Register(Service("web", checks=[TtlCheck(5)])), 7),
    (Deregister("web"), 8),
    (Heartbeat("web"), None),
    (
        Members(),
        (Member("n", "h:1", Role.CLIENT, "dc1", MemberHealth.LEFT, {"a": "b"}),),
    ),
    (Info(), AgentInfo("n", Role.SERVER, "h:1", "dc1", "c", "1", term=3, peers={"n": "h:1"})),
]


@pytest.mark.parametrize(("request_", "answer"), EXAMPLES)
def test_requests_and_answers_arrive_as_they_left(request_, answer):
    """Each by its own type."""
    assert request_ == loads(dumps(request_), type(request_))
    assert answer == loads(dumps(answer, request_.RESULT), request_.RESULT)


def test_every_request_has_a_name_and_an_example():
    """So that none is forgotten here."""
    assert set(REQUESTS.values()) == {type(request) for request, _ in EXAMPLES}


def test_only_writes_may_not_be_repeated():
    """Registrations are compared with the catalog first, and reads change nothing."""
    assert [Write] == [one for one in REQUESTS.values() if not one.REPEATABLE]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Lookup, {"name": "a b"}),
        (Lookup, {"name": "web", "wait": 0}),
        (Register, {"service": "web"}),
        (Get, {"key": ""}),
    ],
)
def test_nonsense_is_refused_where_it_is_made(kind, arguments):
    """Before anything is sent."""
    with pytest.raises((TypeError, ValueError)):
        kind(**arguments)


def test_nonsense_from_the_wire_is_refused():
    """A request of another type, or with a field too many, is none."""
    with pytest.raises(ProtocolError):
        loads(dumps(Get("k")), Lookup)
