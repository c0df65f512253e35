"""The log of one server, in columns.

Growing by a run costs one `extend` a column, whatever the run's length; cutting out a run to send
or to write costs one slice a column. An entry costs its payload and about 25 bytes.

The log may start late: what a snapshot covers can be dropped (`compact`), and `base_term` remembers
the term just before the first entry, so that the consistency check of AppendEntries still works
there. The configuration of the cluster is a function of the log (§6): the newest `Kind.MEMBERS`
entry in it, committed or not, else the snapshot's. Truncating an entry takes its configuration away
with it. So is the version of the machine.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from attrs import define, field

from quorum.messages import Entries, Index, Kind, Members, SnapshotMark, Term, read_version


@define(init=False)
class Log:
    """Entries `first` to `last_index`, and the snapshot that replaces what came before."""

    mark: SnapshotMark
    """The newest snapshot in force; the log has no gap after it."""
    first: Index
    base_term: Term
    """The term of the entry at `first - 1`."""
    last_index: Index
    _terms: list[Term] = field(repr=False)
    _stamps: list[int] = field(repr=False)
    _kinds: bytearray = field(repr=False)
    _payloads: list[bytes] = field(repr=False)
    _members: list[tuple[Index, Members]]
    """Configurations by index, oldest first; never empty."""
    _versions: list[tuple[Index, int]]
    """Versions of the machine, likewise."""

    def __init__(self, mark: SnapshotMark, entries: Entries, base_term: Term) -> None:
        assert entries.first <= mark.index + 1, "no gap between the snapshot and the log"
        self.first = entries.first
        self.base_term = base_term
        self.last_index = entries.first - 1
        self.mark = mark
        self._terms, self._stamps, self._kinds, self._payloads = [], [], bytearray(), []
        self._members = [(mark.members_index, mark.members)]
        self._versions = [(mark.index, mark.version)]
        self.append(entries)

    @property
    def last_term(self) -> Term:
        """The term of the last entry, 0 for an empty log that never had any."""
        return self._terms[-1] if self._terms else self.base_term

    @property
    def last_stamp(self) -> int:
        """Cluster time of the last entry, in milliseconds."""
        return self._stamps[-1] if self._stamps else self.mark.stamp

    @property
    def members(self) -> Members:
        """The configuration in force: the newest in the log, "whether committed or not" (§6)."""
        return self._members[-1][1]

    @property
    def members_index(self) -> Index:
        """Where the configuration in force was appended."""
        return self._members[-1][0]

    @property
    def members_before(self) -> Members:
        """The configuration before the one in force; the one in force if this log has but one."""
        return self._members[-2:][0][1]

    @property
    def version(self) -> int:
        """The newest version of the machine that is in the log, committed or not."""
        return self._versions[-1][1]

    def version_at(self, index: Index) -> int:
        """The version by which what follows the entry at `index` is applied."""
        return next(version for at, version in reversed(self._versions) if at <= index)

    def term_at(self, index: Index) -> Term | None:
        """The term of the entry at `index`; None where this log cannot tell."""
        position = index - self.first
        if position >= 0:
            return self._terms[position] if index <= self.last_index else None
        return self.base_term if position == -1 else None

    def mark_at(self, index: Index) -> SnapshotMark:
        """How a snapshot of everything up to `index` is marked."""
        if index == self.mark.index:
            return self.mark
        term = self.term_at(index)
        assert term is not None, "a snapshot is taken of entries that the log still has"
        at, members = next(pair for pair in reversed(self._members) if pair[0] <= index)
        stamp, version = self._stamps[index - self.first], self.version_at(index)
        return SnapshotMark(index, term, stamp, members, at, version)

    def append(self, entries: Entries) -> None:
        """Grow by a run that starts right after the last entry."""
        assert entries.first == self.last_index + 1, "a run continues the log"
        self._terms.extend(entries.terms)
        self._stamps.extend(entries.stamps)
        self._kinds.extend(entries.kinds)
        self._payloads.extend(entries.payloads)
        self.last_index += len(entries.terms)
        if Kind.MEMBERS in entries.kinds:
            for entry in entries:
                if entry.kind is Kind.MEMBERS and entry.index > self.mark.index:
                    self._members.append((entry.index, Members.from_bytes(entry.payload)))
        if Kind.VERSION in entries.kinds:
            for entry in entries:
                if entry.kind is Kind.VERSION and entry.index > self.mark.index:
                    self._versions.append((entry.index, read_version(entry.payload)))

    def truncate(self, start: Index) -> None:
        """Drop the entry at `start` and all that follow it."""
        assert start > self.mark.index, "what a snapshot covers was committed"
        position = start - self.first
        for column in (self._terms, self._stamps, self._kinds, self._payloads):
            del column[position:]
        self.last_index = start - 1
        for newest in (self._members, self._versions):
            while newest[-1][0] >= start:
                newest.pop()

    def slice(self, start: Index, stop: Index) -> Entries:
        """The run from `start` up to, not including, `stop`."""
        low, high = start - self.first, stop - self.first
        assert 0 <= low <= high <= len(self._terms), "a slice lies inside the log"
        return Entries(
            start,
            tuple(self._terms[low:high]),
            tuple(self._stamps[low:high]),
            bytes(self._kinds[low:high]),
            tuple(self._payloads[low:high]),
        )

    def size(self, start: Index, stop: Index) -> int:
        """Payload bytes from `start` up to, not including, `stop`."""
        return sum(map(len, self._payloads[start - self.first : stop - self.first]))

    def fit(self, start: Index, entries_max: int, bytes_max: int) -> Index:
        """The stop of the longest run from `start` within both limits: at least one entry."""
        stop = min(self.last_index + 1, start + entries_max)
        while stop - start > 1 and self.size(start, stop) > bytes_max:
            stop = start + (stop - start) // 2
        return stop

    def agreement(self, entries: Entries) -> Index:
        """The last index of the run up to which this log has the same entries (Log Matching).

        `entries.first - 1` when already its first entry differs or is missing.
        """
        low = entries.first - self.first
        mine = self._terms[low : low + len(entries.terms)]
        theirs = list(entries.terms)
        if mine == theirs:
            return entries.last
        same = next((k for k, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), None)
        return entries.first - 1 + (len(mine) if same is None else same)

    def last_within(self, index: Index, term: Term) -> Index:
        """The highest index, at most `index`, whose term is at most `term`.

        Terms never fall along a log, so an entry of a higher term, and all after it, cannot be
        what the other log has at that place: a whole term is skipped in one round trip (§5.3).
        """
        if index < self.first:
            return index  # before what this log still has: it cannot tell
        stop = min(index, self.last_index) + 1 - self.first
        return self.first - 1 + bisect_right(self._terms, term, 0, stop)

    def compact(self, mark: SnapshotMark, keep: int) -> None:
        """Put a snapshot of our own in force; drop what it covers but the last `keep` entries."""
        assert self.mark.index < mark.index <= self.last_index, "a snapshot covers our entries"
        first = max(self.first, mark.index + 1 - keep)
        base_term = self.term_at(first - 1)
        assert base_term is not None
        drop = first - self.first
        for column in (self._terms, self._stamps, self._kinds, self._payloads):
            del column[:drop]
        self.first, self.base_term, self.mark = first, base_term, mark
        newer = [pair for pair in self._members if pair[0] > mark.index]
        self._members = [(mark.members_index, mark.members), *newer]
        later = [pair for pair in self._versions if pair[0] > mark.index]
        self._versions = [(mark.index, mark.version), *later]

    def reset(self, mark: SnapshotMark) -> None:
        """Discard everything in favour of a snapshot that the leader sent (Figure 13, step 7)."""
        self.__init__(mark, Entries(mark.index + 1), mark.term)  # type: ignore[misc]

    def check(self) -> None:
        """Assert what must hold between calls; for tests and simulations."""
        length = self.last_index - self.first + 1
        assert length == len(self._terms) == len(self._stamps) == len(self._kinds)
        assert length == len(self._payloads)
        assert self.first <= self.mark.index + 1 <= self.last_index + 1
        assert all(a <= b for a, b in pairwise([self.base_term, *self._terms])), "terms never fall"
        assert all(a[0] < b[0] for a, b in pairwise(self._members))
        assert self._versions[0] == (self.mark.index, self.mark.version)
        assert all(a[0] < b[0] for a, b in pairwise(self._versions))
