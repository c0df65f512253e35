"""Compression: what went in comes out, and hostile bytes cost neither memory nor an exception."""

from __future__ import annotations

import tracemalloc
import zlib

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rumor.compression import COMPRESSED_BYTES_MIN, compress, decompress
from rumor.errors import ProtocolError
from rumor.messages import Alive, Gossip, Peer, Push
from rumor.wire import COMPRESSED, DATAGRAM_BYTES_MAX, LENGTH_BYTES, VERSION, Wire, encode

PLAIN, SQUEEZING = Wire("c"), Wire("c", compress=True)
GOSSIP = [encode(Alive(f"member-{i}", ("10.0.0.1", i + 1), 0, b"")) for i in range(30)]


@settings(max_examples=100)
@given(st.binary(max_size=2_000), st.integers(1, 30))
def test_what_is_packed_comes_out_and_is_shorter(data: bytes, times: int) -> None:
    """Or is left alone."""
    data *= times
    packed = compress(data)

    assert packed is None or len(packed) < len(data)
    assert packed is None or decompress(packed, len(data)) == data
    assert packed is None or len(data) >= COMPRESSED_BYTES_MIN


def test_both_kinds_are_read_by_everybody() -> None:
    """Whoever compresses reads plain bytes, and the other way round."""
    push = Push(tuple(Peer(f"member-{i}", ("10.0.0.1", 1)) for i in range(100)))
    for writer in (PLAIN, SQUEEZING):
        for reader in (PLAIN, SQUEEZING):
            assert len(reader.unpack(writer.pack(Gossip(), GOSSIP))[1]) == 30
            assert reader.unpack_request(writer.pack_frame(push)[LENGTH_BYTES:]) == push
            assert reader.unpack_reply(writer.pack_frame(push)[LENGTH_BYTES:]) == push


def test_what_is_long_gets_shorter_and_what_is_short_stays() -> None:
    """Lists of members look much alike."""
    long, squeezed = PLAIN.pack(Gossip(), GOSSIP), SQUEEZING.pack(Gossip(), GOSSIP)

    assert (long[0], squeezed[0]) == (VERSION, COMPRESSED)
    assert len(squeezed) < len(long) / 2
    assert SQUEEZING.pack(Gossip()) == PLAIN.pack(Gossip())


@pytest.mark.parametrize("bytes_max", [0, 1, 1_000, DATAGRAM_BYTES_MAX])
def test_the_limit_is_exact(bytes_max: int) -> None:
    """As many bytes as allowed are taken, one more is refused."""
    assert decompress(zlib.compress(bytes(bytes_max)), bytes_max) == bytes(bytes_max)
    with pytest.raises(ProtocolError, match=f"more than {bytes_max} bytes"):
        decompress(zlib.compress(bytes(bytes_max + 1)), bytes_max)


def test_a_bomb_costs_no_more_memory_than_its_limit() -> None:
    """64 MiB in 64 KiB, as a datagram and as a frame."""
    bomb = bytes((COMPRESSED,)) + zlib.compress(bytes(64 << 20))
    small = Wire("c", stream_bytes_max=1 << 20)
    tracemalloc.start()
    try:
        for unpack in (small.unpack, small.unpack_request, small.unpack_reply):
            with pytest.raises(ProtocolError, match="unpacks to more than"):
                unpack(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(bomb) < 70_000
    assert peak < 4 << 20


def item(depth: int) -> bytes:
    """Nested lists."""
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return cbor2.dumps(["c", value])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 300,
        zlib.compress(GOSSIP[0])[:-1],
        zlib.compress(GOSSIP[0]) + b"x",
        zlib.compress(GOSSIP[0]) + zlib.compress(GOSSIP[0]),
        zlib.compress(b""),
        zlib.compress(item(100)),
        zlib.compress(PLAIN.pack(Gossip())),
        zlib.compress(SQUEEZING.pack(Gossip(), GOSSIP)),
        zlib.compress(b"\x9b" + b"\xff" * 8),
    ],
    ids=["nothing", "noise", "cut", "more", "two", "empty", "deep", "twice", "nested", "lies"],
)
def test_hostile_bytes_are_a_protocol_error(data: bytes) -> None:
    """In datagrams and in frames."""
    for unpack in (PLAIN.unpack, PLAIN.unpack_request, PLAIN.unpack_reply):
        with pytest.raises(ProtocolError):
            unpack(bytes((COMPRESSED,)) + data)


@settings(max_examples=100)
@given(st.binary(max_size=200), st.integers(0, 300), st.integers(1, 255))
def test_arbitrary_bytes_raise_nothing_but_protocol_error(
    data: bytes, place: int, change: int
) -> None:
    """Compressed noise, and an honest datagram with one byte changed."""
    packed = bytearray(SQUEEZING.pack(Gossip(), GOSSIP))
    packed[place % len(packed)] ^= change
    for each in (bytes((COMPRESSED,)) + zlib.compress(data), bytes(packed)):
        try:
            PLAIN.unpack(each)
        except ProtocolError:
            continue
