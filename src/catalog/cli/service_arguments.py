"""The command line of discovery; see `catalog.cli.queries`, `registering` and `watch`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from catalog.cli.parser import (
    add_asking,
    add_command,
    add_stale,
    add_verbs,
    address,
    count,
    index,
    pair,
    seconds,
)

__all__ = ["WATCHED", "add_commands"]

WATCHED = {
    "service": "a service's instances",
    "services": "which services there are",
    "nodes": "nodes and their health",
    "checks": "all checks",
    "key": "one key",
    "prefix": "the keys that begin with NAME",
    "event": "events, of this name or all",
}
"""What can be watched."""


def add_commands(commands: Any) -> None:
    """Add the commands of this file to the parser."""
    for name, what in (
        ("members", "list the agents that gossip knows, and how they are"),
        ("nodes", "list the nodes of the catalog, with their health and services"),
        ("info", "show the agent asked: role, term, leader, indexes, peers"),
    ):
        add_asking(add_command(commands, name, what))
    _add_services(commands)
    lookup = add_command(commands, "lookup", "list the healthy instances of a service")
    lookup.add_argument("service", metavar="SERVICE")
    lookup.add_argument("--all", action="store_true", help="the unhealthy ones too")
    lookup.add_argument("--tag", help="only those with this tag")
    add_stale(lookup)
    add_asking(lookup)
    _add_maint(commands)
    _add_watch(commands)
    rtt = add_command(commands, "rtt", "estimate the round trip time between two nodes")
    rtt.add_argument("node", metavar="NODE")
    rtt.add_argument("other", metavar="NODE", nargs="?", default="", help="(default: our agent's)")
    add_asking(rtt)


def _add_services(commands: Any) -> None:
    services = add_command(
        commands, "services", "list the services; register and remove those of the agent asked"
    )
    add_asking(services)
    verbs = add_verbs(services, required=False)
    add_command(verbs, "list", "list the services with their tags (what happens without a verb)")
    register = add_command(
        verbs,
        "register",
        "register a service with the agent asked, which checks it and keeps it over restarts",
        epilog="""\
examples:
  catalog services register web --port 8080 --http http://127.0.0.1:8080/health
  catalog services register --file web.toml      [[service]] as in the agent's configuration
""",
    )
    _add_registration(register)
    for name, what in (
        ("deregister", "remove a service from the agent asked"),
        ("drain", "have a service be given nobody new"),
        ("undrain", "end that"),
    ):
        add_command(verbs, name, what).add_argument("id", metavar="ID")
    for verb in verbs.choices.values():
        add_asking(verb, again=True)


def _add_registration(register: argparse.ArgumentParser) -> None:
    register.add_argument("name", metavar="NAME", nargs="?", default="")
    register.add_argument("--file", type=Path, metavar="FILE", help="as TOML, in place of all else")
    register.add_argument("--id", default="", help="(default: the name)")
    register.add_argument("--address", default="", metavar="HOST", help="(default: the node's)")
    register.add_argument("--port", type=index, default=0)
    register.add_argument("--tag", action="append", default=[], help="may be repeated")
    register.add_argument(
        "--meta", type=pair, action="append", default=[], metavar="KEY=VALUE", help="likewise"
    )
    checks = register.add_mutually_exclusive_group()
    checks.add_argument("--ttl", type=seconds, metavar="SECONDS", help="it reports by itself")
    checks.add_argument("--http", metavar="URL", help="healthy while this answers 2xx")
    checks.add_argument(
        "--tcp", type=address, metavar="HOST:PORT", help="healthy while this can be connected to"
    )
    register.add_argument(
        "--interval",
        type=seconds,
        default=10.0,
        metavar="SECONDS",
        help="between two checks (default: %(default)g)",
    )


def _add_maint(commands: Any) -> None:
    maint = add_command(
        commands, "maint", "take the agent's node, or one service of it, out of use for a while"
    )
    change = maint.add_mutually_exclusive_group()
    change.add_argument("--enable", action="store_true", help="take it out of use")
    change.add_argument(
        "--disable", action="store_true", help="back in use; without both: list what is out of use"
    )
    maint.add_argument("--service", default="", metavar="ID", help="(default: the node)")
    maint.add_argument("--reason", default="", metavar="TEXT", help="for people")
    add_asking(maint)


def _add_watch(commands: Any) -> None:
    watch = add_command(
        commands,
        "watch",
        "show the instances of a service, or something else, then each change as it happens",
        epilog="With --json: one object a line, first all that there is, then the changes.",
    )
    watch.add_argument("name", metavar="NAME", nargs="?", default="")
    watch.add_argument(
        "--type",
        choices=tuple(WATCHED),
        default="service",
        metavar="TYPE",
        help="; ".join(f"{name}: {what}" for name, what in WATCHED.items())
        + " (default: %(default)s)",
    )
    watch.add_argument(
        "--changes", type=count, metavar="N", help="end after N changes (default: never)"
    )
    watch.add_argument(
        "--exec",
        metavar="LINE",
        help="run this shell command for what there is and for each change, with the JSON object "
        "on its standard input, in place of printing",
    )
    add_asking(watch)
