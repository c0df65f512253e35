"""Requests and answers on the wire."""

from __future__ import annotations

from math import inf

import pytest

from catalog.answers import Applied, Refusal
from catalog.commands import PutKey
from catalog.errors import ProtocolError
from catalog.model import (
    CheckState,
    Coordinate,
    Delta,
    KeyDelta,
    KeyValue,
    Node,
    NodeCheck,
    NodeView,
    Role,
    Service,
    Session,
    Status,
    TtlCheck,
    View,
)
from catalog.queries import PreparedQuery, QueryResult, QueryService
from catalog.requests import (
    REQUESTS,
    AgentInfo,
    AskedNode,
    AskedQuery,
    AskedSession,
    Checks,
    Consistency,
    Coordinates,
    Deregister,
    DeregisterLocalCheck,
    Drain,
    ExecuteQuery,
    Follow,
    FollowKeys,
    Get,
    Heartbeat,
    Info,
    Items,
    KeyNews,
    Keys,
    LocalCheck,
    LocalChecks,
    LocalService,
    LocalServices,
    Lookup,
    Maintain,
    Member,
    MemberHealth,
    Members,
    News,
    Nodes,
    Queries,
    Register,
    RegisterLocalCheck,
    RenewSession,
    Reply,
    Report,
    Services,
    Sessions,
    Write,
)
from catalog.wire import dumps, loads

NODE = Node("n", "h")
WEB = Service("web", checks=[TtlCheck(5)])
STATE = CheckState("c", Status.WARNING, "slow")
SESSION = Session("s", "n", ttl=10)
QUERY = PreparedQuery("q", QueryService("web"), "w")
KEY = KeyValue("k", b"v", 1, 2, 3, 4, "s")
STALE = Consistency.STALE

EXAMPLES = [
    (Write(PutKey("k", b"v", cas=3)), Applied(4, Refusal.CONFLICT, "no")),
    (RenewSession("s"), SESSION),
    (RenewSession("s"), None),
    (
        Lookup("web", False, "t", consistency=STALE, after=3, wait=5.0, near="n"),
        Reply(View(3, "web", ()), 3, 1.5),
    ),
    (Follow("web", None), News(View(3, "web", ()), inf, "e")),
    (Follow("web", 3), News(Delta(3, 4, "web", ()), 0.0, "e")),
    (FollowKeys("a/", 3), KeyNews(KeyDelta(3, 4, "a/", (KEY,), (("b", 4),)), 0.0, "e")),
    (Services(node_meta={"a": "b"}), Reply({"web": ("a", "b")}, 7)),
    (Nodes(instances=False), Reply((NodeView(NODE, None, 1, 2),), 7)),
    (AskedNode("n"), Reply(None, 0, known_leader=False)),
    (Checks(Status.WARNING), Reply((NodeCheck(NODE, None, STATE),), 7)),
    (Get("k"), Reply(KEY, 3)),
    (Get("k", max_stale=5), Reply(None, 3)),
    (Keys("k", separator="/"), Reply(("k1", "k2"), 3)),
    (Items("k"), Reply((KEY,), 3)),
    (Sessions("n"), Reply((SESSION,), 3)),
    (AskedSession("s"), Reply(SESSION, 3)),
    (Queries(), Reply((QUERY,), 3)),
    (AskedQuery("q"), Reply(QUERY, 3)),
    (ExecuteQuery("w", near="n"), Reply(QueryResult(QUERY, ()), 3)),
    (Coordinates(), Reply((Coordinate("n", (0.0, 1.0)),), 3)),
    (Register(WEB, keep=False), 7),
    (Drain("web", False), 7),
    (Lookup("web", max_age=5.0), Reply(View(1, "web", ()), 1, 2.0, cached=True)),
    (Deregister("web"), 8),
    (RegisterLocalCheck(TtlCheck(5, id="c"), "web"), 9),
    (DeregisterLocalCheck("c"), 9),
    (Heartbeat("web"), None),
    (Report("c", Status.WARNING, "slow"), None),
    (Maintain("web", True, "new disk"), 9),
    (LocalServices(), (WEB,)),
    (LocalService("web", WEB, wait=5.0), WEB),
    (LocalService("web"), None),
    (LocalChecks(), (LocalCheck(STATE, TtlCheck(5), WEB), LocalCheck(STATE, None, None))),
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
        (Get, {"key": "k", "after": -1}),
        (Checks, {"status": "passing"}),
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


def test_whoever_waits_for_another_service_is_not_given_up():
    """As long as it asked for; without one to compare the answer is there at once."""
    assert 60.0 == LocalService("web", WEB, wait=60.0).patience
    assert 0.0 == LocalService("web", wait=60.0).patience
