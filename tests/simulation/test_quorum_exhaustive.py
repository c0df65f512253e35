"""Every order of events of two and three cores (`tests/sabotage` breaks rules for it to find)."""

from __future__ import annotations

import json

import pytest

from quorum.core import election
from quorum.simulation.__main__ import main
from quorum.simulation.exhaustive import Budget, Search
from quorum.simulation.local import Servers, digest, fork


def searched(nodes, depth, **budget):
    """A search of this size."""
    once = {"requests": 0, "heartbeats": 0, "crashes": 0, "repeats": 0, "timeouts": 1}
    search = Search(nodes, Budget(**{**once, **budget}))
    search.run(depth)
    return search


@pytest.mark.parametrize(
    ("budget", "depth"),
    [
        ({"requests": 1, "heartbeats": 1}, 26),
        ({"requests": 2, "repeats": 1}, 36),
        ({"reads": 1, "heartbeats": 1}, 25),
        ({"changes": 1, "heartbeats": 1, "crashes": 1}, 30),
        ({"protected": True, "heartbeats": 1, "crashes": 1}, 29),
    ],
    ids=["heartbeat", "repeat", "read", "change", "protected"],
)
def test_two_servers_keep_every_promise_in_every_order_to_the_end(budget, depth):
    """The whole space of a small budget: no history is left, and the longest is long."""
    search = searched(2, 100, **budget)

    assert (None, True, depth) == (search.violation, search.complete, search.depth)
    assert search.states > 2000


def test_two_servers_keep_every_promise_up_to_depth_13_with_everything_allowed():
    """Two timeouts each, a request, a heartbeat, a crash and a repeated message."""
    search = Search(2, Budget())
    search.run(13)

    assert (None, 13) == (search.violation, search.depth)
    assert search.states > 100_000


def test_three_servers_keep_every_promise_up_to_depth_11():
    """A timeout each and a crash."""
    search = searched(3, 11, crashes=1)

    assert (None, 11) == (search.violation, search.depth)
    assert search.states > 10_000


def test_equal_searches_visit_equal_states():
    """Nothing depends on chance, or on the order in which sets are kept."""
    one, two = (searched(2, 12, requests=1, crashes=1) for _ in range(2))

    assert (one.states, one.transitions) == (two.states, two.transitions)


def test_a_fork_shares_nothing_that_changes():
    """Stepping the copy leaves the original as it was."""
    servers = Servers(("a", "b"))
    before = servers.boot("a")
    contents = digest(before.state)

    after = servers.timeout(before).after

    assert contents == digest(before.state) != digest(after.state)
    assert contents == digest(fork(before.state))


def test_the_command_reports_a_search(capsys):
    """States, transitions, depth and violations, as one JSON object."""
    status = main(["--exhaustive", "--nodes", "2", "--depth", "8", "--json"])

    report = json.loads(capsys.readouterr().out)
    assert (0, 8, []) == (status, report["depth"], report["violations"])
    assert 0 < report["states"] < report["transitions"]


def test_the_command_fails_and_tells_the_history(capsys, monkeypatch):
    """Whoever runs it in CI sees red, and how to get there."""
    monkeypatch.setattr(election, "won", lambda members, votes: sum(votes.values()) >= 1)

    status = main(["--exhaustive", "--nodes", "2"])

    told = capsys.readouterr().out
    assert 1 == status
    assert "Election Safety: a and b lead term 1" in told
    assert "b times out" in told
