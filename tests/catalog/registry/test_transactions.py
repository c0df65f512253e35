"""Transactions: all steps or none, each seeing those before it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from catalog.answers import Applied, Refusal
from catalog.commands import (
    Acquire,
    CreateSession,
    DeleteKey,
    DeregisterNode,
    DestroySession,
    PutKey,
    RegisterCheck,
    RegisterNode,
    RegisterService,
    SetCoordinates,
    SetNodeHealth,
    SetQuery,
    Transaction,
)
from catalog.model import CheckState, Coordinate, Node, Service, Session, Status
from catalog.queries import PreparedQuery, QueryService
from catalog.registry import Registry
from catalog.steps import (
    ExpectAbsent,
    ExpectHolder,
    ExpectIndex,
    ReadCheck,
    ReadKey,
    ReadNode,
    ReadService,
    ReadTree,
)

Write = Callable[..., list[Applied]]
NODE = Node("n1", "10.0.0.1")


@pytest.fixture
def full(registry: Registry, write: Write) -> Registry:
    """Something in every table."""
    write(
        registry,
        RegisterNode(NODE),
        SetNodeHealth("n1", Status.PASSING),
        RegisterService("n1", Service("web")),
        CreateSession(Session("s", "n1")),
        Acquire("lock", b"1", "s"),
        PutKey("a", b"2"),
        SetQuery(PreparedQuery("q", QueryService("web"), "name")),
        SetCoordinates([Coordinate("n1", (0.0, 0.1))]),
    )
    registry.drain()
    return registry


def test_all_steps_are_one_entry(full: Registry, write: Write) -> None:
    """Each answers with what it made or found, and sees what those before it did."""
    (answer,) = write(
        full,
        Transaction(
            [
                ExpectIndex("a", 6),
                ExpectHolder("lock", "s"),
                ExpectAbsent("new"),
                PutKey("new", b"3"),
                ReadKey("new"),
                DeleteKey("new"),
                ReadKey("new", required=False),
                ReadTree(""),
                ReadNode("n1"),
                ReadService("n1", "web"),
                RegisterCheck("n1", CheckState("c", Status.PASSING), "web"),
                ReadCheck("n1", "c"),
            ]
        ),
    )

    assert answer.ok
    assert [0, 0, 0, 1, 1, 0, 0, 2, 1, 1, 1, 1] == [len(part.values) for part in answer.parts]
    assert b"" == answer.parts[3].values[0].value
    assert b"3" == answer.parts[4].values[0].value
    assert answer.parts[10].values == answer.parts[11].values
    assert full.get("new") is None


def test_nothing_remains_of_a_transaction_that_fails(full: Registry, write: Write) -> None:
    """Whatever was done in whatever table is taken back, and nobody is woken."""
    before = full.to_bytes()
    (answer,) = write(
        full,
        Transaction(
            [
                PutKey("a", b"9"),
                DeleteKey("", recurse=True),
                DestroySession("s"),
                RegisterNode(Node("n2", "h")),
                SetCoordinates([Coordinate("n2", (1.0, 1.0))]),
                SetQuery(PreparedQuery("q2", QueryService("web"), "other")),
                DeregisterNode("n1"),
                PutKey("a", b"3", cas=77),
                ReadKey("gone"),
            ]
        ),
    )

    assert Refusal.CONFLICT is answer.refusal
    assert answer.detail.startswith("step 8 of 9: key 'a'")
    refused = [number for number, part in enumerate(answer.parts) if not part.ok]
    assert [7, 8] == refused
    assert not any(part.values for part in answer.parts)
    assert not full.drain()
    after = Registry()
    after.restore(before)
    write(after, b"noise")  # an entry that does nothing either
    assert after.to_bytes() == full.to_bytes()


def test_a_lock_passes_on_within_a_transaction(full: Registry, write: Write) -> None:
    """Who ends a session with no delay may take its lock in the same breath; tokens differ."""
    write(full, CreateSession(Session("t", "n1", lock_delay=0)), Acquire("k", b"", "t"))
    (answer,) = write(
        full, Transaction([DestroySession("t"), DeleteKey("k"), Acquire("k", b"", "s")])
    )

    assert answer.ok
    assert full.get("k").lock_index == 2


def test_the_delay_holds_within_a_transaction(full: Registry, write: Write) -> None:
    """The session's lock-delay is in force from the step that ends it."""
    write(full, CreateSession(Session("t", "n1")))
    (answer,) = write(full, Transaction([DestroySession("s"), Acquire("lock", b"", "t")]))

    assert Refusal.LOCK_DELAYED is answer.refusal
    assert full.get("lock").session == "s"


@pytest.mark.parametrize(
    ("step", "refusal"),
    [
        (ReadKey("x"), Refusal.UNKNOWN_KEY),
        (ReadNode("x"), Refusal.UNKNOWN_NODE),
        (ReadService("n1", "x"), Refusal.UNKNOWN_SERVICE),
        (ReadCheck("n1", "x"), Refusal.UNKNOWN_CHECK),
        (ExpectIndex("a", 5), Refusal.CONFLICT),
        (ExpectHolder("a", "s"), Refusal.NOT_HOLDER),
        (ExpectAbsent("a"), Refusal.CONFLICT),
    ],
)
def test_what_is_not_there_fails_the_transaction(
    full: Registry, step: object, refusal: Refusal
) -> None:
    """A reading or an expectation that is not met; here without a log entry."""
    transaction = Transaction([step])

    assert transaction.reads_only
    assert refusal is full.transact(transaction).refusal
