"""Who breaks things at moments: crashes, pauses, partitions, slow disks, and a restless operator.

And who makes them whole again: `freeze` picks a minority that stays as broken as it is, so that
what is left must make progress without it.
"""

from __future__ import annotations

from itertools import combinations

from attrs import define, evolve

from quorum.events import MembersProposed, TransferRequested
from quorum.messages import Members
from quorum.simulation.faults import Faults
from quorum.simulation.invariants import is_quorum
from quorum.simulation.node import Node
from quorum.simulation.world import World


@define
class Nemesis:
    """Strikes at random moments until it is told to stop."""

    world: World
    active: bool = True
    _partition: int = 0
    """Counts partitions, so that healing an old one does not heal the next."""
    _tag: int = -1
    """The operator's tags are negative: the clients' count up from 1."""

    def begin(self) -> None:
        """Strike for the first time after a while."""
        if self.world.faults.timed:
            self._later()

    def _later(self) -> None:
        world = self.world
        mean = world.config.election_timeout * world.faults.interval
        world.after(world.random.expovariate(1 / mean), self._strike)

    def _strike(self) -> None:
        if not self.active:
            return
        world, random = self.world, self.world.random
        kind = random.choice(world.faults.timed)
        node = world.nodes[random.choice(list(world.nodes))]
        patience = world.config.election_timeout
        match kind:
            case "crash":
                world.crash(node, "crash")
            case "pause":
                world.counts[kind] += 1
                node.paused_until = world.now + patience * random.expovariate(1)
                world.trace.note(world.now, node.id, "sleeps", until=node.paused_until)
            case "slow disk":
                world.counts[kind] += 1
                node.slow_until = world.now + patience * random.expovariate(0.5)
                world.trace.note(world.now, node.id, "slow disk", until=node.slow_until)
            case "partition":
                self._partition += 1
                shape = world.network.partition(list(world.nodes))
                world.trace.note(world.now, "", f"partition: {shape}")
                world.after(patience * random.expovariate(0.3), self._heal, self._partition)
            case "leader cut off":
                world.counts[kind] += 1
                self._partition += 1
                world.network.heal()
                leader = self._leader().id
                world.network.isolate([leader], list(world.nodes))
                world.trace.note(world.now, "", f"partition: {leader} is cut off")
                world.after(patience * random.expovariate(0.3), self._heal, self._partition)
            case "transfer":
                world.counts[kind] += 1
                self._tag -= 1
                world.post(self._leader(), TransferRequested(self._tag, node.id))
            case _:
                world.counts[kind] += 1
                self._tag -= 1
                world.post(self._leader(), MembersProposed(self._tag, self._members()))
        self._later()

    def _heal(self, partition: int) -> None:
        if partition == self._partition:
            self.world.network.heal()
            self.world.trace.note(self.world.now, "", "network heals")

    def _leader(self) -> Node:
        """Who is believed to lead; now and then, anybody."""
        world = self.world
        if world.leader is None or world.random.random() < 0.1:
            return world.nodes[world.random.choice(list(world.nodes))]
        return world.nodes[world.leader]

    def _members(self) -> Members:
        """A configuration out of the blue: any voters, any learners, who may be joining."""
        names = list(self.world.nodes)
        self.world.random.shuffle(names)
        voters = self.world.random.randint(1, len(names))
        learners = self.world.random.randint(voters, len(names))
        joining = self.world.random.choice((voters, learners))
        return Members(
            voters=tuple(names[:voters]),
            learners=tuple(names[voters:learners]),
            joining=tuple(names[voters:joining]),
        )

    # Making whole

    def freeze(self) -> list[Node]:
        """Stop everything that breaks things; repair all but a minority; return who is whole."""
        world = self.world
        self.active = False
        self._partition += 1
        world.network.heal()
        world.faults = world.network.faults = Faults(drift=world.faults.drift)
        nodes = list(world.nodes.values())
        world.random.shuffle(nodes)
        for node in nodes:
            node.mail = [each for each in node.mail if not isinstance(each, MembersProposed)]
        for node in nodes:
            rest = {other.id for other in nodes if not other.frozen and other is not node}
            node.frozen = world.random.random() < 0.5 and all(
                is_quorum(members, rest) for members in self._configurations()
            )
        frozen = [node.id for node in nodes if node.frozen]
        world.network.isolate(frozen, list(world.nodes))
        world.trace.note(world.now, "", f"repairs all but {', '.join(sorted(frozen)) or 'nobody'}")
        whole = [node for node in world.nodes.values() if not node.frozen]
        for node in whole:
            node.paused_until = node.slow_until = 0.0
            world.start(node)
        return whole

    def _configurations(self) -> list[Members]:
        """All that may still be in force somewhere: in a log, and not known to be replaced.

        Also those that come of themselves, when some of the joining learners are made voters.
        """
        observer = self.world.observer
        found: list[Members] = []
        for view in observer.views.values():
            chain = view.log.configurations
            newest = max(k for k, (at, _) in enumerate(chain) if k == 0 or at <= observer.commit)
            found.extend(members for _, members in chain[newest:] if members.voters)
        return [
            evolve(each, voters=(*each.voters, *promoted))
            for each in found
            for count in range(len(each.joining) + 1)
            for promoted in combinations(each.joining, count)
        ]
