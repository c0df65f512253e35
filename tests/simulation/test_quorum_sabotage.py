"""The simulator bites: break one rule of the core, and some seed must notice.

Each sabotage is a mistake that a published implementation has made, or nearly. "No violation" means
little until these are all found.
"""

from __future__ import annotations

import re

import pytest
from attrs import evolve

from quorum.config import Config
from quorum.core import election, membership, reads, replication
from quorum.core.gate import Gate
from quorum.core.log import Log
from quorum.core.majority import reached
from quorum.core.raft import Raft
from quorum.core.state import State
from quorum.simulation import Faults, run
from quorum.simulation.disks import Disk

SEEDS_MAX = 100
"""Far above what any sabotage needs today: the generator's draws change with the simulator."""


def second_vote(patch):
    """Grants a second vote in a term."""
    handle = election.on_request_vote

    def sabotaged(state, sender, request):
        if not request.pre_vote and request.term == state.term:
            state.vote = None
        handle(state, sender, request)

    patch.setattr(election, "on_request_vote", sabotaged)


def vote_cleared(patch):
    """Forgets its vote when it hears the leader of the same term."""
    follow = replication.follow

    def sabotaged(state, leader):
        if state.leader != leader:
            state.vote = None
        follow(state, leader)

    patch.setattr(replication, "follow", sabotaged)


def vote_forgotten(patch):
    """Restarts without its vote."""
    load = Disk.load
    patch.setattr(Disk, "load", lambda disk: evolve(load(disk), vote=None))


def term_forgotten(patch):
    """Restarts with the term of its last entry."""
    load = Disk.load

    def sabotaged(disk):
        recovered = load(disk)
        terms = recovered.entries.terms or (recovered.base_term,)
        return evolve(recovered, term=terms[-1])

    patch.setattr(Disk, "load", sabotaged)


def said_too_early(patch):
    """Sends what the disk does not have yet."""

    def sabotaged(raft):
        state = raft._state
        state.out.extend(send for send, _ in state.mail)
        state.mail.clear()

    patch.setattr(Raft, "_post", sabotaged)


def acknowledged_too_early(patch):
    """Acknowledges entries that are still on their way to the disk."""
    answer = State.acknowledge
    patch.setattr(
        State,
        "acknowledge",
        lambda state, to, reply, durable: answer(state, to, reply, durable=False),
    )


def log_not_compared(patch):
    """Votes for candidates whose log is behind its own."""
    handle = election.on_request_vote

    def sabotaged(state, sender, request):
        handle(state, sender, evolve(request, last_term=request.term, last_index=10**9))

    patch.setattr(election, "on_request_vote", sabotaged)


def length_only(patch):
    """Compares logs by length, not by the term of the last entry first."""
    handle = election.on_request_vote

    def sabotaged(state, sender, request):
        handle(state, sender, evolve(request, last_term=max(state.log.last_term, 1)))

    patch.setattr(election, "on_request_vote", sabotaged)


def old_term_counted(patch):
    """Commits an entry of an older term because a majority has it (Figure 8)."""
    advance = replication.advance_commit

    def sabotaged(state):
        start, state.term_start = state.term_start, 0
        advance(state)
        state.term_start = start

    patch.setattr(replication, "advance_commit", sabotaged)


def own_disk_assumed(patch):
    """The leader counts itself for what its own disk does not have yet."""
    advance = replication.advance_commit

    def sabotaged(state):
        durable, state.gate.durable = state.gate.durable, state.log.last_index
        advance(state)
        state.gate.durable = durable

    patch.setattr(replication, "advance_commit", sabotaged)


def learners_counted(patch):
    """Learners count for commits."""

    def sabotaged(members, values, absent):
        voters = (*members.voters, *members.learners)
        return reached(evolve(members, voters=voters), values, absent)

    patch.setattr(replication, "reached", sabotaged)


def one_majority_commits(patch):
    """In a joint configuration the new majority alone commits."""

    def sabotaged(members, values, absent):
        return reached(evolve(members, outgoing=()), values, absent)

    patch.setattr(replication, "reached", sabotaged)


def minority_elects(patch):
    """Half of the votes are enough."""
    patch.setattr(
        election, "won", lambda members, votes: sum(votes.values()) * 2 >= len(members.voters)
    )


def matching_truncated(patch):
    """Truncates whatever follows, although the entries are the same."""
    patch.setattr(Log, "agreement", lambda _log, entries: entries.first - 1)


def conflict_kept(patch):
    """Appends only beyond its log's end, and never looks whether what it has agrees."""
    patch.setattr(Log, "agreement", lambda log, entries: min(entries.last, log.last_index))


def consistency_unchecked(patch):
    """Accepts entries whatever comes before them."""
    handle = replication.on_append_entries

    def sabotaged(state, sender, message):
        term = state.log.term_at(message.previous_index)
        handle(state, sender, message if term is None else evolve(message, previous_term=term))

    patch.setattr(replication, "on_append_entries", sabotaged)


def last_index_committed(patch):
    """Takes min(leaderCommit, last entry of its log) for the commit index."""
    handle = replication.on_append_entries

    def sabotaged(state, sender, message):
        handle(state, sender, message)
        state.commit = max(state.commit, min(message.commit, state.log.last_index))

    patch.setattr(replication, "on_append_entries", sabotaged)


def stale_write_trusted(patch):
    """A write that was overtaken by a truncation still counts when it completes."""
    patch.setattr(Gate, "truncated", lambda _gate, _start: None)


def read_unconfirmed(patch):
    """Answers reads without asking a majority whether it still leads."""
    patch.setattr(reads, "confirmed_round", lambda _: 10**9)


