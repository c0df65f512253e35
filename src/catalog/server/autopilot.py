"""Who should be a voter: decided by the leader from what gossip and Raft show of each server.

Raft lets the members change, and leaves open who asks for it. Here the leader does, by the rules of
Consul's autopilot, one change at a time, each of them safe by itself (joint consensus):

* A server that belongs to the cluster and is in no configuration becomes a *learner*: it gets the
  log and counts for nothing (thesis 4.2.1).
* A learner that has been *healthy* for a while becomes a voter. Healthy: gossip shows it alive, it
  answered the leader a moment ago, and lacks few entries.
* A server that has *left* is removed at once: it has said so itself.
* A server that is *lost* (failed by gossip, or unknown to it, or alive with an empty disk) is
  removed if enough others remain: a majority of the rest is healthy, and the rest are at least as
  many as founded the cluster. So the loss of one of three shrinks nothing: first a replacement
  must come and be promoted. Without the second rule a cluster of five could be worn down to one,
  which then decides alone. One with an empty disk is at the door as its own replacement, so for it
  the second rule would wait for ever, and does not hold.

Nobody is removed whose removal leaves no majority of healthy voters, and never the leader itself.

What is healthy is judged by a `Record`, which remembers since when.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from math import inf

from attrs import define, evolve, field, frozen

from quorum.messages import Members

__all__ = ["VOTERS_MAX", "Record", "Rules", "Seen", "Standing", "Vital", "decide", "without"]

VOTERS_MAX = 9
"""More voters make every write slower and add no safety that anybody needs."""


@frozen(kw_only=True)
class Rules:
    """When a server counts as healthy, and what the leader may do by itself."""

    interval: float = 2.0
    """Seconds between two looks at all servers."""
    contact_seconds_max: float = 0.2
    """A healthy server answered the leader no longer ago than this."""
    trailing_entries_max: int = 250
    """A healthy server lacks no more entries than this."""
    stable_seconds: float = 10.0
    """For so long a learner must have been healthy before it becomes a voter."""
    remove_lost: bool = True
    """Whether servers that are lost are removed at all."""
    voters_min: int = 0
    """The least voters that removing lost ones may leave; at least as many as founded the cluster
    remain in any case."""

    def __attrs_post_init__(self) -> None:
        for name in ("interval", "contact_seconds_max", "stable_seconds"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
                raise ValueError(f"{name} must be a number of seconds above 0, not {value!r}")
        for name in ("trailing_entries_max", "voters_min"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"{name} must be a count, not {value!r}")
        if not isinstance(self.remove_lost, bool):
            raise TypeError(f"remove_lost must be true or false, not {self.remove_lost!r}")


class Standing(Enum):
    """What gossip says of a server."""

    ALIVE = "alive"
    """Alive, and with the disk that belongs to this cluster."""
    LOST = "lost"
    """Failed, or alive with another disk, which has none of its promises on it."""
    LEFT = "left"
    UNKNOWN = "unknown"
    """Gossip has not met it."""


@frozen
class Vital:
    """What the leader measures of a server at some moment."""

    standing: Standing
    contact: float | None = None
    """Seconds since it answered; of the leader itself 0; `None`: the leader does not talk to it."""
    trailing: int | None = None
    """Entries that it lacks, as far as the leader knows."""


@frozen
class Seen:
    """A server as judged: what `decide` looks at."""

    standing: Standing
    healthy: bool = False
    stable: float = 0.0
    """Seconds for which it has been healthy without a break."""
    replaced: bool = False
    """Whether another life of it, with an empty disk, waits to be let in under its name."""


@define
class Record:
    """Since when each server has been healthy, or has not been."""

    rules: Rules
    _since: dict[str, tuple[bool, float]] = field(factory=dict)

    def note(self, vitals: Mapping[str, Vital], *, now: float) -> None:
        """Judge what was measured at `now` (seconds); forget those that are not among it."""
        self._since = {
            name: since
            if (since := self._since.get(name)) is not None and since[0] == self._is_healthy(vital)
            else (self._is_healthy(vital), now)
            for name, vital in vitals.items()
        }

    def healthy(self, name: str) -> bool:
        """Return whether a server was healthy when it was last looked at."""
        return self._since.get(name, (False, 0.0))[0]

    def since(self, name: str) -> float | None:
        """Return since when it has been as healthy as it is; `None`: it was never looked at."""
        known = self._since.get(name)
        return None if known is None else known[1]

    def stable(self, name: str, *, now: float) -> float:
        """Return for how many seconds a server has been healthy."""
        healthy, since = self._since.get(name, (False, now))
        return now - since if healthy else 0.0

    def _is_healthy(self, vital: Vital) -> bool:
        return (
            vital.standing is Standing.ALIVE
            and vital.contact is not None
            and vital.contact <= self.rules.contact_seconds_max
            and vital.trailing is not None
            and vital.trailing <= self.rules.trailing_entries_max
        )


def decide(
    members: Members, seen: Mapping[str, Seen], rules: Rules, *, leader: str, size: int
) -> tuple[Members, str] | None:
    """Return the next configuration and, for people, why; `None`: all is as it should be.

    Args:
        members: the configuration in force, committed.
        seen: the servers of the cluster that gossip knows, and those in `members`.
        rules: the leader's.
        leader: whose view this is; it is not removed, whatever gossip says of it.
        size: how many servers founded the cluster.

    """
    if members.joint:
        return None
    return (
        _remove_departed(members, seen, leader)
        or _remove_learners(members, seen, rules)
        or _promote(members, seen, rules)
        or _remove_lost(members, seen, rules, leader, size)
        or _add_learner(members, seen)
    )


def without(members: Members, name: str) -> Members:
    """Return the configuration without a server."""
    return evolve(
        members,
        voters=[one for one in members.voters if one != name],
        learners=[one for one in members.learners if one != name],
    )


def _remove_departed(
    members: Members, seen: Mapping[str, Seen], leader: str
) -> tuple[Members, str] | None:
    for name in members.everyone:
        if seen[name].standing is Standing.LEFT and name != leader:
            rest = without(members, name)
            if name in members.learners or _is_safe(rest.voters, seen):
                return rest, f"{name} has left: it is removed"
    return None


def _remove_learners(
    members: Members, seen: Mapping[str, Seen], rules: Rules
) -> tuple[Members, str] | None:
    for name in members.learners:
        if rules.remove_lost and seen[name].standing is Standing.LOST and not seen[name].replaced:
            return without(members, name), f"{name} is lost: the learner is removed"
    return None


def _promote(
    members: Members, seen: Mapping[str, Seen], rules: Rules
) -> tuple[Members, str] | None:
    if len(members.voters) >= VOTERS_MAX:
        return None
    for name in members.learners:
        one = seen[name]
        if one.standing is Standing.ALIVE and one.healthy and one.stable >= rules.stable_seconds:
            promoted = evolve(without(members, name), voters=[*members.voters, name])
            return promoted, f"{name} has been healthy for {one.stable:.0f} s: it becomes a voter"
    return None


def _remove_lost(
    members: Members, seen: Mapping[str, Seen], rules: Rules, leader: str, size: int
) -> tuple[Members, str] | None:
    if not rules.remove_lost:
        return None
    for name in members.voters:
        one = seen[name]
        if name == leader or one.standing is not Standing.LOST:
            continue
        rest = without(members, name)
        enough = len(rest.voters) >= max(size, rules.voters_min)
        if (enough or one.replaced) and _is_safe(rest.voters, seen):
            return rest, f"{name} is lost, and {len(rest.voters)} voters remain: it is removed"
    return None


def _add_learner(members: Members, seen: Mapping[str, Seen]) -> tuple[Members, str] | None:
    for name in sorted(seen):
        if seen[name].standing is Standing.ALIVE and name not in members.everyone:
            joined = evolve(members, learners=[*members.learners, name])
            return joined, f"{name} belongs to this cluster: it becomes a learner"
    return None


def _is_safe(voters: Iterable[str], seen: Mapping[str, Seen]) -> bool:
    """Whether a majority of these is healthy."""
    health = [seen[name].healthy for name in voters]
    return 2 * sum(health) > len(health)
