"""Timelines: the records of a trace as text and as a page that needs nothing but itself."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from quorum.effects import Role
from quorum.simulation import run
from quorum.simulation.__main__ import main
from quorum.simulation.timeline import bands, newest, page, spells, text
from quorum.simulation.trace import Fate, Flight, Note, Record, Step

RECORDS: list[Record] = [
    Note(0.0, "n1", "starts"),
    Note(0.0, "n2", "starts"),
    Step(1.0, "n1", Role.CANDIDATE, 1, 0, (), ("Persist(ticket=1)", "Send(to=n2)")),
    Flight(1.0, "n1", "n2", "RequestVote(term=1)", 1.2, Fate.LOST),
    Note(1.1, "", "partition: ring"),
    Note(1.2, "n2", "sleeps", 1.6),
    Step(1.5, "n1", Role.LEADER, 1, 0, ("Received(sender=n2)", "Persisted(ticket=1)"), ()),
    Flight(1.5, "n1", "n2", "AppendEntries(term=1)", 1.7, Fate.ARRIVED),
    Note(1.6, "", "network heals"),
    Step(1.8, "n1", Role.LEADER, 1, 1, ("Received(sender=n2)",), ("Apply(entries=[1..1])",)),
    Note(2.0, "n1", "dies (crash), 1 writes lost"),
    Note(2.5, "", "VIOLATION of Election Safety: two lead term 1"),
]


def data_of(whole: str) -> dict[str, Any]:
    """What the page's script reads."""
    (inner,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', whole, re.DOTALL
    )
    data: dict[str, Any] = json.loads(inner)
    return data


def test_text_has_a_line_for_all_that_happened_in_order():
    """Events and orders of a step stand under each other; of messages, those that were lost."""
    expected = """\
    0.0000  n1  starts
    0.0000  n2  starts
    1.0000  n1  candidate t1   c0     < deadline
                                        > Persist(ticket=1)
                                        > Send(to=n2)
    1.0000  n1  x lost on its way to n2: RequestVote(term=1)
    1.1000      partition: ring
    1.2000  n2  sleeps until 1.6000
    1.5000  n1  leader    t1   c0     < Received(sender=n2)
                                      < Persisted(ticket=1)
    1.6000      network heals
    1.8000  n1  leader    t1   c1     < Received(sender=n2)
                                        > Apply(entries=[1..1])
    2.0000  n1  dies (crash), 1 writes lost
    2.5000      VIOLATION of Election Safety: two lead term 1"""

    assert expected.splitlines() == list(text(RECORDS))


def test_what_a_server_was_is_told_without_gaps():
    """From its first start to the end of the run."""
    actual = [(s.node, s.begin, s.end, s.state, s.term) for s in spells(RECORDS)]

    assert [
        ("n1", 0.0, 1.0, "follower", 0),
        ("n2", 0.0, 2.5, "follower", 0),
        ("n1", 1.0, 1.5, "candidate", 1),
        ("n1", 1.5, 2.0, "leader", 1),
        ("n1", 2.0, 2.5, "down", 1),
    ] == actual


def test_partitions_last_until_the_next_word_about_the_network():
    """Pauses say themselves how long they last; a partition may outlast the run."""
    assert [Note(1.2, "n2", "sleeps", 1.6), Note(1.1, "", "partition: ring", 1.6)] == bands(RECORDS)
    assert [Note(1.1, "", "partition: ring", 1.5)] == bands([RECORDS[4], RECORDS[6]])


def test_a_page_shows_the_last_steps_and_knows_how_they_began():
    """Less is drawn, but who led when it begins is known."""
    data = data_of(page(RECORDS, title="t", steps=1))

    assert [1.8] == [step["time"] for step in data["steps"]]
    assert ("n1", 1.8, "leader") in [(s["node"], s["begin"], s["state"]) for s in data["spells"]]
    assert not any(spell["elected"] for spell in data["spells"])
    assert "1 of 3 steps" in data["subtitle"]
    assert list(RECORDS) == list(newest(RECORDS, 0)) == list(newest(RECORDS, 3))


