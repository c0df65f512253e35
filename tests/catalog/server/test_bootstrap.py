"""Founding a cluster: one set of servers, or none."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import event, given, settings
from hypothesis import strategies as st

from catalog.errors import ProtocolError
from catalog.model import Role
from catalog.node.presence import Known, Presence
from catalog.operations import Admission
from catalog.requests import MemberHealth
from catalog.server.bootstrap import Founder, Founding, advance


def known(founding: Founding, expect: int = 3) -> Known:
    """What gossip says of a server that remembers this."""
    presence = Presence(
        Role.SERVER,
        "dc1",
        expect=expect,
        nonce=founding.me.nonce,
        digest=founding.digest,
        agreed=founding.agreed,
    )
    return Known(founding.me.name, ("127.0.0.1", 1), MemberHealth.ALIVE, presence)


def fresh(*names: str) -> list[Founding]:
    """Servers with empty directories."""
    return [Founding(Founder(name, f"nonce-{name}"), "c") for name in names]


def test_three_servers_found_a_cluster_in_two_rounds():
    """First each locks on the set, then each sees that all have; the marks are equal."""
    servers = fresh("a", "b", "c")
    seen = [known(one) for one in servers]
    locked = [advance(one, 3, seen)[0] for one in servers]
    assert [False] * 3 == [one.agreed for one in locked]

    seen = [known(one) for one in locked]
    agreed = [advance(one, 3, seen) for one in locked]

    assert [(True, None)] * 3 == [(one.agreed, waits) for one, waits in agreed]
    assert 1 == len({one.cluster_id for one, _ in agreed})


def test_a_single_server_founds_at_once():
    """With one expected, nobody is waited for."""
    (alone,) = fresh("a")

    founding, waits = advance(alone, 1, [known(alone, 1)])

    assert founding.agreed
    assert waits is None


def test_too_few_are_waited_for():
    """It says how many are missing, and that is no problem yet."""
    a, b, _ = fresh("a", "b", "c")

    founding, waits = advance(a, 3, [known(a), known(b)])

    assert a == founding
    assert waits is not None
    assert (False, "a waits for 1 more servers; here are: a, b") == (waits.problem, waits.text)


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ([known(one) for one in fresh("b", "c", "d")], "stop 1 of them, or expect 4 on all"),
        ([known(one, 5) for one in fresh("b", "c")], "b expects 5"),
        (
            [known(evolve(one, founders=[one.me], agreed=True)) for one in fresh("b", "c")],
            "sees servers of two clusters (b, c)",
        ),
    ],
)
def test_what_somebody_must_mend_is_a_problem(others, says):
    """Nothing is locked then."""
    (a,) = fresh("a")

    founding, waits = advance(a, 3, [known(a), *others])

    assert a == founding
    assert waits is not None
    assert waits.problem
    assert says in waits.text


def test_a_founded_cluster_is_joined_not_doubled():
    """Whatever number it expects; a cluster that is down is one all the same."""
    a, b, c, d = fresh("a", "b", "c", "d")
    founders = [a.me, b.me, c.me]
    one = known(evolve(a, founders=founders, agreed=True))
    down = evolve(known(evolve(b, founders=founders, agreed=True)), health=MemberHealth.FAILED)

    for expect in (0, 1, 3):
        founding, waits = advance(d, expect, [known(d, expect), one, down])
        assert d == founding
        assert waits is not None
        assert (False, ("a",)) == (waits.problem, waits.doors)
        founding, waits = advance(d, expect, [known(d, expect), down])
        assert d == founding
        assert waits is not None
        assert (True, ()) == (waits.problem, waits.doors)


def test_who_was_let_in_takes_part():
    """With the digest of the founders, and for good."""
    (d,) = fresh("d")
    member = evolve(d, admission=Admission("d1ge57", 3), agreed=True)

    assert (member, None) == advance(member, 0, [])
    assert ("c/d1ge57", 3) == (member.cluster_id, member.size)
    assert member == Founding.from_bytes(member.to_bytes())


def test_who_founds_nothing_is_not_counted():
    """A server that only wants to join waits, and the founders do without it."""
    a, b = fresh("a", "b")

    waiting, waits = advance(a, 0, [known(a, 0), known(b, 0)])
    assert a == waiting
    assert waits is not None
    assert "waits for a cluster to join" in waits.text
    locked, _ = advance(b, 1, [known(a, 0), known(b, 1)])
    assert (b.me,) == locked.founders


def test_a_lock_is_for_ever():
    """Whoever comes later, the set stays, and one that was not in it is no witness."""
    a, b, c, d = fresh("a", "b", "c", "d")
    locked, _ = advance(a, 3, [known(a), known(b), known(c)])
    other, _ = advance(d, 3, [known(b), known(c), known(d)])

    again, waits = advance(locked, 3, [known(locked), known(b), known(evolve(other, agreed=True))])

    assert locked == again
    assert waits is not None
    assert "b, c confirm" in waits.text


def test_one_witness_is_enough():
    """Who was away when all had locked learns it from one that saw it."""
    servers = fresh("a", "b", "c")
    seen = [known(one) for one in servers]
    a, b, _ = (advance(one, 3, seen)[0] for one in servers)

    founding, waits = advance(a, 3, [known(a), known(evolve(b, agreed=True))])

    assert founding.agreed
    assert waits is None


def test_a_new_disk_is_another_server():
    """Same name, other nonce: other digest, and no confirmation."""
    servers = fresh("a", "b", "c")
    seen = [known(one) for one in servers]
    a, b, c = (advance(one, 3, seen)[0] for one in servers)
    reborn = evolve(c, me=Founder("c", "another"), founders=[a.me, b.me, Founder("c", "another")])

    founding, waits = advance(a, 3, [known(a), known(b), known(reborn)])

    assert reborn.cluster_id != a.cluster_id
    assert not founding.agreed
    assert waits is not None


@settings(max_examples=100)
@given(st.data())
def test_no_two_agreed_sets_share_a_server(data):
    """Whatever gossip shows to whom and when, restarts included: no server is in two clusters."""
    names = "abcd"
    servers = {one.me.name: one for one in fresh(*names)}
    told = {name: known(one) for name, one in servers.items()}
    for _ in range(data.draw(st.integers(0, 60))):
        # The first set is the likeliest, so that something is founded now and then.
        visible = data.draw(st.sampled_from(["abc", "abc", "abc", "bcd", "abcd", "ab"]))
        name = data.draw(st.sampled_from(visible))
        seen = [known(servers[one]) if one == name else told[one] for one in visible]
        founding, _ = advance(servers[name], 3, seen)
        servers[name] = Founding.from_bytes(founding.to_bytes())
        if data.draw(st.booleans()):  # otherwise what others see of it stays old
            told[name] = known(servers[name])

    agreed = {one.founders for one in servers.values() if one.agreed}
    event(f"{len(agreed)} agreed sets")
    for founders in agreed:
        assert 3 == len(founders)
        for other in agreed - {founders}:
            assert not set(founders) & set(other)
        for founder in founders:
            assert founders == servers[founder.name].founders


def test_the_record_survives_the_disk():
    """Reading inverts writing."""
    a, b = fresh("a", "b")
    founding = evolve(a, founders=[b.me, a.me], agreed=True, seeds=("127.0.0.1:1",))

    assert founding == Founding.from_bytes(founding.to_bytes())


@given(
    st.binary()
    | st.sampled_from(
        [
            b"{}",
            b'{"format": 2}',
            b"[]",
            b'{"format": 1}',
            (
                b'{"format": 1, "name": "a", '
                b'"nonce": "n", "cluster": "c", "founders": [], "agreed": true, "seeds": [], '
                b'"admission": ["", 3]}'
            ),
        ]
    )
)
def test_a_damaged_record_is_refused(data):
    """With one error, whatever is in it."""
    with pytest.raises(ProtocolError):
        Founding.from_bytes(data)
