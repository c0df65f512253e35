"""The observer's copy of a server's log, built from what the server told its disk to write.

A server says every change of its log in a `Persist`, so an observer can follow the log without
looking into the server. Each entry gets a hash that chains it to all entries before it: two logs
are equal up to an index exactly when their hashes there are, which makes Log Matching a lookup.
"""

from __future__ import annotations

from attrs import Factory, define

from quorum.events import Recovered
from quorum.messages import Entries, Index, Kind, Members, SnapshotMark, Term

Chain = int
"""Hash of an entry and all before it. Compared within one run only; it never leaves it."""


@define
class Ledger:
    """Every entry ever written anywhere: position and term must identify a whole log (§5.3)."""

    chains: dict[tuple[Index, Term], Chain] = Factory(lambda: {(0, 0): 0})


@define
class Log:
    """One server's log as it stands in its memory: written, not necessarily durable."""

    ledger: Ledger
    first: Index
    mark: SnapshotMark
    terms: list[Term] = Factory(list)
    chains: list[Chain] = Factory(list)
    base: tuple[Term, Chain] = (0, 0)
    """Term and chain of the entry before `first`."""
    configurations: list[tuple[Index, Members]] = Factory(list)
    """Those in the log, after the one of the mark."""
    last_stamp: int = 0
    """Cluster time of the entry that was written last."""

    @classmethod
    def recovered(cls, ledger: Ledger, recovered: Recovered) -> Log | None:
        """The log that a disk gave back; None if no server ever wrote such a beginning."""
        entries, mark = recovered.entries, recovered.mark
        chain = ledger.chains.get((entries.first - 1, recovered.base_term))
        if chain is None or ledger.chains.get((mark.index, mark.term)) is None:
            return None
        log = cls(ledger, entries.first, mark, base=(recovered.base_term, chain))
        log.configurations.append((mark.members_index, mark.members))
        log.write(entries)
        return log

    @property
    def last(self) -> Index:
        """Index of the last entry, or of the snapshot that stands in for it."""
        return self.first + len(self.terms) - 1

    @property
    def members(self) -> tuple[Index, Members]:
        """The configuration in force, and the index of its entry: the newest one (§6)."""
        return self.configurations[-1]

    def at(self, index: Index) -> tuple[Term, Chain] | None:
        """Term and chain at an index; None before or after what is kept."""
        place = index - self.first
        if 0 <= place < len(self.terms):
            return self.terms[place], self.chains[place]
        return self.base if place == -1 else None

    def reset(self, mark: SnapshotMark) -> bool:
        """Start over after a snapshot; False if nobody ever wrote the entry that it ends with."""
        chain = self.ledger.chains.get((mark.index, mark.term))
        if chain is None:
            return False
        self.first, self.mark, self.base = mark.index + 1, mark, (mark.term, chain)
        self.terms, self.chains = [], []
        self.configurations = [(mark.members_index, mark.members)]
        self.last_stamp = mark.stamp
        return True

    def write(self, entries: Entries) -> Index | None:
        """Replace everything from `entries.first` on; return the index of a mismatch, if any.

        A mismatch is an entry that another server has with the same index and term, but with
        other contents or after another past.
        """
        place = entries.first - self.first
        assert 0 <= place <= len(self.terms), "a log has no gap"
        del self.terms[place:], self.chains[place:]
        while len(self.configurations) > 1 and self.configurations[-1][0] >= entries.first:
            self.configurations.pop()
        chain = self.chains[-1] if self.chains else self.base[1]
        columns = zip(entries.terms, entries.stamps, entries.kinds, entries.payloads, strict=True)
        for index, (term, stamp, kind, payload) in enumerate(columns, entries.first):
            chain = hash((chain, term, stamp, kind, payload))
            if self.ledger.chains.setdefault((index, term), chain) != chain:
                return index
            self.terms.append(term)
            self.chains.append(chain)
            if kind == Kind.MEMBERS and index > self.mark.index:
                self.configurations.append((index, Members.from_bytes(payload)))
        self.last_stamp = entries.stamps[-1] if entries else self.last_stamp
        return None
