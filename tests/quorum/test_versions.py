"""Versions of the state machine (quorum.core.versions): one entry, the same for all."""

from __future__ import annotations

import random

import pytest
from attrs import evolve

from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import Admit, Apply, Refusal, Refuse, SendSnapshot
from quorum.errors import ProtocolError
from quorum.events import MembersProposed, Proposed, Recovered, UpgradeProposed
from quorum.messages import (
    VERSION_MAX,
    AppendEntries,
    AppendReply,
    Entries,
    Kind,
    Members,
    SnapshotMark,
    read_version,
)
from quorum.wire import decode, encode


@pytest.fixture
def make_versioned(make_group):
    """A group whose machines understand these versions, with a leader."""

    def make(**versions):
        group = make_group("abc", Config(snapshot_entries=1000))
        members = Members(voters=tuple("abc"))
        for name, version in versions.items():
            restart(group, name, version, Recovered(mark=SnapshotMark(members=members)))
        group.elect("a")
        group.pass_time(0.2)
        return group

    return make


def restart(group, name, version, recovered):
    """Start a server anew, with a machine of this version."""
    chance = random.Random(name)
    group.nodes[name] = Raft(
        name, recovered, group.config, now=group.now, random=chance, machine_version=version
    )


def upgrade(group, name, version):
    """What the server answers to the proposal."""
    group.tag += 1
    effects = group.step(name, UpgradeProposed(group.tag, version))
    return [effect for effect in effects if isinstance(effect, Admit | Refuse)]


def switches(group, name):
    """Where this server was told to apply a version, and which."""
    return [
        (entry.index, read_version(entry.payload))
        for effect in group.effects(name, Apply)
        for entry in effect.entries
        if entry.kind is Kind.VERSION
    ]


def test_all_switch_at_the_same_entry(make_versioned):
    """Also who hears of it late."""
    group = make_versioned(a=2, b=2, c=3)
    (admitted,) = upgrade(group, "a", 2)
    group.settle(lambda sender, to, _: "c" not in (sender, to))
    assert (1, 2) == tuple(group.nodes[n].statistics().version for n in "ca")
    group.propose("a", b"x")
    group.pass_time(0.2)
    assert [[(admitted.first, 2)]] * 3 == [switches(group, name) for name in "abc"]
    assert [2, 2, 2] == [group.nodes[name].statistics().version for name in "abc"]


@pytest.mark.parametrize("versions", [{"a": 1, "b": 2, "c": 2}, {"a": 2, "b": 2, "c": 1}])
def test_a_version_that_one_server_does_not_understand_is_refused(make_versioned, versions):
    """Be it the leader itself; and all can see who it is."""
    group = make_versioned(**versions)
    assert [Refuse(group.tag + 1, Refusal.TOO_OLD, None)] == upgrade(group, "a", 2)
    assert (("b", versions["b"]), ("c", versions["c"])) == group.nodes["a"].statistics().versions
    assert [] == switches(group, "a")


def test_a_server_that_has_not_said_what_it_understands_is_waited_for(make_versioned):
    """A new leader knows nothing yet; nor does any of a learner that was just added."""
    group = make_versioned(a=2, b=2, c=2)
    group.add("d", Members())
    group.step("a", MembersProposed(50, Members(voters=tuple("abc"), learners=("d",))))
    group.settle(lambda _, to, message: not (to == "a" and isinstance(message, AppendReply)))
    assert [Refusal.TOO_OLD] == [refuse.reason for refuse in upgrade(group, "a", 2)]
    restart(group, "d", 2, Recovered())
    group.pass_time(0.5)
    assert [Admit] == [type(effect) for effect in upgrade(group, "a", 2)]


def test_only_the_leader_can_and_never_backwards(make_versioned):
    """To ask for the version in force again does no harm."""
    group = make_versioned(a=3, b=3, c=3)
    assert [Refusal.NOT_LEADER] == [refuse.reason for refuse in upgrade(group, "b", 2)]
    upgrade(group, "a", 3)
    group.settle()
    assert [Refusal.PASSED] == [refuse.reason for refuse in upgrade(group, "a", 2)]
    upgrade(group, "a", 3)
    group.settle()
    assert [3, 3] == [version for _, version in switches(group, "a")]


def test_an_upgrade_that_was_not_committed_is_undone_with_its_entry(make_versioned):
    """As a function of the log."""
    group = make_versioned(a=2, b=2, c=2)
    upgrade(group, "a", 2)
    group.mail.clear()
    log = group.nodes["a"]._state.log
    assert 2 == log.version
    group.pass_time(2.0, lambda sender, to, _: "a" not in (sender, to))
    group.propose(group.leader(), b"x")
    group.pass_time(0.5)
    assert 1 == log.version == group.nodes["a"].statistics().version
    assert [] == switches(group, "a")


def test_a_snapshot_carries_the_version(make_versioned):
    """To a server that never saw the entry."""
    group = make_versioned(a=2, b=2, c=2)
    group.config = evolve(group.config, snapshot_entries=10, tail_entries=0)
    for name in "abc":
        group.nodes[name]._state.config = group.config
    upgrade(group, "a", 2)
    group.settle(lambda sender, to, _: "c" not in (sender, to))
    for k in range(20):
        group.propose("a", b"%d" % k)
        group.settle(lambda sender, to, _: "c" not in (sender, to))
    group.pass_time(0.2)
    assert [2] * len(group.snapshots) == [order.mark.version for _, order in group.snapshots]
    assert group.effects("a", SendSnapshot)
    group.send_snapshots()
    group.pass_time(0.2)
    statistics = group.nodes["c"].statistics()
    assert (2, []) == (statistics.version, switches(group, "c"))
    assert statistics.commit == group.nodes["a"].statistics().commit


def test_commands_before_the_switch_are_not_behind_it(make_versioned):
    """Proposals of the same step keep their order."""
    group = make_versioned(a=2, b=2, c=2)
    events = (Proposed(91, (b"old",)), UpgradeProposed(92, 2), Proposed(93, (b"new",)))
    group.step("a", *events)
    group.pass_time(0.2)
    kinds = [
        (entry.kind, entry.payload)
        for effect in group.effects("b", Apply)
        for entry in effect.entries
        if entry.payload
    ]
    assert [(Kind.COMMAND, b"old"), (Kind.VERSION, b"2"), (Kind.COMMAND, b"new")] == kinds


@pytest.mark.parametrize("payload", [b"", b"0", b"-1", b"02", b" 2", b"2.0", b"9" * 5000, b"\xb2"])
def test_a_payload_that_is_no_version_is_refused_at_the_door(payload):
    """So the core may trust what is in its log."""
    with pytest.raises(ValueError, match="not the version of a machine"):
        read_version(payload)
    run = Entries(1, (1,), (0,), bytes([Kind.VERSION]), (payload,))
    with pytest.raises(ProtocolError, match="not the version of a machine"):
        decode(encode(AppendEntries(1, 0, 0, 0, 1, run)))


@pytest.mark.parametrize("version", [1, 7, VERSION_MAX])
def test_what_a_server_understands_travels_with_its_answers(version):
    """In the wire's format, up to the highest version."""
    reply = AppendReply(3, 4, None, 5, 2, version)
    assert reply == decode(encode(reply))
    assert version == read_version(b"%d" % version)
