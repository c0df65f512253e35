"""A disk that is slow, batches its writes, and loses at a crash what it had not synced.

Two states matter. The *durable* one survives a crash for certain: term, vote, the log as columns,
and snapshots. The *queue* holds orders on their way: at a crash any prefix of them may have reached
the platter, and a torn last order counts as not written (a journal's checksum drops it). Orders are
carried out in the order given, all that wait together as one write.
"""

from __future__ import annotations

from random import Random
from typing import TypeAlias

from attrs import Factory, define, frozen

from quorum.effects import Persist, Trim
from quorum.events import Recovered
from quorum.messages import Entries, Index, Members, NodeId, SnapshotMark, Term


@frozen
class Save:
    """Keep a snapshot beside the log; it comes into force by a reset or a trim."""

    mark: SnapshotMark
    data: bytes
    sender: NodeId | None = None
    """Who sent it and for which term and round; None if it is a snapshot of our own machine."""
    term: Term = 0
    round: int = 0


Order: TypeAlias = Persist | Save | Trim


@define
class Disk:
    """One server's durable state, and the orders on their way to it."""

    term: Term = 0
    vote: NodeId | None = None
    mark: SnapshotMark = Factory(SnapshotMark)
    first: Index = 1
    base_term: Term = 0
    snapshots: dict[Index, tuple[SnapshotMark, bytes]] = Factory(dict)
    queue: list[Order] = Factory(list)
    writing: int = 0
    """How many orders at the head of the queue the write under way carries."""
    _terms: list[Term] = Factory(list)
    _stamps: list[int] = Factory(list)
    _kinds: bytearray = Factory(bytearray)
    _payloads: list[bytes] = Factory(list)

    @classmethod
    def bootstrap(cls, members: Members) -> Disk:
        """The disk of a server that has never run."""
        return cls(mark=SnapshotMark(members=members))

    @property
    def last(self) -> Index:
        """Index of the last durable entry, or of the snapshot if that is further."""
        return max(self.first + len(self._terms) - 1, self.mark.index)

    def term_at(self, index: Index) -> Term | None:
        """The term of a durable entry; None if it is not there (or no longer: see `mark`)."""
        if index == self.mark.index:
            return self.mark.term
        if index == self.first - 1:
            return self.base_term
        place = index - self.first
        return self._terms[place] if 0 <= place < len(self._terms) else None

    def begin(self) -> bool:
        """Start to write everything that waits; False if there is nothing or a write is on."""
        if self.writing or not self.queue:
            return False
        self.writing = len(self.queue)
        return True

    def finish(self) -> list[Order]:
        """The write under way is durable; return the orders that it carried."""
        done, self.queue = self.queue[: self.writing], self.queue[self.writing :]
        self.writing = 0
        for order in done:
            self._carry_out(order)
        return done

    def crash(self, random: Random) -> list[Order]:
        """Power fails: a random prefix of the orders under way survives; return it."""
        survivors = self.queue[: random.randint(0, len(self.queue))]
        for order in survivors:
            self._carry_out(order)
        self.queue.clear()
        self.writing = 0
        return survivors

    def load(self) -> Recovered:
        """What a server that starts on this disk remembers."""
        return Recovered(
            term=self.term,
            vote=self.vote,
            mark=self.mark,
            entries=Entries(
                self.first,
                tuple(self._terms),
                tuple(self._stamps),
                bytes(self._kinds),
                tuple(self._payloads),
            ),
            base_term=self.base_term,
        )

    def _carry_out(self, order: Order) -> None:
        match order:
            case Persist():
                self.term, self.vote = order.term, order.vote
                if order.reset is not None:
                    self._put_in_force(order.reset)
                    self._keep_from(order.reset.index + 1, order.reset.term, keep=False)
                if order.entries is not None:
                    self._write(order.entries)
            case Save():
                self.snapshots[order.mark.index] = (order.mark, order.data)
            case Trim():
                if order.mark.index >= self.mark.index:
                    self._put_in_force(order.mark)
                if order.first >= self.first:
                    self._keep_from(order.first, order.base_term, keep=True)

    def _put_in_force(self, mark: SnapshotMark) -> None:
        assert mark.index in self.snapshots, "a snapshot is saved before it comes into force"
        self.mark = mark
        for index in [index for index in self.snapshots if index < mark.index]:
            del self.snapshots[index]

    def _keep_from(self, first: Index, base_term: Term, *, keep: bool) -> None:
        gone = first - self.first if keep else len(self._terms)
        for column in (self._terms, self._stamps, self._kinds, self._payloads):
            del column[:gone]
        self.first, self.base_term = first, base_term

    def _write(self, entries: Entries) -> None:
        place = entries.first - self.first
        assert 0 <= place <= len(self._terms), "a log on disk has no gap"
        self._terms[place:] = entries.terms
        self._stamps[place:] = entries.stamps
        self._kinds[place:] = entries.kinds
        self._payloads[place:] = entries.payloads
