"""quorum.wire: bodies of frames."""

from __future__ import annotations

import tracemalloc

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from quorum.codec import MEMBERS_BYTES_MAX
from quorum.config import Config
from quorum.errors import ProtocolError, WrongCluster
from quorum.framing import FRAME_BYTES_MAX
from quorum.messages import (
    AppendEntries,
    AppendReply,
    Entries,
    Forward,
    ForwardReply,
    InstallSnapshot,
    Kind,
    Members,
    Message,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    SnapshotMark,
    TimeoutNow,
    VoteReply,
)
from quorum.wire import (
    CHUNK_BYTES_MAX,
    NAME_BYTES_MAX,
    VERSION,
    Hello,
    Purpose,
    SnapshotChunk,
    decode,
    decode_chunk,
    decode_hello,
    encode,
    encode_chunk,
    encode_hello,
    frame_bytes_max,
)

NUMBERS = st.integers(0, 2**64 - 1)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=NAME_BYTES_MAX // 4)
MEMBERS = st.builds(
    Members,
    st.lists(NAMES, max_size=4),
    st.lists(NAMES, max_size=2),
    st.lists(NAMES, max_size=2),
    st.lists(st.tuples(NAMES, NAMES), max_size=3),
)
ENTRIES = st.builds(
    lambda first, rows: Entries(
        first,
        tuple(row[0] for row in rows),
        tuple(row[1] for row in rows),
        bytes(row[2] for row in rows),
        tuple(row[3] for row in rows),
    ),
    st.integers(1, 2**64 - 1),
    st.lists(
        st.tuples(NUMBERS, NUMBERS, st.sampled_from([0, 1]), st.binary(max_size=20))
        | st.tuples(NUMBERS, NUMBERS, st.just(2), MEMBERS.map(Members.to_bytes)),
        max_size=5,
    ),
)


def _append_entries(
    term: int, previous_term: int, commit: int, round_: int, entries: Entries
) -> AppendEntries:
    """A message in which terms rise and the entries follow the one before them."""
    previous, *terms, newest = sorted((previous_term, *entries.terms, term))
    run = Entries(entries.first, tuple(terms), entries.stamps, entries.kinds, entries.payloads)
    return AppendEntries(newest, entries.first - 1, previous, commit, round_, run)


MARKS = st.builds(SnapshotMark, NUMBERS, NUMBERS, NUMBERS, MEMBERS, NUMBERS)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(_append_entries, NUMBERS, NUMBERS, NUMBERS, NUMBERS, ENTRIES),
    st.builds(AppendReply, NUMBERS, NUMBERS, st.none() | NUMBERS, NUMBERS, NUMBERS),
    st.builds(RequestVote, NUMBERS, NUMBERS, NUMBERS, st.booleans(), st.booleans()),
    st.builds(VoteReply, NUMBERS, st.booleans(), st.booleans()),
    st.builds(InstallSnapshot, NUMBERS, NUMBERS, MARKS),
    st.builds(TimeoutNow, NUMBERS),
    st.builds(ReadIndex, NUMBERS, NUMBERS),
    st.builds(ReadIndexReply, NUMBERS, NUMBERS, st.none() | NUMBERS),
    st.builds(Forward, NUMBERS, NUMBERS, st.lists(st.binary(max_size=20), min_size=1).map(tuple)),
    st.builds(ForwardReply, NUMBERS, NUMBERS, st.none() | NUMBERS),
)
SAMPLES: list[Message] = [
    AppendEntries(7, 41, 6, 40, 3, Entries(42, (7, 7), (5, 5), b"\x00\x01", (b"set", b""))),
    AppendReply(7, 3, 43),
    AppendReply(7, 3, None, 12, 4),
    RequestVote(8, 43, 7, pre_vote=True),
    VoteReply(8, granted=True, pre_vote=True),
    InstallSnapshot(8, 1, SnapshotMark(30, 5, 99, Members(("a", "b", "c")))),
    TimeoutNow(8),
    ReadIndex(8, 17),
    ReadIndexReply(8, 17, 43),
    ReadIndexReply(8, 17, None),
    Forward(8, 18, (b"set", b"")),
    ForwardReply(8, 18, 44),
    ForwardReply(8, 18, None),
]


@given(MESSAGES)
def test_decode_undoes_encode(message: Message) -> None:
    """Whatever is encoded comes back equal, and of the same type."""
    decoded = decode(encode(message))

    assert message == decoded
    assert type(message) is type(decoded)


