"""What the consumer says, read from its output: the list it sees, and how its calls went."""

from __future__ import annotations

import json
from typing import Any

import trio
from attrs import define, field

from catalog.demo.processes import Child
from catalog.demo.scene import ConsumerReport

__all__ = ["Witness"]


@define(eq=False)
class Witness:
    """The consumer's account, kept up to date by `listen`."""

    report: ConsumerReport
    lists: list[tuple[int, frozenset[str]]] = field(factory=list)
    """Every list it saw, with the index it was from."""
    _news: trio.Event = field(factory=trio.Event)
    _last: tuple[float, int] | None = None

    @property
    def sees(self) -> frozenset[str]:
        """The healthy providers on its list."""
        return self.lists[-1][1] if self.lists else frozenset()

    async def listen(self, consumer: Child) -> None:
        """Read what the consumer prints, until it ends."""
        async for line in consumer.lines():
            self.take(json.loads(line), now=trio.current_time())
            self._news.set()
            self._news = trio.Event()

    def take(self, said: dict[str, Any], *, now: float) -> None:
        """Note one line."""
        if "list" in said:
            self.lists.append((said["index"], frozenset(said["list"])))
            self.report.providers = tuple(said["list"])
            return
        if self._last is not None and now > self._last[0]:
            self.report.rate = (said["calls"] - self._last[1]) / (now - self._last[0])
        self._last = (now, said["calls"])
        self.report.calls, self.report.wrong = said["calls"], said["wrong"]
        self.report.errors = said["errors"]
        self.report.age, self.report.connected = said["age"], said["connected"]

    async def wait_list(self, *, has: frozenset[str], lacks: frozenset[str] = frozenset()) -> None:
        """Wait until the list has some providers and lacks others."""
        while not (has <= self.sees and lacks.isdisjoint(self.sees)):
            await self._news.wait()

    async def wait_calls(self, count: int) -> None:
        """Wait until so many more calls were answered."""
        goal = self.report.calls + count
        while self.report.calls < goal:
            await self._news.wait()

    def went_back(self) -> bool:
        """Whether a list was older than the one seen before it."""
        indexes = [index for index, _ in self.lists]
        return indexes != sorted(indexes)
