"""A run for people: the records of a trace as lines of text, and as a page to look at.

The page is one HTML file without any outside resource: `timeline.html`, with the records in it as
JSON. What a script needs the whole run for is worked out here: who was what in which term, and how
long a trouble lasted. So a page of the last few hundred steps still knows how they began.

Nothing in a page depends on anything but the records: equal runs give equal bytes.
"""

from __future__ import annotations

import argparse
import html
import json
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from attrs import asdict, define

from quorum.effects import Role
from quorum.messages import NodeId, Term
from quorum.simulation.report import Report
from quorum.simulation.trace import Fate, Flight, Note, Record, Step

STEPS = 400
"""Steps in a timeline, unless told otherwise: the last ones."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `--trace`."""
    parser.add_argument(
        "--trace",
        nargs="?",
        const=".",
        metavar="DIR",
        help="write what happened, to read, as seed-N.txt and seed-N.html into DIR (default: here) "
        "for each seed that broke a promise; for a lone seed in any case",
    )
    parser.add_argument(
        "--last",
        type=int,
        default=STEPS,
        help=f"steps at the end of a run that its page shows (default {STEPS}; 0: all)",
    )


def write(directory: Path, report: Report, steps: int) -> None:
    """Write the timeline of a traced run of one seed: all of it as text, the end as a page."""
    (seed,) = report.digests
    name = directory / f"seed-{seed}"
    title, subtitle = f"seed {seed}: no promise was broken", ""
    if report.violations:
        found = report.violations[0]
        title = f"seed {seed}: {found.promise}: {found.detail}"
        subtitle = f"Replay: {found.replay}"
    lines = "".join(f"{line}\n" for line in text(report.timeline))
    name.with_suffix(".txt").write_text(lines, "utf-8")
    whole = page(report.timeline, title=title, subtitle=subtitle, steps=steps)
    name.with_suffix(".html").write_text(whole, "utf-8")


@define
class Spell:
    """A server was the same for a while: down, or in this role and term."""

    node: NodeId
    begin: float
    end: float
    state: str
    term: Term


def text(records: Iterable[Record]) -> Iterator[str]:
    """One line for each thing that happened, in order: `<` is what came, `>` what was ordered."""
    for record in records:
        where = f"{record.time:10.4f}  {record.node:<3}"
        match record:
            case Step(role=role, term=term, commit=commit):
                head = f"{where} {role.value:<9} t{term:<3} c{commit:<4} "
                for event in record.events or ("deadline",):
                    yield f"{head} < {event}"
                    head = " " * len(head)
                for effect in record.effects:
                    yield f"{head}   > {effect}"
            case Flight(fate=Fate.LOST):
                yield f"{where} x lost on its way to {record.to}: {record.text}"
            case Note(until=until):
                yield f"{where} {record.text}" + ("" if until is None else f" until {until:.4f}")


def newest(records: Sequence[Record], steps: int) -> Sequence[Record]:
    """The last so many steps, and all that happened from the first of them on; 0: everything."""
    places = [place for place, record in enumerate(records) if isinstance(record, Step)]
    return records[places[-steps] :] if 0 < steps < len(places) else records


def spells(records: Iterable[Record]) -> list[Spell]:
    """What each server was, from the beginning to the end, without gaps once it has been seen."""
    found: list[Spell] = []
    current: dict[NodeId, Spell] = {}
    now = 0.0
    for record in records:
        now = record.time
        before = current.get(record.node)
        state, term = ("", 0) if before is None else (before.state, before.term)
        match record:
            case Step():
                state, term = record.role.value, record.term
            case Note(text="starts"):
                state = Role.FOLLOWER.value
            case Note() if record.text.startswith("dies"):
                state = "down"
            case _:
                continue
        if before is None or (before.state, before.term) != (state, term):
            if before is not None:
                before.end = now
            current[record.node] = Spell(record.node, now, now, state, term)
            found.append(current[record.node])
    for spell in current.values():
        spell.end = now
    return found


def bands(records: Sequence[Record]) -> list[Note]:
    """What lasted: pauses, slow disks, and partitions until the next word about the network."""
    found: list[Note] = []
    partition: Note | None = None
    for record in records:
        if not isinstance(record, Note):
            continue
        if record.until is not None:
            found.append(record)
        elif not record.node:
            if partition is not None:
                found.append(Note(partition.time, "", partition.text, record.time))
            partition = record if record.text.startswith("partition") else None
    if partition is not None:
        found.append(Note(partition.time, "", partition.text, records[-1].time))
    return found


def page(records: Sequence[Record], *, title: str, subtitle: str = "", steps: int = STEPS) -> str:
    """An HTML page of the last so many steps (0: of all), complete in itself."""
    part = newest(records, steps)
    first, last = (part[0].time, part[-1].time) if part else (0.0, 0.0)
    total = sum(isinstance(record, Step) for record in records)
    drawn = sum(isinstance(record, Step) for record in part)
    data = {
        "title": title,
        "subtitle": f"{drawn} of {total} steps, {first:.4f} to {last:.4f} s. {subtitle}",
        "first": first,
        "last": last,
        "nodes": sorted({spell.node for spell in spells(records)}),
        "spells": _drawn_spells(records, first),
        "bands": [asdict(band) for band in bands(records) if (band.until or 0.0) >= first],
        "steps": _drawn_steps(part),
        "flights": [
            {**asdict(record), "fate": record.fate.value}
            for record in part
            if isinstance(record, Flight)
        ],
        "notes": [asdict(record) for record in part if isinstance(record, Note)],
    }
    template = Template((files("quorum.simulation") / "timeline.html").read_text("utf-8"))
    return template.substitute(title=html.escape(title), data=_embedded(data))


def _drawn_spells(records: Sequence[Record], first: float) -> list[dict[str, Any]]:
    """Those that reach into the window; `elected` marks the beginning of a leadership."""
    drawn = []
    for spell in spells(records):
        if spell.end >= first:
            elected = spell.state == Role.LEADER.value and spell.begin >= first
            drawn.append({**asdict(spell), "begin": max(spell.begin, first), "elected": elected})
    return drawn


def _drawn_steps(part: Sequence[Record]) -> list[dict[str, Any]]:
    """`rose` marks a step in which the server's commit index went up."""
    drawn = []
    commits: dict[NodeId, int] = {}
    for record in part:
        if isinstance(record, Step):
            rose = record.commit > commits.get(record.node, record.commit)
            commits[record.node] = record.commit
            drawn.append({**asdict(record), "role": record.role.value, "rose": rose})
    return drawn


def _embedded(data: object) -> str:
    """JSON that may stand in a script element: nothing in it can end the element."""
    dumped = json.dumps(data, separators=(",", ":"))  # pure ASCII
    return dumped.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
