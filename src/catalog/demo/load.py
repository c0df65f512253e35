"""The write load: writers with keys of their own, and a ledger of what was acknowledged.

Every write has a key that nobody else writes and that is written once, so an attempt may be
repeated without harm, whatever became of the one before.
A write counts as acknowledged when `put` returned; one that ended in an error, because a leader
died or nobody could tell what became of it, is simply tried again, with the same key and value,
at the next agent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import trio
from attrs import define, field

import catalog

__all__ = ["Ledger", "Writer", "value_of"]

ATTEMPT_TIMEOUT_SECONDS = 8.0
"""An agent rides over a change of leader by itself; after this long the writer asks another."""
PAUSE_SECONDS = 0.01
"""Between two writes of one writer: the machine has other things to do, and all is read back."""
RETRY_SECONDS = 0.05
WINDOW_SECONDS = 1.0
"""Over which `Ledger.rate` is taken."""


def value_of(key: str) -> bytes:
    """Return the value that is written under a key: it can be told from any other's."""
    return hashlib.sha256(key.encode()).hexdigest().encode()


@define
class Ledger:
    """What became of the writes."""

    acknowledged: dict[str, bytes] = field(factory=dict)
    index: int = 0
    """The highest log index of an acknowledged write."""
    retries: int = 0
    """Attempts that ended in an error, and were made again."""
    _times: list[float] = field(factory=list)
    _waiting: list[tuple[float, trio.Event]] = field(factory=list)
    newest: float = 0.0
    """When the latest acknowledgement came, in seconds of trio's clock."""

    def acknowledge(self, key: str, value: bytes, *, begun: float, now: float) -> None:
        """Note that a write was acknowledged; `begun` is when its last attempt started."""
        self.acknowledged[key] = value
        self._times.append(now)
        self.newest = now
        for after, event in self._waiting:
            if begun >= after:
                event.set()

    def rate(self, now: float) -> float:
        """Return the acknowledged writes per second, of late."""
        self._times = [time for time in self._times if time > now - WINDOW_SECONDS]
        return len(self._times) / WINDOW_SECONDS

    async def wait_acknowledged(self, *, begun_after: float) -> float:
        """Wait for an acknowledged write whose attempt began after a moment; return when it came.

        A write that was under way before proves nothing: its answer may have been on the wire.
        """
        event = trio.Event()
        entry = (begun_after, event)
        self._waiting.append(entry)
        try:
            await event.wait()
        finally:
            self._waiting.remove(entry)
        return self.newest


@define
class Writer:
    """One writer: writes one key after the other, until it is told to stop."""

    name: str
    ledger: Ledger
    agents: Callable[[], Sequence[str]]
    """The addresses to write through: those of the agents that should be alive."""
    first: int
    """Which of them to begin with; the next one after an error."""
    stopping: bool = False
    stopped: trio.Event = field(factory=trio.Event)

    async def run(self) -> None:
        """Write until `stopping` is set; set `stopped` at the end."""
        turn, number = self.first, 0
        while not self.stopping:
            addresses = self.agents()
            try:
                async with catalog.connect(addresses[turn % len(addresses)]) as client:
                    while not self.stopping:
                        await self._write(client, f"demo/{self.name}/{number:06}")
                        number += 1
                        await trio.sleep(PAUSE_SECONDS)
            except (catalog.CatalogError, OSError, trio.TooSlowError):
                self.ledger.retries += 1
                turn += 1
                await trio.sleep(RETRY_SECONDS)
        self.stopped.set()

    async def _write(self, client: catalog.Client, key: str) -> None:
        value = value_of(key)
        begun = trio.current_time()
        with trio.fail_after(ATTEMPT_TIMEOUT_SECONDS):
            index = await client.put(key, value)
        self.ledger.index = max(self.ledger.index, index)
        self.ledger.acknowledge(key, value, begun=begun, now=trio.current_time())
