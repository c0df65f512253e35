"""`catalog watch SERVICE`: what there is, then each change as it happens."""

from __future__ import annotations

import argparse
import time

import catalog
from catalog.cli import plain
from catalog.cli.asking import ask
from catalog.cli.output import print_json, print_table, say
from catalog.cli.queries import INSTANCE_HEADER, instance_row
from catalog.model import Change, View

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    """Watch until interrupted, or for so many changes."""
    ask(watch, options)


async def watch(client: catalog.Client, options: argparse.Namespace) -> None:
    """Print the view, then the changes."""
    left = options.changes
    async with client.subscribe(options.service) as subscription:
        async for news in subscription:
            if isinstance(news, View):
                show_view(news, as_json=options.json)
                continue
            show_change(news, as_json=options.json)
            left = None if left is None else left - 1
            if left == 0:
                return


def show_view(view: View, *, as_json: bool) -> None:
    """Print all instances."""
    if as_json:
        instances = [plain.instance(one) for one in view.instances]
        print_json({"kind": "view", "index": view.index, "instances": instances}, compact=True)
    elif view.instances:
        print_table(INSTANCE_HEADER, map(instance_row, view.instances))
    else:
        say(f"no instance of {view.name} yet")


def show_change(change: Change, *, as_json: bool) -> None:
    """Print one change."""
    if as_json:
        print_json(plain.change(change), compact=True)
        return
    one = change.instance
    service, node, address, status, _tags = instance_row(one)
    clock = time.strftime("%H:%M:%S")
    say(f"{clock}  {change.kind.value:<7}  {service} on {node} at {address}: {status}")
