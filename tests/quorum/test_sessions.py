"""Tests of quorum.sessions: each command once, whatever is repeated, cut, expired or restored."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorum import CommandMachine, ConfigError, Entries, Entry, Failed, Kind
from quorum.envelope import (
    MAGIC,
    close_request,
    command_request,
    keep_alive_request,
    open_request,
    parse,
)
from quorum.machine import snapshot_bytes
from quorum.sessions import EXPIRED, FORGOTTEN, Sessions
from quorum.simulation import run

SECOND = 1_000


class Diary(CommandMachine):
    """Remembers every command with its index; refuses those that begin with `no`."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []
        self.runs: list[int] = []
        """Lengths of the runs that it was given; not part of the state."""

    def apply(self, entries: Entries) -> Any:
        self.runs.append(len(entries))
        assert len(entries) == len(entries.stamps) == len(entries.kinds) == len(entries.payloads)
        return super().apply(entries)

    def command(self, entry: Entry) -> tuple[int, str]:
        if entry.payload.startswith(b"no"):
            raise ValueError(entry.payload.decode())
        self.lines.append((entry.index, entry.payload.decode()))
        return len(self.lines), entry.payload.decode()

    def snapshot(self) -> bytes:
        return json.dumps(self.lines).encode()

    def restore(self, snapshot: bytes) -> None:
        self.lines = [(index, line) for index, line in json.loads(snapshot)]


class Answers(CommandMachine):
    """Answers each command with the value that the test has prepared."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def command(self, entry: Entry) -> Any:
        return self.values[entry.payload.decode()]

    def snapshot(self) -> bytes:
        return b""

    def restore(self, snapshot: bytes) -> None:
        pass


class Feed:
    """A log under construction, fed to one machine as it grows."""

    def __init__(self, machine: Sessions) -> None:
        self.machine = machine
        self.next = 1
        self.now = 0

    def __call__(self, *payloads: bytes, after: int = 0) -> Any:
        """Apply these as one run, so many milliseconds later; one result, or a list of several."""
        self.now += after
        results = list(self.machine.apply(entries_of(self.next, payloads, self.now)))
        self.next += len(payloads)
        return results[0] if len(payloads) == 1 else results


def entries_of(first: int, payloads: Iterable[bytes], stamps: int | list[int]) -> Entries:
    """A run of commands."""
    payloads = tuple(payloads)
    count = len(payloads)
    times = (stamps,) * count if isinstance(stamps, int) else tuple(stamps)
    return Entries(first, (1,) * count, times, bytes((Kind.COMMAND,)) * count, payloads)


def lines(sessions: Sessions) -> list[str]:
    """What the machine inside was asked for."""
    assert isinstance(sessions.machine, Diary)
    return [line for _, line in sessions.machine.lines]


@pytest.fixture
def sessions() -> Sessions:
    """A diary with room for three sessions."""
    return Sessions(Diary(), sessions_max=3, window_max=4, ttl_ms=10 * SECOND)


@pytest.fixture
def feed(sessions) -> Feed:
    """The log of that diary."""
    return Feed(sessions)


def test_a_session_is_named_by_the_index_that_opened_it(feed):
    """Its time to live is what was asked for, up to the machine's; the window is the machine's."""
    assert [(1, 10 * SECOND, 4), (2, 5, 4), (3, 10 * SECOND, 4)] == feed(
        open_request(), open_request(5), open_request(99 * SECOND)
    )


def test_a_repetition_gets_the_result_and_changes_nothing(feed, sessions):
    """In the same run, in a later one, and with the machine's refusals as with its results."""
    feed(open_request())
    once, refused = command_request(1, 1, 1, b"a"), command_request(1, 2, 1, b"no")
    assert [(1, "a")] * 2 == feed(once, once)
    assert (1, "a") == feed(once)
    assert [Failed("ValueError: no")] * 3 == feed(refused, refused, refused)
    assert ["a"] == lines(sessions)


