"""One agent under measurement, driven by JSON lines on its standard input.

    python -m benchmarks.catalog_node --id 0 --peers 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 \
        --dir D [--http 8001,8002,8003] [--client 127.0.0.1:7004]

Agent `id` of the servers that are the peers; or, with `--client`, a client agent that joins them
and listens there. Commands: {"cmd": "role"}, {"cmd": "load", "what": "put", "c": 16, "warm": 1,
"secs": 3} (a closed loop of c callers in this process; "get", "stale" and "lookup" likewise);
one JSON line answers. `python -m benchmarks catalog` is the way to run it for figures.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import trio
from benchmarks.node import Load, say

import catalog
from catalog import Agent, AgentConfig, Consistency
from catalog.http.app import build_app
from catalog.http.calls import Site
from catalog.http.server import serve_http

VALUE = b"v" * 128
KEYS = 1000
"""Keys that are written and read, one after the other."""


def question(agent: Agent, what: str, name: str) -> Callable[[], Awaitable[object]]:
    """Return what a caller asks again and again."""
    numbers = count()
    match what:
        case "put":
            return lambda: agent.put(f"load/{next(numbers) % KEYS:04}", VALUE)
        case "get":
            return lambda: agent.get(f"load/{next(numbers) % KEYS:04}")
        case "stale":
            stale = Consistency.STALE
            return lambda: agent.get(f"load/{next(numbers) % KEYS:04}", consistency=stale)
        case "lookup":
            return lambda: agent.lookup(name)
        case _:
            raise ValueError(f"no load is called {what!r}")


async def obey(agent: Agent, nursery: trio.Nursery) -> None:
    """Read commands until the input ends."""
    pending = b""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
        async for data in stdin:
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                command: dict[str, Any] = json.loads(line)
                match command.pop("cmd"):
                    case "role":
                        info = await agent.info()
                        applied = info["applied_index"] or 0
                        leads = info["role"] == "leader" and applied > 0
                        say(ev="role", leader=leads, applied=applied)
                    case "load":
                        asked = question(agent, command.pop("what"), command.pop("name", ""))
                        nursery.start_soon(partial(Load(asked).run, **command))
    nursery.cancel_scope.cancel()


def configured(options: argparse.Namespace) -> AgentConfig:
    """Return the settings of this agent: the usual ones."""
    peers, number = options.peers.split(","), options.id
    if options.client:
        return AgentConfig(f"client{number}", bind=options.client, join=peers, retry_join=10.0)
    return AgentConfig(
        f"n{number}",
        server=True,
        bind=peers[number],
        data_dir=Path(options.dir),
        bootstrap_expect=len(peers),
        join=[peer for peer in peers if peer != peers[number]],
        retry_join=10.0,
    )


async def serve(options: argparse.Namespace) -> None:
    """Run the agent, and Consul's HTTP API if that was asked for."""
    config = configured(options)
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(catalog.open_catalog(config))
        nursery = await stack.enter_async_context(trio.open_nursery())
        if options.http:
            port = options.http.split(",")[options.id]
            app = build_app(Site(agent, agent.name, config.datacenter, config.autopilot))
            await nursery.start(serve_http, app, f"127.0.0.1:{port}")
        say(ev="ready")
        await obey(agent, nursery)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--id", type=int, required=True, help="which of the peers this server is")
    parser.add_argument("--peers", required=True, help="host:port of every server, comma between")
    parser.add_argument("--dir", required=True, help="where a server keeps its data")
    parser.add_argument("--http", default="", help="ports for HTTP, one for each id")
    parser.add_argument("--client", default="", help="be a client agent, and listen there")
    logging.basicConfig(level=logging.ERROR)
    trio.run(serve, parser.parse_args())


if __name__ == "__main__":
    main()
