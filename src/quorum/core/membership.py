"""Changes of the cluster's members by joint consensus (§6), and of its leader (thesis 3.10).

A configuration is in force as soon as it is in the log, and is a function of the log
(`Log.members`): truncation rolls it back, a snapshot replaces it. A change of voters goes through
C_old,new, in which every decision needs both majorities; whoever leads when that is committed
appends C_new. A leader that is not in C_new leads until C_new is committed, not counting itself,
then steps down.

A change is begun only when the one before it is over and the leader has committed an entry of its
own term (the correction of 2015 to the thesis): two leaders can then never hold configurations
whose majorities do not meet.
"""

from __future__ import annotations

from attrs import evolve

from quorum.core.progress import Progress
from quorum.core.state import State, Transfer
from quorum.effects import Admit, Answer, Refusal
from quorum.events import MembersProposed, TransferRequested
from quorum.messages import Index, Kind, Members, NodeId, TimeoutNow


def on_members_proposed(state: State, event: MembersProposed) -> None:
    """Begin a change of members, or say why not."""
    log = state.log
    if not state.is_leader:
        state.refuse(event.tag, Refusal.NOT_LEADER)
    elif state.transfer is not None:
        state.refuse(event.tag, Refusal.TRANSFERRING)
    elif event.expected is not None and event.expected != log.members_index:
        state.refuse(event.tag, Refusal.CONFLICT)
    elif log.members.joint or state.commit < max(state.term_start, log.members_index):
        state.refuse(event.tag, Refusal.CHANGE_PENDING)
    elif not event.members.voters:
        state.refuse(event.tag, Refusal.UNFIT)
    else:
        first = append_members(state, _towards(log.members, event.members))
        state.out.append(Admit(event.tag, first, state.term))


def _towards(old: Members, new: Members) -> Members:
    """The configuration that leads from `old` to `new`: joint, unless the voters stay the same."""
    addresses = {**dict(old.addresses), **dict(new.addresses)}
    outgoing = () if new.voters == old.voters else old.voters
    learners = tuple(name for name in new.learners if name not in new.voters)
    wanted = {*new.voters, *outgoing, *learners}
    return Members(
        voters=new.voters,
        outgoing=outgoing,
        learners=learners,
        addresses=tuple(pair for pair in addresses.items() if pair[0] in wanted),
        joining=tuple(name for name in new.joining if name in learners),
    )


def append_members(state: State, members: Members) -> Index:
    """Append a configuration; it is in force at once."""
    index = state.append(Kind.MEMBERS, (members.to_bytes(),))
    adjust_peers(state)
    return index


def adjust_peers(state: State) -> None:
    """Replicate to exactly those whom the configuration names."""
    wanted = state.log.members.everyone
    state.peers = {
        peer: state.peers.get(peer) or _new_progress(state) for peer in wanted if peer != state.id
    }
    state.beat = True


def _new_progress(state: State) -> Progress:
    """What a leader knows of a peer at first: nextIndex is "leader last log index + 1"."""
    return Progress(next=state.log.last_index + 1, since=state.round, contact=state.now)


def leave_joint(state: State) -> None:
    """C_old,new is committed: append C_new, whoever proposed the change (§6)."""
    log = state.log
    if log.members.joint and state.commit >= max(state.term_start, log.members_index):
        kept = {*log.members.voters, *log.members.learners}
        addresses = tuple(pair for pair in log.members.addresses if pair[0] in kept)
        append_members(state, evolve(log.members, outgoing=(), addresses=addresses))


def watch_learner(state: State, name: NodeId, peer: Progress) -> None:
    """Measure how fast a joining learner catches up, in rounds (thesis 4.2.1).

    "Each round replicates all the log entries present in the leader's log at the start of the
    round"; when one has taken less than an election timeout, the server will not hold up the
    cluster as a voter.
    """
    if name not in state.log.members.joining or peer.match < peer.goal:
        return
    if peer.goal:
        peer.caught_up = state.now - peer.goal_set < state.config.election_timeout
    peer.goal, peer.goal_set = max(state.log.last_index, 1), state.now


def promote_learners(state: State) -> None:
    """Make voters of the joining learners that have caught up, by a change like any other.

    But not of one that has fallen silent since: it may take the cluster's majority with it.
    """
    members = state.log.members
    since = state.now - state.config.election_timeout
    if not members.joining or members.joint or state.transfer is not None:
        return
    # A leader on its way out may be a joining learner itself: the next one will see to it.
    ready = tuple(
        name
        for name, peer in state.peers.items()
        if name in members.joining and peer.caught_up and peer.contact > since
    )
    if ready and state.commit >= max(state.term_start, state.log.members_index):
        voters = (*members.voters, *ready)
        append_members(state, _towards(members, evolve(members, voters=voters)))


def may_lead(state: State) -> bool:
    """Whether this server may stand for election.

    A voter may; and also a server whose removal is not known to be committed: it may be the only
    one whose log is good enough, and "might still be needed until the C_new entry is committed"
    (thesis 4.2.2). It does not count its own vote.
    """
    log = state.log
    if log.members.is_voter(state.id):
        return True
    return log.members_index > state.commit and log.members_before.is_voter(state.id)


def is_removed(state: State) -> bool:
    """Whether this leader is not in the committed configuration, and so must step down (§6)."""
    members = state.log.members
    return not members.is_voter(state.id) and state.commit >= state.log.members_index


def on_transfer_requested(state: State, event: TransferRequested) -> None:
    """Begin to hand over leadership: stop taking proposals until the successor has all of ours."""
    if not state.is_leader:
        state.refuse(event.tag, Refusal.NOT_LEADER)
    elif state.transfer is not None:
        state.refuse(event.tag, Refusal.TRANSFERRING)
    elif event.to not in state.log.members.voters:
        state.refuse(event.tag, Refusal.UNFIT)
    elif event.to == state.id:
        state.out.append(Answer(event.tag, state.commit))
    else:
        deadline = state.now + state.config.election_timeout
        state.transfer = Transfer(event.to, event.tag, deadline)


def pursue_transfer(state: State) -> None:
    """Send TimeoutNow once the successor's log "matches the leader's" (thesis 3.10); or give up."""
    transfer = state.transfer
    if transfer is None:
        return
    peer = state.peers.get(transfer.to)
    if peer is None or state.now >= transfer.deadline:
        state.transfer = None
        state.refuse(transfer.tag, Refusal.UNFIT)
    elif not transfer.sent and peer.match == state.log.last_index:
        transfer.sent = True
        state.send(transfer.to, TimeoutNow(state.term))


def settle_transfer(state: State) -> None:
    """We lead no more: the transfer, if any, has ended."""
    if state.transfer is not None:
        transfer, state.transfer = state.transfer, None
        if transfer.sent:
            state.out.append(Answer(transfer.tag, state.commit))
        else:
            state.refuse(transfer.tag, Refusal.NOT_LEADER)
