"""How a server comes to its cluster: servers found one together, later ones are let in.

Raft begins with a configuration that all of its servers share; where it comes from is outside the
paper, and a mistake there is the worst of all: two sets of voters with a majority each, both of
which acknowledge writes.

So a server that is to found a cluster of N takes three steps, and remembers each before it says so:

1. It waits until gossip shows exactly N servers of its data centre that expect N. Then it *locks*
   on that set: names and nonces, sorted. It never locks on another one.
2. It tells by gossip, as a digest, which set it is locked on, and waits until it has seen every
   member of the set say the same (or one of them say that it has).
3. All of the set are locked on it for ever, so no other set can ever come about that shares a
   server with it. The set is *agreed*, and Raft begins with it.

If two servers lock on different sets, neither of these is ever agreed and nothing is founded; the
log then says what to do. That is the price, and it is the right one.

A nonce tells the lives of a server apart. It is drawn for an empty directory and kept in it. A
server that lost its disk has forgotten its votes; under its old name, with an empty log, it could
help to elect a leader that lacks acknowledged writes. But it has a new nonce, hence another digest
than its former fellows, and the digest is part of the name that Raft's connections begin with
(`cluster_id`).

A server that comes later, or has lost its disk, sees by gossip that the cluster has been founded,
and founds nothing. It asks to be let in (`catalog.server.autopilot`). The leader does so only where
no voter has its name: it gives it a learner's place, in the log, and tells it the digest. Only then
does the newcomer take part, from an empty log; and only from then on does gossip show it with that
digest. So a voter that gossip shows alive without the digest has lost its disk, and its place is
free for removal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Self

from attrs import evolve, field, frozen

from catalog.errors import ProtocolError
from catalog.node.presence import Known
from catalog.operations import Admission

__all__ = ["Founder", "Founding", "Waits", "advance"]

FORMAT = 1


@frozen(order=True)
class Founder:
    """A server in a certain life."""

    name: str
    nonce: str


def _sorted_founders(founders: Iterable[Founder]) -> tuple[Founder, ...]:
    return tuple(sorted(founders))


@frozen
class Founding:
    """How far a server has come; what it must not forget."""

    me: Founder
    cluster: str
    founders: tuple[Founder, ...] = field(default=(), converter=_sorted_founders)
    """The set that it is locked on; empty: none yet."""
    agreed: bool = False
    """Whether it takes part: all founders are locked on the set, or it was let in."""
    seeds: tuple[str, ...] = ()
    """Where the others were last seen, to find them after a restart; a hint, and no more."""
    admission: Admission | None = None
    """How it was let in, if it is no founder."""

    @property
    def size(self) -> int:
        """How many servers founded the cluster."""
        return len(self.founders) if self.admission is None else self.admission.size

    @property
    def digest(self) -> str:
        """What it tells of the set; empty: it is not locked, nor let in."""
        if self.admission is not None:
            return self.admission.digest
        if not self.founders:
            return ""
        pairs = [[founder.name, founder.nonce] for founder in self.founders]
        text = json.dumps([self.cluster, pairs], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def cluster_id(self) -> str:
        """What Raft's connections and files are marked with."""
        return f"{self.cluster}/{self.digest}"

    def to_bytes(self) -> bytes:
        """Return it as it is kept on disk: JSON, for people to read."""
        fields: dict[str, Any] = {
            "format": FORMAT,
            "name": self.me.name,
            "nonce": self.me.nonce,
            "cluster": self.cluster,
            "founders": [[founder.name, founder.nonce] for founder in self.founders],
            "agreed": self.agreed,
            "seeds": list(self.seeds),
        }
        if self.admission is not None:
            fields["admission"] = [self.admission.digest, self.admission.size]
        return json.dumps(fields, indent=2).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            ProtocolError: it is something else, or damaged.

        """
        try:
            fields: dict[str, Any] = json.loads(data)
            if fields["format"] != FORMAT:
                raise ValueError(f"format {fields['format']!r} is not known")  # noqa: TRY301
            return cls(
                Founder(_text(fields["name"]), _text(fields["nonce"])),
                _text(fields["cluster"]),
                tuple(Founder(_text(name), _text(nonce)) for name, nonce in fields["founders"]),
                fields["agreed"] is True,
                tuple(map(_text, fields["seeds"])),
                _admission(fields.get("admission")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(
                f"not a record of how a cluster was founded: {error!r:.200}"
            ) from error


def _admission(value: object) -> Admission | None:
    match value:
        case None:
            return None
        case [str(digest), int(size)] if digest and size > 0:
            return Admission(digest, size)
        case _:
            raise ValueError(f"expected digest and size, not {value!r:.100}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, not {value!r:.100}")
    return value


@frozen
class Waits:
    """What a founding waits for."""

    text: str
    problem: bool = False
    """Whether somebody has to do something."""
    doors: tuple[str, ...] = ()
    """Servers of a cluster that has been founded: ask one of these to be let in."""


def advance(
    founding: Founding, expect: int, known: Iterable[Known]
) -> tuple[Founding, Waits | None]:
    """Return how far the founding can go, and what it waits for then; `None`: it is done.

    Args:
        founding: what this server remembers.
        expect: with how many servers, itself included, it wants to found the cluster; 0: it does
            not want to.
        known: the servers of its data centre, itself included, the failed and the departed too.

    """
    everybody = sorted(known, key=lambda one: one.name)
    if founding.agreed:
        return founding, None
    servers = [one for one in everybody if one.alive]
    if not founding.founders:
        me = founding.me.name
        founded = [one for one in everybody if one.presence.agreed and one.name != me]
        if founded:
            return founding, _knock(me, founded)
        founding, waits = _lock(founding, expect, servers)
        if waits is not None:
            return founding, waits
    return _agree(founding, servers)


def _knock(me: str, founded: list[Known]) -> Waits:
    """Return whom to ask to be let in; a cluster that is down is a cluster all the same."""
    names = ", ".join(one.name for one in founded)
    if len({one.presence.digest for one in founded}) > 1:
        return Waits(
            f"{me} sees servers of two clusters ({names}) and joins neither: stop those that do "
            f"not belong here, and keep apart by name what is not one cluster",
            problem=True,
        )
    doors = tuple(one.name for one in founded if one.alive)
    if not doors:
        return Waits(
            f"{me} waits for {names}, who founded this cluster: none of them is alive; start them "
            f"on their disks",
            problem=True,
        )
    return Waits(f"{me} asks {', '.join(doors)} to be let into their cluster", doors=doors)


def _lock(founding: Founding, expect: int, servers: list[Known]) -> tuple[Founding, Waits | None]:
    """Step 1."""
    me = founding.me.name
    names = ", ".join(one.name for one in servers)
    strange = [one for one in servers if one.name != me and one.presence.expect not in (expect, 0)]
    if not expect:
        return founding, Waits(
            f"{me} waits for a cluster to join: it is not to found one (bootstrap_expect is 0), "
            f"and no server is here that has"
        )
    if strange:
        return founding, Waits(
            f"{me} expects {expect} servers, but {strange[0].name} expects "
            f"{strange[0].presence.expect}: start all of them with the same bootstrap_expect",
            problem=True,
        )
    servers = [one for one in servers if one.presence.expect]
    if len(servers) > expect:
        return founding, Waits(
            f"{len(servers)} servers are here ({names}) where {expect} are expected; nothing is "
            f"founded: stop {len(servers) - expect} of them, or expect {len(servers)} on all",
            problem=True,
        )
    if len(servers) < expect:
        missing = expect - len(servers)
        return founding, Waits(f"{me} waits for {missing} more servers; here are: {names}")
    founders = tuple(Founder(one.name, one.presence.nonce) for one in servers)
    return evolve(founding, founders=founders), None


def _agree(founding: Founding, servers: list[Known]) -> tuple[Founding, Waits | None]:
    """Steps 2 and 3."""
    said = {Founder(one.name, one.presence.nonce): one.presence for one in servers}
    like_us = [
        founder
        for founder in founding.founders
        if founder == founding.me or (founder in said and said[founder].digest == founding.digest)
    ]
    witness = any(
        said[founder].agreed for founder in like_us if founder in said and founder != founding.me
    )
    if witness or len(like_us) == len(founding.founders):
        return evolve(founding, agreed=True), None
    missing = ", ".join(one.name for one in founding.founders if one not in like_us)
    return founding, Waits(
        f"{founding.me.name} waits until {missing} confirm that they found the cluster together; "
        f"if that never comes, the servers saw different sets: stop all, empty their directories, "
        f"start again"
    )
