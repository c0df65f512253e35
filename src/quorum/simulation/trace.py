"""What happened: as a hash, by which two runs are the same run, and as a timeline to read."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from attrs import define, field, fields, has

from quorum.core.raft import Statistics
from quorum.messages import Entries, Members, NodeId


@define
class Trace:
    """The run so far."""

    keep: bool = False
    """Whether to write lines, not only to hash."""
    lines: list[str] = field(factory=list)
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
            head = (
                f"{now:10.4f}  {statistics.id:<3} {statistics.role.value:<9} "
                f"t{statistics.term:<3} c{statistics.commit:<4} "
            )
            for event in events or ("deadline",):
                self.lines.append(f"{head} < {brief(event)}")
                head = " " * len(head)
            self.lines.extend(f"{' ' * len(head)}   > {brief(effect)}" for effect in effects)

    def note(self, now: float, name: NodeId, text: str) -> None:
        """Something befell a server, or (no name) the network."""
        self._hash.update(f"{now!r}{name}{text}".encode())
        if self.keep:
            self.lines.append(f"{now:10.4f}  {name:<3} {text}")

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
