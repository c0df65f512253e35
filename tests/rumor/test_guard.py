"""Sealed datagrams and frames: who is heard, who is not, and how often."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rumor import guard as guard_module
from rumor.errors import NotAuthentic, ProtocolError, Replayed
from rumor.guard import FRAME_OVERHEAD_BYTES, OVERHEAD_BYTES, WINDOW, Guard, Window
from rumor.keyring import NONCE_BYTES, Keyring
from rumor.messages import Address

KEY = b"k" * 32
A, B, C = (("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.3", 3))


def nonces(seed: int) -> Callable[[], bytes]:
    """Give nonces from a seed."""
    random = Random(seed)
    return lambda: random.randbytes(NONCE_BYTES)


def guard(seed: int, *, key: bytes = KEY, cluster: str = "c", ring: Keyring | None = None) -> Guard:
    """Make one agent's guard; another seed is another process."""
    return Guard(ring or Keyring(key), cluster, nonce=nonces(seed))


def deliver(sender: Guard, reader: Guard, data: bytes, source: Address, to: Address) -> list[bytes]:
    """Carry a datagram, and whatever challenge and answer it leads to; return what was read."""
    read: list[bytes] = []
    packets = [(sender.seal(data, to), source, reader)]
    while packets:
        packet, origin, at = packets.pop()
        opened = at.open(packet, origin)
        if opened.data is not None:
            read.append(opened.data)
        if opened.to is not None:
            assert opened.to == (source if at is reader else to)
            packets.append(
                (opened.packet, to if at is reader else source, packet_reader(at, sender, reader))
            )
    return read


def packet_reader(at: Guard, sender: Guard, reader: Guard) -> Guard:
    """Tell who reads what `at` sends."""
    return sender if at is reader else reader


def acquainted() -> tuple[Guard, Guard]:
    """Two processes that have heard each other."""
    one, two = guard(1), guard(2)
    deliver(one, two, b"hello", A, B)
    deliver(two, one, b"hello", B, A)
    return one, two


def test_a_first_word_is_challenged_and_then_heard_once() -> None:
    """Neither knows the other; the datagram comes through by itself."""
    one, two = guard(1), guard(2)

    assert deliver(one, two, b"hello", A, B) == [b"hello"]


def test_whoever_was_heard_is_answered_without_a_challenge() -> None:
    """The reader knows the sender from the first word on."""
    one, two = guard(1), guard(2)
    deliver(one, two, b"ping", A, B)

    assert one.open(two.seal(b"ack", A), B).data == b"ack"


def test_the_overhead_is_what_is_said() -> None:
    """The core leaves that much of each datagram."""
    one, two = acquainted()

    assert len(one.seal(b"x" * 100, B)) == 100 + OVERHEAD_BYTES
    assert len(two.seal(b"", A)) == OVERHEAD_BYTES


def test_a_datagram_is_heard_once() -> None:
    """A recording is refused, at once and after any number of others."""
    one, two = acquainted()
    packets = [one.seal(bytes([i]), B) for i in range(50)]

    assert [two.open(packet, A).data for packet in packets] == [bytes([i]) for i in range(50)]
    for packet in packets:
        with pytest.raises(Replayed):
            two.open(packet, A)


def test_a_recorded_first_word_is_heard_no_second_time() -> None:
    """Played again it is challenged again, and nobody answers the challenge twice."""
    one, two = guard(1), guard(2)
    first = one.seal(b"hello", B)
    challenge = two.open(first, A)
    answer = one.open(challenge.packet, B)
    assert two.open(answer.packet, A).data == b"hello"

    again = two.open(first, A)
    assert (again.data, again.to) == (None, A)
    assert one.open(again.packet, B).to is None
    for packet, reader in ((challenge.packet, one), (answer.packet, two)):
        with pytest.raises(Replayed):
            reader.open(packet, A)


def test_what_is_meant_for_one_member_is_not_believed_by_another() -> None:
    """A recording of what A told B, played to C, is challenged, not read."""
    one, two = acquainted()
    other = guard(3)
    deliver(one, other, b"hello", A, C)
    opened = other.open(one.seal(b"for two", B), A)

    assert opened.data is None
    assert two.open(one.seal(b"x", B), A).data == b"x"


def test_a_restarted_sender_is_heard_within_two_round_trips_and_its_old_words_never_again() -> None:
    """The new process is a new run: its counters start again, those of the old stay used up."""
    one, two = acquainted()
    old = [one.seal(b"old", B) for _ in range(5)]
    for packet in old[:3]:
        two.open(packet, A)
    restarted = guard(11)

    assert deliver(restarted, two, b"new", A, B) == [b"new"]
    for packet in old[:3]:
        with pytest.raises(Replayed):
            two.open(packet, A)


def test_a_restarted_reader_believes_nothing_that_was_recorded_before() -> None:
    """It remembers no counters, so it goes by the proof: not one recording is read."""
    one, two = acquainted()
    recorded = [one.seal(bytes([i]), B) for i in range(20)]
    for packet in recorded[::2]:
        two.open(packet, A)
    restarted = guard(12)

    assert [restarted.open(packet, A).data for packet in recorded] == [None] * 20
    assert deliver(one, restarted, b"now", A, B) == [b"now"]


