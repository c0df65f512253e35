"""What happened: as a hash, by which two runs are the same run, and as records to read.

The records are one list, in the order in which things happened: what each server heard and ordered
(`Step`), each message on its way (`Flight`), and what befell servers and network (`Note`).
`timeline` makes text and pages of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from hashlib import sha256
from typing import Any, TypeAlias

from attrs import define, field, fields, frozen, has

from quorum.core.raft import Statistics
from quorum.effects import Role
from quorum.messages import Entries, Index, Members, Message, NodeId, Term


@frozen
class Step:
    """A server took these events (none: its deadline came) and gave these orders."""

    time: float
    node: NodeId
    role: Role
    term: Term
    commit: Index
    events: tuple[str, ...]
    effects: tuple[str, ...]


class Fate(Enum):
    """What became of a message."""

    UNDER_WAY = "under way"
    ARRIVED = "arrived"
    LOST = "lost"


@define
class Flight:
    """One copy of a message; its fate is written here when it is known."""

    time: float
    node: NodeId
    """The sender."""
    to: NodeId
    text: str
    arrival: float
    """When it arrives, or would have."""
    fate: Fate


@frozen
class Note:
    """Something befell a server, or (no name) everybody."""

    time: float
    node: NodeId
    text: str
    """Its first word says what kind of thing it is."""
    until: float | None = None
    """When it is over, if that is known beforehand."""


Record: TypeAlias = Step | Flight | Note


@define
class Trace:
    """The run so far."""

    keep: bool = False
    """Whether to keep records, not only to hash."""
    records: list[Record] = field(factory=list)
    _hash: Any = field(factory=sha256)

    def stepped(
        self,
        now: float,
        statistics: Statistics,
        events: Sequence[object],
        effects: Sequence[object],
    ) -> None:
        """A server took these events and gave these orders."""
        self._hash.update(f"{now!r}{statistics.id}{events}{effects}".encode())
        if self.keep:
            self.records.append(
                Step(
                    now,
                    statistics.id,
                    statistics.role,
                    statistics.term,
                    statistics.commit,
                    tuple(map(brief, events)),
                    tuple(map(brief, effects)),
                )
            )

    def sent(
        self, now: float, sender: NodeId, to: NodeId, message: Message, delay: float | None
    ) -> Flight | None:
        """A copy of a message leaves, to arrive after this delay; None: the network lost it.

        Hand the answer to `ended` when it arrives. (The orders to send are in the hash already.)
        """
        if not self.keep:
            return None
        fate = Fate.LOST if delay is None else Fate.UNDER_WAY
        flight = Flight(now, sender, to, brief(message), now + (delay or 0.0), fate)
        self.records.append(flight)
        return flight

    @staticmethod
    def ended(flight: Flight | None, *, arrived: bool) -> None:
        """It has arrived, or found its way cut or its receiver down."""
        if flight is not None:
            flight.fate = Fate.ARRIVED if arrived else Fate.LOST

    def note(self, now: float, name: NodeId, text: str, *, until: float | None = None) -> None:
        """Something befell a server, or (no name) everybody."""
        self._hash.update(f"{now!r}{name}{text}{until!r}".encode())
        if self.keep:
            self.records.append(Note(now, name, text, until))

    @property
    def digest(self) -> str:
        """Hexadecimal; equal for equal runs, whatever the process or machine."""
        return str(self._hash.hexdigest())


def brief(value: object) -> str:
    """A value on one short line: field values without what is empty."""
    match value:
        case Entries():
            return f"[{value.first}..{value.last} terms {_runs(value.terms)}]"
        case Members():
            outgoing = f" from {','.join(value.outgoing)}" if value.outgoing else ""
            learners = f" learn {','.join(value.learners)}" if value.learners else ""
            return f"({','.join(value.voters)}{outgoing}{learners})"
        case tuple():
            return f"({', '.join(map(brief, value))})"
        case Enum():
            return str(value.value)
        case _ if has(kind := type(value)):
            pairs = [(each.name, getattr(value, each.name)) for each in fields(kind)]
            inner = ", ".join(
                f"{name}={brief(each)}" for name, each in pairs if each not in (None, "", False)
            )
            return f"{kind.__name__}({inner})"
        case _:
            return str(value)


def _runs(terms: Sequence[int]) -> str:
    counted = {term: terms.count(term) for term in terms}
    return " ".join(f"{term}x{count}" for term, count in counted.items()) or "-"
