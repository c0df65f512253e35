"""quorum.storage.format: records, and how to tell torn from damaged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorum.storage.format import (
    FRAME_SIZE,
    HEADER_SIZE,
    RECORD_BYTES_MAX,
    SECTOR,
    Link,
    Tail,
    judge_tail,
    read,
    seal,
)

ZEROS = bytes(2000)


def chain(*bodies: bytes) -> tuple[bytes, Link, list[int]]:
    """Records with these bodies, where the chain is then, and where each record begins."""
    data, link, starts = b"", Link(), []
    for body in bodies:
        starts.append(len(data))
        record, link = seal([body], link, filled=0)
        data += record
    return data, link, starts


@given(st.binary(max_size=50), st.integers(0, 2**63), st.integers(0, 2**32 - 1))
def test_read_undoes_seal(body: bytes, sequence: int, checksum: int) -> None:
    """A record comes back with its body and its place in the chain."""
    data, link = seal([body], Link(sequence, checksum), filled=77)
    record = read(b"before" + data + b"behind", 6)

    assert record is not None
    assert (record.start, record.stop) == (6, 6 + FRAME_SIZE + len(body))
    assert (record.body, record.link, record.filled) == (body, link, 77)
    assert record.continues(Link(sequence, checksum))


@given(st.binary(max_size=200), st.integers(0, 10))
def test_arbitrary_bytes_are_no_record(data: bytes, start: int) -> None:
    """Bytes that nobody sealed are not taken for a record, and judging them does not fail."""
    assert read(data, start) is None
    assert judge_tail(data, min(start, len(data)), Link()) in Tail


def test_another_chain_does_not_continue() -> None:
    """A whole record that follows something else is recognized by its link."""
    record, _ = seal([b"body"], Link(4, 123), filled=0)
    found = read(record, 0)

    assert found is not None
    assert not found.continues(Link(4, 124))
    assert not found.continues(Link(3, 123))


def test_zeros_are_a_clean_end() -> None:
    """Space that was filled and not used, or no space at all, is the end."""
    data, link, _ = chain(b"one", b"two")

    assert judge_tail(data, len(data), link) is Tail.CLEAN
    assert judge_tail(data + ZEROS, len(data), link) is Tail.CLEAN


@pytest.mark.parametrize("size", [5, 300, 1500])
def test_a_write_cut_at_any_byte_is_torn(size: int) -> None:
    """Wherever a crash cuts the last write, in zeros or at the file's end, it shows as torn."""
    data, link, _ = chain(b"acknowledged")
    record, _ = seal([b"\x55" * size], link, filled=0)
    for cut in range(1, len(record)):
        for behind in (b"", bytes(len(record) - cut), ZEROS):
            assert judge_tail(data + record[:cut] + behind, len(data), link) is Tail.TORN, cut


@pytest.mark.parametrize("lead", [0, 100, 480, 505])
def test_a_write_without_any_one_sector_is_torn(lead: int) -> None:
    """Sectors reach the disk in any order; a record that lacks one shows as torn."""
    link = Link()
    record, _ = seal([b"\x55" * 1700], link, filled=0)
    data = b"\xaa" * lead + record
    for low in range(0, len(data), SECTOR):
        lost = bytearray(data)
        lost[max(lead, low) : low + SECTOR] = bytes(len(lost[max(lead, low) : low + SECTOR]))

        assert judge_tail(bytes(lost) + ZEROS, lead, link) is Tail.TORN, low


def test_every_flipped_bit_of_the_last_record_is_damage() -> None:
    """A flipped bit does not make an acknowledged record look torn."""
    data, link, _ = chain(b"first")
    record, _ = seal([b"last, but acknowledged"], link, filled=0)
    for bit in range(8 * len(record)):
        flipped = bytearray(record)
        flipped[bit // 8] ^= 1 << bit % 8

        assert judge_tail(data + bytes(flipped) + ZEROS, len(data), link) is Tail.DAMAGED, bit


def test_every_flipped_bit_before_the_last_record_is_damage() -> None:
    """A record of the chain further on proves that what is before it was acknowledged."""
    data, _, starts = chain(b"first", bytes(1000), b"third")
    start, link = starts[1], Link(1, int.from_bytes(data[starts[1] - 5 : starts[1] - 1], "little"))
    for bit in range(8 * start, 8 * starts[2]):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8

        assert judge_tail(bytes(flipped) + ZEROS, start, link) is Tail.DAMAGED, bit


@pytest.mark.parametrize("length", [1, 4, HEADER_SIZE])
def test_every_zeroed_stretch_before_the_last_record_is_damage(length: int) -> None:
    """Zeros in a record do not make it look torn when the chain goes on behind it."""
    data, _, starts = chain(b"first", b"\x55" * 300, b"third")
    start, link = starts[1], Link(1, int.from_bytes(data[starts[1] - 5 : starts[1] - 1], "little"))
    for place in range(start, starts[2] - length + 1):
        zeroed = bytearray(data)
        zeroed[place : place + length] = bytes(length)
        if bytes(zeroed) != data:
            assert judge_tail(bytes(zeroed) + ZEROS, start, link) is Tail.DAMAGED, place


def test_a_record_of_another_chain_is_damage() -> None:
    """A whole record that does not continue the chain is not dropped as torn."""
    data, link, _ = chain(b"one")
    stray, _ = seal([b"stray"], Link(link.sequence, link.checksum ^ 1), filled=0)

    assert judge_tail(data + stray, len(data), link) is Tail.DAMAGED


def test_a_body_has_a_limit() -> None:
    """A length beyond the limit is not believed, and not written."""

    class Huge(bytes):
        def __len__(self) -> int:
            return RECORD_BYTES_MAX + 1

    with pytest.raises(ValueError, match="limit"):
        seal([Huge()], Link(), filled=0)
    assert HEADER_SIZE < FRAME_SIZE
