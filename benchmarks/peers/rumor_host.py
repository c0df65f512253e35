"""Some agents of `rumor` in one process, ordered about by JSON lines: see benchmarks/gossip.py."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from time import monotonic
from typing import Any

import trio

from rumor import Agent, Config, Keyring, UserEvent, open_agent

KINDS = {"Joined", "Suspected", "Recovered", "Failed", "Left"}


def say(**words: Any) -> None:
    """Write one line at once."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


class Host:
    """The agents of this process."""

    def __init__(self, nursery: trio.Nursery, config: Config, keyring: Keyring | None) -> None:
        self.nursery = nursery
        self.config = config
        self.keyring = keyring
        self.agents: dict[str, Agent] = {}

    async def run(self, name: str, seeds: list[tuple[str, int]]) -> None:
        """Run one agent for as long as the process lives, and tell all that it is told."""
        began = monotonic()
        async with open_agent(
            name,
            seeds=seeds,
            config=self.config,
            keyring=self.keyring,
            cluster="benchmark",
        ) as agent:
            self.agents[name] = agent
            async with agent.subscribe() as events:
                say(ev="started", name=name, address=agent.address, t=began)
                async for event in events:
                    if isinstance(event, UserEvent):
                        say(ev="user", at=name, about=event.payload.decode(), t=monotonic())
                    elif (kind := type(event).__name__) in KINDS:
                        about: Any = event
                        say(ev=kind.lower(), at=name, about=about.member.name, t=monotonic())

    async def obey(self, order: dict[str, Any]) -> None:
        """Carry out one order."""
        match order["do"]:
            case "start":
                seeds = [(host, port) for host, port in order["seeds"]]
                self.nursery.start_soon(self.run, order["name"], seeds)
            case "broadcast":
                say(ev="said", t=monotonic())
                await self.agents[order["name"]].broadcast("benchmark", order["payload"].encode())
            case "leave":
                say(ev="leaving", t=monotonic())
                await self.agents[order["name"]].leave()
                say(ev="departed", t=monotonic())
            case _:
                raise ValueError(order)


async def main() -> None:
    """Obey until the orders end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", default="lan")
    parser.add_argument("--key")
    arguments = parser.parse_args()
    logging.disable()
    config: Config = getattr(Config, arguments.profile)()
    keyring = Keyring(bytes.fromhex(arguments.key)) if arguments.key else None
    async with trio.open_nursery() as nursery:
        host = Host(nursery, config, keyring)
        orders = trio.wrap_file(sys.stdin)
        async for line in orders:
            await host.obey(json.loads(line))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
