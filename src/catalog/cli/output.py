"""What the command prints: aligned tables for people, JSON for scripts.

Colours only where rich is installed and the output is a terminal that wants them (rich looks at
`NO_COLOR` and `TERM`); everywhere else the same text, plain.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["STYLES", "print_json", "print_table", "say", "table"]

try:
    from rich.console import Console
    from rich.text import Text
except ImportError:  # an extra: quorumkit[cli]
    RICH = False
else:
    RICH = True

GAP = "  "
STYLES: Mapping[str, str] = {
    "alive": "green",
    "passing": "green",
    "leader": "bold green",
    "suspect": "yellow",
    "warning": "yellow",
    "candidate": "yellow",
    "dead": "red",
    "failed": "red",
    "critical": "red",
    "left": "dim",
}
"""Words that have a colour where they fill a cell."""


def say(line: str = "") -> None:
    """Print one line on standard output, at once: the reader may be a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def print_json(value: Any, *, compact: bool = False) -> None:
    """Print a value as JSON; compact: on one line, for streams."""
    say(json.dumps(value, indent=None if compact else 2, ensure_ascii=False))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a header and rows as aligned lines; numbers stand to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    right = [bool(cells) and all(row[at].isdecimal() for row in cells) for at in range(len(header))]
    return [
        GAP.join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in [list(header), *cells]
    ]


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table."""
    first, *rest = table([name.upper() for name in header], rows)
    if not RICH or not sys.stdout.isatty():
        for line in [first, *rest]:
            say(line)
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(first, style="bold"))
    for line in rest:
        text = Text(line)
        for word, style in STYLES.items():
            text.highlight_regex(rf"(?<!\S){word}(?!\S)", style)
        console.print(text)
