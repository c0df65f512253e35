"""What a person sees: a live panel on a terminal with rich, else plain lines as things happen."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Protocol

import trio
from attrs import define

from catalog.demo.scene import Scene

__all__ = ["Display", "Lines", "Nothing", "choose", "showing"]

PAINT_SECONDS = 0.2
STATE_SECONDS = 2.0
"""How often plain lines say how things stand while nothing happens."""


class Display(Protocol):
    """Something that shows a scene."""

    def paint(self, scene: Scene) -> None:
        """Show how things stand; called a few times a second."""

    def open(self) -> AbstractContextManager[object]:
        """Take the terminal for as long as the demo runs."""


class Nothing:
    """Shows nothing: for `--json`."""

    def paint(self, scene: Scene) -> None:
        """Do nothing."""

    def open(self) -> AbstractContextManager[object]:
        """Take nothing."""
        return nullcontext()


@define
class Lines:
    """One line for each thing that happens, and now and then one for how things stand."""

    shown: int = 0
    stated: float = 0.0

    def paint(self, scene: Scene) -> None:
        """Print what is new."""
        for moment in scene.timeline[self.shown :]:
            self.stated = moment.at
            self._say(moment.at, moment.text)
        self.shown = len(scene.timeline)
        if scene.elapsed > self.stated + STATE_SECONDS and scene.ledger.acknowledged:
            self.stated = scene.elapsed
            self._say(self.stated, state_of(scene))

    def open(self) -> AbstractContextManager[object]:
        """Take nothing: lines need no terminal."""
        return nullcontext()

    def _say(self, at: float, text: str) -> None:
        sys.stdout.write(f"{at:6.1f} s  {text}\n")
        sys.stdout.flush()


def state_of(scene: Scene) -> str:
    """Return how things stand, in one line."""
    roles = ", ".join(f"{one.name} {one.role}" for one in scene.servers.values())
    return (
        f"({roles}; {len(scene.ledger.acknowledged)} writes acknowledged; "
        f"{scene.consumer.calls} calls answered)"
    )


def choose(*, quiet: bool) -> Display:
    """Return the display that fits standard output."""
    if quiet:
        return Nothing()
    paintable = sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    if paintable and importlib.util.find_spec("rich") is not None:
        from catalog.demo.panel import Panel  # noqa: PLC0415 - needs rich, an extra

        return Panel()
    return Lines()


@asynccontextmanager
async def showing(display: Display, scene: Scene) -> AsyncIterator[None]:
    """Show the scene for as long as the block lasts, and how it stood at the end."""

    async def repaint() -> None:
        while True:
            display.paint(scene)
            await trio.sleep(PAINT_SECONDS)

    with display.open():
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(repaint)
                yield
                nursery.cancel_scope.cancel()
        finally:
            display.paint(scene)
