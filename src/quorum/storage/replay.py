"""What a history of `Persist` and `Trim` amounts to: the state that a storage gives back.

This is the meaning of a journal, without its bytes, and all there is to a memory storage. The log
is kept as the runs that were written, so taking one more costs the same however long the log is;
`recovered` joins them.
"""

from __future__ import annotations

from itertools import chain

from attrs import define, field

from quorum.effects import Persist, Trim
from quorum.events import Recovered
from quorum.messages import Entries, Index, NodeId, SnapshotMark, Term


@define
class Replay:
    """Orders go in, in the order in which they became durable; `Recovered` comes out."""

    term: Term = 0
    vote: NodeId | None = None
    mark: SnapshotMark = field(factory=SnapshotMark)
    first: Index = 1
    """Where the log begins; `base_term` is the term of the entry before."""
    base_term: Term = 0
    runs: list[Entries] = field(factory=list)

    @property
    def last(self) -> Index:
        """Index of the last entry of the log; `first - 1` when it is empty."""
        return self.runs[-1].last if self.runs else self.first - 1

    def persist(self, order: Persist) -> None:
        """Take one write: hard state, then a reset, then entries that replace what they overlap."""
        self.term, self.vote = order.term, order.vote
        if order.reset is not None:
            self.begin(order.reset, order.reset.index + 1, order.reset.term)
            self.runs.clear()
        if order.entries:
            self.append(order.entries)

    def append(self, entries: Entries) -> None:
        """Put a run after what is before it; what was there, from its first index on, goes."""
        runs = self.runs
        while runs and runs[-1].first >= entries.first:
            runs.pop()
        if runs and runs[-1].last >= entries.first:
            runs[-1] = runs[-1].slice(runs[-1].first, entries.first)
        columns = entries.terms, entries.stamps, entries.kinds, entries.payloads
        runs.append(Entries(entries.first, *columns))  # without its packed bytes: it is kept long

    def trim(self, order: Trim) -> None:
        """Bring a snapshot into force and forget the log before `order.first`.

        An order that a newer snapshot has overtaken changes nothing.
        """
        if order.mark.index < self.mark.index or order.first < self.first:
            return
        self.begin(order.mark, order.first, order.base_term)
        gone = sum(run.last < order.first for run in self.runs)
        del self.runs[:gone]
        if self.runs and self.runs[0].first < order.first:
            self.runs[0] = self.runs[0].slice(order.first, self.runs[0].last + 1)

    def begin(self, mark: SnapshotMark, first: Index, base_term: Term) -> None:
        """Note the snapshot in force and where the log begins."""
        self.mark, self.first, self.base_term = mark, first, base_term

    def recovered(self) -> Recovered:
        """The state as a server wants it back; ValueError if the log has a gap."""
        expected = self.first
        for run in self.runs:
            if run.first != expected:
                raise ValueError(f"entry {expected} is missing; the log goes on at {run.first}")
            expected = run.last + 1
        if self.first > self.mark.index + 1:
            raise ValueError(f"the snapshot ends at {self.mark.index}, the log begins {self.first}")
        entries = Entries(
            self.first,
            tuple(chain.from_iterable([run.terms for run in self.runs])),
            tuple(chain.from_iterable([run.stamps for run in self.runs])),
            b"".join([run.kinds for run in self.runs]),
            tuple(chain.from_iterable([run.payloads for run in self.runs])),
        )
        return Recovered(self.term, self.vote, self.mark, entries, self.base_term)
