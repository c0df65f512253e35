"""`catalog watch`: what there is, then each change as it happens."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import trio
from attrs import evolve, frozen

import catalog
from catalog.cli import plain
from catalog.cli.asking import ask
from catalog.cli.output import print_json, print_table, say
from catalog.cli.queries import INSTANCE_HEADER, instance_row
from catalog.events import Events
from catalog.exits import USAGE, Failure
from catalog.kv import KeyChange
from catalog.model import View
from catalog.requests import Checks, Nodes, Read, Services

__all__ = ["run"]

UNNAMED = ("services", "nodes", "checks")
"""What is watched as a whole."""


@frozen
class News:
    """Something to show: as one JSON object, and as lines for people."""

    value: dict[str, Any]
    lines: tuple[str, ...]
    header: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()
    first: bool = False
    """Whether it is what there was at the beginning, and no change."""


def run(options: argparse.Namespace) -> None:
    """Watch until interrupted, or for so many changes."""
    if options.type in UNNAMED and options.name:
        raise Failure(f"watch: --type {options.type} takes no name", USAGE)
    if options.type in ("service", "key") and not options.name:
        raise Failure(f"watch: which {options.type}? give its name", USAGE)
    ask(watch, options)


async def watch(client: catalog.Client, options: argparse.Namespace) -> None:
    """Show what there is, then the changes."""
    match options.type:
        case "service":
            news = watch_service(client, options.name)
        case "key" | "prefix":
            news = watch_keys(client, options.name, alone=options.type == "key")
        case "event":
            news = watch_events(client, options.name)
        case _:
            news = watch_all(client, options.type)
    left = options.changes
    async with aclosing(news):
        async for one in news:
            await _show(one, options)
            if not one.first and left is not None:
                left -= 1
                if left == 0:
                    return


async def watch_service(client: catalog.Client, name: str) -> AsyncGenerator[News, None]:
    """Give the instances, then each that comes, changes or goes."""
    async with client.subscribe(name) as subscription:
        async for news in subscription:
            if isinstance(news, View):
                value = {"kind": "view", "index": news.index}
                value["instances"] = [plain.instance(one) for one in news.instances]
                rows = tuple(map(instance_row, news.instances))
                empty = () if rows else (f"no instance of {name} yet",)
                yield News(value, empty, INSTANCE_HEADER, rows, first=True)
                continue
            service, node, address, status, _tags = instance_row(news.instance)
            line = f"{news.kind.value:<7}  {service} on {node} at {address}: {status}"
            yield News(plain.change(news), (_now(line),))


async def watch_keys(
    client: catalog.Client, prefix: str, *, alone: bool
) -> AsyncGenerator[News, None]:
    """Give the keys, then each that changes; `alone`: only the one of this very name."""
    async with client.subscribe_keys(prefix) as subscription:
        async for news in subscription:
            if isinstance(news, KeyChange):
                if news.key == prefix or not alone:
                    value = plain.key_change(news)
                    yield News(value, (_now(f"{value['kind']:<7}  {news.key}"),))
                continue
            items = [one for one in news if one.key == prefix or not alone]
            value = {"kind": "view", "keys": [plain.key_value(one) for one in items]}
            rows = tuple((one.key, len(one.value), one.modify_index) for one in items)
            empty = () if rows else (f"no key {prefix} yet",)
            yield News(value, empty, ("key", "bytes", "index"), rows, first=True)


async def watch_events(client: catalog.Client, name: str) -> AsyncGenerator[News, None]:
    """Give each event from now on."""
    known = await client.ask(Events(name))
    seen = {one.id for one in known.events}
    while True:
        known = await client.ask(Events(name, after=known.index))
        for one in known.events:
            if one.id not in seen:
                text = f"{one.name}  {one.payload.decode(errors='replace')}"
                yield News(plain.event(one), (_now(text),))
        seen = {one.id for one in known.events}


async def watch_all(client: catalog.Client, kind: str) -> AsyncGenerator[News, None]:
    """Give all services, nodes or checks, and again whenever one of them changes."""
    reads: dict[str, Read[Any]] = {"services": Services(), "nodes": Nodes(), "checks": Checks()}
    read, shown, first = reads[kind], None, True
    while True:
        reply = await client.ask(read)
        if first or reply.value != shown:
            lines = () if first else (_now(f"{kind} have changed"),)
            value = {"kind": kind, "index": reply.index, kind: _plain(kind, reply.value)}
            yield News(value, lines, *_table(kind, reply.value), first=first)
        shown, first = reply.value, False
        read = evolve(read, after=reply.index)


def _plain(kind: str, value: Any) -> Any:
    if kind == "services":
        return {name: list(tags) for name, tags in value.items()}
    return [plain.node(one) if kind == "nodes" else plain.node_check(one) for one in value]


def _table(kind: str, value: Any) -> tuple[tuple[str, ...], tuple[tuple[object, ...], ...]]:
    if kind == "services":
        header: tuple[str, ...] = ("service", "tags")
        return header, tuple((name, " ".join(tags)) for name, tags in sorted(value.items()))
    if kind == "nodes":
        header = ("node", "address", "health", "instances")
        return header, tuple(
            (
                one.node.name,
                one.node.address,
                one.health.status.value if one.health else "-",
                len(one.instances),
            )
            for one in value
        )
    header = ("node", "service", "check", "status")
    return header, tuple(
        (
            one.node.name,
            one.service.id if one.service else "-",
            one.state.id,
            one.state.status.value,
        )
        for one in value
    )


async def _show(news: News, options: argparse.Namespace) -> None:
    if options.exec:
        await _hand_over(news.value, options.exec)
        return
    if options.json:
        print_json(news.value, compact=True)
        return
    for line in news.lines:
        say(line)
    if news.rows:
        print_table(news.header, news.rows)


async def _hand_over(value: dict[str, Any], line: str) -> None:
    """Run a shell command with a value on its standard input, and wait for its end."""
    data = json.dumps(value, ensure_ascii=False).encode() + b"\n"
    done = await trio.run_process(["/bin/sh", "-c", line], stdin=data, check=False)
    if done.returncode:
        raise Failure(f"watch: the command of --exec ended with status {done.returncode}")


def _now(line: str) -> str:
    return f"{time.strftime('%H:%M:%S')}  {line}"
