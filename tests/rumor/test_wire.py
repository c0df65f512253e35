"""Bytes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rumor.errors import ConfigError, ForeignCluster, MetaTooLarge, ProtocolError
from rumor.fields import NATURAL_MAX
from rumor.messages import (
    ANSWER_BYTES_MAX,
    COORDINATE_DIMENSIONS,
    QUERY_BYTES_MAX,
    RELAYS_MAX,
    Ack,
    Alive,
    Coordinate,
    Dead,
    Digest,
    Gossip,
    Health,
    Leave,
    Message,
    Nack,
    Peer,
    Ping,
    PingRequest,
    Push,
    Query,
    QueryAck,
    QueryAnswer,
    QueryRelay,
    Reply,
    Request,
    Same,
    StreamAck,
    StreamPing,
    Summary,
    Suspect,
    Update,
    UserEvent,
    Version,
    Word,
)
from rumor.wire import LENGTH_BYTES, Wire, decode_meta, encode, encode_meta

WIRE = Wire("c")

names = st.text(
    st.characters(categories=("L", "N", "P"), max_codepoint=0x2FF), min_size=1, max_size=40
)
naturals = st.integers(0, NATURAL_MAX)
addresses = st.tuples(
    st.ip_addresses().map(str),
    st.integers(1, 65_535),
)
metas = st.binary(max_size=512)
healths = st.sampled_from(Health)
singles = st.floats(width=32, allow_nan=False, allow_infinity=False)
coordinates = st.builds(
    Coordinate, st.tuples(*[singles] * COORDINATE_DIMENSIONS), singles, singles, singles
)
fingerprints = st.none() | st.binary(min_size=16, max_size=16)
answers = st.one_of(
    st.builds(QueryAck, naturals, names),
    st.builds(QueryAnswer, naturals, names, st.binary(max_size=ANSWER_BYTES_MAX)),
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Ping, naturals, names, names, fingerprints),
    st.builds(PingRequest, naturals, names, names, addresses),
    st.builds(Ack, naturals, names),
    st.builds(Ack, naturals, names, coordinates),
    st.builds(Nack, naturals, names),
    st.just(Gossip()),
    answers,
    st.builds(QueryRelay, names, answers),
)
updates: st.SearchStrategy[Update] = st.one_of(
    st.builds(Alive, names, addresses, naturals, metas),
    st.builds(Suspect, names, naturals, names),
    st.builds(Dead, names, naturals, names),
    st.builds(Leave, names, naturals),
)
user_events = st.builds(
    UserEvent, naturals, names, naturals, naturals, names, st.binary(max_size=512)
)
event_keys = st.tuples(naturals, names, naturals, naturals)
queries = st.builds(
    Query,
    *(naturals, names, naturals, naturals, names, st.binary(max_size=300), addresses, naturals),
    st.booleans(),
    st.integers(0, RELAYS_MAX),
    st.lists(names, max_size=3).map(tuple),
    st.lists(st.tuples(names, names), max_size=2).map(tuple),
).filter(lambda query: query.weight <= QUERY_BYTES_MAX)
words: st.SearchStrategy[Word] = st.one_of(updates, user_events, queries)
peers = st.one_of(
    st.builds(
        Peer, names, addresses, naturals, st.sampled_from([Health.ALIVE, Health.LEFT]), metas
    ),
    st.builds(
        Peer, names, addresses, naturals, st.sampled_from([Health.SUSPECT, Health.DEAD]), metas,
        names,
    ),
)  # fmt: skip
pushes = st.builds(
    Push,
    st.lists(peers, max_size=4).map(tuple),
    st.one_of(st.none(), st.lists(names, max_size=4).map(tuple)),
    st.lists(user_events, max_size=3).map(tuple),
    st.lists(event_keys, max_size=3).map(tuple),
)
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(Summary, st.binary(min_size=16, max_size=16)), pushes, st.builds(StreamPing, names)
)
replies: st.SearchStrategy[Reply] = st.one_of(
    st.just(Same()),
    st.builds(StreamAck, names),
    st.builds(
        Digest,
        st.lists(st.builds(Version, names, naturals, healths, naturals), max_size=4).map(tuple),
        st.lists(event_keys, max_size=3).map(tuple),
    ),
    pushes,
)


@settings(max_examples=100)
@given(messages, st.lists(words, max_size=6))
def test_datagrams_come_out_as_they_went_in(message: Message, gossip: list[Word]) -> None:
    """Unpacking what was packed gives the same values."""
    data = WIRE.pack(message, [encode(update) for update in gossip])

    assert WIRE.unpack(data) == (message, tuple(gossip))


@pytest.mark.parametrize("count", [0, 23, 24, 255, 256, 600])
def test_any_number_of_updates_fits_the_format(count: int) -> None:
    """More than 255 parts are counted as well as few."""
    gossip = [Leave("x", i) for i in range(count)]

    assert WIRE.unpack(WIRE.pack(Gossip(), [encode(u) for u in gossip]))[1] == tuple(gossip)


@settings(max_examples=60)
@given(requests)
def test_requests_come_out_as_they_went_in(request: Request) -> None:
    """Frames carry requests, with their length in front."""
    frame = WIRE.pack_frame(request)

    assert int.from_bytes(frame[:LENGTH_BYTES], "big") == len(frame) - LENGTH_BYTES
    assert WIRE.unpack_request(frame[LENGTH_BYTES:]) == request


@settings(max_examples=60)
@given(replies)
def test_replies_come_out_as_they_went_in(reply: Reply) -> None:
    """Frames carry replies."""
    assert WIRE.unpack_reply(WIRE.pack_frame(reply)[LENGTH_BYTES:]) == reply


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5)
)
trees = st.recursive(
    scalars, lambda t: st.lists(t, max_size=4) | st.dictionaries(st.text(max_size=2), t, max_size=2)
)


def feed(data: bytes) -> None:
    """Give bytes to every decoder; only a ProtocolError may come back."""
    for decode in (WIRE.unpack, WIRE.unpack_request, WIRE.unpack_reply, decode_meta):
        with suppress(ProtocolError):
            decode(data)


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_protocol_error(data: bytes) -> None:
    """Noise, with and without a correct beginning."""
    feed(data)
    feed(b"\x01\x83\x61c" + data)
    feed(b"\x01\x82\x61c" + data)


@settings(max_examples=100)
@given(trees, trees)
def test_well_formed_nonsense_raises_nothing_but_protocol_error(head: Any, tail: Any) -> None:
    """Correct CBOR of another meaning."""
    feed(b"\x01" + cbor2.dumps(["c", head, tail]))
    feed(b"\x01" + cbor2.dumps(["c", [0, head, tail]]))
    feed(b"\x01" + cbor2.dumps(["c", [4], [[0, head, tail, 1, b""]]]))


@settings(max_examples=100)
@given(messages, st.lists(updates, max_size=3), st.data())
def test_a_changed_byte_raises_nothing_but_protocol_error(
    message: Message, gossip: list[Update], data: st.DataObject
) -> None:
    """A datagram damaged, shortened or lengthened anywhere."""
    packed = bytearray(WIRE.pack(message, [encode(update) for update in gossip]))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] = data.draw(st.integers(0, 255))
    feed(bytes(packed))
    feed(bytes(packed[:place]))


PING = [0, 7, "a", "b"]


@pytest.mark.parametrize(
    ("message", "gossip"),
    [
        ([0, "7", "a", "b"], []),
        ([0, 7.0, "a", "b"], []),
        ([0, True, "a", "b"], []),
        ([0, -1, "a", "b"], []),
        ([0, NATURAL_MAX + 1, "a", "b"], []),
        ([0, 7, b"a", "b"], []),
        ([0, 7, "", "b"], []),
        ([0, 7, "a" * 129, "b"], []),
        ([0, 7, "ä" * 65, "b"], []),
        ([0, 7, "a\nb", "b"], []),
        ([0, 7, "a"], []),
        ([0, 7, "a", "b", "c"], []),
        ([False, 7, "a", "b"], []),
        ([99], []),
        ([], []),
        ({}, []),
        ([1, 7, "a", "b", ["example.org", 1]], []),
        ([1, 7, "a", "b", ["10.0.0.01", 1]], []),
        ([1, 7, "a", "b", ["10.0.0.1", 0]], []),
        ([1, 7, "a", "b", ["10.0.0.1", 65_536]], []),
        ([1, 7, "a", "b", ["10.0.0.1"]], []),
        (PING, {}),
        (PING, [[0, "x", ["10.0.0.1", 1], 1, b"m" * 513]]),
        (PING, [[0, "x", ["10.0.0.1", 1], 1, "m"]]),
        (PING, [[1, "x", 1, ""]]),
        (PING, [[1, "x", 1, None]]),
        (PING, [[3, "x", 1], None]),
    ],
)
def test_nothing_is_coerced(message: Any, gossip: Any) -> None:
    """A field of another type, size or number than ours is refused."""
    with pytest.raises(ProtocolError):
        WIRE.unpack(b"\x01" + cbor2.dumps(["c", message, gossip]))


@pytest.mark.parametrize(
    "peer",
    [
        ["x", ["10.0.0.1", 1], 1, 1, b"", None],
        ["x", ["10.0.0.1", 1], 1, 0, b"", "y"],
        ["x", ["10.0.0.1", 1], 1, 4, b"", None],
        ["x", ["10.0.0.1", 1], 1, False, b"", None],
    ],
)
def test_records_must_make_sense(peer: Any) -> None:
    """A suspect has an accuser, the living have none, and there are four healths."""
    with pytest.raises(ProtocolError):
        WIRE.unpack_request(b"\x01" + cbor2.dumps(["c", [1, [peer], []]]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02" + WIRE.pack(Gossip())[1:],
        WIRE.pack(Gossip()) + b"\x00",
        b"\x01\x83\x61c\x81\x18\x04\x80",  # the kind 4 in two bytes where one would do
        b"\x01\x9f\x61c\x81\x04\x80\xff",  # an array of indefinite length
        b"\x01" + b"\x81" * 60_000,
        b"\x01\x9a\xff\xff\xff\xff",
        b"\x01\x5b\x00\x00\xff\xff\xff\xff\xff\xff",
        b"\x01" + cbor2.dumps(["c", cbor2.CBORTag(35, "(a+)+$"), []]),
        b"\x01\x83\x61c\x81\xc2\x41\x04\x80",  # the kind 4 as a bignum
        b"\x01\x83\x61c\xd8\x1c\x81\xd8\x1d\x00\x80",  # a list that contains itself
    ],
)
def test_odd_encodings_and_bombs_are_refused(data: bytes) -> None:
    """One value has one encoding; promises of gigabytes, depth and cleverness are not believed."""
    with pytest.raises(ProtocolError):
        WIRE.unpack(data)


def test_another_cluster_is_told_apart() -> None:
    """Datagrams and frames carry the cluster's name, and are refused under another."""
    other = Wire("d")
    with pytest.raises(ForeignCluster):
        other.unpack(WIRE.pack(Gossip()))
    with pytest.raises(ForeignCluster):
        other.unpack_request(WIRE.pack_frame(Push(()))[LENGTH_BYTES:])
    with pytest.raises(ForeignCluster):
        other.unpack_reply(WIRE.pack_frame(Same())[LENGTH_BYTES:])


