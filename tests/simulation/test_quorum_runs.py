"""Whole clusters, simulated: promises kept in every seed, and every seed the same every time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from quorum.config import Config
from quorum.machine import CommandMachine
from quorum.simulation import Faults, Report, run
from quorum.simulation.__main__ import main


def test_no_promise_is_broken_in_a_quick_sweep_and_everything_happens_in_it():
    """A sweep in which a kind of trouble never happened would prove nothing about it."""
    total = Report()
    for seed in range(1, 131):
        total.add(run(seed, steps=400))

    assert total.violations == [], str(total.violations[0])
    for fault in ("loss", "duplicate", "delay", "cut", "crash", "crash between effects", "pause"):
        assert total.faults[fault], fault
    for fault in ("disk error", "slow disk", "unsynced write lost", "transfer", "members"):
        assert total.faults[fault], fault
    assert total.faults["leader cut off"]
    events = ("election", "step-down", "truncation", "joint configuration")
    quieter = ("snapshot taken", "snapshot in force", "learner promoted", "read under a lease")
    for event in (*events, *quieter):
        assert total.events[event], event
    assert total.commits > 1000
    for what in ("superseded", "repeated", "repeated although answered", "session ended"):
        assert total.operations[what], what


@pytest.mark.parametrize("nodes", [1, 2, 4, 5])
def test_clusters_of_other_sizes_keep_their_promises(nodes):
    """Even sizes and a lone server, too."""
    for seed in range(1, 9):
        report = run(seed, steps=300, nodes=nodes)

        assert report.violations == [], str(report.violations[0])


def test_equal_seeds_are_equal_runs_in_every_process():
    """Whatever order sets and hashes have there."""
    script = "from quorum.simulation import run; print(run(5, steps=300).digests[5])"
    digests = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]

    assert digests[0] == digests[1] == run(5, steps=300).digests[5]
    assert digests[0] != run(6, steps=300).digests[6]


class Tally(CommandMachine):
    """A user's machine: counts words."""

    def __init__(self):
        self.words: Counter[str] = Counter()

    def command(self, entry):
        if entry.payload == b"bad":
            raise ValueError("not a word")
        self.words[entry.payload.decode()] += 1
        return self.words[entry.payload.decode()]

    def snapshot(self):
        return json.dumps(sorted(self.words.items())).encode()

    def restore(self, snapshot):
        self.words = Counter(dict(json.loads(snapshot)))


def words(chance):
    return chance.choice((b"a", b"b", b"bad"))


def test_a_machine_of_ones_own_runs_under_the_same_faults():
    """One line for the user; commands that fail do so everywhere alike."""
    for seed in range(1, 9):
        report = run(seed, steps=300, machine=Tally, command=words)

        assert report.violations == [], str(report.violations[0])
        assert report.commits


def test_a_machine_that_forgets_something_in_its_snapshot_is_found():
    """It differs from the other replicas as soon as one of them was restored."""

    class Forgetful(Tally):
        def snapshot(self):
            return json.dumps(sorted(self.words.items())[:1]).encode()

    faults = Faults(timed=("crash",), interval=0.5)
    reports = [
        run(seed, steps=400, machine=Forgetful, command=words, faults=faults)
        for seed in range(1, 12)
    ]

    found = [finding.promise for report in reports for finding in report.violations]
    assert "State Machine Safety" in found


@pytest.mark.parametrize("copies", [True, False])
def test_a_snapshot_in_chunks_must_not_see_what_comes_later(copies):
    """It is made while the machine goes on; one that looks at the machine itself is found."""

    class Chunked(Tally):
        def snapshot(self):
            words = Counter(self.words) if copies else self.words
            return (b"%s %d\n" % (word.encode(), words[word]) for word in ("a", "b"))

        def restore(self, snapshot):
            raise AssertionError("it has restore_chunks")

        def restore_chunks(self, chunks):
            lines = b"".join(chunks).decode().splitlines()
            words = Counter({word: int(count) for word, count in map(str.split, lines)})

            def put_in_place():
                self.words = words

            return put_in_place

    faults, config = Faults(timed=("crash",), interval=0.5), Config(snapshot_entries=5)
    found = []
    for seed in range(1, 5 if copies else 30):
        report = run(seed, steps=600, machine=Chunked, command=words, faults=faults, config=config)
        assert report.events["snapshot taken"]
        found += [finding.promise for finding in report.violations]
        if found:
            break

    assert (["State Machine Safety"] if not copies else []) == found


def test_a_machine_that_depends_on_how_runs_are_cut_is_found():
    """Runs are cut differently on every replica."""

    class Cut(Tally):
        def apply(self, entries):
            return [len(entries)] * len(entries)

    reports = [run(seed, steps=300, machine=Cut, command=words) for seed in range(1, 12)]

    assert any(report.violations for report in reports)


def test_a_machine_without_commands_is_refused():
    """Nothing would ever be applied to it."""
    with pytest.raises(TypeError, match="give both or neither"):
        run(1, machine=Tally)


def test_the_command_prints_one_json_object(capsys):
    """With what was done, what was broken on purpose, and what was found."""
    assert main(["--seeds", "2", "--first", "3", "--steps", "100", "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert report["seeds"] == 2
    assert report["steps"] >= 200
    assert report["violations"] == []
    assert {"commits", "faults", "events", "seconds"} <= report.keys()


def test_a_violation_says_how_to_see_it_again(capsys, monkeypatch):
    """Exit status 1, and the command that replays the seed with its timeline."""
    monkeypatch.setattr("quorum.core.election.won", lambda *_: True)

    assert main(["--seeds", "1", "--first", "3", "--steps", "300"]) == 1

    out = capsys.readouterr().out
    assert "replay: python -m quorum.simulation --first 3 --seeds 1 --steps 300" in out


def test_nonsense_options_are_refused(capsys):
    """Before anything runs."""
    with pytest.raises(SystemExit):
        main(["--seeds", "0"])
    assert "must be at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("seed", [400776, 404941, 409602])
def test_a_repaired_majority_is_one_in_every_configuration_that_may_come(seed):
    """Learners that caught up before the repair may be made voters after it, some or all."""
    assert run(seed, steps=600).violations == []
