"""`catalog kv get | put | delete | list | export | import`."""

from __future__ import annotations

import argparse
import base64
import json
import sys
from pathlib import Path
from typing import Any

import catalog
from catalog.cli import plain
from catalog.cli.asking import ask
from catalog.cli.output import print_json, print_table, say
from catalog.cli.queries import consistency
from catalog.commands import Acquire, Operation, PutKey, Release
from catalog.exits import USAGE, Failure
from catalog.limits import VALUE_BYTES_MAX
from catalog.model import KeyValue
from catalog.requests import Keys, Write

__all__ = ["run"]

IMPORT_KEYS_MAX = 64
"""Keys that are imported in one transaction, ..."""
IMPORT_BYTES_MAX = VALUE_BYTES_MAX
"""... and their values' bytes, so that it fits into one log entry."""


def run(options: argparse.Namespace) -> None:
    """Do what `options.verb` names."""
    if options.verb == "delete" and options.recurse and options.cas is not None:
        raise Failure(
            "kv delete: --cas compares one key, --recurse deletes many; use one of them", USAGE
        )
    if options.verb == "put":
        options.content = _content(options)
    if options.verb == "import":
        options.entries = _entries(options.file)
    verbs = {
        "get": get,
        "put": put,
        "delete": delete,
        "list": list_keys,
        "export": export,
        "import": import_keys,
    }
    ask(verbs[options.verb], options)


async def get(client: catalog.Client, options: argparse.Namespace) -> None:
    """Print a value, or those under a prefix."""
    if options.recurse:
        items = await client.items(options.key, consistency=consistency(options))
        if options.json:
            print_json([plain.key_value(one) for one in items])
        elif options.detailed:
            print_table(DETAILS, [_details(one) for one in items])
        else:
            for one in items:
                say(f"{one.key}:{_text(one.value, as_base64=options.base64)}")
        return
    found = await client.get(options.key, consistency=consistency(options))
    if found is None:
        raise Failure(f"kv get: there is no key {options.key!r}")
    if options.json:
        print_json(plain.key_value(found))
    elif options.detailed:
        print_table(DETAILS, [_details(found)])
    elif options.base64:
        say(_text(found.value, as_base64=True))
    else:  # its bytes as they are, and a line end where a person reads
        sys.stdout.buffer.write(found.value + (b"\n" if sys.stdout.isatty() else b""))
        sys.stdout.buffer.flush()


DETAILS = ("key", "bytes", "flags", "created", "modified", "locks", "session")


def _details(one: KeyValue) -> tuple[object, ...]:
    indexes = (one.create_index, one.modify_index, one.lock_index)
    return (one.key, len(one.value), one.flags, *indexes, one.session or "-")


def _text(value: bytes, *, as_base64: bool) -> str:
    if as_base64:
        return base64.b64encode(value).decode()
    return value.decode(errors="backslashreplace")


def _content(options: argparse.Namespace) -> bytes:
    """Return what is to be written."""
    data: bytes
    if options.value == "-":
        data = sys.stdin.buffer.read()
    elif options.value.startswith("@"):
        data = _read(Path(options.value[1:]), "put")
    else:
        data = options.value.encode()
    if not options.base64:
        return data
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except ValueError:
        raise Failure("kv put: with --base64 the value must be base64", USAGE) from None


def _read(path: Path, verb: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"kv {verb}: {path} cannot be read: {error.strerror}", USAGE) from None


async def put(client: catalog.Client, options: argparse.Namespace) -> None:
    """Write a key; by itself, compared, or with the lock on it."""
    key, value, flags = options.key, options.content, options.flags
    if options.acquire:
        command: Operation = Acquire(key, value, options.acquire, flags=flags)
    elif options.release:
        command = Release(key, value, options.release, flags=flags)
    else:
        command = PutKey(key, value, flags=flags, cas=options.cas)
    applied = await client.ask(Write(command))
    if not applied.ok:
        raise catalog.Refused(applied)
    if options.json:
        print_json({"key": key, "index": applied.index})
    else:
        say(f"{key} written at index {applied.index}")


async def delete(client: catalog.Client, options: argparse.Namespace) -> None:
    """Delete a key, or many."""
    index = await client.delete(options.key, cas=options.cas, recurse=options.recurse)
    if options.json:
        print_json({"key": options.key, "index": index})
    else:
        say(f"{options.key}{'...' if options.recurse else ''} deleted at index {index}")


async def list_keys(client: catalog.Client, options: argparse.Namespace) -> None:
    """List keys."""
    asked = Keys(options.prefix, separator=options.separator, consistency=consistency(options))
    found = (await client.ask(asked)).value
    if options.json:
        print_json(list(found))
        return
    for key in found:
        say(key)


async def export(client: catalog.Client, options: argparse.Namespace) -> None:
    """Print keys in the form that Consul's command prints and reads, too."""
    items = await client.items(options.prefix, consistency=consistency(options))
    print_json(
        [
            {"key": one.key, "flags": one.flags, "value": base64.b64encode(one.value).decode()}
            for one in items
        ]
    )


def _entries(file: str) -> list[PutKey]:
    """Return the keys that a file of `export` holds."""
    data = sys.stdin.buffer.read() if file == "-" else _read(Path(file), "import")
    try:
        found: list[dict[str, Any]] = json.loads(data)
        return [
            PutKey(
                one["key"], base64.b64decode(one["value"], validate=True), flags=one.get("flags", 0)
            )
            for one in found
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Failure(
            f"kv import: {file} is not what `catalog kv export` prints ({error!r:.100}); "
            f"nothing was written",
            USAGE,
        ) from None


async def import_keys(client: catalog.Client, options: argparse.Namespace) -> None:
    """Write keys, as many at a time as a transaction takes."""
    entries: list[PutKey] = options.entries
    written = 0
    for some in _portions(entries):
        try:
            await client.transact(some)
        except catalog.CatalogError as error:
            raise Failure(
                f"kv import: {written} of {len(entries)} keys were written, then: {error}; it does "
                f"no harm to import them all again"
            ) from None
        written += len(some)
    if options.json:
        print_json({"written": written})
    else:
        say(f"{written} keys written")


def _portions(entries: list[PutKey]) -> list[list[PutKey]]:
    """Cut a list so that each part fits into one log entry."""
    portions: list[list[PutKey]] = []
    size = 0
    for entry in entries:
        size += len(entry.value)
        if not portions or len(portions[-1]) == IMPORT_KEYS_MAX or size > IMPORT_BYTES_MAX:
            portions.append([])
            size = len(entry.value)
        portions[-1].append(entry)
    return portions
