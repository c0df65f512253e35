"""The command line of those who run the cluster; `catalog.cli.operating` does what it asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from catalog.cli.parser import add_asking, add_command, add_verbs
from catalog.housekeeping import KeyAction

__all__ = ["COMMANDS", "add_commands"]

HOUSEKEEPING = ("leave", "force-leave", "join", "reload", "metrics")
COMMANDS = ("operator", "snapshot", "event", "keyring", *HOUSEKEEPING)


def add_commands(commands: Any) -> None:
    """Add the commands of this file to the parser."""
    operator = add_verbs(add_command(commands, "operator", "see and change who the servers are"))
    add_command(operator, "peers", "list the servers in Raft's configuration")
    add_command(operator, "health", "show how the servers fare, as the leader judges them")
    remove = add_command(operator, "remove", "remove a server that will not come back")
    remove.add_argument("name", metavar="NAME")
    transfer = add_command(operator, "transfer", "have another server lead")
    transfer.add_argument("--to", metavar="NAME", help="(default: the healthiest)")
    snapshot = add_verbs(
        add_command(commands, "snapshot", "save, look at and restore the whole registry")
    )
    for name, what in (
        ("save", "save a snapshot to FILE"),
        ("restore", "replace the whole registry, on all servers, by what FILE holds"),
        ("inspect", "say what is in FILE; asks nobody"),
    ):
        add_command(snapshot, name, what).add_argument("file", type=Path, metavar="FILE")
    event = add_verbs(
        add_command(commands, "event", "tell all agents something, or list what was told")
    )
    fire = add_command(event, "fire", "tell all agents, or those that the patterns are meant for")
    fire.add_argument("name", metavar="NAME")
    fire.add_argument("payload", metavar="PAYLOAD", nargs="?", default="")
    for flag in ("node", "service", "tag"):
        fire.add_argument(f"--{flag}", default="", metavar="PATTERN", help="a regular expression")
    listing = add_command(
        event, "list", "list the latest events that were meant for the agent asked"
    )
    listing.add_argument("name", metavar="NAME", nargs="?", default="")
    keyring = add_verbs(
        add_command(commands, "keyring", "change the keys of gossip, at all agents")
    )
    for action in KeyAction:
        verb = add_command(keyring, action.value, KEY_HELP[action])
        if action is not KeyAction.LIST:
            verb.add_argument("key", metavar="KEY", help="base64; '-' reads it from standard input")
    add_command(commands, "leave", "have the agent leave the cluster for good, then stop")
    dismiss = add_command(
        commands, "force-leave", "have an agent that failed count as one that left"
    )
    dismiss.add_argument("name", metavar="NODE")
    join = add_command(commands, "join", "have the agent meet others")
    join.add_argument("addresses", metavar="HOST:PORT", nargs="+")
    add_command(commands, "metrics", "print the agent's metrics in Prometheus' format")
    add_command(commands, "reload", "have the agent read its configuration file again")
    for verbs in (operator, snapshot, event, keyring):
        for verb in verbs.choices.values():
            add_asking(verb)
    for name in HOUSEKEEPING:
        add_asking(commands.choices[name])


KEY_HELP = {
    KeyAction.LIST: "say how many agents hold which keys, by fingerprint",
    KeyAction.INSTALL: "have all agents read what KEY sealed",
    KeyAction.USE: "have all agents seal with KEY",
    KeyAction.REMOVE: "have all agents refuse what KEY sealed",
    KeyAction.ROTATE: "install KEY, use it, and remove all others",
}
