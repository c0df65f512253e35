"""User events as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import ProtocolError
from catalog.events import Event, Events, FireEvent


def test_an_event_arrives_as_it_left():
    """Its name and clock travel beside the payload."""
    event = Event("id", "deploy", b"\0", "n", "web", "blue", 7)

    assert event == Event.from_payload("deploy", event.to_payload(), 7)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "a", "node": "("},
        {"name": "a", "service": "(a+)+"},
        {"name": "a", "tag": "blue"},
    ],
)
def test_nonsense_is_refused_where_it_is_made(nonsense):
    """Patterns that are none, or too slow, included."""
    with pytest.raises(ValueError, match=r"\w"):
        FireEvent(**nonsense)


@given(st.binary() | st.just(Event("id", "a", b"", "(", "", "", 0).to_payload()))
def test_what_is_no_event_is_refused(payload):
    """With one error, whatever it is: any member may send it."""
    with pytest.raises(ProtocolError):
        Event.from_payload("deploy", payload, 0)


def test_whoever_waits_for_events_is_not_given_up():
    """As long as it asked for; a list alone is there at once."""
    assert 60.0 == Events(after=3, wait=60.0).patience
    assert 0.0 == Events(wait=60.0).patience
