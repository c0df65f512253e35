"""The log in columns."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from quorum.core.log import Log
from quorum.messages import Entries, Kind, Members, SnapshotMark


def log_of(*terms: int, first: int = 1, base_term: int = 0) -> Log:
    """A log with these terms, its payloads naming index and term."""
    count = len(terms)
    payloads = tuple(b"%d@%d" % pair for pair in enumerate(terms, first))
    entries = Entries(first, terms, (0,) * count, bytes(count), payloads)
    mark = SnapshotMark(first - 1, base_term) if first > 1 else SnapshotMark()
    return Log(mark, entries, base_term)


def configuration(index: int, term: int, *voters: str) -> Entries:
    payload = Members(voters=voters).to_bytes()
    return Entries(index, (term,), (0,), bytes((Kind.MEMBERS,)), (payload,))


def test_a_log_knows_the_terms_it_has_and_the_one_before():
    """Outside of what it holds it says None, never a guess."""
    log = log_of(2, 2, 3, first=5, base_term=1)

    assert [log.term_at(index) for index in range(3, 9)] == [None, 1, 2, 2, 3, None]
    assert (log.last_index, log.last_term) == (7, 3)


def test_appending_somewhere_else_than_at_the_end_is_a_bug():
    """A run continues the log, or the caller has not truncated."""
    with pytest.raises(AssertionError):
        log_of(1, 1).append(Entries(2, (1,), (0,), b"\0", (b"",)))


def test_agreement_ends_where_the_terms_differ(run):
    """Same index and term means same entry (Log Matching), so terms decide."""
    log = log_of(1, 1, 2, 2)

    assert log.agreement(Entries(3, (2, 2), (0, 0), bytes(2), (b"", b""))) == 4
    assert log.agreement(Entries(3, (2, 3), (0, 0), bytes(2), (b"", b""))) == 3
    assert log.agreement(Entries(3, (3, 3), (0, 0), bytes(2), (b"", b""))) == 2
    assert log.agreement(run(5, 9, b"new")) == 4
    assert log.agreement(Entries(3, (2, 2, 2), (0,) * 3, bytes(3), (b"",) * 3)) == 4


@given(
    st.lists(st.integers(1, 5), max_size=12).map(sorted),
    st.integers(0, 15),
    st.integers(0, 6),
)
def test_last_within_is_the_last_index_with_a_term_that_low(terms, index, term):
    """Against the definition: the highest i <= index with term(i) <= term, else before the log."""
    log = log_of(*terms)
    fitting = [i for i, t in enumerate(terms, 1) if i <= index and t <= term]

    assert max(fitting, default=0) == log.last_within(index, term)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20), st.integers(1, 8), st.integers(1, 99))
def test_fit_gives_at_least_one_entry_and_keeps_both_limits(sizes, entries_max, bytes_max):
    """Only a single entry may be larger than the byte limit."""
    payloads = tuple(bytes(size) for size in sizes)
    count = len(sizes)
    entries = Entries(1, (1,) * count, (0,) * count, bytes(count), payloads)
    log = Log(SnapshotMark(), entries, 0)

    stop = log.fit(1, entries_max, bytes_max)

    assert 2 <= stop <= min(count, entries_max) + 1
    assert stop == 2 or log.size(1, stop) <= bytes_max


def test_the_configuration_follows_the_log_back_when_it_is_truncated():
    """Active on append, rolled back on truncation: a pure function of the log."""
    log = Log(SnapshotMark(members=Members(voters=("a",))), Entries(1), 0)
    log.append(configuration(1, 1, "a", "b"))
    log.append(configuration(2, 1, "a", "b", "c"))
    assert (log.members_index, log.members.voters) == (2, ("a", "b", "c"))

    log.truncate(2)
    assert (log.members_index, log.members.voters) == (1, ("a", "b"))

    log.truncate(1)
    assert (log.members_index, log.members.voters) == (0, ("a",))


def test_compaction_keeps_a_tail_and_the_configuration_at_the_mark(run):
    """What the snapshot covers goes, but for the tail; newer configurations stay."""
    log = Log(SnapshotMark(members=Members(voters=("a",))), Entries(1), 0)
    log.append(run(1, 1, b"1", b"2"))
    log.append(configuration(3, 1, "a", "b"))
    log.append(run(4, 2, b"4", b"5"))
    log.append(configuration(6, 2, "a", "b", "c"))
    mark = log.mark_at(4)
    assert SnapshotMark(4, 2, 0, Members(voters=("a", "b")), 3) == mark

    log.compact(mark, 2)

    log.check()
    assert (log.first, log.last_index, log.base_term) == (3, 6, 1)
    assert log.members == Members(voters=("a", "b", "c"))
    log.truncate(6)
    assert (log.members_index, log.members.voters) == (3, ("a", "b"))


def test_the_version_of_the_machine_is_a_function_of_the_log(run):
    """By index, through compaction and truncation, and in the marks of snapshots."""
    log = Log(SnapshotMark(), Entries(1), 0)
    log.append(run(1, 1, b"1"))
    log.append(Entries(2, (1,), (0,), bytes([Kind.VERSION]), (b"2",)))
    log.append(run(3, 1, b"3"))
    log.append(Entries(4, (1,), (0,), bytes([Kind.VERSION]), (b"5",)))
    assert [1, 1, 2, 2, 5] == [log.version_at(index) for index in range(5)]
    assert [1, 2, 2] == [log.mark_at(index).version for index in (1, 2, 3)]

    log.compact(log.mark_at(3), 2)

    log.check()
    assert (5, 2) == (log.version, log.version_at(3))
    log.truncate(4)
    assert 2 == log.version
    log.reset(SnapshotMark(9, 3, version=7))
    log.check()
    assert 7 == log.version


def test_a_snapshot_from_the_leader_replaces_configurations_that_were_never_committed():
    """Even newer-looking ones: the snapshot's is what the cluster agreed on."""
    log = Log(SnapshotMark(members=Members(voters=("a",))), Entries(1), 0)
    log.append(configuration(1, 1, "x", "y"))

    log.reset(SnapshotMark(9, 4, 77, Members(voters=("a", "b")), 8))

    log.check()
    assert (log.first, log.last_index, log.last_term, log.last_stamp) == (10, 9, 4, 77)
    assert (log.members_index, log.members.voters) == (8, ("a", "b"))


def test_what_a_snapshot_covers_is_never_truncated():
    """It was committed: only a broken leader would ask for it."""
    log = log_of(1, first=6, base_term=1)

    with pytest.raises(AssertionError):
        log.truncate(5)
