"""The command line: what can be asked, and the help that says so."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from catalog.cli import agent_arguments, key_arguments, operating_arguments, service_arguments
from catalog.cli.parser import Formatter, Parser, add_command, seconds

__all__ = ["VERSION", "build_parser", "parse"]

DEMO_SECONDS = 5.0
SHELLS = ("bash", "zsh", "tcsh")
VERSION = f"catalog (quorumkit) {version('quorumkit')}"

EPILOG = """\
examples:
  catalog demo                                  see a cluster lose its leader and recover
  catalog agent --dev                           one server, in memory, to try things out
  catalog agent --server --bootstrap-expect 3 --data-dir /var/lib/catalog \\
      --bind 10.0.0.1:8300 --join 10.0.0.2:8300 one of three servers
  catalog kv put greeting hello && catalog kv get greeting
  catalog watch web                             what comes and goes, as it happens
  catalog lock jobs/nightly ./nightly.sh        run a program while holding a lock

exit status:
  0 done; 1 it could not be done, or the demo's checks failed; 2 wrong usage; 3 the agent
  could not start; 4 no agent answers; 5 the lock was not free in time; 6 the lock was lost;
  129, 130, 143 interrupted (SIGHUP, SIGINT, SIGTERM); `catalog lock` ends as its program does
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command; `command` names what was asked."""
    parser = Parser(
        prog="catalog",
        description="A service registry: agents, and questions to them.",
        epilog=EPILOG,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands"
    )
    agent_arguments.add_commands(commands)
    service_arguments.add_commands(commands)
    key_arguments.add_commands(commands)
    operating_arguments.add_commands(commands)
    _add_demo(commands)
    _add_offline(commands)
    return parser


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked; raise `Failure` for what makes no sense."""
    return build_parser().parse_args(arguments)


def _add_offline(commands: Any) -> None:
    validate = add_command(commands, "validate", "check a configuration file; asks nobody")
    validate.add_argument("file", type=Path, metavar="FILE")
    completion = add_command(
        commands,
        "completion",
        "print a script that completes this command in a shell (extra: cli)",
        epilog="""\
examples:
  catalog completion bash > ~/.local/share/bash-completion/completions/catalog
  catalog completion zsh > /usr/local/share/zsh/site-functions/_catalog
""",
    )
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    add_command(commands, "version", "print the version")


def _add_demo(commands: Any) -> None:
    demo = add_command(
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
        type=seconds,
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
