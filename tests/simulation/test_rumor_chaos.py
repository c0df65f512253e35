"""Sweeps over seeds: troubles of all kinds, then a calm in which everything must come right."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from rumor.simulation import Report, run
from rumor.simulation.__main__ import main
from rumor.simulation.faults import TIMED

SEEDS = range(16)


@pytest.fixture(scope="module")
def sweep() -> Report:
    """Some seeds, each run once for all tests of this file."""
    report = Report()
    for seed in SEEDS:
        report.add(run(seed, periods=100))
    return report


def test_no_promise_is_broken(sweep: Report) -> None:
    """Whatever the troubles, the invariants hold, and in the calm everything comes right."""
    assert [] == [str(finding) for finding in sweep.violations]


def test_no_promise_is_broken_by_fresh_seeds(run_seed: int) -> None:
    """Each run of the suite tries seeds that nobody has tried before."""
    for seed in (2 * run_seed + 1_000, 2 * run_seed + 1_001):
        assert [] == [str(finding) for finding in run(seed, periods=100).violations]


def test_the_sweep_is_not_an_idle_one(sweep: Report) -> None:
    """Every kind of fault struck, and everything that can be reported of a member was."""
    assert set(TIMED) == set(sweep.faults)
    for happening in (
        "joined",
        "updated",
        "suspected",
        "recovered",
        "failed",
        "left",
        "reaped",
        "conflicted",
        "datagrams lost",
        "datagrams repeated",
        "datagrams refused",
        "streams failed",
    ):
        assert sweep.happenings[happening] > 0, happening
    assert len(SEEDS) == len(sweep.settling)
    assert len(SEEDS) / 2 < len(sweep.detecting)  # clusters of two have nobody left to detect


def test_a_seed_decides_the_run() -> None:
    """Equal seeds give equal traces in processes whose hashes of texts differ; others do not."""
    program = "from rumor.simulation import run; print(run(4, periods=50).digests[4])"
    digests = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hashes in ("1", "2")
    ]
    assert [run(4, periods=50).digests[4]] * 2 == digests
    assert run(5, periods=50).digests[5] not in digests


def test_the_command_reports_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    """As one JSON object; the exit code is 0 as nothing was found."""
    assert main(["--seeds", "1", "--first", "3", "--periods", "20", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert told["seeds"] == 1
    assert told["violations"] == []
    assert told["steps"] > 0


def test_a_finding_says_how_to_see_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command fails, and what it prints can be typed to get the same finding."""
    monkeypatch.setattr("rumor.core.rumours._refute", lambda *_: None)
    assert main(["--seeds", "1", "--first", "4", "--nodes", "5", "--periods", "60"]) == 1
    text = capsys.readouterr().out
    command = text.split("replay: ")[1].split("\n")[0]
    assert main(command.split()[3:]) == 1
    assert text.split("violations")[1] == capsys.readouterr().out.split("violations")[1]
