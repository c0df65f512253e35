"""quorum.codec: a run of entries as bytes."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorum.codec import ENTRIES_MAX, pack, pack_mark, unpack, unpack_mark, unpack_members
from quorum.messages import Entries, Members, SnapshotMark

NUMBERS = st.integers(0, 2**64 - 1)


@st.composite
def runs(draw: st.DrawFn) -> Entries:
    """Any run of up to a dozen entries, with columns that do and do not repeat."""
    payloads = tuple(draw(st.lists(st.binary(max_size=40), max_size=12)))
    count = len(payloads)
    column = st.lists(NUMBERS | st.just(7), min_size=count, max_size=count).map(tuple)
    same = NUMBERS.map(lambda number: (number,) * count)
    kinds = st.lists(st.integers(0, 2), min_size=count, max_size=count).map(bytes)
    first = draw(st.integers(1, 2**64 - 1))
    return Entries(first, draw(column | same), draw(column | same), draw(kinds), payloads)


SAMPLE = Entries(9, (1, 1, 2), (5, 6, 6), b"\x00\x01\x00", (b"alpha", b"", b"beta"))


@given(runs())
def test_unpack_undoes_pack(entries: Entries) -> None:
    """Whatever is packed comes back equal."""
    assert entries == unpack(pack(entries))


@given(runs())
def test_both_directions_keep_the_bytes(entries: Entries) -> None:
    """A run that was packed or unpacked carries its bytes, and packs to the same object again."""
    data = pack(entries)

    assert data is entries.packed
    assert data is pack(unpack(data))


def test_bytes_are_as_documented() -> None:
    """The format is fixed: this is what version 1 of it looks like."""
    expected = (
        bytes.fromhex("0900000000000000 03000000 02000000 02000000")
        + bytes.fromhex("0100000000000000 02000000 0200000000000000 01000000")
        + bytes.fromhex("0500000000000000 01000000 0600000000000000 02000000")
        + bytes.fromhex("000100 05000000 00000000 04000000")
        + b"alphabeta"
    )

    assert expected == pack(SAMPLE)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_value_error_only(data: bytes) -> None:
    """Bytes that nobody packed are refused with ValueError, or happen to be a run."""
    try:
        entries = unpack(data)
    except ValueError:
        return
    assert len(entries) == len(entries.payloads) == len(entries.stamps) == len(entries.kinds)


def test_every_truncation_is_refused() -> None:
    """No proper prefix of a packed run is a run."""
    data = pack(SAMPLE)
    for size in range(len(data)):
        with pytest.raises(ValueError):
            unpack(data[:size])


def test_every_extension_is_refused() -> None:
    """A byte too many is an error, not a surplus."""
    with pytest.raises(ValueError, match="add up"):
        unpack(pack(SAMPLE) + b"\x00")


@settings(max_examples=50)
@given(runs(), st.data())
def test_a_mutated_run_is_refused_or_well_formed(entries: Entries, data: st.DataObject) -> None:
    """Changing one byte gives ValueError or another run, never anything else."""
    packed = bytearray(pack(entries))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] = data.draw(st.integers(0, 255))
    try:
        changed = unpack(bytes(packed))
    except ValueError:
        return
    assert bytes(packed) == changed.packed
    assert sum(map(len, changed.payloads)) <= len(packed)


def test_a_lying_count_allocates_nothing() -> None:
    """A header that promises millions of entries costs no memory."""
    lie = bytes.fromhex("0100000000000000 00001000 01000000 01000000") + bytes(24)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="does not fit"):
            unpack(lie)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 20_000


def test_too_many_entries_are_refused() -> None:
    """The bound of a run holds in both directions."""
    count = ENTRIES_MAX + 1
    with pytest.raises(ValueError, match="longer"):
        pack(Entries(1, (1,) * count, (0,) * count, bytes(count), (b"",) * count))
    header = (1).to_bytes(8, "little") + count.to_bytes(4, "little") + bytes(8)
    with pytest.raises(ValueError, match="out of bounds"):
        unpack(header)


def test_an_unknown_kind_is_refused() -> None:
    """An entry that this version cannot apply is not taken for one that it can."""
    with pytest.raises(ValueError, match="unknown kind"):
        unpack(pack(Entries(1, (1,), (0,), b"\x04", (b"",))))


def test_numbers_that_do_not_fit_are_refused() -> None:
    """A negative or oversized number is the packer's error, and a ValueError."""
    with pytest.raises(ValueError, match="does not fit"):
        pack(Entries(1, (-1,), (0,), b"\x00", (b"",)))


def test_a_mark_comes_back() -> None:
    """A snapshot's mark survives the way, its configuration included."""
    members = Members(("a", "b"), ("a", "c"), ("d",), (("a", "host:1"),))
    mark = SnapshotMark(5, 2, 1_700_000_000_000, members, 3)

    assert mark == unpack_mark(pack_mark(mark))


@given(st.binary(max_size=80))
def test_arbitrary_marks_raise_value_error_only(data: bytes) -> None:
    """Whatever comes instead of a mark, the answer is ValueError."""
    with pytest.raises(ValueError):
        unpack_mark(data)


@pytest.mark.parametrize("mark", [SnapshotMark(-1), SnapshotMark(members=Members(("x" * 70_000,)))])
def test_a_mark_that_does_not_fit_is_refused(mark: SnapshotMark) -> None:
    """What could not be read back is not packed."""
    with pytest.raises(ValueError):
        pack_mark(mark)


def test_deep_nesting_is_refused() -> None:
    """A configuration nested beyond the interpreter's patience is a ValueError too."""
    with pytest.raises(ValueError):
        unpack_members(b"[" * 60_000)
