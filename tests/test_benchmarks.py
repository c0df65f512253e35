"""Every benchmark runs in its quick mode, so that none rots. Nothing here looks at times."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import BENCHMARKS
from benchmarks.cluster import Program
from benchmarks.show import bars

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_runs_and_prints_its_ratios(name):
    """In its quick mode, as a table."""
    line = [sys.executable, "-W", "error", "-m", "benchmarks", name, "--quick"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_benchmark_of_another_name_is_refused_with_the_list():
    """Status 2, as for any command line that makes no sense."""
    line = [sys.executable, "-m", "benchmarks", "everything"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert all(name in done.stdout for name in BENCHMARKS)


def test_features_are_measured_against_the_core_without_them():
    """By batch size, each with its ratio to everything switched off."""
    line = [sys.executable, "-m", "benchmarks", "core", "--features", "--quick", "--json"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    rows = json.loads(done.stdout)["rows"]

    assert [1, 16, 100, 512] == [row["batch"] for row in rows]
    assert all(row["off_ratio"] == 1 for row in rows)
    assert all(row[f"{name}_ratio"] > 0 for row in rows for name in ("on", "around", "sessions"))


def test_a_plot_is_drawn(tmp_path):
    """Where people would rather look than read."""
    path = tmp_path / "plot.svg"
    bars(path, {"1 caller": {"ours": 2.0, "theirs": 1.0}}, title="Rates", axis="ops/s")

    assert "<svg" in path.read_text()


def test_a_peer_is_a_name_or_a_command():
    """So that a node program in any language can be measured beside us."""
    assert Program.parse("pysyncobj-single").argv[-1] == "--single"
    assert Program.parse("mine=./node -store bolt") == Program("mine", ("./node", "-store", "bolt"))
    with pytest.raises(argparse.ArgumentTypeError, match="NAME=COMMAND"):
        Program.parse("unknown")


def test_the_node_program_serves_the_harness(tmp_path):
    """One node, alone: ready, leader, a load with a result."""
    command = [sys.executable, str(ROOT / "benchmarks" / "node.py"), "--id", "0"]
    command += ["--peers", "127.0.0.1:0", "--dir", str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def say(**message):
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()

        def hear(event):
            for line in process.stdout:
                heard = json.loads(line)
                if heard["ev"] == event:
                    return heard
            raise AssertionError(f"the node ended before it said {event}")

        try:
            hear("ready")
            leader = False
            while not leader:
                say(cmd="role")
                leader = hear("role")["leader"]
            say(cmd="load", c=4, size=128, warm=0.1, secs=0.2)
            result = hear("result")
        finally:
            process.kill()

    assert result["ops"] > 0
    assert result["errs"] == 0