def test_a_decoded_run_keeps_its_bytes() -> None:
    """A follower can write the run of an AppendEntries without packing it again."""
    decoded = decode(encode(SAMPLES[0]))

    assert isinstance(decoded, AppendEntries)
    assert decoded.entries.packed is not None
    assert encode(SAMPLES[0]).endswith(decoded.entries.packed)


@given(st.binary(max_size=120) | st.binary(max_size=120).map(lambda tail: b"\x01\x01" + tail))
def test_arbitrary_bytes_raise_protocol_error_only(data: bytes) -> None:
    """Bytes that nobody encoded are refused with ProtocolError, or are what `encode` makes."""
    try:
        message = decode(data)
    except ProtocolError:
        return
    assert message == decode(encode(message))


@settings(max_examples=100)
@given(MESSAGES, st.data())
def test_mutated_messages_raise_protocol_error_only(message: Message, data: st.DataObject) -> None:
    """Any changed byte and any cut gives ProtocolError or another message, never anything else."""
    body = bytearray(encode(message))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 3))
    try:
        decode(bytes(body[: len(body) - cut]))
    except ProtocolError:
        return


@pytest.mark.parametrize("message", SAMPLES)
def test_every_truncation_and_extension_is_refused(message: Message) -> None:
    """A body is exactly as long as its type says."""
    body = encode(message)
    for wrong in [*(body[:size] for size in range(len(body))), body + b"\x00"]:
        with pytest.raises(ProtocolError):
            decode(wrong)


def test_nothing_is_coerced() -> None:
    """A boolean is 0 or 1, and a field that is absent has no value."""
    reply = bytearray(encode(VoteReply(8, granted=True)))
    reply[-2] = 2
    with pytest.raises(ProtocolError, match="neither true nor false"):
        decode(bytes(reply))
    absent = bytearray(encode(ReadIndexReply(8, 17, None)))
    absent[-1] = 1
    with pytest.raises(ProtocolError, match="absent"):
        decode(bytes(absent))


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b"[" * 50_000, b"\xff", b"1" * 5000])
def test_a_malformed_configuration_is_refused(payload: bytes) -> None:
    """A configuration that the core could not read is stopped at the door."""
    entries = Entries(1, (1,), (0,), bytes([Kind.MEMBERS]), (payload,))
    with pytest.raises(ProtocolError, match="malformed"):
        decode(encode(AppendEntries(1, 0, 0, 0, 0, entries)))
    head = encode(InstallSnapshot(1, 1, SnapshotMark()))
    with pytest.raises(ProtocolError, match="malformed"):
        decode(head[: head.index(b"{")] + payload)


def test_a_huge_configuration_is_refused_on_both_sides() -> None:
    """A configuration has a limit; it is not sent, nor read when it arrives."""
    members = Members(tuple(f"server-{number:08}" for number in range(4000)))
    assert len(members.to_bytes()) > MEMBERS_BYTES_MAX
    with pytest.raises(ProtocolError, match="cannot be sent"):
        encode(InstallSnapshot(1, 1, SnapshotMark(1, 1, 0, members)))
    entries = Entries(1, (1,), (0,), bytes([Kind.MEMBERS]), (members.to_bytes(),))
    with pytest.raises(ProtocolError, match="limit"):
        decode(encode(AppendEntries(1, 0, 0, 0, 0, entries)))


def test_a_number_that_does_not_fit_is_the_senders_error() -> None:
    """A negative term cannot be sent, and says so."""
    with pytest.raises(ProtocolError, match="cannot be sent"):
        encode(TimeoutNow(-1))


def test_other_versions_and_types_are_refused() -> None:
    """A body of another version, or of a type that we do not know, is not guessed at."""
    body = encode(TimeoutNow(1))
    with pytest.raises(ProtocolError, match=f"version {VERSION + 1}"):
        decode(bytes([VERSION + 1]) + body[1:])
    with pytest.raises(ProtocolError, match="unknown type 99"):
        decode(bytes([VERSION, 99]) + body[2:])


def test_a_lying_header_allocates_nothing() -> None:
    """An AppendEntries that promises a million entries costs no more than its own bytes."""
    body = encode(AppendEntries(1, 0, 0, 0, 0, Entries(1)))
    lie = body[:-20] + bytes.fromhex("0100000000000000 00001000 01000000 01000000") + bytes(24)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            decode(lie)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 30_000