def test_numbers_may_come_in_any_order(feed, sessions):
    """Commands that are under way together overtake each other."""
    feed(open_request())
    third, first = command_request(1, 3, 1, b"c"), command_request(1, 1, 1, b"a")
    assert [(1, "c"), (2, "a"), (1, "c")] == feed(third, first, third)
    assert ["c", "a"] == lines(sessions)


def test_an_acknowledged_result_is_forgotten_and_its_command_never_applied_again(feed, sessions):
    """`below` comes with any request, and never goes back."""
    feed(open_request(), command_request(1, 1, 1, b"a"))
    before = len(snapshot_bytes(sessions))
    feed(keep_alive_request(1, 3))
    assert len(snapshot_bytes(sessions)) < before
    for late in (command_request(1, 1, 1, b"a"), command_request(1, 2, 2, b"b")):
        assert FORGOTTEN == feed(late)
    assert (2, "c") == feed(command_request(1, 3, 3, b"c"))
    assert (2, "c") == feed(command_request(1, 3, 1, b"c"))
    assert ["a", "c"] == lines(sessions)


def test_numbers_beyond_the_window_are_refused(feed, sessions):
    """So that what is remembered of a client is bounded; acknowledging moves the window."""
    feed(open_request())
    assert (1, "d") == feed(command_request(1, 4, 1, b"d"))
    refused = feed(command_request(1, 5, 1, b"e"))
    assert isinstance(refused, Failed)
    assert "number 5 is not within 4 from 1 on; nothing was applied" in refused.reason
    assert (2, "e") == feed(command_request(1, 5, 2, b"e"))
    assert ["d", "e"] == lines(sessions)


def test_a_session_ends_past_its_time_to_live_by_the_stamps(feed, sessions):
    """Not at it, whatever entry comes then; a command of it is refused, not taken for a new one."""
    feed(open_request(), command_request(1, 1, 1, b"a"))
    assert (1, "a") == feed(command_request(1, 1, 1, b"a"), after=10 * SECOND)
    feed(b"another's", after=10 * SECOND)
    assert 1 == len(sessions)
    feed(b"another's", after=1)
    assert 0 == len(sessions)
    assert [EXPIRED] * 2 == feed(command_request(1, 1, 1, b"a"), command_request(1, 2, 1, b"b"))
    assert ["a", "another's", "another's"] == lines(sessions)


def test_any_request_keeps_a_session_alive(feed, sessions):
    """A word to keep alive, a new command, a repetition, and a command that is refused."""
    feed(open_request())
    for word in (
        keep_alive_request(1, 1),
        command_request(1, 1, 1, b"a"),
        command_request(1, 1, 1, b"a"),
        command_request(1, 9, 1, b"far"),
    ):
        feed(word, after=10 * SECOND)
    assert 1 == len(sessions)
    assert EXPIRED == feed(keep_alive_request(1, 1), after=10 * SECOND + 1)


def test_sessions_expire_each_in_its_own_time(feed, sessions):
    """The shorter life ends first, also when it was heard of last."""
    feed(open_request())
    feed(open_request(2 * SECOND), after=1 * SECOND)
    feed(b"x", after=2 * SECOND + 1)
    assert [None, EXPIRED] == feed(keep_alive_request(1, 1), keep_alive_request(2, 1))


def test_one_session_too_many_ends_the_one_silent_for_longest(feed, sessions):
    """Not the oldest: the least recently heard of."""
    feed(open_request(), open_request(), open_request(), keep_alive_request(1, 1))
    assert (5, 10 * SECOND, 4) == feed(open_request())
    assert [EXPIRED, None, None, None] == feed(
        *(keep_alive_request(key, 1) for key in (2, 1, 3, 5))
    )


def test_a_closed_session_is_gone(feed, sessions):
    """Closing twice is no error; what comes late is refused."""
    feed(open_request(), command_request(1, 1, 1, b"a"))
    assert [None, None, EXPIRED] == feed(
        close_request(1), close_request(1), command_request(1, 1, 1, b"a")
    )
    assert 0 == len(sessions)
    assert ["a"] == lines(sessions)


