"""The command line of the partial partitions: options, and the table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from attrs import define, field

from quorum.simulation.links import HOLD, PLAIN, SETTLE, Outcome, play
from quorum.simulation.topologies import (
    LETTERS,
    Topology,
    any_way,
    one_way_family,
    situations,
    two_way,
)

ALL_WAYS_MAX = 3
"""Servers up to which every topology with one-way links is played; above, a family of them."""

HEAD = """\
links: ab works both ways, a>b one way; connected: who has links both ways to a majority
live: situations in which writes went on; elections: leaders elected in 100 election timeouts
outage: longest time between commits, once links broke; recovery: until the next, once they were
back; both in election timeouts; plain: elections and terms without PreVote and CheckQuorum
"""
TITLES = ("topology", "links", "connected", "live", "elections", "outage", "recovery", "plain")


@define
class Row:
    """One topology, with all that was played in it."""

    topology: Topology
    hold: float
    outcomes: list[Outcome] = field(factory=list)
    plain: list[Outcome] = field(factory=list)
    """Without PreVote and CheckQuorum; where all logs were equal."""

    @property
    def live(self) -> int:
        """In how many situations there was progress."""
        return sum(outcome.live for outcome in self.outcomes)

    @property
    def barred(self) -> list[str]:
        """Situations without progress although somebody has links to a majority."""
        stuck = [str(each.situation) for each in self.outcomes if not each.live]
        return stuck if self.topology.connected else []

    @property
    def broken(self) -> list[str]:
        """What should not have been."""
        every = [*self.outcomes, *self.plain]
        return [
            f"{self.topology}, {each.situation}: {each.broken}" for each in every if each.broken
        ]

    def rate(self, outcomes: list[Outcome], kind: str) -> float:
        """Elections, or terms, in 100 election timeouts: the mean of these outcomes."""
        total = float(sum(getattr(outcome, kind) for outcome in outcomes))
        return 100.0 * total / (self.hold - SETTLE) / max(len(outcomes), 1)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.topology.name,
            "links": str(self.topology),
            "connected": [LETTERS[each] for each in self.topology.connected],
            "situations": len(self.outcomes),
            "live": self.live,
            "barred": self.barred,
            "elections_per_100": round(self.rate(self.outcomes, "elections"), 1),
            "terms_per_100": round(self.rate(self.outcomes, "terms"), 1),
            "outage_max": round(max((o.outage for o in self.outcomes if o.live), default=0.0), 1),
            "recovery_max": round(max(each.recovery for each in self.outcomes), 2),
            "plain": {
                "situations": len(self.plain),
                "live": sum(each.live for each in self.plain),
                "elections_per_100": round(self.rate(self.plain, "elections"), 1),
                "terms_per_100": round(self.rate(self.plain, "terms"), 1),
            },
            "violations": self.broken,
        }


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `--links`."""
    group = parser.add_argument_group("partial partitions")
    group.add_argument(
        "--links",
        type=int,
        choices=range(2, len(LETTERS) + 1),
        metavar="SERVERS",
        help="instead of seeds, play every topology of links between 2 to 5 servers; "
        "--first decides the timeouts",
    )
    group.add_argument(
        "--one-way",
        action="store_true",
        help=f"links that work one way, too: all of up to {ALL_WAYS_MAX} servers, of more those "
        "that have been met",
    )
    group.add_argument(
        "--hold",
        type=float,
        default=HOLD,
        help=f"election timeouts for which links stay cut (default {HOLD:.0f})",
    )


def table(size: int, *, one_way: bool, hold: float, seed: int) -> Iterator[Row]:
    """Play every topology of so many servers."""
    if one_way:
        topologies = any_way(size) if size <= ALL_WAYS_MAX else one_way_family(size)
    else:
        topologies = two_way(size)
    for topology in topologies:
        row = Row(topology, hold)
        for situation in situations(topology):
            seed += 1
            row.outcomes.append(play(situation, hold=hold, seed=seed))
            if len(situation.fresh) == size:
                row.plain.append(play(situation, hold=hold, config=PLAIN, seed=seed))
        yield row


def report(rows: list[Row], *, as_json: bool) -> Iterator[str]:
    """The table in lines, or as one JSON object."""
    broken = [line for row in rows for line in row.broken]
    if as_json:
        yield json.dumps({"topologies": [row.as_dict() for row in rows], "violations": broken})
        return
    yield HEAD
    cells = [TITLES, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(
            cell.ljust(width) if place < 3 else cell.rjust(width)  # words, then numbers
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
    yield ""
    yield "connected servers, none electable: too many whom they reach have entries that they lack"
    for each in rows:
        if each.barred:
            yield f"  {each.topology.name or each.topology}: {'; '.join(each.barred)}"
    total = sum(len(row.outcomes) for row in rows)
    yield ""
    yield f"{len(rows)} topologies, {total} situations, violations {len(broken) or 'none'}"
    yield from (f"  {line}" for line in broken)


def _cells(row: Row) -> tuple[str, ...]:
    values = row.as_dict()
    return (
        values["name"] or "-",
        values["links"],
        "".join(values["connected"]) or "-",
        f"{values['live']}/{values['situations']}",
        f"{values['elections_per_100']}",
        f"{values['outage_max']}",
        f"{values['recovery_max']:.1f}",
        f"{values['plain']['elections_per_100']} {values['plain']['terms_per_100']:>5}",
    )
