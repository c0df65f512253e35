"""The demo's story: what happens in which order, how long it may take, what is checked.

What a phase waits for, it waits for within a limit.
Where the cluster or the services do not even start, the story is over (`Failure`); what is late or
wrong after that is a failed check, and the story goes on, so that one run shows all that is wrong.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from attrs import define, field

from catalog.demo.cluster import AgentProcess, Cluster
from catalog.demo.load import Writer
from catalog.demo.processes import Child
from catalog.demo.scene import Scene
from catalog.demo.verify import count_lost
from catalog.demo.witness import Witness
from catalog.exits import Failure
from catalog.requests import Consistency

__all__ = ["Story"]

START_SECONDS = 20.0
"""For a leader, or for all services, to be there: Python starts slowly on a busy machine."""
RECOVER_SECONDS = 20.0
"""For each recovery but that of a node."""
NODE_SECONDS = 28.0
"""For gossip to give a node up: where few are left to confirm a suspicion, it waits for longer."""
WRITERS = 8
CALLS = 20
"""Calls that the consumer must still get answered after the last kill."""


@define(eq=False)
class Story:
    """One run of the demo."""

    scene: Scene
    cluster: Cluster
    nursery: trio.Nursery
    """Where whatever goes on beside the story runs."""
    seconds: float
    """Of undisturbed load."""
    witness: Witness = field(init=False)
    writers: list[Writer] = field(factory=list)
    providers: dict[str, tuple[AgentProcess, Child]] = field(factory=dict)
    """Each with the agent that it is registered at."""
    old_leader: AgentProcess = field(init=False)

    async def play(self) -> None:
        """Go through all phases.

        Raises:
            Failure: the cluster or the services did not start.

        """
        plays = (
            self._start_cluster,
            self._start_services,
            self._load,
            self._kill_leader,
            self._kill_provider,
            self._kill_node,
            self._restart,
            self._check,
        )
        for number, play in enumerate(plays):
            self.scene.phase = number
            await play()
        self.scene.phase = len(plays)

    # The beginning.

    async def _start_cluster(self) -> None:
        scene, cluster = self.scene, self.cluster
        with trio.move_on_after(START_SECONDS):
            await cluster.start()
            self.nursery.start_soon(cluster.household.watch)
            for agent in cluster.servers.values():
                self.nursery.start_soon(cluster.observe, agent)
            where = ", ".join(one.address for one in cluster.servers.values())
            scene.tell(f"{cluster.size} servers started: {where}; client agent {cluster.edge.name}")
            self.old_leader = await cluster.wait_leader()
            scene.summary.leader_before = self.old_leader.name
            term = scene.servers[self.old_leader.name].term
            scene.tell(f"{self.old_leader.name} leads, in term {term}", "good")
            await cluster.wait_edge()
            return
        what = "leader" if scene.summary.leader_before is None else "answer from the client agent"
        raise Failure(f"no {what} within {START_SECONDS:.0f} s of the start")

    async def _start_services(self) -> None:
        scene, cluster = self.scene, self.cluster
        followers = [one for one in cluster.servers.values() if one is not self.old_leader]
        places = [*followers[:2], cluster.edge, cluster.edge]
        for number, agent in enumerate(places, 1):
            name = f"words-{number}"
            child = cluster.household.start(
                name, "catalog.demo.provider", "--agent", agent.address, "--name", name
            )
            self.providers[name] = (agent, child)
        consumer = cluster.household.start(
            "consumer", "catalog.demo.consumer", "--agent", followers[0].address, piped=True
        )
        self.witness = Witness(scene.consumer)
        self.nursery.start_soon(self.witness.listen, consumer)
        with trio.move_on_after(START_SECONDS):
            await self.witness.wait_list(has=frozenset(self.providers))
            scene.tell(f"the consumer found {', '.join(self.providers)} and calls them", "good")
            return
        missing = sorted(set(self.providers) - self.witness.sees)
        raise Failure(
            f"within {START_SECONDS:.0f} s the consumer did not find {', '.join(missing)}"
        )

    async def _load(self) -> None:
        scene = self.scene
        for number in range(WRITERS):
            writer = Writer(f"w{number}", scene.ledger, self.cluster.addresses, first=number)
            self.writers.append(writer)
            self.nursery.start_soon(writer.run)
        scene.tell(f"{WRITERS} writers begin to write keys, for {self.seconds:g} s in peace")
        await trio.sleep(self.seconds)
        count = len(scene.ledger.acknowledged)
        scene.check(count > 0, f"no write was acknowledged within {self.seconds:g} s")
        scene.tell(f"{count:,} writes acknowledged")

    # The blows.

    async def _kill_leader(self) -> None:
        scene, old = self.scene, self.old_leader
        scene.tell(f"SIGKILL to the leader, {old.name}", "kill")
        self.cluster.kill(old)
        killed = trio.current_time()

        async def write() -> None:
            await scene.ledger.wait_acknowledged(begun_after=killed)

        failover = await self._within(
            RECOVER_SECONDS, write, "no write was acknowledged after the kill of the leader"
        )
        if failover is not None:
            scene.summary.failover_s = failover
            scene.tell(f"the next write was acknowledged after {failover:.2f} s", "good")

        async def lead() -> None:
            scene.summary.leader_after = (await self.cluster.wait_leader()).name

        if await self._within(RECOVER_SECONDS, lead, "no server took the lead") is not None:
            term = scene.servers[str(scene.summary.leader_after)].term
            scene.tell(f"{scene.summary.leader_after} leads, in term {term}", "good")

    async def _kill_provider(self) -> None:
        scene = self.scene
        name = min(name for name, (at, _) in self.providers.items() if at is self.cluster.edge)
        scene.tell(f"SIGKILL to the provider {name}; its agent's HTTP check must notice", "kill")
        self.providers[name][1].kill()
        scene.summary.provider_removed_s = await self._gone({name}, RECOVER_SECONDS)

    async def _kill_node(self) -> None:
        scene, edge = self.scene, self.cluster.edge
        beside = {
            name for name, (at, child) in self.providers.items() if at is edge and child.alive
        }
        names = ", ".join(sorted(beside))
        scene.tell(
            f"SIGKILL to the node {edge.name}: its agent and {names}; gossip must notice",
            "kill",
        )
        self.cluster.kill(edge)
        for name in sorted(beside):
            self.providers[name][1].kill()
        scene.summary.node_removed_s = await self._gone(beside, NODE_SECONDS)

    async def _gone(self, names: set[str], limit: float) -> float | None:
        who = ", ".join(sorted(names))
        staying = frozenset(name for name, (_, child) in self.providers.items() if child.alive)

        async def gone() -> None:
            await self.witness.wait_list(has=staying, lacks=frozenset(names))

        took = await self._within(
            limit, gone, f"{who} was killed and did not leave the consumer's list"
        )
        if took is not None:
            self.scene.tell(f"{who} left the consumer's list after {took:.2f} s", "good")
        return took

    # The return, and the verdict.

    async def _restart(self) -> None:
        scene, old = self.scene, self.old_leader
        target = max(state.commit for state in scene.servers.values())
        had = scene.servers[old.name].applied
        scene.tell(
            f"{old.name} starts again on its disk; {target - had:,} entries were committed "
            f"without it"
        )
        self.cluster.launch(old)
        took = await self._within(
            RECOVER_SECONDS,
            lambda: self.cluster.wait_applied(old, target),
            f"the restarted {old.name} did not catch up",
        )
        if took is not None:
            scene.summary.catch_up_s = took
            scene.tell(f"{old.name} caught up after {took:.2f} s", "good")

    async def _check(self) -> None:
        witness = self.witness
        await self._within(
            RECOVER_SECONDS,
            lambda: witness.wait_calls(CALLS),
            f"the consumer did not get {CALLS} more calls answered after the last kill",
        )
        for writer in self.writers:
            writer.stopping = True
        for writer in self.writers:
            await writer.stopped.wait()
        self._check_consumer()
        await self._check_writes()

    def _check_consumer(self) -> None:
        scene, witness = self.scene, self.witness
        summary, report = scene.summary, scene.consumer
        summary.consumer_calls, summary.consumer_errors = report.calls, sum(report.errors.values())
        survivors = {name for name, (_, child) in self.providers.items() if child.alive}
        blamed = sorted(set(report.errors) & survivors)
        scene.check(report.wrong == 0, f"{report.wrong} answers of providers were wrong")
        scene.check(not blamed, f"calls to {', '.join(blamed)}, which lived, failed")
        scene.check(
            witness.sees == survivors,
            f"the consumer's list is {sorted(witness.sees)}, alive are {sorted(survivors)}",
        )
        scene.check(not witness.went_back(), "the consumer saw an older list after a newer one")

    async def _check_writes(self) -> None:
        scene, old = self.scene, self.old_leader
        written = scene.ledger.acknowledged
        scene.summary.acknowledged_writes = len(written)
        other = next(one for one in self.cluster.servers.values() if one is not old)
        lost = await count_lost(written, other.address)
        scene.summary.lost_writes = lost
        scene.check(lost == 0, f"{lost} of {len(written)} acknowledged writes are lost")
        if lost == 0:
            scene.tell(f"all {len(written):,} acknowledged writes read back (linearizable)", "good")
        if scene.summary.catch_up_s is None:
            return
        final = max(scene.ledger.index, *(one.commit for one in scene.servers.values()))
        level = await self._within(
            RECOVER_SECONDS,
            lambda: self.cluster.wait_applied(old, final),
            f"the restarted {old.name} did not apply all that was committed",
        )
        if level is None:
            return
        lost = await count_lost(written, old.address, Consistency.STALE)
        scene.check(lost == 0, f"{old.name} itself lacks {lost} of the acknowledged writes")
        if lost == 0:
            scene.tell(f"{old.name} itself has all of them too (read from its own copy)", "good")

    async def _within(
        self, seconds: float, wait: Callable[[], Awaitable[None]], failure: str
    ) -> float | None:
        """Wait within a limit; return how long it took, or note the failure and return None."""
        began = trio.current_time()
        with trio.move_on_after(seconds):
            await wait()
            return trio.current_time() - began
        self.scene.check(False, f"{failure} within {seconds:.0f} s")
        return None
