"""The command line: what can be asked, and the help that says so."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from catalog.cli import operating_arguments
from catalog.config import PORT, parse_address
from catalog.errors import ConfigError
from catalog.exits import USAGE, Failure

__all__ = ["AGENT_VARIABLE", "DEFAULT_AGENT", "address", "build_parser", "parse"]

DEFAULT_AGENT = f"127.0.0.1:{PORT}"
AGENT_VARIABLE = "CATALOG_AGENT"
DEMO_SECONDS = 5.0

EPILOG = """\
examples:
  catalog demo                                  see a cluster lose its leader and recover
  catalog agent --dev                           one server, in memory, to try things out
  catalog agent --server --bootstrap-expect 3 --data-dir /var/lib/catalog \\
      --bind 10.0.0.1:8300 --join 10.0.0.2:8300 one of three servers
  catalog kv put greeting hello && catalog kv get greeting
  catalog watch web                             what comes and goes, as it happens

exit status:
  0 done; 1 it could not be done, or the demo's checks failed; 2 wrong usage; 3 the agent
  could not start; 4 no agent answers; 129, 130, 143 interrupted (SIGHUP, SIGINT, SIGTERM)
"""


class Parser(argparse.ArgumentParser):
    """A parser whose refusals are one line, and say where to look."""

    def error(self, message: str) -> NoReturn:
        """Raise the refusal; `main` prints it."""
        command = self.prog.removeprefix("catalog").strip()
        where = f"{command}: " if command else ""
        raise Failure(f"{where}{message}; see {self.prog} --help", USAGE)


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help that keeps the examples' lines."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command; `command` names what was asked."""
    parser = Parser(
        prog="catalog",
        description="A service registry: agents, and questions to them.",
        epilog=EPILOG,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"catalog (quorumkit) {version('quorumkit')}"
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands"
    )
    _add_agent(commands)
    _add_questions(commands)
    _add_keys(commands)
    operating_arguments.add_commands(commands, _command, _add_asking)
    _add_demo(commands)
    return parser


def _command(commands: Any, name: str, help: str, *, epilog: str | None = None) -> Parser:
    parser: Parser = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=epilog,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    return parser


def _add_agent(commands: Any) -> None:
    agent = _command(
        commands,
        "agent",
        "run an agent until SIGINT or SIGTERM; then a client leaves, a server stops",
        epilog="""\
One address carries everything: TCP for consensus, gossip exchanges and questions, UDP for gossip.
A second signal ends the agent at once. A server that stops hands over leadership and stays a voter;
`catalog leave` makes any agent leave for good.

examples:
  catalog agent --dev
  catalog agent --dev --http 127.0.0.1:8500 --dns 127.0.0.1:8600
  catalog agent --server --bootstrap-expect 3 --data-dir ./s1 --name s1 --bind 127.0.0.1:8301 \\
      --join 127.0.0.1:8302 --join 127.0.0.1:8303
  catalog agent --name edge --bind 127.0.0.1:8310 --join 127.0.0.1:8301
""",
    )
    _add_server_flags(agent)
    _add_gossip_flags(agent)
    _add_interface_flags(agent)
    agent.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings and services, as TOML, in place of all other flags; read again at SIGHUP",
    )
    agent.add_argument(
        "--dev", action="store_true", help="one server, in memory: no other flag of a server's"
    )
    agent.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        metavar="LEVEL",
        help="debug, info, warning or error (default: %(default)s)",
    )


def _add_server_flags(agent: argparse.ArgumentParser) -> None:
    agent.add_argument("--server", action="store_true", help="take part in consensus")
    agent.add_argument(
        "--bootstrap-expect",
        type=_count,
        metavar="N",
        help="with --server, when the cluster is new: wait for N servers (1, 3, 5), then begin",
    )
    agent.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where a server keeps its log, and an agent its registrations; without it all is lost",
    )


def _add_gossip_flags(agent: argparse.ArgumentParser) -> None:
    agent.add_argument(
        "--bind",
        type=address,
        default=DEFAULT_AGENT,
        metavar="HOST:PORT",
        help="the address to listen on, which the others must reach (default: %(default)s)",
    )
    agent.add_argument(
        "--advertise",
        type=address,
        metavar="HOST:PORT",
        help="where the others reach this agent, if not at --bind: behind NAT, or with 0.0.0.0",
    )
    agent.add_argument(
        "--join",
        type=address,
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="an agent of the cluster; may be repeated, one that answers is enough",
    )
    agent.add_argument(
        "--join-timeout",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="how long to try the --join addresses before giving up (default: %(default)g)",
    )
    agent.add_argument(
        "--name", metavar="NAME", help="unique in the cluster (default: host name and port)"
    )
    agent.add_argument("--datacenter", default="dc1", metavar="NAME", help="(default: %(default)s)")
    agent.add_argument(
        "--cluster",
        default="default",
        metavar="NAME",
        help="agents of another cluster's name are refused (default: %(default)s)",
    )


