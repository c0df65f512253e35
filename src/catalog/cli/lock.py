"""`catalog lock KEY PROGRAM`: a program that runs only while this command holds a lock.

The program is the leader of a process group of its own, so that it can be ended with all that it
has started. It is ended when the lock is lost, and when this command is told to end; the lock is
let go of only after it has ended.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Final

import trio

import catalog
from catalog.cli.asking import ask
from catalog.exits import LOST, NO_PROGRAM, NOT_STARTABLE, TAKEN, USAGE, Failure, sole

__all__ = ["run"]

END_SECONDS: Final = 5.0
"""Between SIGTERM and SIGKILL; shorter than the lock-delay, during which nobody gets the lock."""
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(options: argparse.Namespace) -> int:
    """Run the program; return its status."""
    line = options.line[1:] if options.line[:1] == ["--"] else options.line
    if not line:
        raise Failure("lock: say which program is to run; see catalog lock --help", USAGE)
    if line[0].startswith("-"):
        raise Failure(f"lock: {line[0]} is no program; write flags before KEY", USAGE)
    if shutil.which(line[0]) is None:
        raise Failure(f"lock: there is no program {line[0]!r}; nothing was locked", NO_PROGRAM)
    options.line = line
    return ask(lock, options)


async def lock(client: catalog.Client, options: argparse.Namespace) -> int:
    """Wait for the lock, run the program, let go; a signal ends all of it, in this order."""
    status: list[int] = []

    async def hold() -> None:
        status.append(await _hold(client, options))

    with trio.open_signal_receiver(*SIGNALS) as signals:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_obey, signals, nursery.cancel_scope, status)
                await hold()
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as problem:
            error = sole(problem)
            if isinstance(error, catalog.SessionLost):
                raise Failure(f"lock: {error}; the program was ended", LOST) from None
            raise
    return status[0]


async def _obey(
    signals: AsyncIterator[int], everything: trio.CancelScope, status: list[int]
) -> None:
    async for number in signals:
        status.append(128 + number)
        everything.cancel()


async def _hold(client: catalog.Client, options: argparse.Namespace) -> int:
    value = (options.value or f"{socket.gethostname()} {os.getpid()}").encode()
    if options.slots == 1:
        place = client.lock(options.key, value, ttl=options.ttl)
    else:
        place = client.semaphore(options.key, options.slots, value, ttl=options.ttl)
    patience = inf if options.timeout is None else max(options.timeout, FIRST_SECONDS)
    with trio.move_on_after(patience) as limit:
        async with place as held:
            limit.deadline = inf
            environment = {
                "CATALOG_LOCK_KEY": held.key,
                "CATALOG_LOCK_SESSION": held.token.session,
                "CATALOG_LOCK_TOKEN": str(held.token.lock_index),
            }
            return await _run(options.line, environment, pass_stdin=options.pass_stdin)
    raise Failure(
        f"lock: {options.key!r} was not free within {options.timeout:g} s; nothing was run", TAKEN
    )


FIRST_SECONDS: Final = 2.0
"""The least time for asking: a session and one attempt take some messages."""


async def _run(line: Sequence[str], environment: Mapping[str, str], *, pass_stdin: bool) -> int:
    """Run a program to its end, or until cancelled; return its status."""
    try:
        process = await trio.lowlevel.open_process(
            line,
            stdin=None if pass_stdin else subprocess.DEVNULL,
            env={**os.environ, **environment},
            process_group=0,
        )
    except OSError as error:
        text = f"lock: {line[0]} cannot be started: {error.strerror}"
        raise Failure(text, NOT_STARTABLE) from None
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:
            await _end(process)
    return status if status >= 0 else 128 - status


async def _end(process: trio.Process) -> None:
    """End a program with all of its group: first by SIGTERM, then by SIGKILL."""
    with trio.CancelScope(shield=True), suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with trio.move_on_after(END_SECONDS):
            await process.wait()
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
