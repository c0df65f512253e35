"""The command line of keys, sessions and locks; see `catalog.cli.keys`, `sessions` and `lock`."""

from __future__ import annotations

import argparse
from typing import Any

from catalog.cli.parser import add_asking, add_command, add_stale, add_verbs, count, index, seconds
from catalog.kv import Behaviour

__all__ = ["add_commands"]

LOCK_EPILOG = """\
Flags come before KEY; what follows it is the program, which is not given to a shell. It finds in
its environment CATALOG_LOCK_KEY, CATALOG_LOCK_SESSION and CATALOG_LOCK_TOKEN: the token grows with
every holder, so whatever the lock guards can refuse one that comes late.

The lock is kept by a session of this command, and let go of when the program ends. When the lock
is lost, or at SIGINT, SIGTERM or SIGHUP, the program and its children get SIGTERM, and SIGKILL
some seconds later. The exit status is the program's (128 + N if signal N ended it); or 5: the lock
was not free in time, 6: it was lost, 126 and 127: the program cannot be started, is not there.

examples:
  catalog lock jobs/nightly ./nightly.sh
  catalog lock --timeout 0 jobs/nightly ./nightly.sh        only if it is free now
  catalog lock --slots 3 crawlers sh -c 'exec crawl "$HOME"'  three at a time
"""


def add_commands(commands: Any) -> None:
    """Add the commands of this file to the parser."""
    verbs = add_verbs(add_command(commands, "kv", "read and write keys"))
    _add_reads(verbs)
    _add_writes(verbs)
    _add_copies(verbs)
    sessions = add_verbs(add_command(commands, "session", "begin, see, renew and end sessions"))
    _add_sessions(sessions)
    for verb in (*verbs.choices.values(), *sessions.choices.values()):
        add_asking(verb)
    _add_lock(commands)


def _add_reads(verbs: Any) -> None:
    get = add_command(verbs, "get", "print the value of a key")
    get.add_argument("key", metavar="KEY")
    get.add_argument(
        "--recurse", action="store_true", help="all keys that begin with KEY, with their values"
    )
    get.add_argument("--detailed", action="store_true", help="with flags, indexes and holder")
    get.add_argument("--base64", action="store_true", help="print values as base64")
    add_stale(get)
    listing = add_command(verbs, "list", "list the keys that begin with a prefix")
    listing.add_argument("prefix", metavar="PREFIX", nargs="?", default="")
    listing.add_argument(
        "--separator", default="", metavar="TEXT", help="roll up what follows TEXT, such as /"
    )
    add_stale(listing)


def _add_writes(verbs: Any) -> None:
    put = add_command(verbs, "put", "write a key")
    put.add_argument("key", metavar="KEY")
    put.add_argument(
        "value", metavar="VALUE", help="'@FILE' reads it from a file, '-' from standard input"
    )
    put.add_argument("--base64", action="store_true", help="VALUE is base64")
    put.add_argument("--flags", type=index, default=0, metavar="N", help="(default: %(default)s)")
    holding = put.add_mutually_exclusive_group()
    _add_cas(holding, "0: only if there is no such key")
    for name, what in (("acquire", "and hold it"), ("release", "and let go of it")):
        holding.add_argument(f"--{name}", metavar="SESSION", help=f"as this session, {what}")
    delete = add_command(verbs, "delete", "delete a key; one that is gone already is no error")
    delete.add_argument("key", metavar="KEY")
    delete.add_argument("--recurse", action="store_true", help="all keys that begin with KEY")
    _add_cas(delete, "not with --recurse")


def _add_copies(verbs: Any) -> None:
    export = add_command(verbs, "export", "print keys with their values as JSON, for `kv import`")
    export.add_argument("prefix", metavar="PREFIX", nargs="?", default="")
    add_stale(export)
    copied = add_command(
        verbs, "import", "write the keys that `kv export` printed, here or at Consul"
    )
    copied.add_argument("file", metavar="FILE", help="'-' reads standard input")


def _add_cas(parser: Any, zero: str) -> None:
    parser.add_argument(
        "--cas",
        type=index,
        metavar="INDEX",
        help=f"only if the key was last changed at this index ({zero})",
    )


def _add_sessions(verbs: Any) -> None:
    create = add_command(verbs, "create", "begin a session; print its id")
    create.add_argument("--node", default="", metavar="NAME", help="(default: of the agent asked)")
    create.add_argument("--name", default="", metavar="TEXT", help="for people")
    create.add_argument(
        "--ttl", type=seconds, metavar="SECONDS", help="ends unless renewed (default: never)"
    )
    create.add_argument(
        "--lock-delay",
        type=_delay,
        default=15.0,
        metavar="SECONDS",
        help="what it held when it was lost stays locked for so long (default: %(default)g)",
    )
    create.add_argument(
        "--behaviour",
        choices=[one.value for one in Behaviour],
        default=Behaviour.RELEASE.value,
        metavar="WHAT",
        help="release or delete the keys that it holds when it ends (default: %(default)s)",
    )
    listing = add_command(verbs, "list", "list the sessions")
    listing.add_argument("--node", default="", metavar="NAME", help="only those of this node")
    add_stale(listing)
    for name, what in (
        ("info", "show a session"),
        ("renew", "keep a session alive for another TTL"),
        ("destroy", "end a session; one that has ended already is no error"),
    ):
        add_command(verbs, name, what).add_argument("id", metavar="ID")


def _add_lock(commands: Any) -> None:
    lock = add_command(commands, "lock", "run a program while holding a lock", epilog=LOCK_EPILOG)
    lock.add_argument(
        "--slots", type=count, default=1, metavar="N", help="up to N hold it at a time"
    )
    lock.add_argument(
        "--timeout",
        type=_delay,
        metavar="SECONDS",
        help="how long to wait for the lock (default: as long as it takes)",
    )
    lock.add_argument(
        "--ttl",
        type=seconds,
        default=15.0,
        metavar="SECONDS",
        help="without contact for so long the lock is lost (default: %(default)g)",
    )
    lock.add_argument(
        "--value", default="", metavar="TEXT", help="what the key says (default: host and process)"
    )
    lock.add_argument(
        "--pass-stdin", action="store_true", help="give our standard input to the program"
    )
    add_asking(lock)
    lock.add_argument("key", metavar="KEY")
    lock.add_argument(
        "line", metavar="PROGRAM", nargs=argparse.REMAINDER, help="with its arguments"
    )


def _delay(text: str) -> float:
    return 0.0 if text in ("0", "0.0") else seconds(text)