def _add_interface_flags(agent: argparse.ArgumentParser) -> None:
    agent.add_argument(
        "--http",
        type=address,
        metavar="HOST:PORT",
        help="answer Consul's HTTP API here, 127.0.0.1:8500 by custom (extra: http)",
    )
    agent.add_argument(
        "--dns",
        type=address,
        metavar="HOST:PORT",
        help="answer DNS here, UDP and TCP, 127.0.0.1:8600 by custom (extra: dns)",
    )
    agent.add_argument(
        "--dns-recursor",
        type=address,
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="whom to ask for other domains; may be repeated (default: they are refused)",
    )


def _add_questions(commands: Any) -> None:
    asking = (
        ("members", "list the agents that gossip knows, and how they are"),
        ("services", "list the services"),
        ("nodes", "list the nodes of the catalog, with their health and services"),
        ("info", "show the agent asked: role, term, leader, indexes, peers"),
    )
    for name, what in asking:
        _add_asking(_command(commands, name, what))
    lookup = _command(commands, "lookup", "list the healthy instances of a service")
    lookup.add_argument("service", metavar="SERVICE")
    lookup.add_argument("--all", action="store_true", help="the unhealthy ones too")
    lookup.add_argument("--tag", help="only those with this tag")
    _add_stale(lookup)
    _add_asking(lookup)
    watch = _command(
        commands,
        "watch",
        "show the instances of a service, then each change as it happens",
        epilog="With --json: one object a line, first all instances, then the changes.",
    )
    watch.add_argument("service", metavar="SERVICE")
    watch.add_argument(
        "--changes", type=_count, metavar="N", help="end after N changes (default: never)"
    )
    _add_asking(watch)


def _add_keys(commands: Any) -> None:
    parser = _command(commands, "kv", "read and write keys")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    get = _command(verbs, "get", "print the value of a key")
    get.add_argument("key", metavar="KEY")
    _add_stale(get)
    put = _command(verbs, "put", "write a key")
    put.add_argument("key", metavar="KEY")
    put.add_argument("value", metavar="VALUE", help="'-' reads it from standard input")
    _add_cas(put, "0: only if there is no such key")
    delete = _command(verbs, "delete", "delete a key; one that is gone already is no error")
    delete.add_argument("key", metavar="KEY")
    delete.add_argument("--recurse", action="store_true", help="all keys that begin with KEY")
    _add_cas(delete, "not with --recurse")
    listing = _command(verbs, "list", "list the keys that begin with a prefix")
    listing.add_argument("prefix", metavar="PREFIX", nargs="?", default="")
    _add_stale(listing)
    for verb in (get, put, delete, listing):
        _add_asking(verb)


def _add_demo(commands: Any) -> None:
    demo = _command(
        commands,
        "demo",
        "run a cluster of real processes, kill some of them, and check what became of the data",
        epilog="""\
Three servers and a client agent start on free loopback ports, each with its own data directory;
providers offer a service over HTTP, a consumer calls those it finds, writers write keys. Then the
leader is killed, a provider, the client agent's node; at last the old leader comes back on its
disk. Checked: no acknowledged write was lost, the consumer saw what it should, the restarted
server caught up. Ends with status 1 where one of these fails; leaves no process and no file.
""",
    )
    demo.add_argument(
        "--seconds",
        type=_seconds,
        default=DEMO_SECONDS,
        metavar="S",
        help="seconds of undisturbed load before the first kill; the whole takes some 20 more "
        "(default: %(default)g)",
    )
    demo.add_argument(
        "--servers", type=int, choices=(3, 5), default=3, help="how many (default: %(default)s)"
    )
    demo.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep data directories and logs in DIR, a new one"
    )
    demo.add_argument(
        "--json", action="store_true", help="print nothing but one summary object at the end"
    )


def _add_asking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--agent",
        type=address,
        default=os.environ.get(AGENT_VARIABLE) or DEFAULT_AGENT,
        metavar="HOST:PORT",
        help=f"the agent to ask (default: {AGENT_VARIABLE} in the environment, "
        f"or else {DEFAULT_AGENT})",
    )
    for name, what in (("ca", "the authority's certificate"), ("cert", "ours"), ("key", "its key")):
        variable = f"CATALOG_TLS_{name.upper()}"
        parser.add_argument(
            f"--tls-{name}",
            type=Path,
            default=os.environ.get(variable) or None,
            metavar="FILE",
            help=f"by TLS: {what}, as PEM (default: {variable} in the environment)",
        )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def _add_stale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stale",
        action="store_true",
        help="let any server answer at once, even without a leader; may be out of date",
    )


def _add_cas(parser: argparse.ArgumentParser, zero: str) -> None:
    parser.add_argument(
        "--cas",
        type=_index,
        metavar="INDEX",
        help=f"only if the key was last changed at this index ({zero})",
    )


def address(text: str) -> str:
    """Return `HOST:PORT` as it is; refuse anything else, with argparse's kind of error."""
    try:
        parse_address(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _number(text: str, least: int, what: str) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no {what}")
    return int(text)


def _count(text: str) -> int:
    return _number(text, 1, "count of 1 or more")


def _index(text: str) -> int:
    return _number(text, 0, "index: 0 or more")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 3600")
    return value


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked; raise `Failure` for what makes no sense."""
    return build_parser().parse_args(arguments)
