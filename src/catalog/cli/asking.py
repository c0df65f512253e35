"""Asking an agent one thing: connect, ask, and turn what goes wrong into one line."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import trio

import catalog
from catalog.cli.parser import AGENT_VARIABLE
from catalog.exits import FAILED, NO_AGENT, Failure, sentence, sole

__all__ = ["ask"]

T = TypeVar("T")


def ask(
    question: Callable[[catalog.Client, argparse.Namespace], Awaitable[T]],
    options: argparse.Namespace,
) -> T:
    """Put a question to the agent that `options.agent` names; return what it returns.

    Raises:
        Failure: no agent answers, or the answer is an error.

    """

    async def main() -> T:
        async with catalog.connect(options.agent, trust=_trust(options)) as client:
            connected.append(True)
            return await question(client, options)

    connected: list[bool] = []
    with _failures(options, connected):
        return trio.run(main)


def _trust(options: argparse.Namespace) -> catalog.Trust | None:
    files = (options.tls_ca, options.tls_cert, options.tls_key)
    if not any(files):
        return None
    if not all(files):
        raise catalog.ConfigError("--tls-ca, --tls-cert and --tls-key belong together")
    return catalog.Trust(*files)


@contextmanager
def _failures(options: argparse.Namespace, connected: list[bool]) -> Iterator[None]:
    verb: str | None = options.__dict__.get("verb")
    where = f"{options.command} {verb}" if verb else options.command
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
