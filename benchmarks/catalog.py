"""The registry's figures: three durable servers and two client agents, all processes on loopback.

    python -m benchmarks catalog [--only discovery,waiting,size,cache,kv] [--against etcd]
        [--quick] [--json] [--plot F]

Each figure has the bound that it is held to, where there is one. `discovery`: how soon what one
agent writes is seen at another. `waiting`: ten thousand queries that wait for other things, and a
thousand subscribers of one service. `size`: a hundred thousand instances. `cache`: a subscriber's
own copy. `kv`: keys per second; with `--against etcd` the same over HTTP at etcd's leader, by the
same client. Every part but `cache` has a fresh cluster. The process that asks shares the machine
with the servers, so with few processors its own work is in every figure.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import trio
from benchmarks import catalog_kv, catalog_size, catalog_waiting
from benchmarks.catalog_cluster import open_registry
from benchmarks.catalog_http import quantiles
from benchmarks.show import Progress, bars, finish, parser_for

COLUMNS = {
    "figure": "figure",
    "value": "measured",
    "unit": "unit",
    "bound": "bound",
    "ok": "ok",
    "more": "more",
}
NOTE = "bounds are at most; p50 and p99 are over all runs, ms unless another unit is named"
Rows = list[dict[str, Any]]


def row(figure: str, value: float, unit: str, bound: float | None = None, more: str = "") -> Any:
    """Return a row of the table."""
    ok = None if bound is None else "yes" if value <= bound else "NO"
    return {
        "figure": figure,
        "value": value,
        "unit": unit,
        "bound": bound,
        "ok": ok,
        "more": more,
    }


async def discovery(options: argparse.Namespace) -> Rows:
    """How soon what one agent writes is seen at another."""
    runs = 5 if options.quick else options.runs
    rows = []
    async with open_registry() as registry:
        seen = quantiles(await catalog_waiting.registrations(registry, runs))
        rows.append(row("registration seen elsewhere, p99", seen["p99"], "ms", 40, spread(seen)))
        for what, measure in (
            ("key wakes a query", catalog_waiting.wakes_of_keys),
            ("key wakes a query, by HTTP", catalog_waiting.wakes_by_http),
            ("service wakes a query", catalog_waiting.wakes_of_services),
        ):
            woken = quantiles(await measure(registry, runs))
            rows.append(row(f"{what}, p50", woken["p50"], "ms", 10))
            rows.append(row(f"{what}, p99", woken["p99"], "ms", 50, spread(woken)))
    return rows


def spread(found: Mapping[str, float]) -> str:
    """Median and worst."""
    return f"p50 {found['p50']:.1f}, worst {found['worst']:.1f}"


async def waiting(options: argparse.Namespace) -> Rows:
    """Many who wait for other things, and many who wait for the same."""
    sleepers, crowd = (50, 20) if options.quick else (10_000, 1000)
    writes, seconds = (20, 0.3) if options.quick else (500, 5.0)
    async with open_registry() as registry:
        found = await catalog_waiting.sleepers(registry, sleepers, writes=writes, seconds=seconds)
        taken = await catalog_waiting.crowd(registry, crowd, 2 if options.quick else 5)
    rest, write = (
        f"{found[f'{name}_after']:.4g}, without them {found[f'{name}_before']:.4g}"
        for name in ("rest", "write")
    )
    return [
        row(f"{sleepers:,} waiting queries: woken", found["woken"], "", 0),
        row(
            "... their share of a processor at rest",
            max(0.0, found["rest_after"] - found["rest_before"]) * 100,
            "%",
            1,
            rest,
        ),
        row(
            "... their share in the cost of a write",
            max(0.0, found["write_after"] - found["write_before"]),
            "CPU ms",
            None,
            write,
        ),
        row("... memory of each", found["kilobytes"], "kB"),
        row(f"{crowd:,} subscribers have a change, worst", max(taken), "s", 1),
    ]


async def size(options: argparse.Namespace) -> Rows:
    """Many instances."""
    count = 1000 if options.quick else options.instances
    async with open_registry() as registry:
        found = await catalog_size.measure(registry, count, runs=50 if options.quick else 500)
    return [
        row(
            f"{count:,} instances: memory of a server",
            found["megabytes"],
            "MB",
            500,
        ),
        row(
            "... memory after a restoration and a restart",
            found["megabytes_after"],
            "MB",
            500,
            f"{found['megabytes_peak']:.0f} at the most",
        ),
        row("... look-up at another agent, p99", found["lookup_p99"], "ms", 5, middle(found)),
        row(
            "... look-up in the leader's process, p99",
            found["inside_p99"],
            "ms",
            5,
            f"p50 {found['inside_p50']:.2f}",
        ),
        row("... written", found["fill_seconds"], "s"),
        row("... saved", found["save_seconds"], "s", None, f"{found['snapshot_mb']:.1f} MB"),
        row("... restored on all servers", found["restore_seconds"], "s"),
        row("... killed server is back and has all", found["restart_seconds"], "s"),
        row("... missing there then", found["missing"], "", 0, "all services, a tenth's instances"),
    ]


def middle(found: Mapping[str, float]) -> str:
    return f"p50 {found['lookup_p50']:.2f}, of {catalog_size.PER_SERVICE} instances"


async def cache(options: argparse.Namespace) -> Rows:
    """A subscriber's own copy."""
    runs = 1000 if options.quick else 100_000
    await trio.lowlevel.checkpoint()
    return [
        row(f"cached look-up, {count} instances", catalog_size.cached(count, runs), "us", 5)
        for count in (10, 100)
    ]