def test_opening_and_closing_for_ever_takes_no_memory(feed, sessions):
    """The deadlines of closed sessions are forgotten before they are due."""
    for _ in range(50):
        key, _, _ = feed(open_request())
        feed(close_request(key))
    assert len(sessions._deadlines) <= 7


def test_an_old_id_is_never_given_again(feed, sessions):
    """A request for a session that never was is refused, also if its number is a command's."""
    feed(open_request(), b"plain", close_request(1))
    for key in (1, 2, 3, 99):
        assert EXPIRED == feed(command_request(key, 1, 1, b"a"))
    assert ["plain"] == lines(sessions)


def test_commands_without_an_envelope_pass_through(feed, sessions):
    """As they are, at their indexes, however often."""
    assert [(1, "a"), (2, "a"), (3, "")] == feed(b"a", b"a", b"")
    assert [(1, "a"), (2, "a"), (3, "")] == sessions.machine.lines


def test_the_machine_gets_runs_and_indexes_as_in_the_log(feed, sessions):
    """An entry that is not for the machine parts two runs, and nothing else does."""
    feed(open_request())
    new = [command_request(1, number, 1, b"%d" % number) for number in (1, 2, 3)]
    feed(new[0], b"plain", new[1], new[0], keep_alive_request(1, 1), new[2], b"last")
    assert [3, 2] == sessions.machine.runs
    assert [2, 3, 4, 7, 8] == [index for index, _ in sessions.machine.lines]


def test_what_cannot_be_remembered_is_said_and_the_command_stays_applied():
    """The caller must not try again; the refusal itself is remembered."""
    machine = Answers(odd={1, 2}, big=b"x" * 2000, plain=[(), {"k": None}])
    feed = Feed(Sessions(machine, result_bytes_max=1024))
    feed(open_request())
    for number, (name, reason) in enumerate(
        [("odd", "a set is not a plain value"), ("big", "it takes more than 1024 bytes")], 1
    ):
        request = command_request(1, number, 1, name.encode())
        first, second = feed(request), feed(request)
        assert isinstance(first, Failed)
        assert (
            f"the command was applied, but its result cannot be kept for a repetition: {reason}"
            == first.reason
        )
        assert first == second
    assert {1, 2} == feed(b"odd")
    request = command_request(1, 3, 1, b"plain")
    assert [[(), {"k": None}]] * 2 == feed(request, request)


def test_a_remembered_result_is_not_changed_by_its_owner():
    """A machine may go on with the list that it gave away."""
    values: list[int] = [1]
    feed = Feed(Sessions(Answers(values=values)))
    request = command_request(1, 1, 1, b"values")
    feed(open_request(), request)
    values.append(2)
    assert [1] == feed(request)


@pytest.mark.parametrize(
    "envelope",
    [
        MAGIC,
        MAGIC + b"nonsense",
        open_request() + b"x",
        struct.pack("<4sBQQQ", MAGIC, 3, 1, 0, 0) + b"a",
        struct.pack("<4sBQQQ", MAGIC, 3, 1, 1, 2) + b"a",
        struct.pack("<4sBQQQ", MAGIC, 9, 1, 1, 1) + b"a",
    ],
)
def test_an_unsound_envelope_is_refused_and_does_nothing(feed, sessions, envelope):
    """It is an answer, not an exception, and it is not handed on as a command."""
    feed(open_request())
    before = snapshot_bytes(sessions)
    answer = feed(envelope)
    assert isinstance(answer, Failed)
    assert "not sound, nothing was applied" in answer.reason
    assert before == snapshot_bytes(sessions)


def test_a_machine_that_loses_a_result_is_found_out(feed, sessions):
    """The server stops then, as it does without sessions."""
    sessions.machine.apply = lambda _entries: []
    feed(open_request())
    with pytest.raises(ValueError, match="0 results for 1 commands"):
        feed(command_request(1, 1, 1, b"a"))


@pytest.mark.parametrize(
    "limits", [{"sessions_max": 0}, {"window_max": 0}, {"ttl_ms": 0}, {"result_bytes_max": 1023}]
)
def test_limits_that_make_no_sense_are_refused(limits):
    """By name, when the machine is made."""
    with pytest.raises(ConfigError, match=next(iter(limits))):
        Sessions(Diary(), **limits)


