"""Who leads: the changes of role in Figure 4, and what a leader gives up when it is one no more.

    follower --times out--> candidate --majority--> leader --higher term, no quorum--> follower

Who may become what is decided elsewhere (`election`, `replication`, `snapshots`); here is only what
each change means for the state.
"""

from __future__ import annotations

from quorum.core import forwarding, membership, reads
from quorum.core.majority import reached
from quorum.core.state import State
from quorum.effects import Role
from quorum.messages import Kind, NodeId, Term


def become_follower(state: State, term: Term, leader: NodeId | None, because: str) -> None:
    """Convert to follower (§5.1), of this leader or of nobody yet."""
    assert term >= state.term, "terms never go back"
    if term > state.term:
        state.term = term
        state.vote = None  # in the same term a vote stands, whatever else changes
        state.hard_changed = True
    if state.is_leader:
        _abdicate(state)
    if leader != state.leader:
        reads.forget_asked(state)
        forwarding.give_up(state)
    state.role = Role.FOLLOWER
    state.leader = leader
    state.pre_voting = False
    state.votes = {}
    state.because = because


def _abdicate(state: State) -> None:
    """Stop being leader: whatever was promised as leader is settled now."""
    state.leader = None
    reads.refuse_all(state)
    membership.settle_transfer(state)
    state.peers = {}
    state.rounds.clear()
    state.taken_up.clear()
    state.beat = False
    state.heartbeat_deadline = state.commit_notice = float("inf")
    state.uncommitted_bytes = 0
    state.restart_election_timer()


def become_leader(state: State) -> None:
    """Upon election: open the term with a no-op (§8) and tell everybody at once."""
    assert state.gate.hard <= state.gate.persisted, "a leader's own vote is durable"
    state.role = Role.LEADER
    state.leader = state.id
    state.because = "elected"
    state.votes = {}
    state.term_start = state.log.last_index + 1
    state.clock_base, state.clock_origin = state.log.last_stamp, state.now
    state.uncommitted_bytes = state.log.size(
        max(state.commit + 1, state.log.first), state.log.last_index + 1
    )
    state.round += 1
    state.peers = {}
    membership.adjust_peers(state)
    state.append(Kind.NOOP, (b"",))
    state.beat = True


def quorum_contact(state: State) -> float:
    """The latest moment at which a majority had been in contact with us, the leader."""
    contacts = {peer: progress.contact for peer, progress in state.peers.items()}
    contacts[state.id] = state.now
    return reached(state.log.members, contacts, float("-inf"))


def check_quorum(state: State) -> None:
    """Step down when a majority is out of reach (thesis 6.2), or when our own disk is."""
    if state.stalled:
        grace = state.config.disk_grace
        become_follower(state, state.term, None, f"a write is under way for over {grace} s")
    elif (
        state.config.check_quorum
        and state.now - quorum_contact(state) >= state.config.election_timeout
    ):
        become_follower(state, state.term, None, "no contact with a majority")
