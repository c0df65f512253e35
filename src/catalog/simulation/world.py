"""The simulated world: a queue of happenings in virtual time, and machines that live in it.

Everything random comes from one generator, everything timed from one queue, so a seed decides the
whole run.

The registry's decisions are made in its tasks as much as in its pure parts: a write that is tried
again, a comparison that is due, a question that waits for news. So the real agents run here
(`site`), each in a process of its own (`loops`), and not their cores alone: the mistakes to be
found are between them. Raft and gossip by themselves have simulators that go deeper
(`quorum.simulation`, `rumor.simulation`): there, writes get lost with the power, and every message
is compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Any

from catalog.config import AgentConfig
from catalog.simulation.loops import Clock, Process
from catalog.simulation.network import Network
from catalog.simulation.site import SERVERS, Agent, Site, Watcher

__all__ = ["World"]

LEAST_SECONDS = 1e-6
"""No alarm rings sooner: sums of floating-point times are off by less."""
DRIFT_MAX = 0.01
"""Clocks run so much faster or slower than the world's."""


class World:
    """Machines, a network, and the time they live in."""

    def __init__(
        self,
        random: Random,
        *,
        config: Callable[[str], AgentConfig],
        watch: Watcher,
        clients: tuple[str, ...],
    ) -> None:
        self.random = random
        self.now = 0.0
        self.counts: Counter[str] = Counter()
        self.jumps: list[tuple[float, float]] = []
        """When some clock jumped, and how far."""
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        self._alarms: dict[str, float] = {}
        self._watch = watch
        self.network = Network(random, lambda: self.now, self.after, self._wake)
        self.sites = {
            name: Site(name, self.network, config(name), watch) for name in (*SERVERS, *clients)
        }
        self.network.machines.update(self.sites)

    # Time.

    def after(self, delay: float, act: Callable[..., None], *arguments: Any) -> None:
        """Do this later."""
        self._sequence += 1
        heappush(self._queue, (self.now + delay, self._sequence, act, arguments))

    def run(self, seconds: float) -> None:
        """Let that much time pass."""
        until = self.now + seconds
        while self._queue and self._queue[0][0] <= until:
            self.now, _, act, arguments = heappop(self._queue)
            act(*arguments)
        self.now = until

    # Machines.

    def add_script(self, name: str, script: Callable[[Agent], Awaitable[None]]) -> None:
        """Have something run beside each agent of this name."""
        self.sites[name].scripts.append(script)

    def start(self, name: str) -> None:
        """Start an agent."""
        site = self.sites[name]
        if site.process is not None:
            return
        clock = Clock(
            lambda: self.now,
            self.random.uniform(0.0, 100_000.0),
            1.0 + self.random.uniform(-DRIFT_MAX, DRIFT_MAX),
        )
        site.lives += 1
        site.frozen_until = 0.0
        site.process = Process(site.main, clock)
        self._wake(site)

    def kill(self, name: str) -> None:
        """End an agent's process, without a farewell."""
        site = self.sites[name]
        process, site.process = site.process, None
        if process is not None:
            site.agent, site.handler = None, None
            process.kill()
            self._check(process)

    def freeze(self, name: str, seconds: float) -> None:
        """Let a process stand still for a while."""
        site = self.sites[name]
        site.frozen_until = max(site.frozen_until, self.now + seconds)
        self.after(seconds, self._wake, site)

    def jump(self, name: str, seconds: float) -> None:
        """Let a machine's clock jump ahead, as after it was suspended."""
        process = self.sites[name].process
        if process is not None:
            process.clock.offset += seconds
            self.jumps.append((self.now, seconds))
            self._wake(self.sites[name])

    def _wake(self, site: Any) -> None:
        """Let a machine run until all its tasks wait."""
        process = site.process
        if process is None or self.now < site.frozen_until:
            return
        self.counts["steps"] += 1
        seconds = process.resume()
        if self._watch.failure is not None:
            raise self._watch.failure
        if not process.running:
            self._check(process)
            if site.process is process:
                site.process, site.agent, site.handler = None, None, None
            return
        due = inf if seconds == inf else self.now + max(seconds / process.clock.rate, LEAST_SECONDS)
        if self._alarms.get(site.name, 0.0) <= self.now or due < self._alarms[site.name]:
            self._alarms[site.name] = due
            self.after(due - self.now, self._ring, site, due)

    def _ring(self, site: Site, due: float) -> None:
        if self._alarms[site.name] == due:
            self._alarms[site.name] = 0.0
            self._wake(site)

    def _check(self, process: Process) -> None:
        if process.failure is not None:
            raise process.failure
