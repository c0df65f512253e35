"""`catalog demo`: stage the story, clear away whatever happens, give the verdict.

A signal, a child that dies by itself, a limit that passes: each ends the story early, and each
takes the same way out, on which all processes are ended and all files removed, before anything
else is said.
"""

from __future__ import annotations

import importlib.util
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import trio
from attrs import frozen

import catalog
from catalog.demo.cluster import Cluster
from catalog.demo.display import choose, showing
from catalog.demo.processes import SIGNALS, ChildDied, Household
from catalog.demo.scene import Scene, Summary
from catalog.demo.story import Story
from catalog.exits import DONE, FAILED, Failure, sentence, sole

__all__ = ["Options", "run"]

REST_SECONDS = 45.0
"""For all but the undisturbed load; a machine that needs longer is too busy to show anything."""


@frozen
class Options:
    """What the command line says."""

    seconds: float = 5.0
    servers: int = 3
    json: bool = False
    keep: Path | None = None


def run(options: Options) -> int:
    """Run the demo; return the exit status.

    Raises:
        Failure: a package is missing or the directory cannot be used; nothing was started.

    """
    if importlib.util.find_spec("httpx") is None:
        raise Failure("demo: its HTTP checks need httpx: pip install 'quorumkit[checks]'")
    return trio.run(_main, options)


async def _main(options: Options) -> int:
    scene = Scene()
    display = choose(quiet=options.json)
    interruption: signal.Signals | None = None
    with trio.open_signal_receiver(*SIGNALS) as signals:
        try:
            household = Household.open(options.keep)
        except (OSError, ValueError) as error:
            raise Failure(f"demo: {sentence(error)}") from None
        try:
            async with showing(display, scene), trio.open_nursery() as nursery:

                async def interrupt(signals: AsyncIterator[int]) -> None:
                    nonlocal interruption
                    async for number in signals:
                        interruption = signal.Signals(number)
                        nursery.cancel_scope.cancel()

                nursery.start_soon(interrupt, signals)
                await _play(options, scene, household)
                nursery.cancel_scope.cancel()
        except* (ChildDied, Failure, catalog.CatalogError, OSError) as group:
            scene.fail(sentence(sole(group)))
        finally:
            household.close()
    if interruption is not None:
        scene.fail(f"interrupted by {interruption.name}")
    return _conclude(options, scene, interruption)


async def _play(options: Options, scene: Scene, household: Household) -> None:
    limit = options.seconds + REST_SECONDS
    with trio.move_on_after(limit) as scope:
        async with trio.open_nursery() as nursery:
            cluster = Cluster(household, scene, options.servers)
            await Story(scene, cluster, nursery, options.seconds).play()
            nursery.cancel_scope.cancel()
    if scope.cancelled_caught:
        scene.fail(f"the demo did not come to its end within {limit:.0f} s")


def verdict(summary: Summary, keep: Path | None) -> list[str]:
    """Return the summary as lines for people."""
    if summary.ok:
        count, seconds = summary.acknowledged_writes, summary.seconds
        lines = ["", f"ok: {count:,} writes acknowledged, none lost, in {seconds:.0f} s"]
        lines += [
            f"    {what:<17} {then:6.2f} s until {end}"
            for what, then, end in (
                ("leader killed:", summary.failover_s, "the next write was acknowledged"),
                ("provider killed:", summary.provider_removed_s, "nobody was sent there"),
                ("node killed:", summary.node_removed_s, "nobody was sent there"),
                ("server restarted:", summary.catch_up_s, "it had caught up"),
            )
        ]
    else:
        lines = ["", *(f"FAILED: {sentence}" for sentence in summary.failed)]
    if keep is not None:
        lines.append(f"data directories and logs: {keep}")
    return lines


def _conclude(options: Options, scene: Scene, interruption: signal.Signals | None) -> int:
    summary = scene.summary
    summary.servers = options.servers
    summary.seconds = scene.elapsed
    summary.acknowledged_writes = len(scene.ledger.acknowledged)
    summary.ok = not summary.failed
    if options.json:
        sys.stdout.write(json.dumps(summary.plain(), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(verdict(summary, options.keep)) + "\n")
    sys.stdout.flush()
    if interruption is not None:
        return 128 + interruption
    return DONE if summary.ok else FAILED