async def kv(options: argparse.Namespace) -> Rows:
    """Keys per second."""
    callers, seconds = (2, 0.3) if options.quick else (options.callers, options.seconds)
    async with open_registry(clients=0) as registry:
        ours = await catalog_kv.ours(registry, callers=callers, seconds=seconds)
    rows = []
    others = {}
    if options.against == "etcd":
        others = await catalog_kv.etcd(callers=callers, seconds=seconds)
    for name, what in (("put", "writes"), ("get", "reads")):
        rows.append(rate(f"{what} over HTTP", ours["http"][name]))
        if others:
            rows.append(rate(f"{what} over HTTP, etcd", others[name]))
    for name, what in (("put", "writes"), ("get", "reads"), ("stale", "stale reads")):
        rows.append(rate(f"{what} in process", ours["inside"][name]))
    return rows


def rate(figure: str, found: Mapping[str, float]) -> dict[str, Any]:
    """Return a row of operations per second."""
    more = f"p50 {found['p50']:.2f}, p99 {found['p99']:.2f}"
    result: dict[str, Any] = row(figure, found["rate"], "/s", None, more)
    return result


PARTS: Final[Mapping[str, Callable[[argparse.Namespace], Awaitable[Rows]]]] = {
    "discovery": discovery,
    "waiting": waiting,
    "size": size,
    "cache": cache,
    "kv": kv,
}


def parts(text: str) -> list[str]:
    """Read `discovery,kv`."""
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    return names


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = parser_for(__doc__, plot=True)
    parser.add_argument("--only", type=parts, default=list(PARTS), metavar="PART,...")
    parser.add_argument("--against", choices=["etcd"], help="beside the keys over HTTP")
    parser.add_argument("--runs", type=int, default=300, help="of each latency")
    parser.add_argument("--instances", type=int, default=100_000)
    parser.add_argument("--callers", type=int, default=16, help="of keys, at a time")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each rate of keys")
    options = parser.parse_args(argv)
    progress, rows = Progress(len(options.only)), []
    for name in options.only:
        progress.step(name)
        rows += trio.run(PARTS[name], options)
    progress.close()
    finish("catalog", rows, COLUMNS, options, note=NOTE, plot=draw)


def draw(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw what has a bound, as a share of it."""
    groups = {
        each["figure"]: {"of the bound": 100 * each["value"] / each["bound"]}
        for each in rows
        if each["bound"]
    }
    bars(path, groups, title="Measured, in percent of the bound", axis="%", logarithmic=True)


if __name__ == "__main__":
    main()
