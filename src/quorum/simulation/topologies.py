"""Which links there can be between a few servers, and whom they let be elected.

A topology says who can reach whom. Two of them are the same case if renaming servers makes one of
the other, and so are two situations in one of them (who led when the links broke, who had the
newest entry then) if a renaming that leaves the links as they are makes one of the other. One of
each is enough to try.

**What Raft can do.** A candidate needs answers from a majority, so only a server with links both
ways to a majority, itself included, can be elected, and with CheckQuorum only such a server stays
leader. Voters refuse a candidate whose log is older than theirs (§5.4.1), so among those linked to
it a majority must have nothing newer than it has. If there is no such server, nobody can be elected
until the links change, whatever the timeouts: a voter may not vote for a log that lacks what may
have been committed, and no server hands its log to one that does not lead. `electable` decides
it. That an electable server is elected, and then left in peace, is what PreVote, CheckQuorum and
stickiness are for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations, permutations
from typing import TypeAlias

from attrs import field, frozen

Arc: TypeAlias = tuple[int, int]
"""What the first sends reaches the second. Servers are numbered from 0."""

LETTERS = "abcde"


@frozen
class Topology:
    """Which of `size` servers can reach which."""

    size: int
    arcs: frozenset[Arc]
    name: str = field(default="", eq=False)

    def __str__(self) -> str:
        words = []
        for one, other in combinations(range(self.size), 2):
            there, back = (one, other) in self.arcs, (other, one) in self.arcs
            if there and back:
                words.append(LETTERS[one] + LETTERS[other])
            elif there:
                words.append(f"{LETTERS[one]}>{LETTERS[other]}")
            elif back:
                words.append(f"{LETTERS[other]}>{LETTERS[one]}")
        return " ".join(words) or "none"

    @property
    def majority(self) -> int:
        """How many servers decide."""
        return self.size // 2 + 1

    def circle(self, server: int) -> tuple[int, ...]:
        """The server and all that it has links to both ways."""
        return tuple(
            other
            for other in range(self.size)
            if other == server or {(server, other), (other, server)} <= self.arcs
        )

    @property
    def connected(self) -> tuple[int, ...]:
        """The servers with links both ways to a majority."""
        servers = range(self.size)
        return tuple(each for each in servers if len(self.circle(each)) >= self.majority)

    def renamed(self, order: tuple[int, ...]) -> Topology:
        """The same links between servers with other numbers."""
        return Topology(self.size, frozenset((order[one], order[two]) for one, two in self.arcs))

    def symmetries(self) -> Iterator[tuple[int, ...]]:
        """The renamings that leave the links as they are."""
        for order in permutations(range(self.size)):
            if self.renamed(order) == self:
                yield order


@frozen
class Situation:
    """How things were when the links broke."""

    topology: Topology
    leader: int
    fresh: frozenset[int]
    """Who has the newest committed entry: a majority with the leader in it, or everybody."""

    def __str__(self) -> str:
        lacking = "".join(
            LETTERS[each] for each in range(self.topology.size) if each not in self.fresh
        )
        return f"{LETTERS[self.leader]} led" + (f", {lacking} behind" if lacking else "")

    def log(self, server: int) -> int:
        """How new the server's log is when the old leader is leader no more: 0, 1 or 2.

        A leader that lost its majority goes on for an election timeout, and what clients give it
        in that time still reaches the servers that it reaches; one that is behind must be able to
        say so first.
        """
        there = (self.leader, server) in self.topology.arcs
        back = (server, self.leader) in self.topology.arcs
        if server == self.leader or (there and (back or server in self.fresh)):
            return 2
        return int(server in self.fresh)

    @property
    def electable(self) -> tuple[int, ...]:
        """Who can win an election, by its links and by the logs at the other end of them."""
        return tuple(
            each
            for each in range(self.topology.size)
            if sum(self.log(other) <= self.log(each) for other in self.topology.circle(each))
            >= self.topology.majority
        )


def situations(topology: Topology) -> Iterator[Situation]:
    """Every leader, with equal logs and with every least majority ahead; one of each kind."""
    servers = range(topology.size)
    symmetries = list(topology.symmetries())
    seen: set[tuple[int, frozenset[int]]] = set()
    for leader in servers:
        some = [set(rest) for rest in combinations(servers, topology.majority)]
        for fresh in [frozenset(servers), *(frozenset(each) for each in some if leader in each)]:
            if (leader, fresh) not in seen:
                for order in symmetries:
                    seen.add((order[leader], frozenset(order[each] for each in fresh)))
                yield Situation(topology, leader, fresh)


def two_way(size: int) -> list[Topology]:
    """Every topology of links that work both ways or not at all; one of each kind."""
    return _kinds(size, [((a, b), (b, a)) for a, b in combinations(range(size), 2)])


def any_way(size: int) -> list[Topology]:
    """Every topology, links that work one way included; one of each kind."""
    return _kinds(size, [(arc,) for arc in permutations(range(size), 2)])


def _kinds(size: int, links: list[tuple[Arc, ...]]) -> list[Topology]:
    seen: set[Topology] = set()
    found: list[Topology] = []
    names = {
        image: each.name
        for each in named(size)
        for image in map(each.renamed, permutations(range(size)))
    }
    for count in range(len(links), -1, -1):
        for some in combinations(links, count):
            topology = Topology(size, frozenset(arc for link in some for arc in link))
            if topology not in seen:
                seen.update(map(topology.renamed, permutations(range(size))))
                found.append(Topology(size, topology.arcs, names.get(topology, "")))
    return found


def links(size: int, words: str, *, name: str = "") -> Topology:
    """A topology from its description: `ab` is a link both ways, `a>b` one way."""
    arcs: set[Arc] = set()
    for word in words.split():
        one, other = LETTERS.index(word[0]), LETTERS.index(word[-1])
        arcs.add((one, other))
        if ">" not in word:
            arcs.add((other, one))
    return Topology(size, frozenset(arcs), name)


def named(size: int) -> Iterator[Topology]:
    """Topologies with a name in the literature, or in accounts of outages."""
    servers = range(size)
    pairs = list(combinations(servers, 2))

    def both(name: str, wanted: Iterable[Arc]) -> Topology:
        return Topology(size, frozenset({arc for a, b in wanted for arc in ((a, b), (b, a))}), name)

    if size < 3:
        return
    yield both("whole", pairs)
    yield both("one link cut", pairs[1:])
    yield both("chain", [(each, each + 1) for each in servers[:-1]])
    if size > 3:
        yield both("star", [(0, each) for each in servers[1:]])
        yield both("ring", [(each, (each + 1) % size) for each in servers])
    if size == 5:
        yield both("bridge", [(0, 1), (0, 2), (1, 2), (2, 3), (2, 4), (3, 4)])
        yield both("split", [(0, 1), (0, 2), (1, 2), (3, 4)])
        yield both("one cut off", combinations(servers[1:], 2))
        yield both("star of four", [(0, 1), (0, 2), (0, 3)])
        yield both("chain of four", [(0, 1), (0, 2), (1, 3)])
        yield both("chain of three, a pair", [(0, 1), (0, 2), (3, 4)])
        yield both("chain of three", [(0, 1), (0, 2)])


def one_way_family(size: int) -> list[Topology]:
    """One-way troubles that have been met, for sizes at which all are too many to try."""
    every = set(permutations(range(size), 2))

    def family() -> Iterator[tuple[str, set[Arc]]]:
        yield "one direction cut", every - {(0, 1)}
        yield "one is deaf", {arc for arc in every if arc[1] != 0}
        yield "one is mute", {arc for arc in every if arc[0] != 0}
        yield "two are deaf to the rest", {arc for arc in every if arc[1] > 1 or arc[0] <= 1}
        yield "two are mute to the rest", {arc for arc in every if arc[0] > 1 or arc[1] <= 1}
        yield "one-way ring", {(each, (each + 1) % size) for each in range(size)}
        yield "downhill", {(one, other) for one, other in every if one < other}
        hub = {arc for arc in every if 0 in arc}
        yield "star in a one-way ring", hub | {(k, k % (size - 1) + 1) for k in range(1, size)}
        yield "star with a deaf point", hub - {(0, 1)}

    return [Topology(size, frozenset(arcs), name) for name, arcs in family()] + (
        [links(5, "a>b bc cd", name="leader speaks to one voter")] if size == 5 else []
    )
