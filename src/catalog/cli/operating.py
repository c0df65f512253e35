"""For those who run the cluster: servers, snapshots, events, keys of gossip, one agent's life."""

from __future__ import annotations

import argparse
import base64
import sys

import attrs

import catalog
from catalog.cli.asking import ask
from catalog.cli.output import print_json, print_table, say
from catalog.durably import write_durably
from catalog.events import Events, FireEvent
from catalog.exits import FAILED, USAGE, Failure
from catalog.housekeeping import (
    ChangeKeys,
    ForceLeave,
    JoinOthers,
    KeyAction,
    Leave,
    Metrics,
    Reload,
)
from catalog.operations import Health, Peers, RemovePeer, TransferLeadership
from catalog.snapshots import restore, save, unpack

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    """Do what `options.command` and `options.verb` name."""
    match options.command, options.__dict__.get("verb"):
        case "snapshot", "inspect":
            _inspect(options)
        case "snapshot", verb:
            ask(_save if verb == "save" else _restore, options)
        case "operator", verb:
            ask({"peers": _peers, "health": _health}.get(verb or "", _change), options)
        case "event", verb:
            ask(_fire if verb == "fire" else _events, options)
        case "keyring", _:
            ask(_keyring, options)
        case _:
            ask(_housekeep, options)


async def _peers(client: catalog.Client, options: argparse.Namespace) -> None:
    report = await client.ask(Peers())
    if options.json:
        print_json(attrs.asdict(report))
        return
    rows = [
        (peer.name, peer.address, "voter" if peer.voter else "learner", _yes(peer.leader))
        for peer in report.peers
    ]
    print_table(("name", "address", "role", "leader"), rows)


async def _health(client: catalog.Client, options: argparse.Namespace) -> None:
    report = await client.ask(Health())
    if options.json:
        print_json(attrs.asdict(report))
    else:
        rows = [
            (
                one.name,
                one.standing,
                "leader" if one.leader else "voter" if one.voter else "learner",
                _yes(one.healthy),
                f"{one.stable:.0f} s",
                "-" if one.contact is None else f"{one.contact:.3f} s",
                "-" if one.last_index is None else one.last_index,
            )
            for one in report.servers
        ]
        header = ("name", "gossip", "role", "healthy", "for", "contact", "index")
        print_table(header, rows)
        say(f"{report.failure_tolerance} more voters may fail")
    if not report.healthy:
        raise Failure("operator health: not all servers are healthy", FAILED)


async def _change(client: catalog.Client, options: argparse.Namespace) -> None:
    if options.verb == "remove":
        index = await client.ask(RemovePeer(options.name))
        say(f"{options.name} is no server any more, as of index {index}")
    else:
        say(f"{await client.ask(TransferLeadership(options.to))} leads")


async def _save(client: catalog.Client, options: argparse.Namespace) -> None:
    data = b"".join([piece async for piece in save(client)])
    saved = unpack(data)
    write_durably(options.file, data, mode=0o600)
    say(f"{options.file}: {len(data)} bytes, up to index {saved.index}")


async def _restore(client: catalog.Client, options: argparse.Namespace) -> None:
    index = await restore(client, options.file.read_bytes())
    say(f"{options.file} is restored at index {index}")


def _inspect(options: argparse.Namespace) -> None:
    try:
        saved = unpack(options.file.read_bytes())
    except (OSError, catalog.ProtocolError) as error:
        raise Failure(f"snapshot inspect: {options.file}: {error}") from None
    facts = {
        "cluster": saved.cluster,
        "index": saved.index,
        "version": saved.version,
        "bytes": len(saved.image),
    }
    if options.json:
        print_json(facts)
    else:
        print_table(("what", "value"), facts.items())


async def _fire(client: catalog.Client, options: argparse.Namespace) -> None:
    request = FireEvent(
        options.name, options.payload.encode(), options.node, options.service, options.tag
    )
    event = await client.ask(request)
    if options.json:
        print_json({"id": event.id, "name": event.name})
    else:
        say(f"event {event.name} has the id {event.id}")


async def _events(client: catalog.Client, options: argparse.Namespace) -> None:
    found = (await client.ask(Events(options.name))).events
    rows = [(one.clock, one.name, one.id, one.payload.decode(errors="replace")) for one in found]
    if options.json:
        names = ("clock", "name", "id", "payload")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    elif rows:
        print_table(("clock", "name", "id", "payload"), rows)
    else:
        say("no events")


async def _keyring(client: catalog.Client, options: argparse.Namespace) -> None:
    action, key = KeyAction(options.verb), b""
    if action is not KeyAction.LIST:
        text = sys.stdin.readline().strip() if options.key == "-" else options.key
        try:
            key = base64.b64decode(text, validate=True)
        except ValueError:
            raise Failure(f"keyring {options.verb}: the key is not base64", USAGE) from None
    report = await client.ask(ChangeKeys(action, key))
    if options.json:
        print_json(attrs.asdict(report))
        return
    rows = [
        (name, f"{count} of {report.members}", report.primary.get(name, 0))
        for name, count in sorted(report.keys.items())
    ]
    print_table(("key", "held by", "used by"), rows)
    if report.silent:
        say(f"no answer from {', '.join(report.silent)}")


async def _housekeep(client: catalog.Client, options: argparse.Namespace) -> None:
    match options.command:
        case "leave":
            await client.ask(Leave())
            say(f"the agent at {options.agent} leaves")
        case "force-leave":
            await client.ask(ForceLeave(options.name))
            say(f"{options.name} counts as one that has left")
        case "metrics":
            sys.stdout.write(await client.ask(Metrics()))
        case "join":
            count = await client.ask(JoinOthers(tuple(options.addresses)))
            say(f"{count} of {len(options.addresses)} answered")
        case _:
            for line in await client.ask(Reload()):
                say(line)


def _yes(value: bool) -> str:  # noqa: FBT001 - it is what is shown
    return "yes" if value else "no"
