"""Partial partitions: what is live is exactly what can be, nobody flaps, and all of it is safe."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
from attrs import evolve

from quorum.simulation.__main__ import main
from quorum.simulation.links import CONFIG, HEAL, HOLD_MIN, PLAIN, play
from quorum.simulation.topologies import (
    Situation,
    any_way,
    links,
    named,
    one_way_family,
    situations,
    two_way,
)

EVERYBODY = frozenset(range(5))

BARRED = {
    "star of four": ["e led, ad behind"],
    "chain of four": ["e led, ab behind"],
    "chain of three, a pair": ["d led, ae behind", "d led, ac behind"],
    "chain of three": ["d led, ae behind", "d led, ac behind"],
}
"""`docs/guarantees.md` has this list: connected servers exist, and none of them is electable."""


def barred(topologies):
    """Situations in which somebody has links to a majority, and nobody can be elected."""
    found = {}
    for topology in topologies:
        stuck = [str(each) for each in situations(topology) if not each.electable]
        if stuck and topology.connected:
            found[topology.name] = stuck
    return found


def judge(every, seed=1):
    """Play situations with different timeouts; return what was not as it must be."""
    outcomes = [play(each, hold=HOLD_MIN, seed=seed + k) for k, each in enumerate(every)]

    assert outcomes
    return [f"{each.situation.topology}, {each.situation}" for each in outcomes if each.broken]


@pytest.mark.parametrize(("size", "count"), [(2, 2), (3, 4), (4, 11), (5, 34)])
def test_every_graph_is_there_once(size, count):
    """As many as there are graphs of so many unlabelled vertices."""
    assert count == len(two_way(size)) == len(set(two_way(size)))


def test_every_directed_graph_of_three_is_there_once():
    """Sixteen, the symmetric ones among them."""
    assert 16 == len(any_way(3))
    assert {topology.arcs for topology in two_way(3)} <= {t.arcs for t in any_way(3)} | {
        frozenset({(0, 1), (1, 0)})
    }


def test_situations_are_told_apart_up_to_symmetry():
    """In a whole cluster all leaders are alike; in a chain its middle differs from its ends."""
    whole, chain = links(3, "ab ac bc"), links(3, "ab ac")

    assert ["a led", "a led, c behind"] == [str(each) for each in situations(whole)]
    assert ["a led", "a led, c behind", "b led", "b led, c behind", "b led, a behind"] == [
        str(each) for each in situations(chain)
    ]


def test_who_is_electable_depends_on_links_and_logs():
    """A majority within reach, and nothing newer on it."""
    star = links(5, "ab ac ad")

    assert (0,) == Situation(star, 4, EVERYBODY).electable
    assert () == Situation(star, 4, frozenset({1, 2, 4})).electable
    assert (0,) == Situation(star, 1, frozenset({1, 2, 4})).electable  # its last act: to tell a
    assert () == Situation(links(5, "ab cd"), 0, EVERYBODY).electable


def test_what_cannot_be_live_is_as_documented():
    """Four topologies of five servers; no topology of three, one-way links included."""
    assert BARRED == barred(two_way(5))
    assert {} == barred([*two_way(3), *any_way(3)])
    assert {"star with a deaf point", "leader speaks to one voter"} == set(
        barred(one_way_family(5))
    )


def test_the_guarantees_name_every_exception():
    """With its links, up to the order of the letters."""
    text = (Path(__file__).parents[2] / "docs" / "guarantees.md").read_text()

    for name in BARRED:
        (row,) = (line for line in text.splitlines() if line.startswith(f"  | {name} |"))
        (topology,) = (each for each in named(5) if each.name == name)
        assert topology == links(5, row.split("|")[2].replace(",", ""))


def test_three_servers_do_what_can_be_done_in_every_topology():
    """Live or not as predicted, no election once settled, back in time, and safe throughout."""
    assert [] == judge(each for topology in two_way(3) for each in situations(topology))
    assert [] == judge(each for topology in any_way(3) for each in situations(topology))


def test_five_servers_do_what_can_be_done_in_every_topology():
    """Every leader, all logs equal: whoever has links to a majority is enough."""
    every = [
        Situation(topology, each.leader, EVERYBODY)
        for topology in two_way(5)
        for each in situations(topology)
        if each.fresh == EVERYBODY
    ]

    assert 90 == len(every)
    assert all(bool(each.topology.connected) == bool(each.electable) for each in every)
    assert [] == judge(every)


def test_five_servers_wait_where_nobody_can_be_elected():
    """Without a term begun meanwhile; and all is well when the links are back."""
    every = [
        each
        for topology in (*two_way(5), *one_way_family(5))
        for each in situations(topology)
        if topology.connected and not each.electable
    ]
    outcomes = [play(each, hold=HOLD_MIN, seed=k) for k, each in enumerate(every)]

    assert len(outcomes) >= sum(map(len, BARRED.values()))
    assert not any(outcome.live or outcome.terms for outcome in outcomes)
    assert all(0 < outcome.recovery <= HEAL for outcome in outcomes)


def test_five_servers_bear_links_that_work_one_way():
    """A family of troubles that have been met, with equal logs."""
    assert [] == judge(
        each
        for topology in one_way_family(5)
        for each in situations(topology)
        if each.fresh == EVERYBODY
    )


def test_plain_raft_flaps_where_ours_does_not():
    """The chain: its end hears no leader, and deposes it again and again."""
    (chain,) = (topology for topology in named(5) if topology.name == "chain")
    every = [Situation(chain, leader, EVERYBODY) for leader in range(5)]

    assert sum(play(each, hold=30, config=PLAIN).elections for each in every) > 5
    assert sum(play(each, hold=30).elections for each in every) == 0


def test_an_idle_cluster_is_as_quiet(monkeypatch):
    """Nobody is elected, and no term is begun, although no write makes candidates' logs old."""
    monkeypatch.setattr("quorum.simulation.links.WRITES", 0.001)
    every = [each for topology in any_way(3) for each in situations(topology)]
    equal = [each for each in every if len(each.fresh) == 3]
    outcomes = [play(each, hold=HOLD_MIN, seed=k) for k, each in enumerate(equal)]

    assert 0 == sum(outcome.elections + outcome.terms for outcome in outcomes)


