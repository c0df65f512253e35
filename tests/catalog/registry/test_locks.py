"""Sessions and locks: who holds what, when a session ends, and who must wait then."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from catalog.answers import Applied, Refusal
from catalog.commands import (
    Acquire,
    CreateSession,
    DeleteKey,
    DeregisterCheck,
    DeregisterNode,
    DestroySession,
    PutKey,
    RegisterCheck,
    RegisterNode,
    Release,
    SetCheck,
    SetNodeHealth,
    SetQuery,
)
from catalog.model import Behaviour, CheckState, FencingToken, Node, Session, Status
from catalog.queries import PreparedQuery, QueryService
from catalog.registry import Registry
from catalog.requests import AskedQuery

Write = Callable[..., list[Applied]]

A = Session("a", "n1", lock_delay=15)
B = Session("b", "n2", lock_delay=0)


@pytest.fixture
def held(registry: Registry, write: Write) -> Registry:
    """Two nodes with a session each; the first holds "lock"."""
    write(
        registry,
        RegisterNode(Node("n1", "10.0.0.1")),
        RegisterNode(Node("n2", "10.0.0.2")),
        SetNodeHealth("n1", Status.PASSING),
        SetNodeHealth("n2", Status.PASSING),
        CreateSession(A),
        CreateSession(B),
        Acquire("lock", b"a", "a"),
        stamp=1000,
    )
    return registry


def refusal(write: Write, registry: Registry, command: object, stamp: int = 1000) -> Refusal | None:
    """Return why a command is refused."""
    (answer,) = write(registry, command, stamp=stamp)
    return answer.refusal


def test_a_lock_has_one_holder(held: Registry, write: Write) -> None:
    """Another session is refused; the holder may write again, and keeps its token."""
    assert Refusal.LOCKED is refusal(write, held, Acquire("lock", b"b", "b"))

    (again,) = write(held, Acquire("lock", b"a2", "a"))
    (entry,) = again.values
    assert FencingToken("lock", 1, "a") == entry.token
    assert held.get("lock").value == b"a2"


def test_a_released_lock_is_free_at_once(held: Registry, write: Write) -> None:
    """No lock-delay: its holder knows that it let go. The next holder's token is higher."""
    assert Refusal.NOT_HOLDER is refusal(write, held, Release("lock", b"", "b"))
    assert refusal(write, held, Release("lock", b"done", "a")) is None
    assert (b"done", "") == (held.get("lock").value, held.get("lock").session)

    (answer,) = write(held, Acquire("lock", b"b", "b"))
    assert FencingToken("lock", 2, "b") == answer.values[0].token


def test_an_unknown_session_holds_nothing(held: Registry, write: Write) -> None:
    """Consul's words for it are in the refusal."""
    (answer,) = write(held, Acquire("other", b"", "gone"))

    assert Refusal.UNKNOWN_SESSION is answer.refusal
    assert answer.detail.startswith("invalid session")


def test_a_plain_write_leaves_the_holder(held: Registry, write: Write) -> None:
    """Locks are advisory; the token stays with the session."""
    write(held, PutKey("lock", b"x"))

    assert FencingToken("lock", 1, "a") == held.get("lock").token


def test_nobody_acquires_before_the_delay_is_over(held: Registry, write: Write) -> None:
    """A holder that was only slow has that long to notice; then the next one gets the lock."""
    write(held, DestroySession("a"), stamp=2000)
    assert held.get("lock").session == ""

    assert Refusal.LOCK_DELAYED is refusal(write, held, Acquire("lock", b"", "b"), 16_999)
    assert refusal(write, held, Acquire("lock", b"", "b"), 17_000) is None


def test_the_delay_survives_a_snapshot(held: Registry, write: Write) -> None:
    """It is a part of the state: whoever leads next, and whoever restarts, keeps it."""
    write(held, DestroySession("a"), stamp=2000)
    copy = Registry()
    copy.restore(held.to_bytes())

    for registry in (held, copy):
        assert Refusal.LOCK_DELAYED is refusal(write, registry, Acquire("lock", b"", "b"), 16_999)
        assert refusal(write, registry, Acquire("lock", b"", "b"), 17_000) is None
    assert held.to_bytes() == copy.to_bytes()


def test_without_a_delay_the_lock_is_free_at_once(held: Registry, write: Write) -> None:
    """Who asked for none gets none."""
    write(held, Acquire("other", b"", "b"), DestroySession("b"))

    assert refusal(write, held, Acquire("other", b"", "a")) is None


def test_a_session_may_take_its_keys_along(held: Registry, write: Write) -> None:
    """With `DELETE` they go with it, for as long as the delay; tokens go on counting."""
    write(held, CreateSession(Session("d", "n2", behaviour=Behaviour.DELETE, lock_delay=1)))
    write(held, Acquire("mine", b"", "d"), DestroySession("d"), stamp=2000)
    assert held.get("mine") is None

    assert Refusal.LOCK_DELAYED is refusal(write, held, Acquire("mine", b"", "a"), 2999)
    (answer,) = write(held, Acquire("mine", b"", "a"), stamp=3000)
    assert FencingToken("mine", 2, "a") == answer.values[0].token


@pytest.mark.parametrize(
    "end",
    [
        DestroySession("a"),
        DeregisterNode("n1"),
        SetNodeHealth("n1", Status.CRITICAL),
        DeregisterCheck("n1", "serfHealth"),
    ],
)
def test_a_session_ends_with_what_it_stands_on(held: Registry, write: Write, end: object) -> None:
    """Destroyed, its node gone, or a check of it critical or gone: its locks are free."""
    write(held, end)

    assert held.session("a") is None
    assert held.session("b") is not None
    assert held.get("lock").session == ""


def test_a_warning_ends_no_session(held: Registry, write: Write) -> None:
    """Only what is critical does."""
    write(held, SetNodeHealth("n1", Status.WARNING))

    assert held.session("a") is not None


def test_a_session_needs_its_node_and_its_checks(held: Registry, write: Write) -> None:
    """All of them known, and none critical; its id must be new."""
    write(held, RegisterCheck("n1", CheckState("bad", Status.CRITICAL)))
    for session, expected in (
        (Session("x", "n9"), Refusal.UNKNOWN_NODE),
        (Session("x", "n1", service_checks=["none"]), Refusal.UNKNOWN_CHECK),
        (Session("x", "n1", node_checks=["bad"]), Refusal.CHECK_CRITICAL),
        (Session("a", "n1"), Refusal.ID_TAKEN),
    ):
        assert expected is refusal(write, held, CreateSession(session))

    write(held, SetCheck("n1", "bad", Status.PASSING))
    assert refusal(write, held, CreateSession(Session("x", "n1", node_checks=["bad"]))) is None


def test_a_deleted_lock_is_nobodys(held: Registry, write: Write) -> None:
    """The session lives on without it, and its end frees nothing that others have."""
    write(held, DeleteKey("lock"), Acquire("lock", b"", "b"), DestroySession("a"))

    assert FencingToken("lock", 2, "b") == held.get("lock").token


def test_a_query_ends_with_its_session(held: Registry, write: Write) -> None:
    """A prepared query may be bound to a session."""
    write(held, SetQuery(PreparedQuery("q", QueryService("web"), session="a")))
    assert held.find(AskedQuery("q"))[0] is not None
    write(held, DestroySession("a"))

    assert held.find(AskedQuery("q"))[0] is None
