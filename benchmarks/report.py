"""Run the benchmarks of the cluster and write what they say as docs/performance.md.

    python -m benchmarks report [--against PEER] [--output docs/performance.md]

`--against` goes to those that know peers. Where `py-spy` is installed, a profile of a loaded leader
says where its time goes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import trio
from benchmarks import failover, latency, reads, throughput
from benchmarks.cluster import OURS, open_cluster
from benchmarks.show import machine, parser_for, table

HERE = Path(__file__).parent
PACKAGES = ("quorumkit", "trio", "attrs", "cbor2", "pysyncobj")


def main(argv: list[str] | None = None) -> None:
    """Measure everything and write the page."""
    parser = parser_for(__doc__)
    parser.add_argument("--against", action="append", default=[], metavar="PEER")
    parser.add_argument("--callers", default="1,16,256,1024")
    parser.add_argument("--size", default="128,1024")
    parser.add_argument("--runs", default="3")
    parser.add_argument("--trials", default="20", help="of the failover")
    parser.add_argument("--calm", default="600", help="seconds of full load without a fault")
    parser.add_argument("--full", action="store_true", help="the largest sizes of `growth`")
    parser.add_argument("--output", type=Path, help="the page; by default it is printed")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        plots = options.output.parent / "plots" if options.output else Path(scratch)
        plots.mkdir(exist_ok=True)
        page = compose(options, plots)
    if options.json:
        print(json.dumps({"benchmark": "report", "page": page}))
    elif options.output:
        options.output.write_text(page)
        print(f"written: {options.output}")
    else:
        print(page)


def compose(options: argparse.Namespace, plots: Path) -> str:
    """Fill in the page."""
    peers = [f"--against={peer}" for peer in options.against]
    cells = [f"--callers={options.callers}", f"--runs={options.runs}"]
    writes = [*cells, f"--size={options.size}", *peers]

    def measured(name: str, *arguments: str) -> list[dict[str, Any]]:
        return ask(options, name, *arguments)["rows"]  # type: ignore[no-any-return]

    def plot(name: str) -> str:
        return f"--plot={plots / name}.svg"

    rows = {
        "throughput": measured("throughput", *writes, plot("throughput")),
        "memory": measured("throughput", *cells, "--memory"),
        "latency": measured("latency", f"--runs={options.runs}", *peers, plot("latency")),
        "reads": measured("reads", *cells),
        "failover": measured(
            "failover", f"--trials={options.trials}", f"--calm={options.calm}", *peers
        ),
        "core": measured("core"),
    }
    columns = {
        "throughput": throughput.COLUMNS,
        "memory": throughput.COLUMNS,
        "latency": latency.COLUMNS,
        "reads": reads.COLUMNS,
        "failover": failover.COLUMNS,
        "core": {key: key.replace("_", " ") for key in rows["core"][0]},
    }
    tables = {name: table(rows[name], columns[name]) for name in rows}
    parts = ["log"] * options.quick + ["--full"] * options.full
    growth = ask(options, "growth", *parts)["tables"]
    return (
        (HERE / "report.md")
        .read_text()
        .format(
            command=" ".join(["python -m benchmarks report", *(sys.argv[2:] or [])]),
            date=dt.datetime.now(tz=dt.UTC).date(),
            machine=machine(),
            versions=versions(),
            runs=options.runs,
            plots=plots.name,
            peers=about_peers(options.against),
            growth="\n\n".join(
                f"{name.capitalize()}:\n\n{table(part, {key: key for key in part[-1]})}"
                for name, part in growth.items()
            ),
            profile=profile(seconds=1 if options.quick else 10),
            **tables,
        )
    )


def ask(options: argparse.Namespace, name: str, *arguments: str) -> dict[str, Any]:
    """Run one benchmark in a process of its own, so that none disturbs the next."""
    line = [sys.executable, "-m", "benchmarks", name, "--json", *arguments]
    print("$", " ".join(line[1:]), file=sys.stderr)
    quick = ["--quick"] * options.quick
    done = subprocess.run([*line, *quick], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def versions() -> str:
    """What was measured."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return "With " + ", ".join(found)


def about_peers(against: list[str]) -> str:
    """What must be known of those beside us."""
    if any(peer.startswith("pysyncobj") for peer in against):
        return (
            "pysyncobj writes a journal that it does not sync: what it acknowledges is not durable."
        )
    return ""


def profile(*, seconds: float) -> str:
    """Where a leader under 256 callers spends its time, by module; if py-spy is there."""
    if shutil.which("py-spy") is None:
        return "(No profile: py-spy is not installed.)"
    with tempfile.TemporaryDirectory() as directory:
        record = Path(directory) / "profile"
        trio.run(sample, record, seconds)
        lines = record.read_text().splitlines()
        stacks = [line.rpartition(" ") for line in lines if "MainThread" in line]
    total = sum(int(count) for _, _, count in stacks)
    if not total:
        return "(No profile: py-spy saw nothing.)"
    shares: Counter[str] = Counter()
    for stack, _, count in stacks:
        shares[place(stack.split(";")[-1])] += int(count)
    rows = [
        {"where": where, "share": f"{100 * count / total:.0f} %"}
        for where, count in shares.most_common(15)
    ]
    heading = "A leader under 256 callers, samples by the innermost function of Python:"
    return f"{heading}\n\n{table(rows, {'where': 'where', 'share': 'share'})}"


async def sample(record: Path, seconds: float) -> None:
    """Load a cluster and sample its leader."""
    async with open_cluster(OURS) as cluster:
        load = {"c": 256, "size": 128, "warm": 0.5, "secs": seconds + 1}
        await cluster.leader.tell(cmd="load", **load)
        await cluster.leader.hear("begin")
        line = ["py-spy", "record", "--format=raw", "--rate=500", f"--duration={seconds:.0f}"]
        line += ["--threads", "--pid", str(cluster.leader.process.pid), "--output", str(record)]
        await trio.run_process(line, capture_stdout=True, capture_stderr=True)


def place(frame: str) -> str:
    """`_run (quorum/trio/loop.py)` of `_run (/somewhere/quorum/trio/loop.py:121)`."""
    name, _, path = frame.partition(" (")
    parts = Path(path.rpartition(":")[0]).parts
    for root in ("quorum", "trio", "benchmarks"):
        if root in parts:
            return f"{name} ({'/'.join(parts[parts.index(root) :])})"
    return f"{name} ({'/'.join(parts[-2:])})"


if __name__ == "__main__":
    main()
