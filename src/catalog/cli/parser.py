"""What the parts of the command line share: parsers, common flags, kinds of values."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, NoReturn

from catalog.config import PORT, parse_address
from catalog.errors import ConfigError
from catalog.exits import USAGE, Failure

__all__ = [
    "AGENT_VARIABLE",
    "DEFAULT_AGENT",
    "Formatter",
    "Parser",
    "add_asking",
    "add_command",
    "add_stale",
    "add_verbs",
    "address",
    "count",
    "index",
    "pair",
    "seconds",
]

DEFAULT_AGENT = f"127.0.0.1:{PORT}"
AGENT_VARIABLE = "CATALOG_AGENT"


class Parser(argparse.ArgumentParser):
    """A parser whose refusals are one line, and say where to look."""

    def error(self, message: str) -> NoReturn:
        """Raise the refusal; `main` prints it."""
        command = self.prog.removeprefix("catalog").strip()
        where = f"{command}: " if command else ""
        raise Failure(f"{where}{message}; see {self.prog} --help", USAGE)


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help that keeps the examples' lines."""


def add_command(commands: Any, name: str, help: str, *, epilog: str | None = None) -> Parser:
    """Add a command, or a verb of one, that its help describes."""
    parser: Parser = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=epilog,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    return parser


def add_verbs(parser: argparse.ArgumentParser, *, required: bool = True) -> Any:
    """Return where a command's verbs are added."""
    return parser.add_subparsers(dest="verb", metavar="VERB", required=required, title="verbs")


def add_asking(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add the flags of whatever asks an agent; `again`: the command has them before its verb."""

    def default(value: object) -> object:
        return argparse.SUPPRESS if again else value

    parser.add_argument(
        "--agent",
        type=address,
        default=default(os.environ.get(AGENT_VARIABLE) or DEFAULT_AGENT),
        metavar="HOST:PORT",
        help=f"the agent to ask (default: {AGENT_VARIABLE} in the environment, "
        f"or else {DEFAULT_AGENT})",
    )
    for name, what in (("ca", "the authority's certificate"), ("cert", "ours"), ("key", "its key")):
        variable = f"CATALOG_TLS_{name.upper()}"
        parser.add_argument(
            f"--tls-{name}",
            type=Path,
            default=default(os.environ.get(variable) or None),
            metavar="FILE",
            help=f"by TLS: {what}, as PEM (default: {variable} in the environment)",
        )
    parser.add_argument(
        "--json", action="store_true", default=default(False), help="print JSON, for scripts"
    )


def add_stale(parser: argparse.ArgumentParser) -> None:
    """Add the flag of those reads that any server may answer."""
    parser.add_argument(
        "--stale",
        action="store_true",
        help="let any server answer at once, even without a leader; may be out of date",
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


def count(text: str) -> int:
    """Return a number above 0."""
    return _number(text, 1, "count of 1 or more")


def index(text: str) -> int:
    """Return an index."""
    return _number(text, 0, "index: 0 or more")


def seconds(text: str) -> float:
    """Return a duration."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 3600")
    return value


def pair(text: str) -> tuple[str, str]:
    """Return the two sides of `KEY=VALUE`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no KEY=VALUE")
    return key, value
