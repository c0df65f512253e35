"""Which error is which status."""

from __future__ import annotations

import pytest

from catalog.errors import (
    Busy,
    Indeterminate,
    NoLeader,
    NoServers,
    NotRegistered,
    ProtocolError,
)
from catalog.http.trouble import trouble_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NoLeader("x"), 500),
        (NoServers("x"), 500),
        (Busy("x"), 503),
        (Indeterminate("x"), 500),
        (NotRegistered("x"), 404),
        (ProtocolError("x"), 500),
        (ValueError("x"), 400),
        (TypeError("x"), 400),
    ],
)
def test_each_error_has_its_status(error, status):
    """Consul's own where it has the same error."""
    assert status == trouble_of(error).status


def test_without_a_leader_the_text_is_consuls():
    """Its clients compare it."""
    assert "No cluster leader" == trouble_of(NoLeader("too few servers")).text
