"""What agents say of themselves by gossip."""

from __future__ import annotations

import pytest

from catalog.errors import ProtocolError
from catalog.model import Node, Role
from catalog.node.presence import Known, Presence
from catalog.requests import Member, MemberHealth
from catalog.server.reconcile import Health


@pytest.mark.parametrize(
    "presence",
    [
        Presence(Role.CLIENT, "dc1"),
        Presence(Role.CLIENT, "dc1", {"role": "db", "+": ""}),
        Presence(Role.SERVER, "dc2", {"rack": "r1"}, 3, "nonce", "digest", True),
    ],
)
def test_what_is_said_is_heard(presence):
    """Reading inverts writing, and the user's keys never clash with ours."""
    assert presence == Presence.from_meta(presence.to_meta())


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"role": "server"},
        {"role": "king", "dc": "d"},
        {"role": "server", "dc": "d", "expect": "x"},
    ],
)
def test_strangers_are_refused(meta):
    """Not every member of a gossip cluster is an agent."""
    with pytest.raises(ProtocolError):
        Presence.from_meta(meta)


def test_one_agent_is_seen_in_three_ways():
    """By users with its port, by the catalog as a node, by reconciliation with its health."""
    said = Presence(Role.SERVER, "dc2", {"rack": "r1"})
    known = Known("a", ("10.0.0.1", 8300), MemberHealth.SUSPECT, said)

    assert known.to_member() == Member(
        "a", "10.0.0.1:8300", Role.SERVER, "dc2", MemberHealth.SUSPECT, {"rack": "r1"}
    )
    assert known.to_node() == Node("a", "10.0.0.1", {"rack": "r1"}, Role.SERVER, "dc2")
    assert Health.ALIVE is known.to_view().health
    assert known.alive
    assert known.server
