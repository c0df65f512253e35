"""Every order of events of two and three cores, and what the search finds when a rule is broken."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from quorum.core import election, replication
from quorum.core.log import Log
from quorum.core.progress import Progress
from quorum.core.raft import Raft
from quorum.core.state import State
from quorum.simulation.__main__ import main
from quorum.simulation.disks import Disk
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
    ],
    ids=["heartbeat", "repeat"],
)
def test_two_servers_keep_every_promise_in_every_order_to_the_end(budget, depth):
    """The whole space of a small budget: no history is left, and the longest is long."""
    search = searched(2, 100, **budget)

    assert (None, True, depth) == (search.violation, search.complete, search.depth)
    assert search.states > 3000


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


# Broken rules


def vote_given_twice(patch):
    handle = election.on_request_vote

    def sabotaged(state, sender, request):
        if request.term == state.term:
            state.vote = None
        handle(state, sender, request)

    patch.setattr(election, "on_request_vote", sabotaged)


def vote_forgotten(patch):
    load = Disk.load
    patch.setattr(Disk, "load", lambda disk: evolve(load(disk), vote=None))


def said_before_written(patch):
    def sabotaged(raft):
        state = raft._state
        state.out.extend(send for send, _ in state.mail)
        state.mail.clear()

    patch.setattr(Raft, "_post", sabotaged)


def acknowledged_too_early(patch):
    answer = State.acknowledge
    patch.setattr(
        State,
        "acknowledge",
        lambda state, to, reply, durable: answer(state, to, reply, durable=False),
    )


def old_term_counted(patch):
    advance = replication.advance_commit

    def sabotaged(state):
        start, state.term_start = state.term_start, 0
        advance(state)
        state.term_start = start

    patch.setattr(replication, "advance_commit", sabotaged)


def own_disk_assumed(patch):
    advance = replication.advance_commit

    def sabotaged(state):
        durable, state.gate.durable = state.gate.durable, state.log.last_index
        advance(state)
        state.gate.durable = durable

    patch.setattr(replication, "advance_commit", sabotaged)


def matching_truncated(patch):
    patch.setattr(Log, "agreement", lambda _log, entries: entries.first - 1)


def match_falls(patch):
    handle = Progress.matched

    def sabotaged(peer, match):
        peer.match = min(peer.match, match)
        return handle(peer, match)

    patch.setattr(Progress, "matched", sabotaged)


def half_elects(patch):
    patch.setattr(
        election, "won", lambda members, votes: sum(votes.values()) * 2 >= len(members.voters)
    )


def log_not_compared(patch):
    handle = election.on_request_vote

    def sabotaged(state, sender, request):
        handle(state, sender, evolve(request, last_index=10**9, last_term=10**9))

    patch.setattr(election, "on_request_vote", sabotaged)


def conflict_kept(patch):
    patch.setattr(Log, "agreement", lambda log, entries: min(entries.last, log.last_index))


INSTANT = {"timeouts": 2, "instant_disks": True}


@pytest.mark.parametrize(
    ("sabotage", "promise", "nodes", "events", "budget"),
    [
        (vote_given_twice, "Vote durability", 3, 6, {}),
        (vote_forgotten, "Vote durability", 3, 7, {"crashes": 1}),
        (said_before_written, "Term durability", 2, 1, {}),
        (acknowledged_too_early, "Acknowledgement", 2, 6, {}),
        (own_disk_assumed, "Commit", 2, 8, {}),
        (half_elects, "Election Safety", 2, 4, {}),
        (matching_truncated, "Log Matching", 2, 11, {"requests": 1, "repeats": 1}),
        (match_falls, "Match", 2, 15, {"requests": 1, "heartbeats": 1}),
        (old_term_counted, "Commit", 2, 16, {"timeouts": 2, "crashes": 1}),
        (log_not_compared, "Leader Completeness", 3, 8, INSTANT),
        (conflict_kept, "Acknowledgement", 3, 7, {**INSTANT, "crashes": 1}),
    ],
)
def test_a_broken_rule_is_found_by_a_shortest_history(
    sabotage, promise, nodes, events, budget, monkeypatch
):
    """The mistakes of published libraries, each within the events that it needs."""
    sabotage(monkeypatch)

    search = searched(nodes, 20, **budget)

    assert search.violation is not None
    assert (promise, events) == (search.violation.promise, len(search.history))


def test_the_command_reports_a_search(capsys):
    """States, transitions, depth and violations, as one JSON object."""
    status = main(["--exhaustive", "--nodes", "2", "--depth", "8", "--json"])

    report = json.loads(capsys.readouterr().out)
    assert (0, 8, []) == (status, report["depth"], report["violations"])
    assert 0 < report["states"] < report["transitions"]


def test_the_command_fails_and_tells_the_history(capsys, monkeypatch):
    """Whoever runs it in CI sees red, and how to get there."""
    half_elects(monkeypatch)

    status = main(["--exhaustive", "--nodes", "2"])

    told = capsys.readouterr().out
    assert 1 == status
    assert "Election Safety: a and b lead term 1" in told
    assert "b times out" in told
