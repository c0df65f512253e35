"""How the `catalog` command ends: one line for a person, one number for a script.

0    done
1    it could not be done, or the demo's own checks failed; the line says what and why
2    the command line makes no sense; nothing was done
3    the agent could not start: its port, its data directory, whom it should join
4    no agent answers at the address given
5    `catalog lock`: the lock was not free in time; nothing was run
6    `catalog lock`: the lock was lost, and the program that ran under it was ended
126  `catalog lock`: the program cannot be started
127  `catalog lock`: there is no such program; nothing was locked
130  interrupted by SIGINT (143 by SIGTERM, 129 by SIGHUP), after clearing away

`catalog lock` ends with its program's own status otherwise: 128 + N where signal N ended it.
"""

from __future__ import annotations

import os

__all__ = [
    "DONE",
    "FAILED",
    "LOST",
    "NOT_STARTABLE",
    "NO_AGENT",
    "NO_PROGRAM",
    "NO_START",
    "TAKEN",
    "USAGE",
    "Failure",
    "sentence",
    "sole",
]

DONE, FAILED, USAGE, NO_START, NO_AGENT, TAKEN, LOST = range(7)
NOT_STARTABLE, NO_PROGRAM = 126, 127


class Failure(Exception):
    """The end of a command, as a sentence and an exit status."""

    def __init__(self, sentence: str, status: int = FAILED) -> None:
        super().__init__(sentence)
        self.status = status


def sole(error: BaseException) -> BaseException:
    """Return the first error inside groups: how many nurseries it went through is no news."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def sentence(error: BaseException) -> str:
    """Return an error as one line."""
    if isinstance(error, OSError) and error.errno:
        where = f"{error.filename}: " if error.filename else ""
        text = where + os.strerror(error.errno)
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())
