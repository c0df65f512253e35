"""The processes of the demo: started, watched, killed, and cleared away with all their files.

Every child is the leader of a session of its own, so that a Ctrl-C at the terminal reaches the
demo alone, which then ends the others; and every child is on a leash (see `leash`), so that it
ends even where the demo could not see to it.
Only what was started here is ever signalled, by its process id while it is not yet waited for, so
that the id cannot have passed to a stranger.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import trio
from attrs import define, field

__all__ = ["Child", "ChildDied", "Household"]

LOOK_SECONDS = 0.05
"""How often it is looked whether a child died."""
LAST_WORDS_CHARS = 300
LINE_BYTES_MAX = 1 << 20
"""The longest line that a child may print."""


class ChildDied(Exception):
    """A process of the demo ended by itself; the demo is over, and everything is cleared away."""

    def __init__(self, child: Child, last_words: str) -> None:
        super().__init__(
            f"{child.name} ended by itself with status {child.process.returncode}: "
            f"{last_words or 'it said nothing'}"
        )
        self.child = child


@define(eq=False)
class Child:
    """A process that the demo started."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    """What it says on standard error."""
    output: int | None = None
    """The reading end of its standard output, until `lines` takes it."""
    killed: bool = False

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End it with SIGKILL, as a crash or a power cut would."""
        self.killed = True
        self.process.kill()
        self.process.wait()

    def last_words(self) -> str:
        """Return the last line of its log that says something (frames of tracebacks do not)."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            said = [line.strip(" |+-") for line in lines if any(map(str.isalpha, line))]
            return said[-1][-LAST_WORDS_CHARS:] if said else ""
        return ""

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield what it prints, line by line, until it closes its output."""
        assert self.output is not None, "not started with piped=True, or read already"
        descriptor, self.output = self.output, None
        pending = b""
        async with trio.lowlevel.FdStream(descriptor) as stream:
            async for chunk in stream:
                *whole, pending = (pending + chunk).split(b"\n")
                for line in whole:
                    yield line
                if len(pending) > LINE_BYTES_MAX:
                    raise ValueError(f"{self.name} printed a line above {LINE_BYTES_MAX} bytes")


@define
class Household:
    """All the processes of one demo, and the directory where they keep their things."""

    directory: Path
    keep: bool
    """Leave the directory in place at the end."""
    children: list[Child] = field(factory=list)

    @classmethod
    def open(cls, keep: Path | None) -> Household:
        """Return an empty household in `keep`, or in a temporary directory.

        Raises:
            OSError: the directory cannot be made.
            ValueError: `keep` holds something already; it was not touched.

        """
        if keep is None:
            return cls(Path(tempfile.mkdtemp(prefix="catalog-demo-")), keep=False)
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise ValueError(f"the directory {keep} is not empty; it was not touched: name another")
        return cls(keep.resolve(), keep=True)

    def start(self, name: str, module: str, *arguments: str, piped: bool = False) -> Child:
        """Start `python -m module arguments...`; call this from the main thread (see `leash`)."""
        reading = writing = None
        if piped:
            reading, writing = os.pipe()
        command = [sys.executable, "-m", "catalog.demo.leash", str(os.getpid()), module]
        log = self.directory / f"{name}.log"
        try:
            with log.open("ab") as errors:
                process = subprocess.Popen(  # noqa: S603 - our own modules
                    [*command, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=errors if writing is None else writing,
                    stderr=errors,
                    start_new_session=True,
                )
        except BaseException:
            if reading is not None:
                os.close(reading)
            raise
        finally:
            if writing is not None:
                os.close(writing)
        child = Child(name, process, log, reading)
        self.children.append(child)
        return child

    async def watch(self) -> None:
        """Raise `ChildDied` as soon as a child ends that nobody killed."""
        while True:
            for child in self.children:
                if not child.killed and not child.alive:
                    raise ChildDied(child, child.last_words())
            await trio.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """End every child and remove the directory; safe to call more than once."""
        for child in self.children:
            child.killed = True
            child.process.kill()  # does nothing to one that was waited for
        for child in self.children:
            child.process.wait()
            if child.output is not None:
                os.close(child.output)
                child.output = None
        self.children.clear()
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)


SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""What ends a demo early; it clears away first."""