def test_a_snapshot_under_other_limits_is_refused(feed, sessions):
    """Replicas with other limits would remember other things; nothing is changed."""
    feed(open_request(), b"a")
    other = Sessions(Diary(), sessions_max=3, window_max=5, ttl_ms=10 * SECOND)
    with pytest.raises(ValueError, match="nothing was restored: every replica needs the limits"):
        other.restore(snapshot_bytes(sessions))
    assert [] == lines(other)
    with pytest.raises(ValueError, match="of a machine without sessions"):
        other.restore(b"[]")


def test_a_snapshot_replaces_the_sessions_that_were_there(feed, sessions):
    """A server that was behind goes on from the leader's table, not from a mixture."""
    feed(open_request(), command_request(1, 1, 1, b"a"))
    snapshot = snapshot_bytes(sessions)
    feed(open_request(), command_request(1, 2, 2, b"b"), after=3)
    sessions.restore(snapshot)
    assert snapshot == snapshot_bytes(sessions)
    assert ["a"] == lines(sessions)
    feed(b"x", after=10 * SECOND)
    assert 0 == len(sessions)


def test_a_stamp_that_goes_back_does_not_turn_the_clock(sessions):
    """Leaders do not give such stamps; a session would live longer on replicas with a snapshot."""
    sessions.apply(entries_of(1, [open_request(), b"x"], [5 * SECOND, 3 * SECOND]))
    twin = Sessions(Diary(), sessions_max=3, window_max=4, ttl_ms=10 * SECOND)
    twin.restore(snapshot_bytes(sessions))
    assert snapshot_bytes(sessions) == snapshot_bytes(twin)


def test_a_snapshot_that_the_machine_refuses_changes_nothing(feed, sessions):
    """The table is taken over together with the machine's part, or not at all."""
    feed(open_request(), b"a")
    snapshot = snapshot_bytes(sessions)
    fresh = Sessions(Diary(), sessions_max=3, window_max=4, ttl_ms=10 * SECOND)
    with pytest.raises(json.JSONDecodeError):
        fresh.restore(snapshot[:-1])
    assert 0 == len(fresh)


# A naive model: one entry at a time, everything kept, nothing clever.

LIMITS = {"sessions_max": 3, "window_max": 3, "ttl_ms": 100}


class Model:
    """What each entry must answer, and which commands must have been applied."""

    def __init__(self) -> None:
        self.alive: dict[int, dict[str, Any]] = {}
        self.applied: list[str] = []

    def apply(self, index: int, stamp: int, payload: bytes) -> Any:
        """The result of one entry."""
        for key, row in list(self.alive.items()):
            if stamp > row["heard"] + row["ttl"]:
                del self.alive[key]
        if not payload.startswith(MAGIC):
            return self.happen(payload)
        kind, key, sequence, below = parse(payload)
        if kind.name == "OPEN":
            if len(self.alive) == LIMITS["sessions_max"]:
                del self.alive[min(self.alive, key=lambda key: self.alive[key]["turn"])]
            ttl = struct.unpack("<Q", payload[-8:])[0]
            ttl = ttl if 0 < ttl < LIMITS["ttl_ms"] else LIMITS["ttl_ms"]
            row = {"heard": stamp, "turn": index, "ttl": ttl, "below": 1, "results": {}}
            self.alive[index] = row
            return index, ttl, LIMITS["window_max"]
        if kind.name == "CLOSE":
            self.alive.pop(key, None)
            return None
        if key not in self.alive:
            return EXPIRED
        row = self.alive[key]
        row.update(heard=stamp, turn=index, below=max(below, row["below"]))
        if kind.name == "KEEP_ALIVE":
            return None
        if sequence < row["below"]:
            return FORGOTTEN
        if sequence not in row["results"]:
            if sequence >= row["below"] + LIMITS["window_max"]:
                return None  # a refusal, in words that are the machine's business
            row["results"][sequence] = self.happen(payload[29:])
        return row["results"][sequence]

    def happen(self, payload: bytes) -> Any:
        """Apply a command."""
        if payload.startswith(b"no"):
            return Failed(f"ValueError: {payload.decode()}")
        self.applied.append(payload.decode())
        return len(self.applied), payload.decode()


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[int, bytes]]:
    """Stamps and payloads: few sessions, few numbers, so that everything meets everything."""
    stamp = 0
    log: list[tuple[int, bytes]] = []
    numbers = st.integers(1, 6)
    for _ in range(draw(st.integers(1, 40))):
        stamp += draw(st.sampled_from([0, 0, 1, 20, 99]))
        opened = [i for i, (_, data) in enumerate(log, 1) if data[:5] == MAGIC + b"\1"]
        key = draw(st.sampled_from([*opened, 1, 2]))
        low, high = sorted((draw(numbers), draw(numbers)))
        command = draw(st.sampled_from([b"a", b"b", b"no"]))
        log.append(
            (
                stamp,
                draw(
                    st.sampled_from(
                        [
                            open_request(draw(st.sampled_from([0, 30, 500]))),
                            command_request(key, high, low, command),
                            command_request(key, high, 1, command),
                            command_request(key, low, 1, command),
                            keep_alive_request(key, low),
                            close_request(key),
                            command,
                        ]
                    )
                ),
            )
        )
    return log


