"""`catalog kv get | put | delete | list`."""

from __future__ import annotations

import argparse
import sys

import catalog
from catalog.cli import plain
from catalog.cli.asking import ask
from catalog.cli.output import print_json, say
from catalog.cli.queries import consistency
from catalog.exits import USAGE, Failure

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    """Do what `options.verb` names."""
    if options.verb == "delete" and options.recurse and options.cas is not None:
        raise Failure(
            "kv delete: --cas compares one key, --recurse deletes many; use one of them", USAGE
        )
    ask({"get": get, "put": put, "delete": delete, "list": list_keys}[options.verb], options)


async def get(client: catalog.Client, options: argparse.Namespace) -> None:
    """Print a value: its bytes as they are, and a line end where a person reads."""
    found = await client.get(options.key, consistency=consistency(options))
    if found is None:
        raise Failure(f"kv get: there is no key {options.key!r}")
    if options.json:
        print_json(plain.key_value(found))
        return
    sys.stdout.buffer.write(found.value + (b"\n" if sys.stdout.isatty() else b""))
    sys.stdout.buffer.flush()


async def put(client: catalog.Client, options: argparse.Namespace) -> None:
    """Write a key."""
    value = sys.stdin.buffer.read() if options.value == "-" else options.value.encode()
    index = await client.put(options.key, value, cas=options.cas)
    if options.json:
        print_json({"key": options.key, "index": index})
    else:
        say(f"{options.key} written at index {index}")


async def delete(client: catalog.Client, options: argparse.Namespace) -> None:
    """Delete a key, or many."""
    index = await client.delete(options.key, cas=options.cas, recurse=options.recurse)
    if options.json:
        print_json({"key": options.key, "index": index})
    else:
        say(f"{options.key}{'...' if options.recurse else ''} deleted at index {index}")


async def list_keys(client: catalog.Client, options: argparse.Namespace) -> None:
    """List keys."""
    found = await client.keys(options.prefix, consistency=consistency(options))
    if options.json:
        print_json(list(found))
        return
    for key in found:
        say(key)