def read_by_earlier_round(patch):
    """An answer to any question of this term, also from before the read, confirms it."""
    begin = reads._begin

    def sabotaged(state, asker):
        begin(state, asker)
        if state.reads:
            state.reads[-1].round = 1

    patch.setattr(reads, "_begin", sabotaged)


def read_before_first_commit(patch):
    """A new leader answers reads by a commit index that may be out of date."""
    begin = reads._begin

    def sabotaged(state, asker):
        start, state.term_start = state.term_start, 0
        begin(state, asker)
        state.term_start = start

    patch.setattr(reads, "_begin", sabotaged)


def read_not_waited_for(patch):
    """Answers a read before the machine has caught up."""
    answer = reads.answer

    def sabotaged(state):
        applied, state.applied = state.applied, state.commit
        answer(state)
        state.applied = applied

    patch.setattr(reads, "answer", sabotaged)


def configuration_kept(patch):
    """Goes on by a configuration whose entry was truncated."""
    truncate = Log.truncate

    def sabotaged(log, start):
        kept = list(log._members)
        truncate(log, start)
        log._members = kept

    patch.setattr(Log, "truncate", sabotaged)


def joint_skipped(patch):
    """Goes straight from one set of voters to any other."""
    patch.setattr(membership, "_towards", lambda old, new: evolve(new, learners=old.learners[:0]))


def refusals_ignored(patch):
    """Never goes back when a follower refuses: safe, and stuck."""
    handle = replication.on_append_reply

    def sabotaged(state, sender, reply):
        if reply.match is not None:
            handle(state, sender, reply)

    patch.setattr(replication, "on_append_reply", sabotaged)


def campaigns_once(patch):
    """Campaigns in one term only: safe, and stuck."""
    expire = election.election_timeout

    def sabotaged(state):
        if state.term == 0:
            expire(state)
        else:
            state.restart_election_timer()

    patch.setattr(election, "election_timeout", sabotaged)


CHANGES = Faults(
    timed=("members", "members", "partition", "crash", "slow disk"),
    interval=0.5,
    delay=0.2,
    loss=0.1,
)
CRASHES = Faults(
    timed=("crash", "crash", "partition", "pause"), interval=0.5, loss=0.1, crash_in_effects=0.01
)
PAUSES = Faults(timed=("pause", "partition", "transfer"), interval=0.5, delay=0.3, drift=0.1)
PARTITIONS = Faults(timed=("partition",), interval=2.0)
PLAIN = Config(pre_vote=False, check_quorum=False)
"""Raft as in the paper: a leader that was cut off goes on believing that it leads."""

ELECTED = "Election Safety|Leader Completeness|State Machine Safety"
LOGS = "Acknowledgement|Log Matching|State Machine Safety"

# The rule broken, the promises that may be found broken, and where to look: most are found by
# seeds as they come, some need a particular mix of faults or a longer run.
SABOTAGES = [
    (second_vote, "Vote durability|Election Safety", {"faults": CRASHES}),
    (vote_cleared, "Vote durability|Election Safety", {"faults": CRASHES}),
    (vote_forgotten, "Vote durability|Election Safety", {"faults": CRASHES}),
    (term_forgotten, "Term durability", {}),
    (said_too_early, "durability|Acknowledgement", {}),
    (acknowledged_too_early, "Acknowledgement", {}),
    (log_not_compared, ELECTED, {}),
    (length_only, ELECTED, {"faults": CRASHES, "config": PLAIN, "steps": 1000}),
    (minority_elects, ELECTED, {}),
    (one_majority_commits, "Commit", {"faults": CHANGES}),
    (old_term_counted, "Commit", {}),
    (own_disk_assumed, "Commit", {}),
    (learners_counted, "Commit", {"faults": CHANGES}),
    (matching_truncated, "Log Matching", {}),
    (conflict_kept, LOGS, {"faults": CRASHES, "steps": 800}),
    (consistency_unchecked, LOGS + "|Liveness", {"faults": CRASHES, "steps": 800}),
    (last_index_committed, "Commit|State Machine Safety", {"faults": CRASHES, "steps": 800}),
    (stale_write_trusted, "Commit|" + LOGS, {"faults": CRASHES, "steps": 800}),
    (read_unconfirmed, "Read linearizability", {"faults": PARTITIONS, "config": PLAIN}),
    (read_by_earlier_round, "Read linearizability", {"faults": PARTITIONS, "config": PLAIN}),
    (read_before_first_commit, "Read linearizability", {}),
    (read_not_waited_for, "Read linearizability", {}),
    (configuration_kept, "Configuration", {"faults": CHANGES}),
    (joint_skipped, "Configuration", {"faults": CHANGES}),
    (refusals_ignored, "Liveness", {}),
    (campaigns_once, "Liveness", {}),
]


@pytest.mark.parametrize(
    ("sabotage", "promises", "options"),
    SABOTAGES,
    ids=[sabotage.__name__ for sabotage, *_ in SABOTAGES],
)
def test_a_broken_rule_is_found(sabotage, promises, options, monkeypatch):
    """Within some seeds, as the breaking of one of the promises that stand on this rule."""
    sabotage(monkeypatch)
    reports = (run(seed, **{"steps": 400, **options}) for seed in range(1, SEEDS_MAX))

    found = next((report for report in reports if report.violations), None)

    assert found is not None, f"nobody noticed within {SEEDS_MAX} seeds: {sabotage.__doc__}"
    assert re.search(promises, found.violations[0].promise), str(found.violations[0])


def test_nothing_is_found_where_nothing_is_broken():
    """The same seeds and faults, on the core as it is."""
    for faults in (None, CHANGES, CRASHES, PAUSES):
        for seed in range(1, 10):
            report = run(seed, steps=400, faults=faults)

            assert report.violations == [], str(report.violations[0])
