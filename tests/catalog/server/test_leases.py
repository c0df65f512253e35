"""The leader's clock of sessions: between one and two TTLs, and never early."""

from __future__ import annotations

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.model import Session
from catalog.server.leases import RETRY_SECONDS, SessionClock


def session(name: str = "s", ttl: float | None = 10.0) -> Session:
    """Return a session."""
    return Session(name, "n1", ttl=ttl)


def test_a_session_expires_after_two_ttls():
    """A new leader gives each a full lifetime, and the grace on top."""
    clock = SessionClock()
    clock.follow([session()], now=100.0)

    assert clock.deadline == 120.0
    assert clock.expired(now=119.9) == ()
    assert clock.expired(now=120.0) == ("s",)


def test_a_renewal_begins_a_lifetime():
    """From the renewal on, the session has two TTLs again."""
    clock = SessionClock()
    clock.follow([session()], now=0.0)

    assert clock.renew("s", now=15.0)
    assert clock.expired(now=34.9) == ()
    assert clock.expired(now=35.0) == ("s",)


def test_an_expired_session_is_not_renewed():
    """Its end is on its way: a renewal now would be a promise that is broken a moment later."""
    clock = SessionClock()
    clock.follow([session()], now=0.0)

    assert not clock.renew("s", now=20.0)
    assert clock.expired(now=20.0) == ("s",)
    assert not clock.renew("s", now=20.0)


def test_an_expired_session_that_is_still_there_is_named_again():
    """Its end may not have been committed; once it is gone, nothing is left."""
    clock = SessionClock()
    clock.follow([session()], now=0.0)
    clock.expired(now=20.0)

    assert clock.expired(now=20.0) == ()
    clock.follow([session()], now=21.0)
    assert clock.deadline == 20.0 + RETRY_SECONDS
    assert clock.expired(now=30.0) == ("s",)
    clock.follow([], now=31.0)
    assert clock.deadline == inf


def test_sessions_without_a_ttl_never_expire():
    """They end with their node or their checks only."""
    clock = SessionClock()
    clock.follow([session(ttl=None)], now=0.0)

    assert clock.deadline == inf
    assert not clock.renew("s", now=1.0)


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 5), min_size=1),
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.0, 4.0)), max_size=30),
)
def test_none_expires_early_or_late(ttls: dict[str, int], renewals: list[tuple[str, float]]):
    """Whatever is renewed when, a session is named exactly two TTLs after its last renewal."""
    clock = SessionClock()
    clock.follow([session(name, ttl) for name, ttl in ttls.items()], now=0.0)
    due = {name: 2.0 * ttl for name, ttl in ttls.items()}
    now = 0.0
    for name, pause in renewals:
        until = now + pause
        while due and clock.deadline <= until:
            now = clock.deadline
            found = clock.expired(now=now)
            assert {one for one in due if due[one] <= now} == set(found)
            for one in found:
                assert due.pop(one) == now
            clock.follow([session(one, ttls[one]) for one in due], now=now)
        now = until
        assert (name in due) == clock.renew(name, now=now)
        if name in due:
            due[name] = now + 2.0 * ttls[name]
