"""`catalog validate`, `version` and `completion`: what needs no agent."""

from __future__ import annotations

import argparse
from pathlib import Path

from catalog.cli.arguments import VERSION, build_parser
from catalog.cli.output import say
from catalog.errors import ConfigError
from catalog.exits import FAILED, Failure, sentence
from catalog.settings import load_settings

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    """Do what `options.command` names."""
    match options.command:
        case "validate":
            _validate(options.file)
        case "completion":
            _complete(options.shell)
        case _:
            say(VERSION)


def _validate(path: Path) -> None:
    try:
        settings = load_settings(path)
    except ConfigError as error:
        raise Failure(f"validate: {sentence(error)}", FAILED) from None
    kind = "a server" if settings.config.server else "a client"
    say(f"{path} describes {kind}, {settings.config.name}, with {len(settings.services)} services")


def _complete(shell: str) -> None:
    try:
        import shtab  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise Failure(
            "completion: it needs shtab, which is not installed: pip install 'quorumkit[cli]'"
        ) from None
    parser = build_parser()
    _complete_files(parser, shtab.FILE)
    say(shtab.complete(parser, shell))


def _complete_files(parser: argparse.ArgumentParser, how: object) -> None:
    """Have every argument that is a path completed as one."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to see them
        if action.type is Path:
            action.complete = how  # type: ignore[attr-defined] # shtab looks for it there
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            for each in action.choices.values():
                _complete_files(each, how)
