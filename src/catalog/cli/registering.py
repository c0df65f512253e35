"""`catalog services` and `maint`: what runs at the agent asked, and how it is presented."""

from __future__ import annotations

import argparse

import catalog
from catalog.cli.asking import ask
from catalog.cli.output import print_json, print_table, say
from catalog.exits import USAGE, Failure, sentence
from catalog.model import Check, HttpCheck, Service, TcpCheck, TtlCheck
from catalog.requests import LocalChecks
from catalog.settings import load_services

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    """Do what `options.command` and `options.verb` name."""
    if options.command == "maint":
        ask(_maintain if options.enable or options.disable else _out_of_use, options)
        return
    match options.verb:
        case None | "list":
            ask(services, options)
        case "register":
            options.services = _described(options)
            ask(_register, options)
        case _:
            ask(_change, options)


async def services(client: catalog.Client, options: argparse.Namespace) -> None:
    """List the services with their tags."""
    found = dict(sorted((await client.services()).items()))
    if options.json:
        print_json({name: list(tags) for name, tags in found.items()})
    elif not found:
        say("no services are registered")
    else:
        print_table(("service", "tags"), [(name, " ".join(tags)) for name, tags in found.items()])


def _described(options: argparse.Namespace) -> tuple[Service, ...]:
    """Return the services that the flags or a file describe."""
    try:
        if options.file is not None:
            if options.name:
                raise Failure("services register: give a name, or --file with all of it", USAGE)
            return load_services(options.file)
        if not options.name:
            raise Failure("services register: give a name, or --file", USAGE)
        service = Service(
            options.name,
            id=options.id or options.name,
            address=options.address,
            port=options.port,
            tags=options.tag,
            meta=dict(options.meta),
            checks=_checks(options),
        )
    except (TypeError, ValueError) as error:
        raise Failure(f"services register: {sentence(error)}", USAGE) from None
    return (service,)


def _checks(options: argparse.Namespace) -> list[Check]:
    if options.ttl is not None:
        return [TtlCheck(options.ttl)]
    if options.http is not None:
        return [HttpCheck(options.http, interval=options.interval)]
    if options.tcp is not None:
        return [TcpCheck(options.tcp, interval=options.interval)]
    return []


async def _register(client: catalog.Client, options: argparse.Namespace) -> None:
    done = {service.id: await client.register(service) for service in options.services}
    if options.json:
        print_json([{"id": service_id, "index": index} for service_id, index in done.items()])
        return
    for service_id, index in done.items():
        say(f"{service_id} is registered at index {index}")


async def _change(client: catalog.Client, options: argparse.Namespace) -> None:
    match options.verb:
        case "deregister":
            index, what = await client.deregister(options.id), "is deregistered"
        case "drain":
            index, what = await client.drain(options.id), "is given nobody new"
        case _:
            index = await client.drain(options.id, terminating=False)
            what = "is given new work again"
    if options.json:
        print_json({"id": options.id, "index": index})
    else:
        say(f"{options.id} {what}, as of index {index}")


async def _maintain(client: catalog.Client, options: argparse.Namespace) -> None:
    index = await client.maintain(options.service, enable=options.enable, reason=options.reason)
    if options.json:
        print_json({"service": options.service, "enabled": options.enable, "index": index})
        return
    what = options.service or "the node"
    say(f"{what} is {'out of' if options.enable else 'back in'} use, as of index {index}")


async def _out_of_use(client: catalog.Client, options: argparse.Namespace) -> None:
    checks = await client.ask(LocalChecks())
    rows = [
        (one.service.id if one.service else "", one.state.notes)
        for one in checks
        if one.state.kind == "maintenance"
    ]
    if options.json:
        print_json([{"service": service, "reason": reason} for service, reason in rows])
    elif not rows:
        say("nothing is out of use")
    else:
        print_table(("service", "reason"), [(name or "(the node)", why) for name, why in rows])
