"""The door: answers, snapshots, wake-ups, subscriptions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from catalog.commands import (
    Applied,
    Batch,
    DeleteKey,
    DeregisterNode,
    DeregisterService,
    Operation,
    PutKey,
    Refusal,
    RegisterNode,
    RegisterService,
    SetCheck,
    SetNodeHealth,
)
from catalog.errors import ProtocolError
from catalog.model import ChangeKind, Delta, Node, Service, Status, TtlCheck
from catalog.registry import Registry
from catalog.requests import Services

Write = Callable[..., list[Applied]]
NODE = Node("n1", "10.0.0.1")
WEB = Service("web", tags=["blue"], checks=[TtlCheck(5, id="c")])
UP = (RegisterNode(NODE), RegisterService("n1", WEB), SetCheck("n1", "c", Status.PASSING))


def test_every_command_is_answered_with_its_index(registry: Registry, write: Write) -> None:
    """One answer per entry, in order, each naming the index at which a read sees it."""
    assert [Applied(1), Applied(2), Applied(3)] == write(registry, *UP)
    assert registry.applied == 3


def test_a_refused_command_stops_nobody(registry: Registry, write: Write) -> None:
    """What cannot be done, or is no command at all, is answered; the next entry is applied."""
    answers = write(registry, SetCheck("n1", "c", Status.PASSING), b"noise", *UP)

    expected = [Refusal.UNKNOWN_NODE, Refusal.MALFORMED, None, None, None]
    assert expected == [answer.refusal for answer in answers]
    assert registry.applied == 5


def test_a_batch_is_one_entry(registry: Registry, write: Write) -> None:
    """All of a batch has one index, and makes one change of what it entered."""
    assert [Applied(1, parts=(Applied(1),) * 3)] == write(registry, Batch(UP))

    (change,) = registry.changes("web", 0) or ()
    assert (change.index, change.kind) == (1, ChangeKind.ADDED)
    assert Status.PASSING is change.instance.status


def test_a_batch_names_the_part_that_was_refused(registry: Registry, write: Write) -> None:
    """The parts around a refused one are done; the answer says which was not, and why."""
    (answer,) = write(
        registry, Batch([PutKey("k", b"1"), PutKey("k", b"2", cas=0), PutKey("l", b"")])
    )

    assert Refusal.CONFLICT is answer.refusal
    assert answer.detail.startswith("command 2 of 3: key 'k' is at index 1")
    assert [part.ok for part in answer.parts] == [True, False, True]
    assert registry.get("l") is not None


def test_lookup_leaves_out_what_does_not_pass(registry: Registry, write: Write) -> None:
    """By default a lookup gives whom to talk to; all instances are given on request."""
    write(registry, *UP)
    assert len(registry.lookup("web").instances) == 1
    assert len(registry.lookup("web", tag="blue").instances) == 1
    assert registry.lookup("web", tag="green").instances == ()

    write(registry, SetNodeHealth("n1", Status.CRITICAL))
    assert registry.lookup("web").instances == ()
    assert len(registry.lookup("web", healthy=False).instances) == 1
    assert registry.lookup("web").index == 4


def test_removals_are_applied(registry: Registry, write: Write) -> None:
    """Services, nodes and keys go as they came."""
    write(registry, *UP, PutKey("k", b""))
    write(registry, DeregisterService("n1", "web"), DeleteKey("k"), DeregisterNode("n1"))

    assert registry.find(Services())[0] == {}
    assert registry.nodes() == ()
    assert registry.get("k") is None


def test_drain_names_what_changed_once(registry: Registry, write: Write) -> None:
    """Waiters of what changed are woken, once, and no others."""
    write(registry, *UP, PutKey("k", b""))
    assert {
        ("everything", ""),
        ("node", "n1"),
        ("nodes", ""),
        ("service", "web"),
        ("services", ""),
        ("checks", ""),
        ("checks", "critical"),
        ("checks", "passing"),
        ("key", "k"),
    } == registry.drain().topics.keys()
    assert not registry.drain()

    write(registry, *UP[:2], PutKey("k", b""), DeleteKey("gone"), b"noise")
    assert not registry.drain()


def test_a_check_result_concerns_no_list_of_services(registry: Registry, write: Write) -> None:
    """Who waits for services or nodes to come and go hears nothing of how they fare."""
    write(registry, *UP)
    registry.drain()
    write(registry, SetCheck("n1", "c", Status.WARNING))

    assert not {("services", ""), ("nodes", "")} & registry.drain().topics.keys()


def test_a_restored_registry_is_equal(registry: Registry, write: Write) -> None:
    """Snapshot and restore are exact, and what is applied after gives equal registries."""
    write(registry, *UP, PutKey("k", b"v"), PutKey("l", b""), DeleteKey("l"))
    copy = Registry()
    copy.restore(registry.to_bytes())
    assert registry.to_bytes() == copy.to_bytes()
    assert registry.lookup("web") == copy.lookup("web")

    more = (SetCheck("n1", "c", Status.WARNING), PutKey("k", b"w", cas=4), PutKey("l", b"", cas=0))
    assert write(registry, *more) == write(copy, *more)
    assert registry.to_bytes() == copy.to_bytes()


def test_snapshots_do_not_depend_on_the_order_of_registration(write: Write) -> None:
    """Registries that hold the same have the same bytes, whichever came first in an entry."""
    nodes: list[Operation] = [RegisterNode(Node(name, "10.0.0.1")) for name in ("n1", "n2")]
    services: list[Operation] = [RegisterService(name, Service("web")) for name in ("n1", "n2")]
    keys: list[Operation] = [PutKey("a", b""), PutKey("b", b"")]
    one, other = Registry(), Registry()
    write(one, Batch(nodes + services + keys))
    write(other, Batch(nodes[::-1] + services[::-1] + keys[::-1]))

    assert one.to_bytes() == other.to_bytes()


def test_a_damaged_snapshot_changes_nothing(registry: Registry, write: Write) -> None:
    """A snapshot that cannot be read leaves the registry as it was."""
    write(registry, *UP)
    before = registry.to_bytes()
    with pytest.raises(ProtocolError):
        registry.restore(before[:-1])

    assert before == registry.to_bytes()


def test_a_restore_wakes_everybody_and_starts_the_past_anew(
    registry: Registry, write: Write
) -> None:
    """Subscribers from before the snapshot get a view; those of quiet services need none."""
    write(registry, *UP, PutKey("k", b""))
    copy = Registry()
    copy.restore(registry.to_bytes())

    assert copy.drain().everything
    assert copy.changes("web", 2) is None
    assert copy.lookup("web", healthy=False) == copy.update("web", 2)
    assert copy.changes("web", 3) == ()


def test_an_update_is_a_delta_while_history_reaches_back(write: Write) -> None:
    """A subscriber gets changes if they are all there, and a view if one is forgotten."""
    registry = Registry(changes_max=1)
    write(registry, *UP)

    (instance,) = registry.lookup("web").instances
    update = registry.update("web", 2)
    assert isinstance(update, Delta)
    assert (update.since, update.index, update.name) == (2, 3, "web")
    assert [instance] == [change.instance for change in update.changes]
    assert registry.lookup("web") == registry.update("web", 1)


def test_a_subscriber_ahead_of_this_replica_gets_nothing_new(
    registry: Registry, write: Write
) -> None:
    """A replica that lags has nothing to add, and says so without taking the index back."""
    write(registry, *UP)

    assert Delta(9, 9, "web", ()) == registry.update("web", 9)
