"""How the `catalog` command ends: one line for a person, one number for a script.

0    done
1    it could not be done, or the demo's own checks failed; the line says what and why
2    the command line makes no sense; nothing was done
3    the agent could not start: its port, its data directory, whom it should join
4    no agent answers at the address given
130  interrupted by SIGINT (143 by SIGTERM, 129 by SIGHUP), after clearing away
"""

from __future__ import annotations

import os

__all__ = ["DONE", "FAILED", "NO_AGENT", "NO_START", "USAGE", "Failure", "sentence", "sole"]

DONE, FAILED, USAGE, NO_START, NO_AGENT = 0, 1, 2, 3, 4


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