@settings(max_examples=100, deadline=None)
@given(logs(), st.integers(0, 2**32))
def test_replicas_agree_with_the_model_however_runs_are_cut(log, seed):
    """One by one, in any runs, and with any restores between: same results, same bytes."""
    model, chance = Model(), Random(seed)
    expected = [model.apply(i, stamp, payload) for i, (stamp, payload) in enumerate(log, 1)]
    singly, cut = Sessions(Diary(), **LIMITS), Sessions(Diary(), **LIMITS)
    results: list[list[Any]] = [[], []]
    for index, (stamp, payload) in enumerate(log, 1):
        results[0] += singly.apply(entries_of(index, [payload], stamp))
    position = 0
    while position < len(log):
        part = log[position : position + chance.randint(1, 9)]
        stamps = [stamp for stamp, _ in part]
        results[1] += cut.apply(entries_of(position + 1, [data for _, data in part], stamps))
        position += len(part)
        if chance.random() < 0.3:
            snapshot, cut = snapshot_bytes(cut), Sessions(Diary(), **LIMITS)
            cut.restore(snapshot)
            assert snapshot == snapshot_bytes(cut)
    for result, one in zip(results[0], expected, strict=True):
        if not (isinstance(result, Failed) and "not within" in result.reason and one is None):
            assert one == result
    assert results[0] == results[1]
    assert model.applied == lines(singly) == lines(cut)
    assert snapshot_bytes(singly) == snapshot_bytes(cut)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40).map(lambda rest: MAGIC + rest), min_size=1, max_size=8))
def test_no_envelope_makes_it_raise(payloads):
    """Whatever follows the magic, there is an answer for each entry, and the state stays sound."""
    sessions = Sessions(Diary(), **LIMITS)
    assert len(payloads) == len(sessions.apply(entries_of(1, payloads, 5)))
    Sessions(Diary(), **LIMITS).restore(snapshot_bytes(sessions))


def draw_request(random: Random) -> bytes:
    """Any request, for sessions that may be there."""
    key, sequence = random.randint(1, 60), random.randint(1, 6)
    return random.choice(
        [
            open_request(random.choice([0, 500, 5000])),
            command_request(key, sequence, random.randint(1, sequence), b"a"),
            command_request(key, sequence, 1, b"b"),
            keep_alive_request(key, sequence),
            close_request(key),
            b"plain",
        ]
    )


def test_sessions_hold_in_the_simulator(run_seed):
    """Through crashes, snapshots and elections all replicas give the same results."""
    for seed in range(run_seed, run_seed + 4):
        report = run(
            seed,
            steps=1000,
            machine=lambda: Sessions(Diary(), sessions_max=40, window_max=3, ttl_ms=30_000),
            command=draw_request,
        )
        assert not report.violations