def test_without_check_quorum_a_deaf_leader_stops_all(monkeypatch):
    """It is heard, so nobody campaigns; it hears nothing, so nothing is committed."""
    situation = Situation(links(3, "a>b a>c bc"), 0, frozenset(range(3)))
    config = evolve(CONFIG, check_quorum=False)

    assert situation.electable
    assert not play(situation, hold=HOLD_MIN, config=config).live
    assert play(situation, hold=HOLD_MIN).live
    monkeypatch.setattr("quorum.core.raft.check_quorum", lambda _: None)
    assert ["a>b a>c bc, a led"] == judge([situation])


def test_a_broken_promise_is_found(monkeypatch, capsys):
    """It counts as an outcome, with what was broken, and as exit status 1."""
    monkeypatch.setattr("quorum.core.election.won", lambda *_: True)

    assert main(["--links", "2", "--hold", "13"]) == 1
    assert "Vote durability" in capsys.readouterr().out


def test_equal_arguments_give_equal_outcomes():
    """And another seed other timeouts."""
    situation = Situation(links(3, "ab"), 2, frozenset(range(3)))

    assert play(situation, hold=HOLD_MIN, seed=4) == play(situation, hold=HOLD_MIN, seed=4)
    assert play(situation, hold=HOLD_MIN, seed=4) != play(situation, hold=HOLD_MIN, seed=5)


def test_the_command_prints_the_table(capsys):
    """A row for each topology, with the equal-log outcomes of plain Raft beside ours."""
    assert main(["--links", "3", "--hold", "15", "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert ["ab ac bc", "ab ac", "ab", "none"] == [row["links"] for row in report["topologies"]]
    assert [2, 5, 5, 0] == [row["live"] for row in report["topologies"]]
    assert [] == report["violations"]

    assert main(["--links", "3", "--hold", "15"]) == 0
    assert "4 topologies, 14 situations, violations none" in capsys.readouterr().out


def test_links_that_hold_too_short_are_refused(capsys):
    """There would be nothing to look at."""
    with pytest.raises(SystemExit):
        main(["--links", "3", "--hold", "2"])
    assert "must be at least 13" in capsys.readouterr().err
    with pytest.raises(ValueError, match="13 timeouts at least"):
        play(Situation(links(2, "ab"), 0, frozenset((0, 1))), hold=2)


def test_names_stand_for_topologies_that_are_played():
    """Two names for one topology, or one that is not in the table, would mislead."""
    topologies = list(named(5))

    assert not any(
        one.renamed(order) == other
        for one, other in combinations(topologies, 2)
        for order in [tuple(range(5))]
    )
    assert {each.name for each in topologies} == {each.name for each in two_way(5)} - {""}
