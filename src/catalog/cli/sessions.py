"""`catalog session create | list | info | renew | destroy`."""

from __future__ import annotations

import argparse

import catalog
from catalog.cli import plain
from catalog.cli.asking import ask
from catalog.cli.output import print_json, print_table, say
from catalog.cli.queries import consistency
from catalog.exits import Failure
from catalog.kv import Behaviour, Session
from catalog.requests import AskedSession, Info, RenewSession

__all__ = ["run"]

HEADER = ("id", "node", "name", "ttl", "behaviour", "lock delay", "index")


def run(options: argparse.Namespace) -> None:
    """Do what `options.verb` names."""
    questions = {
        "create": create,
        "list": list_sessions,
        "info": info,
        "renew": renew,
        "destroy": destroy,
    }
    ask(questions[options.verb], options)


async def create(client: catalog.Client, options: argparse.Namespace) -> None:
    """Begin a session: its id alone is printed, for scripts."""
    session = await client.create_session(
        options.node or (await client.ask(Info())).name,
        name=options.name,
        ttl=options.ttl,
        behaviour=Behaviour(options.behaviour),
        lock_delay=options.lock_delay,
    )
    if options.json:
        print_json({"id": session})
    else:
        say(session)


async def list_sessions(client: catalog.Client, options: argparse.Namespace) -> None:
    """List all sessions, or a node's."""
    _show(await client.sessions(options.node, consistency=consistency(options)), options)


async def info(client: catalog.Client, options: argparse.Namespace) -> None:
    """Show one session."""
    found = (await client.ask(AskedSession(options.id))).value
    if found is None:
        raise Failure(f"session info: there is no session {options.id!r}: it has ended")
    _show((found,), options)


async def renew(client: catalog.Client, options: argparse.Namespace) -> None:
    """Keep a session alive."""
    found = await client.ask(RenewSession(options.id))
    if found is None:
        raise Failure(f"session renew: there is no session {options.id!r}: it has ended")
    _show((found,), options)


async def destroy(client: catalog.Client, options: argparse.Namespace) -> None:
    """End a session."""
    index = await client.destroy_session(options.id)
    if options.json:
        print_json({"id": options.id, "index": index})
    else:
        say(f"session {options.id} has ended, as of index {index}")


def _show(sessions: tuple[Session, ...], options: argparse.Namespace) -> None:
    if options.json:
        print_json([plain.session(one) for one in sessions])
    elif not sessions:
        say("no sessions")
    else:
        print_table(HEADER, map(_row, sessions))


def _row(one: Session) -> tuple[object, ...]:
    ttl = "-" if one.ttl is None else f"{one.ttl:g} s"
    delay = f"{one.lock_delay:g} s"
    name = one.name or "-"
    return (one.id, one.node, name, ttl, one.behaviour.value, delay, one.create_index)
