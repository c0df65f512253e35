"""Broken rules of reads, leases, and answers that must come."""

from __future__ import annotations

from attrs import evolve
from tests.sabotage.mixes import CHANGES, DRIFTING, LEASES, PARTITIONS, PLAIN
from tests.sabotage.rows import Named, Orders, Seeds, broken

from quorum.core import election, forwarding, lease, membership, reads
from quorum.core.majority import reached
from quorum.core.raft import Raft
from quorum.core.state import State

STALE = "Read linearizability"
TESTS = "tests/quorum/test_reads.py::"

LEASED = {"config": LEASES, "faults": DRIFTING, "steps": 800}


@broken(Seeds(STALE, {"faults": PARTITIONS, "config": PLAIN}))
def read_unconfirmed(patch):
    """Answers reads without asking a majority whether it still leads."""
    patch.setattr(reads, "confirmed_round", lambda _: 10**9)


@broken(Seeds(STALE, {"faults": PARTITIONS, "config": PLAIN}))
def read_by_earlier_round(patch):
    """An answer to any question of this term, also from before the read, confirms it."""
    begin = reads._begin

    def sabotaged(state, asker):
        begin(state, asker)
        if state.reads:
            state.reads[-1].round = 1

    patch.setattr(reads, "_begin", sabotaged)


@broken(Seeds(STALE), Orders(STALE, 3, 11, {"reads": 1, "instant_disks": True}))
def read_before_first_commit(patch):
    """A new leader answers reads by a commit index that may be out of date."""
    begin = reads._begin

    def sabotaged(state, asker):
        start, state.term_start = state.term_start, 0
        begin(state, asker)
        state.term_start = start

    patch.setattr(reads, "_begin", sabotaged)


@broken(Seeds(STALE))
def read_not_waited_for(patch):
    """Answers a read before the machine has caught up."""
    answer = reads.answer

    def sabotaged(state):
        applied, state.applied = state.applied, state.commit
        answer(state)
        state.applied = applied

    patch.setattr(reads, "answer", sabotaged)


@broken(Seeds(STALE + "|Liveness", {"faults": evolve(CHANGES, interval=1.0), "steps": 800}))
def learners_confirm(patch):
    """Learners count when a leader asks whether it still leads."""

    def sabotaged(members, values, absent):
        voters = (*members.voters, *members.learners)
        return reached(evolve(members, voters=voters), values, absent)

    patch.setattr(lease, "reached", sabotaged)


@broken(Named(TESTS + "test_an_answer_to_a_question_of_an_earlier_life_answers_nothing"))
def questions_numbered_anew(patch):
    """Numbers its questions from 1 in each life: an old answer is taken for a newer one's."""

    def sabotaged(state):
        state.context += 1
        return state.context

    patch.setattr(State, "new_context", sabotaged)


@broken(Named(TESTS + "test_the_age_of_a_read_counts_from_before_its_proof_was_asked_for"))
def age_counts_from_the_answer(patch):
    """Takes a state for as fresh as the answer that proved it, not as the question."""
    handle = reads.on_read_index_reply

    def sabotaged(state, reply):
        for asked in state.asked.values():
            asked.begun = state.now
        handle(state, reply)

    patch.setattr(reads, "on_read_index_reply", sabotaged)


@broken(Seeds(STALE, LEASED))
def lease_for_ever(patch):
    """Trusts its lease for as long as it believes that it leads."""
    patch.setattr(reads, "holds_lease", lambda state: state.commit >= state.term_start)


@broken(Named("tests/quorum/test_lease.py::test_a_lease_ends_in_time_when_nobody_answers"))
def lease_of_two_timeouts(patch):
    """Trusts its lease for longer than its followers ignore candidates."""
    start = lease.lease_start
    patch.setattr(
        lease, "lease_start", lambda state: start(state) + 2 * state.config.election_timeout
    )


@broken(Named("tests/quorum/test_lease.py::test_a_lease_counts_from_when_the_round_was_sent"))
def lease_counts_from_the_answer(patch):
    """Begins its lease when the answers came, not when the round was sent."""
    patch.setattr(
        lease,
        "lease_start",
        lambda state: reached(
            state.log.members,
            {state.id: state.now, **{name: peer.contact for name, peer in state.peers.items()}},
            float("-inf"),
        ),
    )


@broken(Named("tests/quorum/test_lease.py::test_a_lease_is_given_away_before_leadership_is"))
def lease_kept_in_a_transfer(patch):
    """Reads under its lease although it has told another server to campaign."""
    holds = lease.holds_lease

    def sabotaged(state):
        transfer, state.transfer = state.transfer, None
        held = holds(state)
        state.transfer = transfer
        return held

    patch.setattr(reads, "holds_lease", sabotaged)


@broken(
    Named(
        "tests/quorum/test_lease.py::test_a_restarted_voter_keeps_the_promise_of_its_earlier_life"
    )
)
def restarted_voter_forgets_the_lease(patch):
    """Votes right after a restart, though before it a leader was promised that nobody would."""
    start = Raft.__init__

    def sabotaged(raft, *arguments, **options):
        start(raft, *arguments, **options)
        raft._state.heard = float("-inf")

    patch.setattr(Raft, "__init__", sabotaged)


@broken(
    Seeds(
        STALE,
        {
            **LEASED,
            "config": evolve(LEASES, lease_drift=0.0),
            "faults": DRIFTING,
        },
    )
)
def clocks_beyond_the_bound(_patch):
    """Nothing in the code: clocks differ in speed by more than `lease_drift` allows."""


@broken(Named(TESTS + "test_a_leader_that_was_replaced_answers_no_read"))
def readers_left_waiting(patch):
    """Forgets, when it loses its leadership, those who wait for it to be confirmed."""

    def sabotaged(state):
        state.reads.clear()
        state.early_reads.clear()

    patch.setattr(reads, "refuse_all", sabotaged)


@broken(Seeds("Liveness|Deadline"))
def lost_question_awaited(patch):
    """Waits for ever for the leader's answer to a question that got lost."""
    patch.setattr(reads, "expire_asked", lambda _: None)
    patch.setattr(reads, "forget_asked", lambda _: None)


@broken(Seeds("Liveness|Deadline"))
def lost_proposal_awaited(patch):
    """Waits for ever for the leader's answer to a proposal that was passed on and got lost."""
    patch.setattr(forwarding, "give_up", lambda *_, **__: None)


@broken(
    Named(
        "tests/quorum/test_election.py"
        "::test_a_server_that_may_not_campaign_still_forgets_a_silent_leader"
    )
)
def silent_leader_awaited(patch):
    """A server that may not campaign waits for its leader for ever, and its callers with it."""
    expire = election.election_timeout

    def sabotaged(state):
        if membership.may_lead(state) and not state.stalled:
            expire(state)
        else:
            state.restart_election_timer()

    patch.setattr(election, "election_timeout", sabotaged)
