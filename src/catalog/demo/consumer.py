"""A consumer: a process that subscribes to a service and gives work to whatever it finds.

The work is real: it sends the source files of Python's standard library, one after another, to the
providers in turn, and compares each answer with its own count.
A provider that does not answer costs an error, and the text goes to the next one: no work is lost.

What happens is printed for the demo as lines of JSON: `{"list": [...], "index": ...}` whenever the
list of healthy providers changes, and `{"calls": ..., "errors": {...}, ...}` a few times a second.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

import catalog
from catalog.demo.provider import BODY_BYTES_MAX, count_words
from catalog.model import Instance

__all__ = ["Consumer", "main", "texts"]

TEXTS_MAX = 100
CALL_TIMEOUT_SECONDS = 10.0
"""A killed provider refuses at once; who is merely slow on a busy machine shall not be blamed."""
PAUSE_SECONDS = 0.02
"""Between two calls of one worker: the demo shall leave the machine some air."""
REPORT_SECONDS = 0.25
WORKERS = 2


def texts() -> list[str]:
    """Return some real texts: the sources of the standard library."""
    sources = sorted(Path(os.__file__).parent.glob("*.py"))[:TEXTS_MAX]
    found = [path.read_text(encoding="utf-8", errors="replace") for path in sources]
    return [text for text in found if len(text.encode()) <= BODY_BYTES_MAX] or [str(__doc__)]


@define
class Consumer:
    """What one consumer knows and has done."""

    healthy: tuple[Instance, ...] = ()
    """The providers to call, as the subscription has them."""
    calls: int = 0
    """Answered, and rightly."""
    wrong: int = 0
    """Answered otherwise than our own count."""
    errors: Counter[str] = field(factory=Counter)
    """Calls that failed, by provider."""
    _changed: trio.Event = field(factory=trio.Event)
    _turn: int = 0

    async def follow(self, subscription: catalog.Subscription) -> None:
        """Keep the list as the subscription says, and print it when it changes."""
        async for _ in subscription:
            view = subscription.view.select(healthy=True)
            if view.instances != self.healthy:
                self.healthy = view.instances
                self._changed.set()
                self._changed = trio.Event()
                emit({"list": [one.service.id for one in view.instances], "index": view.index})

    async def work(self, tasks: itertools.cycle[tuple[str, dict[str, Any]]]) -> None:
        """Have texts counted, for ever."""
        for text, expected in tasks:
            answered = False
            while not answered:
                answered = await self.call(await self.choose(), text, expected)
                await trio.sleep(PAUSE_SECONDS)

    async def choose(self) -> Instance:
        """Return the next provider in turn, as soon as there is one."""
        while not self.healthy:
            await self._changed.wait()
        self._turn += 1
        return self.healthy[self._turn % len(self.healthy)]

    async def call(self, provider: Instance, text: str, expected: dict[str, Any]) -> bool:
        """Have one text counted by one provider; return whether it answered."""
        try:
            answer = await trio.to_thread.run_sync(
                post, provider.address, provider.service.port, text, abandon_on_cancel=True
            )
        except (OSError, http.client.HTTPException, ValueError):
            self.errors[provider.service.id] += 1
            return False
        answer.pop("provider", None)
        if answer == expected:
            self.calls += 1
        else:
            self.wrong += 1
        return True

    async def report(self, subscription: catalog.Subscription) -> None:
        """Print the counts, a few times a second."""
        while True:
            emit(
                {
                    "calls": self.calls,
                    "wrong": self.wrong,
                    "errors": dict(self.errors),
                    "age": round(subscription.age, 3),
                    "connected": subscription.connected,
                }
            )
            await trio.sleep(REPORT_SECONDS)


def post(host: str, port: int, text: str) -> dict[str, Any]:
    """Ask a provider to count a text; blocks."""
    connection = http.client.HTTPConnection(host, port, timeout=CALL_TIMEOUT_SECONDS)
    try:
        connection.request("POST", "/count", text.encode())
        response = connection.getresponse()
        body = response.read(BODY_BYTES_MAX)
        if response.status != 200:
            raise http.client.HTTPException(f"status {response.status}")
        answer = json.loads(body)
        return answer if isinstance(answer, dict) else {"answer": answer}
    finally:
        connection.close()


def emit(line: dict[str, Any]) -> None:
    """Print one line for the demo."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def consume(agent: str, service: str) -> None:
    """Subscribe at an agent and work until killed."""
    consumer = Consumer()
    tasks = itertools.cycle([(text, dict[str, Any](count_words(text))) for text in texts()])
    async with (
        catalog.connect(agent) as client,
        client.subscribe(service) as subscription,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(consumer.follow, subscription)
        nursery.start_soon(consumer.report, subscription)
        for _ in range(WORKERS):
            nursery.start_soon(consumer.work, tasks)


def main() -> None:
    """Consume until killed."""
    parser = argparse.ArgumentParser(prog="python -m catalog.demo.consumer", description=__doc__)
    parser.add_argument("--agent", required=True)
    parser.add_argument("--service", default="words")
    options = parser.parse_args()
    trio.run(consume, options.agent, options.service)


if __name__ == "__main__":
    main()
