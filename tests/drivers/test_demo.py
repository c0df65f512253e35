"""The demo as a person runs it: real processes, real kills, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

LIMIT_SECONDS = 90
"""For one run, on a machine that has other things to do; it ends by itself well before."""


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """Where the demo keeps its files: in a directory of our own, so that we see what is left."""
    return os.environ | {"TMPDIR": str(tmp_path), "PYTHONWARNINGS": "error"}


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Demos that a test started; none outlives it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def demo(*flags: str) -> list[str]:
    """Return the command line."""
    return [sys.executable, "-m", "catalog", "demo", *flags]


def children_of(demo: int) -> dict[int, str]:
    """Return the processes that a demo started and that still run: command lines by id."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_text().replace("\0", " ")
            if f"catalog.demo.leash {demo} " in line:
                found[int(path.parent.name)] = line
    return found


def test_the_demo_passes_its_own_checks_and_leaves_nothing(
    environment: Mapping[str, str],
    tmp_path: Path,
    started: list[subprocess.Popen[str]],
) -> None:
    """In its short form: every blow is recovered from, no acknowledged write is lost."""
    process = subprocess.Popen(
        demo("--seconds", "2", "--json"),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started.append(process)
    out, err = process.communicate(timeout=LIMIT_SECONDS)
    summary = json.loads(out)

    assert (0, "", []) == (process.returncode, err, summary["failed"]), summary
    assert summary["ok"] is True
    assert summary["servers"] == 3
    assert summary["lost_writes"] == 0
    assert summary["acknowledged_writes"] > 0
    assert summary["consumer_calls"] > 0
    assert {"s1", "s2", "s3"} >= {summary["leader_before"], summary["leader_after"]}
    assert summary["leader_before"] != summary["leader_after"]
    for key in ("failover_s", "provider_removed_s", "node_removed_s", "catch_up_s"):
        assert 0 < summary[key] < 30, key
    assert list(tmp_path.iterdir()) == []
    assert children_of(process.pid) == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(
    number: signal.Signals,
    environment: Mapping[str, str],
    tmp_path: Path,
    started: list[subprocess.Popen[str]],
) -> None:
    """A signal in the middle ends all processes, removes all files, and is told by the status."""
    process = subprocess.Popen(
        demo("--seconds", "60"), env=environment, stdout=subprocess.PIPE, text=True
    )
    started.append(process)
    assert process.stdout is not None
    for line in process.stdout:
        if "leads, in term" in line:
            break
    assert len(children_of(process.pid)) >= 4
    process.send_signal(number)
    rest, _ = process.communicate(timeout=LIMIT_SECONDS)

    assert process.returncode == 128 + number
    assert f"interrupted by {number.name}" in rest
    assert list(tmp_path.iterdir()) == []
    assert children_of(process.pid) == {}


def test_a_server_that_dies_early_ends_the_demo_and_leaves_nothing(
    environment: Mapping[str, str],
    tmp_path: Path,
    started: list[subprocess.Popen[str]],
) -> None:
    """Killed by a stranger: the demo says so in a sentence, fails, and clears away."""
    process = subprocess.Popen(
        demo("--seconds", "60"), env=environment, stdout=subprocess.PIPE, text=True
    )
    started.append(process)
    assert process.stdout is not None
    for line in process.stdout:
        if "leads, in term" in line:
            break
    [victim] = [pid for pid, line in children_of(process.pid).items() if "--name s2 " in line]
    os.kill(victim, signal.SIGKILL)
    rest, _ = process.communicate(timeout=LIMIT_SECONDS)

    assert process.returncode == 1
    assert "FAILED: s2 ended by itself" in rest
    assert list(tmp_path.iterdir()) == []
    assert children_of(process.pid) == {}


def test_a_directory_that_is_in_use_is_not_touched(tmp_path: Path) -> None:
    """`--keep` wants a directory of its own; the refusal is one line."""
    (tmp_path / "precious").write_text("x")

    done = subprocess.run(
        demo("--keep", str(tmp_path)), capture_output=True, text=True, check=False
    )

    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("catalog: demo: the directory")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
