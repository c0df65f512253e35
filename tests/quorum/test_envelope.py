"""Tests of quorum.envelope: what clients write around their commands."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorum.envelope import (
    HEADER_BYTES,
    MAGIC,
    UINT_MAX,
    Request,
    close_request,
    command_request,
    keep_alive_request,
    open_request,
    parse,
    parse_ttl,
)

NUMBERS = st.integers(1, UINT_MAX)


@settings(max_examples=50)
@given(NUMBERS, st.lists(NUMBERS, min_size=2, max_size=2).map(sorted), st.binary(max_size=9))
def test_a_command_is_what_went_into_the_envelope(session, numbers, command):
    """All its fields, to the highest."""
    below, sequence = numbers
    data = command_request(session, sequence, below, command)
    assert (Request.COMMAND, session, sequence, below) == parse(data)
    assert command == data[HEADER_BYTES:]


def test_the_other_requests_have_their_fields_only():
    """A time to live, an acknowledgement, or nothing at all."""
    assert (Request.OPEN, 0, 0, 0) == parse(open_request(250))
    assert 250 == parse_ttl(open_request(250))
    assert (Request.KEEP_ALIVE, 7, 0, 3) == parse(keep_alive_request(7, 3))
    assert (Request.CLOSE, 7, 0, 0) == parse(close_request(7))


def header(kind, session=0, sequence=0, below=0, payload=b""):
    """An envelope with any fields."""
    return struct.pack("<4sBQQQ", MAGIC, kind, session, sequence, below) + payload


@pytest.mark.parametrize(
    "data",
    [
        b"",
        MAGIC,
        open_request()[:-1],
        open_request() + b"x",
        b"x" + command_request(1, 1, 1, b"x")[1:],
        header(0),
        header(5, 1, 1, 1),
        header(255),
        header(Request.OPEN, 1, payload=bytes(8)),
        header(Request.OPEN, 0, 1, payload=bytes(8)),
        header(Request.COMMAND, 0, 1, 1),
        header(Request.COMMAND, 1, 0, 0),
        header(Request.COMMAND, 1, 1, 0),
        header(Request.COMMAND, 1, 1, 2),
        header(Request.KEEP_ALIVE, 0, 0, 1),
        header(Request.KEEP_ALIVE, 1, 1, 1),
        header(Request.KEEP_ALIVE, 1, 0, 0),
        header(Request.KEEP_ALIVE, 1, 0, 1, b"x"),
        header(Request.CLOSE, 0),
        header(Request.CLOSE, 1, 0, 1),
        header(Request.CLOSE, 1, 0, 0, b"x"),
    ],
)
def test_what_no_client_writes_is_refused(data):
    """With ValueError, and nothing else."""
    with pytest.raises(ValueError):
        parse(data)
