"""The live panel: who leads, what the consumer sees, what happened, how far it is (needs rich)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel as Box
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from catalog.demo.scene import PHASES, Moment, Scene

__all__ = ["Panel"]

ROLE_STYLES = {
    "leader": "bold green",
    "follower": "cyan",
    "candidate": "yellow",
    "killed": "bold red",
    "starting": "dim",
}
KIND_STYLES = {"info": "", "kill": "red", "good": "green", "bad": "bold red"}
KIND_MARKS = {"info": "·", "kill": "✗", "good": "✓", "bad": "!"}
WIDTH_MAX = 110
MARGIN = 14
"""Columns of a line of the timeline that are not its text: frame, time and mark."""
OTHER_LINES = 9
"""Lines of the panel that are neither servers nor timeline."""
TIMELINE_LINES_MIN = 4


class Panel:
    """Paints the scene in place; the last painting stays on the screen."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False)

    def open(self) -> AbstractContextManager[object]:
        """Take the terminal."""
        return self._live

    def paint(self, scene: Scene) -> None:
        """Paint how things stand."""
        self._live.update(self.render(scene), refresh=True)

    def render(self, scene: Scene) -> RenderableType:
        """Return the panel."""
        return Box(
            Group(_progress(scene), _servers(scene), _work(scene), Text(), self._timeline(scene)),
            title="catalog demo",
            subtitle=f"{scene.elapsed:.1f} s",
            width=min(self._console.width, WIDTH_MAX),
            border_style="dim",
        )

    def _timeline(self, scene: Scene) -> Table:
        room = max(self._console.height - OTHER_LINES - len(scene.servers), TIMELINE_LINES_MIN)
        width = min(self._console.width, WIDTH_MAX) - MARGIN
        lines = Table.grid(padding=(0, 1))
        lines.add_column(justify="right", style="dim", no_wrap=True)
        lines.add_column(no_wrap=True)
        lines.add_column(overflow="fold")
        for moment in self._newest(scene.timeline, room, width):
            style = KIND_STYLES[moment.kind]
            lines.add_row(
                f"{moment.at:.1f}",
                Text(KIND_MARKS[moment.kind], style=style),
                Text(moment.text, style=style),
            )
        return lines

    def _newest(self, timeline: Sequence[Moment], room: int, width: int) -> Sequence[Moment]:
        """Return as many of the newest moments as fit into `room` lines of `width` columns."""
        for count, moment in enumerate(reversed(timeline)):
            room -= len(Text(moment.text).wrap(self._console, width))
            if room < 0:
                return timeline[len(timeline) - count :]
        return timeline


def _progress(scene: Scene) -> RenderableType:
    line = Table.grid(padding=(0, 2), expand=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True)
    bar = ProgressBar(total=len(PHASES), completed=scene.phase)
    what = PHASES[scene.phase] if scene.phase < len(PHASES) else "done"
    line.add_row(bar, Text(what, style="bold"))
    return line


def _servers(scene: Scene) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for name in ("server", "address", "role"):
        table.add_column(name, no_wrap=True)
    for name in ("term", "committed", "applied"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in scene.servers.values():
        role = Text(one.role, style=ROLE_STYLES.get(one.role, ""))
        numbers = (one.term, one.commit, one.applied)
        table.add_row(one.name, one.address, role, *(f"{number:,}" for number in numbers))
    return table


def _work(scene: Scene) -> Table:
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(overflow="fold")
    consumer, ledger = scene.consumer, scene.ledger
    found = Text("  ".join(sorted(consumer.providers)) or "no provider", style="cyan")
    lines.add_row("consumer", found)
    errors = sum(consumer.errors.values())
    lines.add_row(
        "",
        f"{consumer.rate:.0f} calls/s, {consumer.calls:,} answered, {errors} failed and repeated",
    )
    lines.add_row(
        "writers",
        f"{ledger.rate(scene.began + scene.elapsed):.0f} writes/s, "
        f"{len(ledger.acknowledged):,} acknowledged, {ledger.retries} tried again",
    )
    return lines
