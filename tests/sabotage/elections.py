"""Broken rules of terms, votes and elections."""

from __future__ import annotations

from itertools import count

from attrs import evolve
from tests.sabotage.mixes import CHANGES, CRASHES, ELECTED, INSTANT, PAUSES, PLAIN
from tests.sabotage.rows import CrashPoints, Named, Orders, Seeds, broken

from quorum.core import election, majority, membership, roles
from quorum.core.raft import Raft
from quorum.core.state import State
from quorum.effects import Persist
from quorum.messages import AppendEntries
from quorum.simulation.disks import Disk

TESTS = "tests/quorum/test_election.py::"


@broken(
    Seeds("Vote durability|Election Safety", {"faults": CRASHES}), Orders("Vote durability", 3, 6)
)
def second_vote(patch):
    """Grants a second vote in a term."""
    handle = election.on_request_vote

    def sabotaged(state, sender, request):
        if not request.pre_vote and request.term == state.term:
            state.vote = None
        handle(state, sender, request)

    patch.setattr(election, "on_request_vote", sabotaged)


@broken(Seeds("Vote durability|Election Safety", {"faults": CRASHES}))
def vote_cleared(patch):
    """Forgets its vote when it hears the leader of the same term."""
    follow = roles.become_follower

    def sabotaged(state, term, leader, because):
        follow(state, term, leader, because)
        state.vote = None

    patch.setattr("quorum.core.replication.become_follower", sabotaged)


@broken(
    Seeds("Vote durability|Election Safety", {"faults": CRASHES}),
    Orders("Vote durability", 3, 7, {"crashes": 1}),
)
def vote_forgotten(patch):
    """Restarts without its vote: the vote was never made durable."""
    load = Disk.load
    patch.setattr(Disk, "load", lambda disk: evolve(load(disk), vote=None))


@broken(Seeds("Term durability"))
def term_forgotten(patch):
    """Restarts with the term of its last entry: the term itself was never made durable."""
    load = Disk.load

    def sabotaged(disk):
        recovered = load(disk)
        terms = recovered.entries.terms or (recovered.base_term,)
        return evolve(recovered, term=terms[-1])

    patch.setattr(Disk, "load", sabotaged)


@broken(CrashPoints())
def hard_state_forgotten(patch):
    """Restarts without term and vote."""
    load = Disk.load
    patch.setattr(Disk, "load", lambda disk: evolve(load(disk), vote=None, term=0))


@broken(Seeds("Vote durability|Election Safety", {"faults": CRASHES}))
def vote_and_term_in_two_writes(patch):
    """Writes the vote before the term: a crash between them leaves a new vote in an old term."""
    crash = Disk.crash

    def sabotaged(disk, random):
        queue, term = list(disk.queue), disk.term
        survivors = crash(disk, random)
        lost = queue[len(survivors) :]
        if lost and isinstance(lost[0], Persist) and lost[0].term > term:
            disk.vote = lost[0].vote
        return survivors

    patch.setattr(Disk, "crash", sabotaged)


@broken(Seeds("Term durability|Vote durability"))
def term_written_after_entries(patch):
    """Writes entries at once, and the term that they came with only with the next write."""
    carry_out = Disk._carry_out
    behind = {}

    def sabotaged(disk, order):
        if isinstance(order, Persist):
            term, vote = behind.get(id(disk), (disk.term, disk.vote))
            behind[id(disk)] = order.term, order.vote
            order = evolve(order, term=term, vote=vote)
        carry_out(disk, order)

    patch.setattr(Disk, "_carry_out", sabotaged)


@broken(Seeds("durability|Acknowledgement"), Orders("Term durability", 2, 1))
def said_too_early(patch):
    """Sends what the disk does not have yet."""

    def sabotaged(raft):
        state = raft._state
        state.out.extend(send for send, _ in state.mail)
        state.mail.clear()

    patch.setattr(Raft, "_post", sabotaged)


@broken(Seeds(ELECTED))
def votes_counted_by_number(patch):
    """Counts votes, not voters, so that a repeated answer counts twice."""
    handle, number = election.on_vote_reply, count()
    patch.setattr(
        election, "won", lambda members, votes: 2 * sum(votes.values()) > len(members.voters)
    )
    patch.setattr(
        election,
        "on_vote_reply",
        lambda state, sender, reply: handle(state, f"{sender} {next(number)}", reply),
    )


@broken(Named("tests/quorum/test_paper.py::test_votes_of_another_term_do_not_count"))
def stale_votes_counted(patch):
    """Counts votes of an earlier term for its candidacy in this one."""
    handle = election.on_vote_reply

    def sabotaged(state, sender, reply):
        handle(state, sender, evolve(reply, term=max(reply.term, state.term)))

    patch.setattr(election, "on_vote_reply", sabotaged)


@broken(Seeds(ELECTED, {"faults": evolve(CRASHES, duplicate=0.5), "config": PLAIN}))
def refused_vote_granted_later(patch):
    """Notes a candidate that it refused as the one it voted for, and says yes when asked again."""
    handle = election.on_request_vote

    def sabotaged(state, sender, request):
        if not request.pre_vote and (request.term, sender) == (state.term, state.vote):
            request = evolve(request, last_term=10**9, last_index=10**9)
        handle(state, sender, request)
        if not request.pre_vote and request.term == state.term and state.vote is None:
            state.vote, state.hard_changed = sender, True

    patch.setattr(election, "on_request_vote", sabotaged)


@broken(Seeds(ELECTED), Orders("Leader Completeness", 3, 8, INSTANT))
def log_not_compared(patch):
    """Votes for candidates whose log is behind its own."""
    handle = election.on_request_vote

    def sabotaged(state, sender, request):
        handle(state, sender, evolve(request, last_term=10**9, last_index=10**9))

    patch.setattr(election, "on_request_vote", sabotaged)


