"""quorum.storage.bodies: what records say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorum.effects import Persist, Trim
from quorum.messages import Entries, Members, SnapshotMark
from quorum.storage.bodies import (
    NAME_BYTES_MAX,
    Opening,
    Write,
    pack_opening,
    pack_trim,
    pack_write,
    unpack_body,
)
from quorum.storage.replay import Outline

RUN = Entries(8, (3, 3), (5, 5), b"\x00\x01", (b"x", b""))
MARK = SnapshotMark(7, 2, 99, Members(("a", "b")), 4)


@pytest.mark.parametrize("vote", [None, "a", "ünïcode"])
def test_an_opening_comes_back(vote: str | None) -> None:
    """A segment's opening holds its owner and where the storage stood."""
    opening = Opening("n1", "blue", Outline(5, vote, MARK, 8, 2, 19))

    assert opening == unpack_body(pack_opening(opening))


def test_a_write_comes_back_in_order() -> None:
    """A batch is read as the same operations in the same order, under its newest hard state."""
    batch = [Persist(1, 3, "a", RUN), Persist(2, 4, None), Persist(3, 4, "b", RUN, MARK)]
    expected = Write(
        (
            Persist(0, 4, "b", RUN),
            Persist(0, 4, "b", reset=MARK),
            Persist(0, 4, "b", RUN),
            Persist(0, 4, "b"),
        )
    )

    assert expected == unpack_body(b"".join(pack_write(batch)))


def test_a_trim_comes_back() -> None:
    """A trim keeps the hard state that was in force."""
    trim = Trim(MARK, 6, 1)

    assert Write((trim, Persist(0, 4, None))) == unpack_body(pack_trim(trim, term=4, vote=None))


@given(st.binary(max_size=120) | st.binary(max_size=80).map(lambda tail: b"\x02" + tail))
def test_arbitrary_bytes_raise_value_error_only(data: bytes) -> None:
    """A body that nobody packed is refused with ValueError, or happens to be one."""
    try:
        unpack_body(data)
    except ValueError:
        return


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(pack_opening(Opening("n1", "blue", Outline(5, "a", MARK, 8, 2, 19))), id="o"),
        pytest.param(b"".join(pack_write([Persist(1, 3, "a", RUN, MARK)])), id="w"),
        pytest.param(pack_trim(Trim(MARK, 6, 1), term=4, vote=None), id="t"),
    ],
)
def test_every_truncation_is_refused_or_shorter(body: bytes) -> None:
    """A cut body is refused, unless it was cut between two operations."""
    whole = unpack_body(body)
    for size in range(len(body)):
        try:
            assert unpack_body(body[:size]) != whole
        except ValueError:
            continue


@pytest.mark.parametrize("name", ["", "x" * (NAME_BYTES_MAX + 1)])
def test_a_name_has_bounds(name: str) -> None:
    """A name that could not be read back is not written."""
    with pytest.raises(ValueError, match="name"):
        pack_opening(Opening(name, "blue", Outline()))


@pytest.mark.parametrize(
    "body", [b"", b"\x03", b"\x01\x02", b"\x02" + bytes(8) + b"\xff\xff\x09" + bytes(4)]
)
def test_unknown_kinds_and_versions_are_refused(body: bytes) -> None:
    """What a later version may write is not guessed at."""
    with pytest.raises(ValueError):
        unpack_body(body)
