"""The `catalog` command.

`arguments` says what can be asked, `catalog.exits` how it ends; `serve` runs an agent, `lock` a
program under a lock, `catalog.demo` shows what the whole can take, `offline` needs nobody; all the
other files ask an agent.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from catalog.cli import (
    keys,
    lock,
    offline,
    operating,
    queries,
    registering,
    serve,
    sessions,
    watch,
)
from catalog.cli.arguments import parse
from catalog.cli.operating_arguments import COMMANDS
from catalog.demo import run as demo
from catalog.exits import DONE, FAILED, Failure, sole

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status (see `catalog.exits`)."""
    try:
        return _run(arguments)
    except Failure as failure:
        sys.stderr.write(f"catalog: {failure}\n")
        return failure.status
    except (KeyboardInterrupt, BaseExceptionGroup) as problem:
        if not isinstance(sole(problem), KeyboardInterrupt):
            raise
        return 128 + signal.SIGINT
    except BrokenPipeError:  # whoever read our output has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _run(arguments: Sequence[str] | None) -> int:
    options = parse(arguments)
    match options.command:
        case "agent":
            return serve.run(options)
        case "demo":
            return demo.run(
                demo.Options(options.seconds, options.servers, options.json, options.keep)
            )
        case "watch":
            watch.run(options)
        case "kv":
            keys.run(options)
        case "session":
            sessions.run(options)
        case "lock":
            return lock.run(options)
        case "services" | "maint":
            registering.run(options)
        case "validate" | "completion" | "version":
            offline.run(options)
        case command if command in COMMANDS:
            operating.run(options)
        case _:
            queries.run(options)
    return DONE