@broken(Seeds(ELECTED, {"faults": CRASHES, "config": PLAIN, "steps": 1000}))
def length_only(patch):
    """Compares logs by length, not by the term of the last entry first."""
    handle = election.on_request_vote

    def sabotaged(state, sender, request):
        handle(state, sender, evolve(request, last_term=max(state.log.last_term, 1)))

    patch.setattr(election, "on_request_vote", sabotaged)


@broken(Named(TESTS + "test_votes_go_to_logs_that_are_at_least_as_up_to_date"))
def both_must_be_newer(patch):
    """Demands that a candidate's last term and its length are both at least its own."""
    handle = election.on_request_vote

    def sabotaged(state, sender, request):
        behind = request.last_index < state.log.last_index
        handle(state, sender, evolve(request, last_term=-1) if behind else request)

    patch.setattr(election, "on_request_vote", sabotaged)


@broken(Seeds(ELECTED), Orders("Election Safety", 2, 4))
def minority_elects(patch):
    """Half of the votes are enough."""
    patch.setattr(
        election, "won", lambda members, votes: sum(votes.values()) * 2 >= len(members.voters)
    )


@broken(Seeds(ELECTED, {"faults": CHANGES}))
def learners_elect(patch):
    """Asks learners for their votes, and counts them."""
    won = majority.won

    def sabotaged(members, votes):
        voters = (*members.voters, *members.learners)
        return won(evolve(members, voters=voters, outgoing=()), votes)

    patch.setattr(election, "won", sabotaged)
    patch.setattr(
        "quorum.messages.Members.is_voter", lambda members, name: name in members.everyone
    )


@broken(Seeds("Liveness", {"faults": CHANGES}))
def newcomers_do_not_vote(patch):
    """A new voter that has not heard of its promotion refuses to vote."""
    handle = election.on_request_vote

    def sabotaged(state, sender, request):
        if state.log.members.is_voter(state.id):
            handle(state, sender, request)

    patch.setattr(election, "on_request_vote", sabotaged)


@broken(Seeds("Liveness"))
def campaigns_once(patch):
    """Campaigns in one term only: safe, and stuck after a split vote."""
    expire = election.election_timeout

    def sabotaged(state):
        if state.term == 0:
            expire(state)
        else:
            state.restart_election_timer()

    patch.setattr(election, "election_timeout", sabotaged)


@broken(Named("tests/quorum/test_replication.py::test_a_leader_of_the_past_learns_the_term"))
def old_leader_not_corrected(patch):
    """Drops messages of older terms in silence: whoever is ahead in term never gets back in."""
    correct = Raft._correct

    def sabotaged(raft, sender, message):
        if not isinstance(message, AppendEntries):
            correct(raft, sender, message)

    patch.setattr(Raft, "_correct", sabotaged)


@broken(Named(TESTS + "test_a_question_before_the_vote_changes_nothing"))
def question_puts_election_off(patch):
    """A yes to PreVote counts as hearing from a leader."""
    handle = election.on_request_vote

    def sabotaged(state, sender, request):
        handle(state, sender, request)
        if request.pre_vote:
            state.heard = state.now
            state.restart_election_timer()

    patch.setattr(election, "on_request_vote", sabotaged)


@broken(Named(TESTS + "test_whoever_hears_a_leader_does_not_elect_another"))
def living_leader_ignored(patch):
    """Follows any candidate, though a leader is alive: removed servers disturb the others."""
    patch.setattr(election, "_has_leader", lambda _: False)


@broken(Named(TESTS + "test_a_leader_without_contact_to_a_majority_steps_down"))
def lonely_leader_stays(patch):
    """Leads on without contact to a majority, and so keeps a bridge from electing another."""
    patch.setattr(roles, "quorum_contact", lambda state: state.now)


@broken(Named(TESTS + "test_a_leader_whose_disk_stalls_steps_down_and_does_not_campaign"))
def stalled_disk_leads(patch):
    """Leads on while its disk hangs: heartbeats go out, and nothing is ever committed."""
    patch.setattr(State, "stalled", property(lambda _: False))


@broken(Named(TESTS + "test_timeout_now_of_another_term_or_sender_is_ignored"))
def anybody_may_send_timeout_now(patch):
    """Campaigns when told to by a leader of the past."""
    handle = election.on_timeout_now

    def sabotaged(state, _sender, message):
        handle(state, state.leader, evolve(message, term=state.term))

    patch.setattr(election, "on_timeout_now", sabotaged)


@broken(Named("tests/quorum/test_membership.py::test_leadership_moves_on_request"))
def asks_before_a_transfer(patch):
    """Asks with PreVote although the leader told it to campaign: all refuse, a leader is alive."""
    campaign = election.campaign

    def sabotaged(state, *, pre_vote, disrupt=False):
        campaign(state, pre_vote=pre_vote or disrupt, disrupt=False)

    patch.setattr(election, "campaign", sabotaged)


@broken(Seeds("Liveness", {"faults": PAUSES}))
def transfer_never_over(patch):
    """Never clears the note that leadership is being handed over: it refuses for ever."""

    def sabotaged(state):
        transfer, peer = (
            state.transfer,
            state.peers.get(state.transfer.to if state.transfer else ""),
        )
        if transfer is not None and peer is not None and not transfer.sent:
            transfer.deadline = float("inf")

    patch.setattr(membership, "settle_transfer", lambda _: None)
    patch.setattr(membership, "pursue_transfer", sabotaged)