@pytest.mark.parametrize("cluster", ["", "c" * 65, "ä" * 33])
def test_a_cluster_needs_a_name_of_some_length(cluster: str) -> None:
    """From 1 to 64 bytes."""
    with pytest.raises(ConfigError):
        Wire(cluster)


def test_metadata_comes_out_as_it_went_in_whatever_the_order() -> None:
    """Equal mappings give equal bytes, and none gives none."""
    meta = {"role": "db", "dc": "Zürich"}

    assert decode_meta(encode_meta(meta)) == meta
    assert encode_meta(meta) == encode_meta(dict(reversed(meta.items())))
    assert encode_meta({}) == b""
    assert decode_meta(b"") == {}


def test_metadata_has_a_limit() -> None:
    """512 bytes when encoded pass, 513 do not."""
    encode_meta({"k": "v" * 506})
    with pytest.raises(MetaTooLarge, match="513 bytes"):
        encode_meta({"k": "v" * 507})


@pytest.mark.parametrize("meta", [{"a": 1}, {1: "a"}])
def test_metadata_is_text(meta: Any) -> None:
    """Nothing is turned into text silently."""
    with pytest.raises(TypeError):
        encode_meta(meta)
    with pytest.raises(ProtocolError):
        decode_meta(cbor2.dumps(meta))
