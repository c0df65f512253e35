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
class Outline:
    """A storage's state without the entries: hard state, snapshot in force, bounds of the log."""

    term: Term = 0
    vote: NodeId | None = None
    mark: SnapshotMark = field(factory=SnapshotMark)
    first: Index = 1
    """Where the log begins."""
    base_term: Term = 0
    """The term of the entry before `first`."""
    last: Index = 0
    """Where the log ends; `first - 1` when it is empty."""

    def persist(self, order: Persist) -> None:
        """Take one write: hard state, then a reset, then entries that replace what they overlap.

        Raise ValueError, and change nothing, if the entries would leave a gap in the log.
        """
        first, last, entries = self.first, self.last, order.entries
        if order.reset is not None:
            first, last = order.reset.index + 1, order.reset.index
        if entries and not first <= entries.first <= last + 1:
            raise ValueError(f"entries from {entries.first} on do not fit a log {first} to {last}")
        self.term, self.vote, self.first, self.last = order.term, order.vote, first, last
        if order.reset is not None:
            self.mark, self.base_term = order.reset, order.reset.term
        if entries:
            self.last = entries.last

    def overtook(self, order: Trim) -> bool:
        """Whether a newer snapshot is in force already: nothing is to be done."""
        return order.mark.index < self.mark.index or order.first < self.first

    def trim(self, order: Trim) -> None:
        """Bring a snapshot into force and forget the log before `order.first`."""
        self.mark, self.first, self.base_term = order.mark, order.first, order.base_term
        self.last = max(self.last, self.first - 1)


@define
class Replay:
    """Orders go in, in the order in which they became durable; `Recovered` comes out."""

    outline: Outline = field(factory=Outline)
    runs: list[Entries] = field(factory=list)

    def persist(self, order: Persist) -> None:
        """See `Outline.persist`."""
        self.outline.persist(order)
        if order.reset is not None:
            self.runs.clear()
        if order.entries:
            self._append(order.entries)

    def _append(self, entries: Entries) -> None:
        runs = self.runs
        while runs and runs[-1].first >= entries.first:
            runs.pop()
        if runs and runs[-1].last >= entries.first:
            runs[-1] = runs[-1].slice(runs[-1].first, entries.first)
        columns = entries.terms, entries.stamps, entries.kinds, entries.payloads
        runs.append(Entries(entries.first, *columns))  # without its packed bytes: it is kept long

    def trim(self, order: Trim) -> None:
        """See `Outline.trim`; an order that was overtaken changes nothing."""
        if self.outline.overtook(order):
            return
        self.outline.trim(order)
        runs = self.runs
        del runs[: sum(run.last < order.first for run in runs)]
        if runs and runs[0].first < order.first:
            runs[0] = runs[0].slice(order.first, runs[0].last + 1)

    def recovered(self) -> Recovered:
        """The state as a server wants it back; ValueError if the log has a gap."""
        outline, runs = self.outline, self.runs
        expected = outline.first
        for run in runs:
            if run.first != expected:
                raise ValueError(f"entry {expected} is missing; the log goes on at {run.first}")
            expected = run.last + 1
        if expected != outline.last + 1 or outline.first > outline.mark.index + 1:
            raise ValueError(
                f"the log holds {outline.first} to {expected - 1}, which does not join the "
                f"snapshot at {outline.mark.index} to the last entry, {outline.last}"
            )
        entries = Entries(
            outline.first,
            tuple(chain.from_iterable([run.terms for run in runs])),
            tuple(chain.from_iterable([run.stamps for run in runs])),
            b"".join([run.kinds for run in runs]),
            tuple(chain.from_iterable([run.payloads for run in runs])),
        )
        return Recovered(outline.term, outline.vote, outline.mark, entries, outline.base_term)
