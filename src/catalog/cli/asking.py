"""Asking an agent one thing: connect, ask, and turn what goes wrong into one line."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio

import catalog
from catalog.cli.arguments import AGENT_VARIABLE
from catalog.exits import FAILED, NO_AGENT, Failure, sentence, sole

__all__ = ["ask"]

Question = Callable[[catalog.Client, argparse.Namespace], Awaitable[None]]


def ask(question: Question, options: argparse.Namespace) -> None:
    """Put a question to the agent that `options.agent` names.

    Raises:
        Failure: no agent answers, or the answer is an error.

    """

    async def main() -> None:
        async with catalog.connect(options.agent, trust=_trust(options)) as client:
            connected.append(True)
            await question(client, options)

    connected: list[bool] = []
    with _failures(options, connected):
        trio.run(main)


def _trust(options: argparse.Namespace) -> catalog.Trust | None:
    files = (options.tls_ca, options.tls_cert, options.tls_key)
    if not any(files):
        return None
    if not all(files):
        raise catalog.ConfigError("--tls-ca, --tls-cert and --tls-key belong together")
    return catalog.Trust(*files)


@contextmanager
def _failures(options: argparse.Namespace, connected: list[bool]) -> Iterator[None]:
    where = f"{options.command} {options.verb}" if "verb" in options else options.command
    try:
        yield
    except Exception as problem:
        error = sole(problem)
        if isinstance(error, Failure | BrokenPipeError):
            raise error from None
        if not isinstance(error, catalog.CatalogError | OSError | ValueError | TypeError):
            raise
        if connected:
            raise Failure(f"{where}: {sentence(error)}", FAILED) from None
        raise Failure(
            f"{where}: no agent answers at {options.agent} ({sentence(error)}); start one "
            f"(catalog agent --dev), or name another with --agent or {AGENT_VARIABLE}",
            NO_AGENT,
        ) from None