@given(NAMES, NAMES, st.sampled_from(Purpose))
def test_a_hello_comes_back(cluster: str, sender: str, purpose: Purpose) -> None:
    """A handshake survives the way."""
    hello = Hello(cluster, sender, purpose)

    assert hello == decode_hello(encode_hello(hello), cluster=cluster)


def test_another_cluster_is_refused_by_name() -> None:
    """The error of a misdirected connection names both clusters."""
    hello = encode_hello(Hello("blue", "n1"))
    with pytest.raises(WrongCluster, match="n1 belongs to cluster 'blue', this server to 'green'"):
        decode_hello(hello, cluster="green")


def test_another_version_is_refused_by_number() -> None:
    """A handshake of another version is understood well enough to say so."""
    hello = encode_hello(evolve(Hello("blue", "n1"), version=9))
    with pytest.raises(WrongCluster, match="version 9"):
        decode_hello(hello, cluster="blue")


@given(st.binary(max_size=60), st.booleans())
def test_arbitrary_handshakes_raise_protocol_error_only(data: bytes, like: bool) -> None:
    """Whatever a stranger sends first, the answer is ProtocolError."""
    if like:
        data = encode_hello(Hello("blue", "n1"))[:5] + data
    try:
        decode_hello(data, cluster="blue")
    except ProtocolError:
        return


@pytest.mark.parametrize("name", ["", "x" * (NAME_BYTES_MAX + 1)])
def test_a_name_has_bounds(name: str) -> None:
    """A name that the other side would refuse is not sent."""
    with pytest.raises(ProtocolError, match="nothing was sent"):
        encode_hello(Hello("blue", name))


@given(st.binary(max_size=50), st.integers(0, 1000), st.integers(0, 1000))
def test_a_chunk_comes_back(data: bytes, offset: int, rest: int) -> None:
    """A chunk survives the way."""
    chunk = SnapshotChunk(offset, offset + len(data) + rest, data)

    assert chunk == decode_chunk(encode_chunk(chunk))


def test_a_chunk_that_overruns_is_refused() -> None:
    """A chunk lies inside its snapshot and within its limit."""
    with pytest.raises(ProtocolError, match="overruns"):
        decode_chunk(encode_chunk(SnapshotChunk(8, 10, b"abc")))
    body = encode_chunk(SnapshotChunk(0, 1 << 30, bytes(CHUNK_BYTES_MAX))) + b"\x00"
    with pytest.raises(ProtocolError, match="overruns"):
        decode_chunk(body)


@given(st.binary(max_size=30))
def test_arbitrary_chunks_raise_protocol_error_only(data: bytes) -> None:
    """Whatever comes instead of a chunk, the answer is ProtocolError."""
    try:
        decode_chunk(data)
    except ProtocolError:
        return


def test_the_frame_limit_covers_what_the_settings_allow() -> None:
    """The largest message that a server sends fits in the limit of its peers."""
    config = Config(entries_max=4, message_bytes_max=1 << 20, command_bytes_max=2 << 20)
    entries = Entries(1, (1, 2, 3, 4), (5, 6, 7, 8), bytes(4), (bytes(2 << 20), b"", b"", b""))

    assert len(encode(AppendEntries(4, 0, 0, 0, 0, entries))) <= frame_bytes_max(config)
    assert frame_bytes_max(Config()) < 10 << 20
    assert frame_bytes_max(Config(entries_max=1 << 30)) == FRAME_BYTES_MAX


@pytest.mark.parametrize(
    "message",
    [
        AppendEntries(7, 40, 6, 0, 1, Entries(42, (7,), (0,), b"\0", (b"",))),
        AppendEntries(7, 41, 6, 0, 1, Entries(42, (5,), (0,), b"\0", (b"",))),
        AppendEntries(7, 41, 6, 0, 1, Entries(42, (8,), (0,), b"\0", (b"",))),
        AppendEntries(7, 41, 6, 0, 1, Entries(42, (7, 6), (0, 0), bytes(2), (b"", b""))),
        AppendEntries(5, 41, 6, 0, 1, Entries(42)),
    ],
    ids=["gap", "before the previous", "after the message", "falling", "previous too new"],
)
def test_entries_that_no_leader_can_have_are_refused(message):
    """The core may rely on it: entries follow the previous one, and terms never fall."""
    with pytest.raises(ProtocolError, match="do not follow"):
        decode(encode(message))