def test_answers_follow_the_address_that_was_used() -> None:
    """Behind NAT a challenge comes from another port than the one we sent to."""
    one, two = guard(1), guard(2)
    translated = ("192.0.2.7", 40_000)
    challenge = two.open(one.seal(b"hello", B), A)
    answer = one.open(challenge.packet, translated)

    assert answer.to == B
    assert two.open(answer.packet, A).data == b"hello"
    assert two.open(one.seal(b"next", B), A).data == b"next"


@pytest.mark.parametrize(
    "stranger", [guard(3, key=b"x" * 32), guard(3, cluster="d"), guard(3, cluster="c\0")]
)
def test_strangers_are_not_heard(stranger: Guard) -> None:
    """Neither with another key, nor with the key in another cluster."""
    one = guard(1)
    with pytest.raises(NotAuthentic):
        one.open(stranger.seal(b"hello", A), C)


def test_cut_flipped_and_plain_datagrams_are_not_authentic() -> None:
    """Every bit counts, and every byte."""
    one, two = acquainted()
    packet = one.seal(b"data", B)
    spoilt = [packet[:i] for i in range(len(packet))]
    for bit in range(8 * len(packet)):
        flipped = bytearray(packet)
        flipped[bit // 8] ^= 1 << bit % 8
        spoilt.append(bytes(flipped))
    for wrong in (*spoilt, packet + b"\0", b"\1plain"):
        with pytest.raises(NotAuthentic):
            two.open(wrong, A)

    assert two.open(packet, A).data == b"data"


def test_no_packet_is_lost_while_the_key_is_changed() -> None:
    """Three rounds over five members, all talking to all after every single step."""
    rings = [Keyring(KEY) for _ in range(5)]
    guards = [guard(i, ring=ring) for i, ring in enumerate(rings)]
    new = b"n" * 32
    steps: list[Callable[[Keyring], None]] = [
        lambda ring: ring.install(new),
        lambda ring: ring.use(new),
        lambda ring: ring.remove(KEY),
    ]
    for step in steps:
        for ring in rings:
            step(ring)
            for i, one in enumerate(guards):
                for j, two in enumerate(guards):
                    if one is not two:
                        there = ("10.0.1.1", j + 1)
                        assert deliver(one, two, b"x", ("10.0.1.1", i + 1), there) == [b"x"]

    with pytest.raises(NotAuthentic):
        guards[0].open(guard(9).seal(b"x", A), B)


@settings(max_examples=100)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\2" + bytes(60))
def test_arbitrary_bytes_raise_nothing_but_protocol_error(data: bytes) -> None:
    """And are never taken for data."""
    one = guard(1)
    for source in (A, B):
        with pytest.raises(NotAuthentic):
            one.open(data, source)
    with pytest.raises(NotAuthentic):
        one.open_frame(data, purpose=b"request", bound=b"")


@settings(max_examples=100)
@given(st.binary(max_size=80))
def test_whatever_a_key_sealed_raises_nothing_but_protocol_error(plain: bytes) -> None:
    """Somebody with a key and without manners does no harm."""
    ring, nonce = Keyring(KEY), bytes(12)
    sealed = ring.encrypt(nonce, plain, b"rumor 2\0datagram\0c\0")
    one = guard(1)
    with suppress(ProtocolError):
        assert one.open(b"\2" + nonce + sealed, A).data is None


@settings(max_examples=100)
@given(st.lists(st.integers(0, 3 * WINDOW), max_size=60))
def test_the_window_takes_each_counter_once(counters: list[int]) -> None:
    """And nothing that lies further behind than it reaches."""
    window, taken = Window(), set[int]()
    for counter in counters:
        expected = counter not in taken and counter > max(taken, default=0) - WINDOW
        assert window.accept(counter) is expected
        if expected:
            taken.add(counter)


def test_more_senders_than_can_be_remembered_are_all_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Forgetting a sender would let its recordings in; a new run of our own does not."""
    monkeypatch.setattr(guard_module, "RUNS_MAX", 3)
    reader = guard(0)
    senders = [guard(i) for i in range(1, 6)]
    for i, sender in enumerate(senders):
        assert deliver(sender, reader, b"x", ("10.0.2.1", i + 1), B) == [b"x"]
    recorded = [sender.seal(b"y", B) for sender in senders[3:]]
    for sender in senders[:3]:
        assert deliver(sender, reader, b"again", A, B) == [b"again"]

    assert [reader.open(packet, A).data for packet in recorded] == [None, None]


def test_frames_are_bound_to_their_purpose_and_to_what_came_before() -> None:
    """A recorded request fits no later stream, and a reply no other request."""
    one, two = guard(1), guard(2)
    challenge = two.new_challenge()
    sealed = one.seal_frame(b"body", purpose=b"request", bound=challenge)

    assert len(sealed) == 4 + FRAME_OVERHEAD_BYTES
    assert two.open_frame(sealed, purpose=b"request", bound=challenge) == b"body"
    for purpose, bound in ((b"reply", challenge), (b"request", two.new_challenge())):
        with pytest.raises(NotAuthentic):
            two.open_frame(sealed, purpose=purpose, bound=bound)
