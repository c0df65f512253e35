"""Leader election (§5.2, §5.4.1), PreVote (thesis 9.6) and leader stickiness (thesis 4.2.3, 6.2).

A follower that hears nothing for an election timeout first asks around whether it could win
(PreVote): the question changes nobody's state, so a server that was cut off, or that is no longer
wanted, disturbs no one. Only with a majority of yeses does it begin a term and campaign. A server
that hears a living leader ignores candidates, unless the leader itself sent them (TimeoutNow).

A vote is a promise: the term and the vote are on our disk before the reply leaves, and a candidate
counts its own vote only then (`gate`).
"""

from __future__ import annotations

from quorum.core import forwarding, membership, reads
from quorum.core.majority import lost, won
from quorum.core.roles import become_follower, become_leader, quorum_contact
from quorum.core.state import State
from quorum.effects import Role
from quorum.messages import NodeId, RequestVote, TimeoutNow, VoteReply


def election_timeout(state: State) -> None:
    """The timer ran out: "increment current term, vote for self, reset timer, send to all"."""
    if not membership.may_lead(state) or state.stalled:
        # Not ours to ask for, or unfit: hear out the others. But whoever led us does so no more;
        # a server that was removed would else wait for it for ever, and its callers with it.
        become_follower(state, state.term, None, "no leader was heard")
        state.restart_election_timer()
        return
    campaign(state, pre_vote=state.config.pre_vote)


def campaign(state: State, *, pre_vote: bool, disrupt: bool = False) -> None:
    """Ask every voter for its vote, or (PreVote) whether it would give it."""
    state.role = Role.FOLLOWER if pre_vote else Role.CANDIDATE
    if not pre_vote:
        state.term += 1
        state.vote = state.id
        state.hard_changed = True
        state.because = "asked by the leader" if disrupt else "no leader was heard"
    state.pre_voting = pre_vote
    state.leader = None
    reads.forget_asked(state)
    forwarding.give_up(state)
    # Our own answer to PreVote costs nothing; our own vote counts when it is durable.
    state.votes = {state.id: True} if pre_vote else {}
    state.restart_election_timer()
    request = RequestVote(
        term=state.term + 1 if pre_vote else state.term,
        last_index=state.log.last_index,
        last_term=state.log.last_term,
        pre_vote=pre_vote,
        disrupt=disrupt,
    )
    for peer in state.log.members.everyone:
        if peer != state.id and state.log.members.is_voter(peer):
            state.send(peer, request)
    _count(state)


def own_vote_durable(state: State) -> None:
    """The disk has our candidacy: now our vote for ourselves counts."""
    if state.role is Role.CANDIDATE and state.gate.hard <= state.gate.persisted:
        state.votes[state.id] = True
        _count(state)


def on_request_vote(state: State, sender: NodeId, request: RequestVote) -> None:
    """Receiver's side of RequestVote (Figure 2; §5.4.1 for what "up-to-date" means)."""
    # "If the logs have last entries with different terms, then the log with the later term is more
    # up-to-date. If the logs end with the same term, then whichever log is longer [...]"
    mine = (state.log.last_term, state.log.last_index)
    up_to_date = (request.last_term, request.last_index) >= mine
    if request.pre_vote:
        # A yes needs what a vote would need; it changes neither term, vote nor timer.
        granted = request.term > state.term and up_to_date and not _has_leader(state)
        state.send(sender, VoteReply(state.term, granted, pre_vote=True))
        return
    if request.term > state.term:
        if state.config.check_quorum and not request.disrupt and _has_leader(state):
            return  # "if a server receives a RequestVote within the minimum election timeout of
            # hearing from a current leader, it does not update its term or grant its vote" (§6)
        become_follower(state, request.term, None, f"{sender} campaigns in term {request.term}")
    granted = request.term == state.term and up_to_date and state.vote in (None, sender)
    if granted:
        if state.vote is None:
            state.vote = sender
            state.hard_changed = True
        state.restart_election_timer()
    state.send(sender, VoteReply(state.term, granted))


def _has_leader(state: State) -> bool:
    """Whether we lead with a majority behind us, or hear somebody who leads."""
    if state.is_leader:
        return state.now - quorum_contact(state) < state.config.election_timeout
    return state.leader_alive


def on_vote_reply(state: State, sender: NodeId, reply: VoteReply) -> None:
    """Candidate's side: count by voter, in this term and this ballot only."""
    if reply.term > state.term:
        become_follower(state, reply.term, None, f"{sender} is in term {reply.term}")
        return
    asking = state.pre_voting if reply.pre_vote else state.role is Role.CANDIDATE
    # A yes to PreVote comes in the voter's own term, which may be behind ours.
    if asking and (reply.pre_vote or reply.term == state.term):
        state.votes[sender] = reply.granted
        _count(state)


def _count(state: State) -> None:
    members = state.log.members
    if won(members, state.votes):
        if state.pre_voting:
            campaign(state, pre_vote=False)
        elif state.role is Role.CANDIDATE:
            become_leader(state)
    elif lost(members, state.votes):
        state.pre_voting = False
        if state.role is Role.CANDIDATE:
            become_follower(state, state.term, None, "a majority refused its vote")


def on_timeout_now(state: State, sender: NodeId, message: TimeoutNow) -> None:
    """The leader wants us to take over (thesis 3.10): campaign without asking first."""
    if (
        message.term == state.term
        and sender == state.leader
        and state.log.members.is_voter(state.id)
        and not state.stalled
    ):
        campaign(state, pre_vote=False, disrupt=True)
