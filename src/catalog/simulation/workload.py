"""The users of the simulated agents: who registers, locks, writes, reads and follows.

Each is a task in its agent's process, and dies with it. What it saw goes to the observer
(`invariants`), or into the history that is checked for linearizability at the end.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from itertools import count
from math import inf

import trio
from attrs import define, field

from catalog.commands import CreateSession
from catalog.definitions import TtlCheck
from catalog.errors import CatalogError, Refused, Unavailable
from catalog.model import Change, KeyValue, Service, Session, View
from catalog.requests import Consistency, Get, Write
from catalog.simulation.invariants import Invariants, Violation
from catalog.simulation.site import Agent
from catalog.simulation.world import World
from catalog.subscriptions import KeySubscription, Subscription
from quorum.simulation.linearizability import Operation

__all__ = ["LOCK_DELAY", "SERVICES", "TTL", "Workload"]

SERVICES = ("web", "db")
IDS = 3
KEYS = ("list/a", "list/b", "list/c")
KEY_LIFE = 60
"""Appends to a list before the next list takes its place, so that histories stay short."""
WAIT = 2.0
"""Seconds for which a question waits for news."""
LOCKS = ("lock/a", "lock/b")
TTL = 6.0
LOCK_DELAY = 3.0


@define
class Workload:
    """What users do to a world, and what they saw."""

    world: World
    observer: Invariants
    stopped: bool = False
    """Whether nobody changes anything any more."""
    history: list[Operation] = field(factory=list)
    subscriptions: dict[tuple[str, str], Subscription | KeySubscription] = field(factory=dict)
    """Who follows what now, by agent and name."""
    _numbers: count[int] = field(factory=lambda: count(1))
    _appends: int = 0

    def install(self, clients: tuple[str, ...]) -> None:
        """Have users at all agents."""
        for name in self.world.sites:
            self.world.add_script(name, self.write_and_read)
            self.world.add_script(name, self.follow_keys)
            for service in SERVICES:
                self.world.add_script(name, self.follower(service))
        for name in clients:
            self.world.add_script(name, self.provide)
            self.world.add_script(name, self.lock)

    # Services.

    async def provide(self, agent: Agent) -> None:
        """Register and deregister services, and keep those alive that want it."""
        random, node = agent.random, agent.name
        here: dict[str, Service] = {}
        while True:
            await trio.sleep(random.uniform(0.2, 3.0))
            if self.stopped or agent.leaving:
                continue
            which = f"i{random.randrange(IDS)}"
            service = here.get(which)
            try:
                if service is not None and random.random() < 0.4:
                    if service.checks:
                        await agent.heartbeat(which)
                elif service is not None and random.random() < 0.7:
                    del here[which]
                    index = await agent.deregister(which)
                    if not agent.leaving:  # it deregisters everything
                        self.observer.acknowledged(node, service, index, there=False)
                else:
                    checks = [TtlCheck(4.0)] if random.random() < 0.5 else []
                    port = random.randrange(1, 9999)
                    service = Service(random.choice(SERVICES), which, port=port, checks=checks)
                    here[which] = service
                    index = await agent.register(service)
                    if not agent.leaving:
                        self.observer.acknowledged(node, service, index, there=True)
            except CatalogError:
                self.observer.counts["registrations that waited"] += 1

    def follower(self, name: str) -> Callable[[Agent], Awaitable[None]]:
        """Return who follows a service, and looks at each step."""

        async def follow(agent: Agent) -> None:
            async with agent.subscribe(name) as one:
                self.subscriptions[agent.name, name] = one
                agent.nursery.start_soon(self._watch_copy, agent, one)
                before = 0
                async for news in one:
                    match news:
                        case View():
                            before = news.index
                        case Change():
                            self.observer.changed(agent.name, name, before, news.index)
                            self.observer.counts["changes told"] += 1
                            before = news.index

        return follow

    async def _watch_copy(self, agent: Agent, one: Subscription) -> None:
        """Look at a copy now and then, as those who route by it do."""
        last = 0
        while True:
            await trio.sleep(agent.random.uniform(0.05, 0.8))
            view = one.view
            if view.index < last:
                raise Violation("Order", f"{agent.name} went from {last} back to {view.index}")
            last = view.index
            self.observer.viewed(agent.name, view, one.age)

    async def follow_keys(self, agent: Agent) -> None:
        """Follow the keys under a prefix, and look at each step."""
        async with agent.subscribe_keys("list/") as one:
            self.subscriptions[agent.name, "list/"] = one
            async for _ in one:
                index = one._copy.index  # noqa: SLF001 - what the view is as of
                self.observer.held(agent.name, one.view, "list/", index)
                self.observer.counts["keys told"] += 1

    # Keys.

    async def write_and_read(self, agent: Agent) -> None:
        """Append to lists by comparing indexes, and read them in all modes."""
        random = agent.random
        while True:
            await trio.sleep(random.uniform(0.1, 1.5))
            generation = self._appends // KEY_LIFE
            key = f"{random.choice(KEYS)}{generation}"
            try:
                chance = random.random()
                if chance < 0.45 and not self.stopped:
                    await self._append(agent, key)
                elif chance < 0.7:
                    await self._read(agent, key)
                elif chance < 0.9:
                    await self._read_stale(agent, key)
                else:
                    await self._wait(agent, key)
            except CatalogError:
                self.observer.counts["questions unanswered"] += 1

    async def _read(self, agent: Agent, key: str) -> KeyValue | None:
        invoked = self.world.now
        reply = await agent.ask(Get(key))
        seen = values_of(reply.value)
        self.history.append(Operation(key, invoked, self.world.now, None, seen))
        if reply.age != 0.0:
            raise Violation("Age", f"a linearizable read says that it is {reply.age} s old")
        self.observer.counts["reads"] += 1
        return reply.value

    async def _append(self, agent: Agent, key: str) -> None:
        entry = await self._read(agent, key)
        number = next(self._numbers)
        values = (*values_of(entry), number)
        invoked = self.world.now
        try:
            cas = 0 if entry is None else entry.modify_index
            await agent.put(key, json.dumps(values).encode(), cas=cas)
        except (Refused, Unavailable):
            return  # it never happened
        except (CatalogError, trio.Cancelled):
            # A process that is killed may have sent it.
            self.history.append(Operation(key, invoked, inf, number, None))
            self.observer.counts["writes of unknown fate"] += 1
            raise
        self.history.append(Operation(key, invoked, self.world.now, number, values))
        self._appends += 1
        self.observer.counts["writes"] += 1

    async def _read_stale(self, agent: Agent, key: str) -> None:
        most, invoked = agent.random.choice((None, 0.5, 5.0)), self.world.now
        reply = await agent.ask(Get(key, consistency=Consistency.STALE, max_stale=most))
        if most is not None and reply.age > most:
            raise Violation("Age", f"{reply.age} s, of {most} s allowed")
        if reply.value != self.observer.keys[key].at(reply.index, None):
            raise Violation("Copy", f"{key} at {reply.index} is not {reply.value}")
        past = self.observer.keys[key]
        self.observer.aged(agent.name, past, reply.index, reply.age, at=invoked)
        self.observer.counts["stale reads"] += 1

    async def _wait(self, agent: Agent, key: str) -> None:
        after = agent.random.choice((0, self.observer.truth.applied))
        invoked = self.world.now
        reply = await agent.ask(Get(key, after=after, wait=WAIT))
        self.observer.waited(invoked, after, reply.index, WAIT)
        if reply.value != self.observer.keys[key].at(reply.index, None):
            raise Violation("Copy", f"{key} at {reply.index} is not {reply.value}")
        self.observer.counts["waits"] += 1

    # Locks.

    async def lock(self, agent: Agent) -> None:
        """Take locks by sessions with a TTL; hold, release, lose or abandon them."""
        while True:
            await trio.sleep(agent.random.uniform(0.5, 3.0))
            if not self.stopped:
                try:
                    await self._lock(agent, agent.random.choice(LOCKS))
                except CatalogError:
                    self.observer.counts["locks failed"] += 1

    async def _lock(self, agent: Agent, key: str) -> None:
        random = agent.random
        mine = f"{agent.name}-{next(self._numbers)}"
        checks = ("serfHealth",) if random.random() < 0.3 else ()
        session = Session(mine, agent.name, ttl=TTL, lock_delay=LOCK_DELAY, node_checks=checks)
        applied = await agent.ask(Write(CreateSession(session)))
        if not applied.ok:
            return
        try:
            token = await agent.acquire(key, mine)
            for _ in range(random.randrange(8)):
                self.observer.touched(key, token.lock_index, mine)
                await trio.sleep(TTL / 4)
                asked = self.world.now
                if not await agent.renew_session(mine):
                    return
                self.observer.renewed(mine, asked)
            if random.random() < 0.5:
                await agent.release(key, mine)
        except Refused:
            self.observer.counts["locks refused"] += 1
        if random.random() < 0.5:  # else it is abandoned
            self.observer.destroying(mine)
            await agent.destroy_session(mine)


def values_of(entry: KeyValue | None) -> tuple[int, ...]:
    """The list that a key holds."""
    return () if entry is None else tuple(json.loads(entry.value))
