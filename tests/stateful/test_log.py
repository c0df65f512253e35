"""The log in columns against a naive model: a list of entries that forgets nothing."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from quorum.core.log import Log
from quorum.messages import Entries, Entry, Kind, Members, SnapshotMark

NAMES = st.sets(st.sampled_from("abcd"), min_size=1).map(tuple)


class LogAgainstList(RuleBasedStateMachine):
    """Entry i of the model is `entries[i - 1]`; `snapshot` says what the log may have dropped."""

    def __init__(self) -> None:
        super().__init__()
        first = SnapshotMark(members=Members(voters=("a",)))
        self.log = Log(first, Entries(1), 0)
        self.entries: list[Entry] = []
        self.snapshot = first
        self.kept = 1

    def _append(self, kind: Kind, term_step: int, payloads: tuple[bytes, ...]) -> None:
        first = len(self.entries) + 1
        term = (self.entries[-1].term if self.entries else 0) + term_step
        count = len(payloads)
        columns = (term,) * count, (first * 10,) * count, bytes((kind,)) * count, payloads
        run = Entries(first, *columns)
        self.log.append(run)
        self.entries += list(run)

    @rule(term_step=st.integers(0, 2), sizes=st.lists(st.integers(0, 5), min_size=1, max_size=5))
    def append_commands(self, term_step: int, sizes: list[int]) -> None:
        """A run of commands of one term."""
        self._append(Kind.COMMAND, term_step, tuple(bytes(size) for size in sizes))

    @rule(term_step=st.integers(0, 1), names=NAMES)
    def append_members(self, term_step: int, names: tuple[str, ...]) -> None:
        """A configuration, in force at once."""
        self._append(Kind.MEMBERS, term_step, (Members(voters=names).to_bytes(),))

    @precondition(lambda self: len(self.entries) > self.snapshot.index)
    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        """Drop a suffix that no snapshot covers."""
        start = data.draw(st.integers(self.snapshot.index + 1, len(self.entries)))
        self.log.truncate(start)
        del self.entries[start - 1 :]

    @precondition(lambda self: len(self.entries) > self.snapshot.index)
    @rule(data=st.data(), keep=st.integers(0, 4))
    def compact(self, data: st.DataObject, keep: int) -> None:
        """A snapshot of our own, with a tail kept."""
        index = data.draw(st.integers(self.snapshot.index + 1, len(self.entries)))
        self.snapshot = self.log.mark_at(index)
        self.log.compact(self.snapshot, keep)
        self.kept = max(self.kept, index + 1 - keep)

    @rule(beyond=st.integers(1, 3), names=NAMES)
    def install(self, beyond: int, names: tuple[str, ...]) -> None:
        """The leader's snapshot replaces everything."""
        index = len(self.entries) + beyond
        term = (self.entries[-1].term if self.entries else 0) + 1
        self.snapshot = SnapshotMark(index, term, 7, Members(voters=names), index)
        self.log.reset(self.snapshot)
        filler = [Entry(i, term, 7, Kind.COMMAND, b"") for i in range(1, index)]
        payload = self.snapshot.members.to_bytes()
        self.entries = [*filler, Entry(index, term, 7, Kind.MEMBERS, payload)]
        self.kept = index + 1

    @invariant()
    def it_holds_what_the_list_holds(self) -> None:
        """Bounds, terms, entries."""
        self.log.check()
        last = len(self.entries)
        assert (self.log.first, self.log.last_index) == (self.kept, last)
        assert list(self.log.slice(self.kept, last + 1)) == self.entries[self.kept - 1 :]
        terms = [0, *[entry.term for entry in self.entries]]
        for index in range(self.kept - 1, last + 1):
            assert self.log.term_at(index) == terms[index]
        assert self.log.term_at(last + 1) is None

    @invariant()
    def the_configuration_is_a_function_of_the_log(self) -> None:
        """The newest in it, committed or not, else the snapshot's."""
        expected = self.snapshot.members_index, self.snapshot.members
        for entry in self.entries[self.snapshot.index :]:
            if entry.kind is Kind.MEMBERS:
                expected = entry.index, Members.from_bytes(entry.payload)
        assert (self.log.members_index, self.log.members) == expected

    @invariant()
    def it_agrees_with_itself_and_with_nothing_else(self) -> None:
        """`agreement` and `last_within`, by their definitions."""
        whole = self.log.slice(self.kept, len(self.entries) + 1)
        assert self.log.agreement(whole) == whole.last
        for term in {entry.term for entry in self.entries[self.kept - 1 :]}:
            fitting = [e.index for e in self.entries[self.kept - 1 :] if e.term <= term]
            assert self.log.last_within(len(self.entries), term) == max(fitting)


TestLog = LogAgainstList.TestCase
TestLog.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
