"""`catalog members`, `nodes`, `lookup`, `info` and `rtt`."""

from __future__ import annotations

import argparse
from math import isfinite

import catalog
from catalog.cli import plain
from catalog.cli.asking import ask
from catalog.cli.output import print_json, print_table, say
from catalog.exits import Failure
from catalog.model import Instance
from catalog.registry.coordinates import distance
from catalog.requests import Consistency, Coordinates, Info

__all__ = ["INSTANCE_HEADER", "instance_row", "run"]

INSTANCE_HEADER = ("id", "node", "address", "status", "tags")


def run(options: argparse.Namespace) -> None:
    """Ask what `options.command` names."""
    questions = {
        "members": members,
        "nodes": nodes,
        "lookup": lookup,
        "info": info,
        "rtt": rtt,
    }
    ask(questions[options.command], options)


def consistency(options: argparse.Namespace) -> Consistency:
    """Return how current the answer must be."""
    return Consistency.STALE if options.stale else Consistency.DEFAULT


async def members(client: catalog.Client, options: argparse.Namespace) -> None:
    """List the agents."""
    found = await client.members()
    if options.json:
        print_json([plain.member(one) for one in found])
        return
    print_table(
        ("name", "address", "role", "datacenter", "health"),
        [
            (one.name, one.address, one.role.value, one.datacenter, one.health.value)
            for one in found
        ],
    )


async def nodes(client: catalog.Client, options: argparse.Namespace) -> None:
    """List the nodes."""
    found = await client.nodes()
    if options.json:
        print_json([plain.node(one) for one in found])
        return
    print_table(
        ("node", "address", "role", "health", "services"),
        [
            (
                one.node.name,
                one.node.address,
                one.node.role.value,
                one.health.status.value if one.health else "-",
                " ".join(instance.service.id for instance in one.instances),
            )
            for one in found
        ],
    )


async def lookup(client: catalog.Client, options: argparse.Namespace) -> None:
    """List the instances of a service."""
    answer = await client.lookup(
        options.service,
        healthy=not options.all,
        tag=options.tag,
        consistency=consistency(options),
    )
    if options.json:
        print_json(
            {
                "service": answer.name,
                "index": answer.index,
                "age_s": round(answer.age, 3),
                "instances": [plain.instance(one) for one in answer.instances],
            }
        )
    elif not answer.instances:
        say(f"no {'' if options.all else 'healthy '}instance of {options.service}")
    else:
        print_table(INSTANCE_HEADER, map(instance_row, answer.instances))


def instance_row(one: Instance) -> tuple[str, ...]:
    """Return an instance as a row under `INSTANCE_HEADER`."""
    tags = " ".join(one.service.tags)
    address = f"{one.address}:{one.service.port}" if one.service.port else one.address
    return (one.service.id, one.node.name, address, one.status.value, tags)


async def info(client: catalog.Client, options: argparse.Namespace) -> None:
    """Show the agent."""
    found = await client.info()
    if options.json:
        print_json(found)
        return
    width = max(map(len, found))
    for name, value in found.items():
        if isinstance(value, dict):
            text = ", ".join(f"{key} ({there})" for key, there in value.items()) or "-"
        else:
            text = "-" if value in (None, "") else str(value)
        say(f"{name.replace('_', ' '):<{width}}  {text}")


async def rtt(client: catalog.Client, options: argparse.Namespace) -> None:
    """Estimate a round trip time from the places that gossip gave the nodes."""
    other = options.other or (await client.ask(Info())).name
    places = {one.node: one for one in (await client.ask(Coordinates())).value}
    for name in (options.node, other):
        if name not in places:
            raise Failure(
                f"rtt: the place of {name!r} is not known: it is no node, or has just come"
            )
    seconds = distance(places[options.node], places[other])
    if not isfinite(seconds):
        raise Failure(f"rtt: the places of {options.node!r} and {other!r} cannot be compared")
    if options.json:
        print_json({"from": options.node, "to": other, "rtt_ms": round(seconds * 1e3, 3)})
    else:
        say(f"{options.node} to {other}: {seconds * 1e3:.3f} ms, by their coordinates")