def test_a_page_has_everything_that_text_has():
    """Messages with their fate, steps, the commit that rose, the violation."""
    data = data_of(page(RECORDS, title="t"))

    assert ["n1", "n2"] == data["nodes"]
    assert [False, False, True] == [step["rose"] for step in data["steps"]]
    assert ["lost", "arrived"] == [flight["fate"] for flight in data["flights"]]
    assert data["notes"][-1]["text"].startswith("VIOLATION")
    assert [1.5] == [spell["begin"] for spell in data["spells"] if spell["elected"]]


def test_nothing_in_a_page_can_leave_its_place():
    """Texts of a run (commands, names, exceptions) are data, whatever they contain."""
    evil = "</script><script>alert(1)</script><!-- & $data ${title} \u2028"
    records: list[Record] = [
        Note(0.0, evil, evil),
        Step(0.0, evil, Role.LEADER, 1, 0, (evil,), (evil,)),
    ]
    whole = page(records, title=evil, subtitle=evil)

    assert "<script>alert" not in whole
    assert 2 == whole.count("<script") == whole.count("</script>")
    assert evil == data_of(whole)["title"]
    assert evil == data_of(whole)["steps"][0]["events"][0]


def test_a_page_needs_nothing_from_outside():
    """No address in it, but the name of SVG's vocabulary."""
    addresses = re.findall(r"""\w+://[^\s"'<]+""", page(RECORDS, title="t"))

    assert ["http://www.w3.org/2000/svg"] == addresses
    assert not re.search(r"\b(src|href|@import|url\((?!#))", page(RECORDS, title="t"))


def test_an_empty_trace_makes_a_page():
    """Nothing happened, and that can be seen."""
    assert [] == data_of(page([], title="t"))["steps"]


@pytest.mark.parametrize("seed", [4, 7])
def test_equal_runs_give_equal_pages(seed):
    """Byte for byte, and a trace changes nothing in the run."""
    first, second = (run(seed, steps=200, trace=True) for _ in range(2))

    assert page(first.timeline, title="") == page(second.timeline, title="")
    assert run(seed, steps=200).digests == first.digests


def test_messages_of_a_run_end_as_the_network_decides():
    """Some arrive, some are lost, and what is under way at the end has not arrived yet."""
    report = run(4, steps=400, trace=True)
    flights = [record for record in report.timeline if isinstance(record, Flight)]
    fates = [flight.fate for flight in flights]

    assert {Fate.ARRIVED, Fate.LOST} <= set(fates)
    end = report.timeline[-1].time
    assert all(flight.arrival >= end for flight in flights if flight.fate is Fate.UNDER_WAY)


def test_the_command_writes_both_forms(tmp_path, capsys, monkeypatch):
    """Into the directory that is named, and stdout remains one JSON object."""
    monkeypatch.setattr("quorum.core.election.won", lambda *_: True)
    options = ["--first", "3", "--seeds", "1", "--steps", "300", "--json", "--trace", str(tmp_path)]
    assert main(options) == 1

    promise = json.loads(capsys.readouterr().out)["violations"][0]["promise"]
    assert f"VIOLATION of {promise}" in (tmp_path / "seed-3.txt").read_text().splitlines()[-1]
    assert promise in data_of((tmp_path / "seed-3.html").read_text())["title"]


def test_only_seeds_that_broke_a_promise_are_written_in_a_sweep(tmp_path, capsys):
    """A sweep of thousands leaves no thousands of files."""
    assert main(["--seeds", "2", "--steps", "50", "--trace", str(tmp_path)]) == 0
    assert [] == list(tmp_path.iterdir())


def test_a_directory_that_is_not_there_is_an_error_before_anything_runs(tmp_path, capsys):
    """Not after an hour of seeds."""
    with pytest.raises(SystemExit):
        main(["--seeds", "1", "--trace", str(tmp_path / "none")])
    assert "there is no directory" in capsys.readouterr().err
