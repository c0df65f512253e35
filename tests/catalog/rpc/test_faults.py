"""Errors that travel."""

from __future__ import annotations

import pytest

from catalog.errors import (
    Busy,
    CatalogError,
    Indeterminate,
    NoLeader,
    NoServers,
    NotRegistered,
    OutOfStep,
    ProtocolError,
)
from catalog.rpc.faults import ConnectionLost, NotLeading, Unreachable, fault_of, raised


@pytest.mark.parametrize(
    ("error", "arrives"),
    [
        (NotLeading("x"), NotLeading),
        (NoLeader("x"), NoLeader),
        (NoServers("x"), NoServers),
        (Unreachable("x"), NoServers),
        (Busy("x"), Busy),
        (Indeterminate("x"), Indeterminate),
        (ConnectionLost("x"), Indeterminate),
        (NotRegistered("x"), NotRegistered),
        (ProtocolError("x"), ProtocolError),
        (ValueError("x"), ValueError),
        (OutOfStep("x"), CatalogError),
    ],
)
def test_errors_arrive_as_the_nearest_class(error, arrives):
    """With the sentence that they left with."""
    found = raised(*fault_of(error))

    assert arrives is type(found)
    assert "x" == str(found)


def test_a_fault_of_ours_has_no_code():
    """It is logged where it happened instead."""
    with pytest.raises(LookupError, match="no code"):
        fault_of(RuntimeError("x"))


def test_an_unknown_code_is_still_an_error():
    """A newer agent may know more of them."""
    assert CatalogError is type(raised("from-the-future", "x"))
