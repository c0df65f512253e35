"""How a benchmark talks to people: progress while it runs, a table, a plot, or one JSON object."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field


@define
class Progress:
    """One line on a terminal that says how far we are; nothing where nobody looks."""

    total: int
    done: int = 0
    stream: Any = field(factory=lambda: sys.stderr)

    def step(self, what: str) -> None:
        """Say what is being measured now."""
        if self.stream.isatty():
            width = 24
            full = width * self.done // max(1, self.total)
            bar = "█" * full + "░" * (width - full)
            self.stream.write(f"\r\x1b[K{bar} {self.done}/{self.total} {what}")
            self.stream.flush()
        self.done += 1

    def close(self) -> None:
        """Clear the line."""
        if self.stream.isatty():
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """Rows under headings; `columns` maps a key to its heading, in order. Markdown, aligned."""
    cells = [list(columns.values())]
    cells += [[number(row.get(key)) for key in columns] for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    lines = [
        "| "
        + " | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in cells
    ]
    rule = "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def number(value: object) -> str:
    """A figure with as many digits as it deserves."""
    match value:
        case None:
            return ""
        case bool() | str():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            size = abs(value)
            return f"{value:,.0f}" if size >= 100 else f"{value:.{1 if size >= 10 else 2}f}"
        case _:
            return str(value)


def spread(samples: Iterable[float]) -> str:
    """Median and range, of however many runs there were."""
    ordered = sorted(samples)
    middle = number(statistics.median(ordered))
    if len(ordered) == 1:
        return middle
    return f"{middle} ({number(ordered[0])} to {number(ordered[-1])})"


def machine() -> str:
    """What the figures were measured on, in one line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}, {python}"


def parser_for(doc: str | None, *, plot: bool = False) -> argparse.ArgumentParser:
    """A parser with what all benchmarks have in common."""
    summary, _, rest = (doc or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="seconds, to see that it runs")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    if plot:
        parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it (.svg or .png)")
    return parser


def numbers(text: str) -> list[int]:
    """Read `1,16,256`."""
    return [int(each) for each in text.split(",")]


def finish(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    options: argparse.Namespace,
    *,
    note: str = "",
    plot: Callable[[Path, Sequence[Mapping[str, Any]]], None] | None = None,
) -> None:
    """Print what was measured, and draw it if a file was asked for."""
    if options.json:
        print(json.dumps({"benchmark": name, "machine": machine(), "rows": list(rows)}))
    else:
        print(table(rows, columns))
        if note:
            print(f"\n{note}")
    if plot is not None and options.plot is not None:
        plot(options.plot, rows)
        print(f"drawn: {options.plot}", file=sys.stderr)


def bars(
    path: Path,
    groups: Mapping[str, Mapping[str, float]],
    *,
    title: str,
    axis: str,
    logarithmic: bool = False,
) -> None:
    """Draw a bar for each series in each group: `{group: {series: value}}`."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - only where a plot is asked for
    except ImportError:
        raise SystemExit("plots need matplotlib: pip install matplotlib") from None
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(1, len(names))
    for place, name in enumerate(names):
        xs = [at + (place - (len(names) - 1) / 2) * width for at in range(len(groups))]
        ys = [values.get(name, 0.0) for values in groups.values()]
        drawn = axes.bar(
            xs, ys, width=width * 0.92, label=name, color=COLOURS[place % len(COLOURS)]
        )
        axes.bar_label(drawn, labels=[number(y) for y in ys], fontsize=7, padding=2)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_ylabel(axis)
    if logarithmic:
        axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    if len(names) > 1:
        axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


COLOURS = ("#2a6f97", "#e07a3f", "#7a9e7e", "#b5838d", "#6d6875")
