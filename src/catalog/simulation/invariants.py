"""What must hold whatever happens, checked at every entry applied and every answer seen.

The promises, by the names under which a violation is reported:

``Replica``        all servers apply the same commands with the same stamps, give the same answers,
                   and are equal, byte for byte, whichever snapshots they were restored from.
``Stamp``          stamps never go back, and do not run ahead of the world's time.
``Exclusion``      a key is acquired only when nobody holds it.
``Fencing``        lock indexes of a key only grow, and each belongs to one session.
``Lock-delay``     what a session held when it ended is nobody's until its lock-delay is over, by
                   stamps and by the world's clock, over changes of leaders and snapshots.
``TTL``            no session ends by its TTL sooner than that after its last renewal.
``Registration``   when a registration or a removal is acknowledged, the catalog is like that.
``Order``          a subscriber's copy never goes back, and every change comes once, without a gap.
``Copy``           a subscriber's copy is the catalog as of the index that it carries.
``Age``            an answer or a copy is no older than it says.
``Exception``      nothing else goes wrong: no agent stops by itself.
``Index``          a question that waits for news is answered with news, or at its time-out.

The truth is one more registry, fed with each command when a server first applies it, and what it
held at each index. What is asked of it is written here without the registry's own rules.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from math import inf

from attrs import define, field, frozen

from catalog.answers import Applied
from catalog.model import Instance, KeyValue, Service, Session, View
from catalog.registry import Registry
from quorum.messages import Entries

__all__ = ["Invariants", "Violation"]

COMPARED_EVERY = 16
"""Entries between two comparisons of whole replicas."""
SLACK = 0.05
"""Seconds that a bound may be off: things are applied a little after they are decided."""
DRIFT = 0.02
"""By so much two clocks may differ in speed."""


class Violation(AssertionError):
    """A promise is broken; `promise` is its name in this module's or in chaos' list."""

    def __init__(self, promise: str, detail: str) -> None:
        super().__init__(f"{promise}: {detail}")
        self.promise = promise
        self.detail = detail


@define
class Past:
    """What something was, by index; and when the world first saw it."""

    indexes: list[int] = field(factory=list)
    times: list[float] = field(factory=list)
    values: list[object] = field(factory=list)

    def note(self, index: int, now: float, value: object) -> None:
        """It is this from now on."""
        self.indexes.append(index)
        self.times.append(now)
        self.values.append(value)

    def at(self, index: int, default: object) -> object:
        """What it was as of an index."""
        place = bisect_right(self.indexes, index)
        return self.values[place - 1] if place else default

    def seen_by(self, moment: float) -> int:
        """The index of the last change that somebody had applied at a moment; 0: none."""
        place = bisect_right(self.times, moment)
        return self.indexes[place - 1] if place else 0


@frozen
class Delay:
    """A lock that its holder lost."""

    until: int
    """By the stamps, in ms."""
    since: float
    seconds: float


@define
class Invariants:
    """Watches all of one world."""

    now: Callable[[], float]
    jumps: list[tuple[float, float]]
    failure: AssertionError | None = None
    """What was found broken where nothing may be raised."""
    truth: Registry = field(factory=Registry)
    counts: Counter[str] = field(factory=Counter)
    services: dict[str, Past] = field(factory=lambda: defaultdict(Past))
    keys: dict[str, Past] = field(factory=lambda: defaultdict(Past))
    restorations: list[float] = field(factory=list)
    _log: dict[int, tuple[int, bytes, Applied]] = field(factory=dict)
    _first: tuple[int, float] | None = None
    _sessions: dict[str, Session] = field(factory=dict)
    _renewed: dict[str, float] = field(factory=dict)
    _destroying: dict[str, None] = field(factory=dict)
    _delays: dict[str, Delay] = field(factory=dict)
    _locks: dict[str, int] = field(factory=dict)
    _tokens: dict[tuple[str, int], str] = field(factory=dict)

    # What servers apply.

    def applied(
        self, name: str, entries: Entries, answers: Sequence[Applied], registry: Registry
    ) -> None:
        """Take in what a server applied."""
        rows = zip(entries.stamps, entries.payloads, answers, strict=True)
        for index, (stamp, payload, answer) in enumerate(rows, entries.first):
            known = self._log.get(index)
            if known is None:
                (ours,) = self.truth.apply(entries.slice(index, index + 1))
                known = self._log[index] = stamp, payload, ours
                self._check_stamp(index, stamp)
                self._look(index, stamp)
            if known[:2] != (stamp, payload):
                raise Violation("Replica", f"{name} applied another command at {index}")
            if known[2] != answer:
                raise Violation("Replica", f"{name} answered {answer}, not {known[2]}")
        if registry.applied == self.truth.applied and entries.last % COMPARED_EVERY == 0:
            self.compare(name, registry)

    def restored(self) -> None:
        """Some server has another machine: it wakes whoever waits."""
        self.restorations.append(self.now())
        self.counts["snapshots restored"] += 1

    def compare(self, name: str, registry: Registry) -> None:
        """Compare a whole replica with the truth."""
        if registry.to_bytes() != self.truth.to_bytes():
            raise Violation("Replica", f"{name} differs at {registry.applied}")

    def _check_stamp(self, index: int, stamp: int) -> None:
        now, clock = self.now(), self.truth.clock
        if stamp < clock:
            raise Violation("Stamp", f"entry {index} has {stamp}, after {clock}")
        if self._first is None:
            self._first = stamp, now
        first, then = self._first
        # The first entry was stamped at most a moment before it was applied.
        most = (now - then) * (1 + DRIFT) + 5.0 + self._jumped(0.0)
        if stamp - first > most * 1000:
            raise Violation("Stamp", f"{stamp - first} ms passed in {now - then:.3f} s")

    def _jumped(self, since: float) -> float:
        return sum(seconds for at, seconds in self.jumps if at >= since)

    def _look(self, index: int, stamp: int) -> None:
        """Note what an entry changed."""
        now = self.now()
        ended = self._ended(now)
        for kind, name in self.truth.drain().topics:
            if kind == "service":
                view = self.truth.lookup(name, healthy=False)
                self.services[name].note(index, now, view.instances)
                self.counts["changes of services"] += 1
            elif kind == "key":
                entry = self.truth.get(name)
                old = self.keys[name].at(index, None)
                assert old is None or isinstance(old, KeyValue)
                self._lock(name, old, entry, stamp, ended)
                self.keys[name].note(index, now, entry)

    def _ended(self, now: float) -> dict[str, Session]:
        sessions = {session.id: session for session in self.truth.sessions()}
        ended = {one.id: one for one in self._sessions.values() if one.id not in sessions}
        for begun in sessions.keys() - self._sessions.keys():
            self._renewed.setdefault(begun, now)
        self._sessions = sessions
        for session in ended.values():
            self.counts["sessions ended"] += 1
            self._check_end(session, now)
        return ended

    def _check_end(self, session: Session, now: float) -> None:
        node = self.truth.node(session.node)
        is_lost = bool(session.checks) or node is None
        if session.id in self._destroying or session.ttl is None or is_lost:
            return
        self.counts["sessions expired"] += 1
        since = self._renewed[session.id]
        least = session.ttl - max(0.0, self._jumped(since) - session.ttl) - SLACK
        if now - since < least:
            text = (
                f"{session.id} of {session.ttl} s ended {now - since:.3f} s after its last renewal"
            )
            raise Violation("TTL", text)

    def _lock(
        self,
        key: str,
        old: KeyValue | None,
        new: KeyValue | None,
        stamp: int,
        ended: dict[str, Session],
    ) -> None:
        holder, heir = (one.session if one is not None else "" for one in (old, new))
        if holder == heir:
            return
        if holder in ended:
            delay = ended[holder].lock_delay
            self._delays[key] = Delay(stamp + round(delay * 1000), self.now(), delay)
        elif holder and heir:
            raise Violation("Exclusion", f"{key} went from {holder} to {heir}")
        if not heir or new is None:
            return
        self.counts["locks acquired"] += 1
        if new.lock_index <= self._locks.get(key, 0):
            raise Violation("Fencing", f"{key} was acquired with {new.lock_index} again")
        self._locks[key] = new.lock_index
        past = self._delays.pop(key, None)
        if past is not None:
            waited = self.now() - past.since
            least = past.seconds * (1 - DRIFT) - self._jumped(past.since) - 2.0
            if stamp < past.until or waited < least:
                text = f"{key} was free after {waited:.3f} s of {past.seconds} s"
                raise Violation("Lock-delay", text)
            self.counts["locks acquired after a delay"] += 1

    # What users do and see.

    def renewed(self, session: str, asked: float) -> None:
        """A session was renewed, by a question asked then."""
        self._renewed[session] = max(self._renewed.get(session, 0.0), asked)

    def destroying(self, session: str) -> None:
        """Somebody is about to end a session."""
        self._destroying[session] = None

    def touched(self, key: str, lock_index: int, session: str) -> None:
        """Somebody shows a fencing token to what the lock guards."""
        if self._tokens.setdefault((key, lock_index), session) != session:
            raise Violation("Fencing", f"two sessions have lock index {lock_index} of {key}")

    def acknowledged(self, node: str, service: Service, index: int, *, there: bool) -> None:
        """An agent says that the catalog has a service, or has it no more."""
        instances = self.instances(service.name, index)
        found = [one.service for one in instances if one.key == (node, service.id)]
        if found != ([service] if there else []):
            raise Violation("Registration", f"{node}: {service.id} at {index}: {found}")
        self.counts["registrations" if there else "deregistrations"] += 1

    def instances(self, name: str, index: int) -> tuple[Instance, ...]:
        """The instances of a service as of an index."""
        found = self.services[name].at(index, ())
        assert isinstance(found, tuple)
        return found

    def viewed(self, who: str, view: View, age: float) -> None:
        """Somebody's copy of a service is this, and so old."""
        self.counts["views"] += 1
        if view.instances != self.instances(view.name, view.index):
            raise Violation("Copy", f"{who} has {view.name} at {view.index}: {view.instances}")
        past = self.services[view.name]
        self.aged(f"{who}: {view.name}", past, view.index, age, at=self.now())

    def changed(self, who: str, name: str, before: int, index: int) -> None:
        """A reader was told of a change, after one with another index."""
        indexes = self.services[name].indexes
        place = bisect_right(indexes, before)
        if index < before or (index > before and indexes[place : place + 1] != [index]):
            raise Violation("Order", f"{who} was told of {index} after {before}: {indexes[-9:]}")

    def aged(self, who: str, past: Past, index: int, age: float, *, at: float) -> None:
        """What is as of an index claimed, at that moment or later, to be so old."""
        if age == inf:
            return
        least = past.seen_by(at - age * (1 + DRIFT) - SLACK)
        if index < least:
            raise Violation("Age", f"{who} as of {index} says {age:.3f} s, and lacks {least}")

    def waited(self, since: float, after: int, index: int, seconds: float) -> None:
        """A question that was to wait so long for an index above `after` was answered."""
        woken = any(at >= since for at in self.restorations) or self._jumped(since) > 0
        if index <= after and not woken and self.now() - since < seconds * (1 - DRIFT) - SLACK:
            raise Violation("Index", f"no news after {after}, in {self.now() - since:.3f} s")

    def held(self, who: str, entries: Sequence[KeyValue], prefix: str, index: int) -> None:
        """Somebody's copy of the keys under a prefix is this, as of an index."""
        keys = sorted(key for key in self.keys if key.startswith(prefix))
        there = [self.keys[key].at(index, None) for key in keys]
        if list(entries) != [one for one in there if one is not None]:
            raise Violation("Copy", f"{who} has {prefix} at {index}: {entries}")
