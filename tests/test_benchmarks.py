"""Every benchmark runs in its quick mode, so that none rots. Nothing here looks at times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = [p for p in sorted((ROOT / "benchmarks").glob("*.py")) if "--quick" in p.read_text()]


def test_there_are_benchmarks():
    """An empty list would pass silently."""
    assert {"core.py", "journal.py", "wire.py"} <= {path.name for path in BENCHMARKS}


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_runs_and_prints_its_ratios(path):
    """In its quick mode, as a table."""
    line = [sys.executable, "-W", "error", str(path), "--quick"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


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
