"""Raft as one function on values: events in, effects out.

    effects = raft.step(events, now=...)   # a batch in, a batch out; nothing else changes anything
    raft.deadline                          # call step again at this time at the latest

A step hears all events first, then looks at the clock, then acts once for all that came: one round
to the followers, one write to the disk. So whatever came in meanwhile shares its cost, and a server
that was asleep hears what it missed before it acts on a timeout.

Reading order, with the paper: `state` (Figure 2's box), `roles`, `election` (§5.2, §5.4.1),
`replication` (§5.3, §5.4.2), `log`, `membership` (§6), `snapshots` (§7), `reads` (thesis 6.4);
`versions` (of the machine); and `gate`, which keeps what may only be said once it is durable.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, assert_never

from attrs import frozen

from quorum.config import Config
from quorum.core import election, forwarding, membership, reads, replication, snapshots, versions
from quorum.core.gate import Gate
from quorum.core.log import Log
from quorum.core.progress import Mode
from quorum.core.roles import become_follower, check_quorum
from quorum.core.state import State
from quorum.effects import Apply, Effect, Persist, Restore, Role
from quorum.events import (
    Applied,
    Compacted,
    Event,
    MembersProposed,
    NotCompacted,
    Persisted,
    Proposed,
    ReadRequested,
    Received,
    Recovered,
    SnapshotArrived,
    SnapshotSent,
    TransferRequested,
    UpgradeProposed,
)
from quorum.messages import (
    AppendEntries,
    AppendReply,
    Forward,
    ForwardReply,
    Index,
    InstallSnapshot,
    Members,
    Message,
    NodeId,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    Term,
    TimeoutNow,
    VoteReply,
)

if TYPE_CHECKING:
    from random import Random

APPLY_AHEAD_MAX = 16_384
"""Entries handed to the machine and not yet reported as applied."""


@frozen
class Statistics:
    """A server at a glance."""

    id: NodeId
    role: Role
    term: Term
    vote: NodeId | None
    leader: NodeId | None
    commit: Index
    applied: Index
    first_index: Index
    last_index: Index
    last_term: Term
    snapshot_index: Index
    durable: Index
    members: Members
    members_index: Index
    match: tuple[tuple[NodeId, Index], ...]
    """When leading: how far each follower's log is known to equal ours."""
    contacts: tuple[tuple[NodeId, float], ...]
    """When leading: when each follower last answered, on the clock that `step` is told."""
    uncommitted_bytes: int
    version: int
    """By which commands are applied: that of the newest entry or snapshot that is committed."""
    versions: tuple[tuple[NodeId, int], ...]
    """When leading: what each follower's machine understands, as far as it has said so (0: not)."""


class Raft:
    """One server of a Raft cluster: pure, deterministic, and yours to drive."""

    def __init__(
        self,
        id: NodeId,
        recovered: Recovered,
        config: Config,
        *,
        now: float,
        random: Random,
        machine_version: int = 1,
    ) -> None:
        """Start as a follower (§5.2) with what was durable.

        A new cluster starts with the same `recovered.mark.members` on each of its servers; a server
        that is to be added later starts with none. `random` must differ between servers.
        `machine_version` is the highest version of commands that the machine here understands.
        """
        log = Log(recovered.mark, recovered.entries, recovered.base_term)
        self._state = state = State(
            id=id,
            config=config,
            random=random,
            now=now,
            term=recovered.term,
            vote=recovered.vote,
            log=log,
            gate=Gate(durable=log.last_index),
            machine_version=machine_version,
            commit=log.mark.index,
            applied=0,
            applying=log.mark.index,
        )
        if config.lease_drift is not None:
            state.heard = now  # an earlier life of ours may have granted a lease: let it expire
        if log.mark.index:
            state.out.append(Restore(log.mark))
        state.restart_election_timer()

    def step(self, events: Iterable[Event], *, now: float) -> list[Effect]:
        """Hear these events, look at the clock, and say what is to be done."""
        state = self._state
        state.now = max(state.now, now)
        for event in events:
            self._hear(event)
        self._look_at_the_clock()
        self._act()
        effects, state.out = state.out, []
        return effects

    @property
    def deadline(self) -> float:
        """When `step` must be called again at the latest, events or none."""
        state = self._state
        if state.is_leader:
            deadline = min(state.heartbeat_deadline, state.commit_notice)
            return min(deadline, state.transfer.deadline) if state.transfer else deadline
        asked = (*state.asked.values(), *state.forwarded.values())
        return min([state.election_deadline, *[question.deadline for question in asked]])

    def _hear(self, event: Event) -> None:
        state = self._state
        match event:
            case Received():
                self._receive(event.sender, event.message)
            case Persisted():
                state.gate.persisted_up_to(event.ticket)
                election.own_vote_durable(state)
            case Applied():
                state.applied = max(state.applied, event.index)
                reads.answer(state)
            case Proposed():
                replication.on_proposed(state, event)
            case ReadRequested():
                reads.on_read_requested(state, event)
            case MembersProposed():
                membership.on_members_proposed(state, event)
            case UpgradeProposed():
                versions.on_upgrade_proposed(state, event)
            case TransferRequested():
                membership.on_transfer_requested(state, event)
            case Compacted():
                snapshots.on_compacted(state, event.mark)
            case NotCompacted():
                snapshots.on_not_compacted(state, event.mark)
            case SnapshotArrived():
                self._notice_term(event.sender, event.term)
                snapshots.on_snapshot_arrived(state, event)
            case SnapshotSent():
                snapshots.on_snapshot_sent(state, event)
            case _ as never:
                assert_never(never)

    def _receive(self, sender: NodeId, message: Message) -> None:
        state = self._state
        match message:
            case RequestVote():
                election.on_request_vote(state, sender, message)
                return
            case VoteReply():
                election.on_vote_reply(state, sender, message)
                return
            case _:
                pass  # the others share the rule on terms
        self._notice_term(sender, message.term)
        if message.term < state.term:
            self._correct(sender, message)
            return
        match message:
            case AppendEntries():
                replication.on_append_entries(state, sender, message)
            case AppendReply():
                replication.on_append_reply(state, sender, message)
            case InstallSnapshot():
                snapshots.on_install_snapshot(state, sender, message)
            case ReadIndex():
                reads.on_read_index(state, sender, message)
            case Forward():
                forwarding.on_forward(state, sender, message)
            case ForwardReply():
                forwarding.on_forward_reply(state, message)
            case TimeoutNow():
                election.on_timeout_now(state, sender, message)
            case ReadIndexReply():
                reads.on_read_index_reply(state, message)
            case _ as never:
                assert_never(never)

    def _notice_term(self, sender: NodeId, term: Term) -> None:
        """Hear of a newer term (Figure 2, All Servers).

        "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to
        follower."
        """
        if term > self._state.term:
            become_follower(self._state, term, None, f"{sender} is in term {term}")

    def _correct(self, sender: NodeId, message: Message) -> None:
        """Tell a leader of the past that it is one: "reply false if term < currentTerm"."""
        state = self._state
        match message:
            case AppendEntries() | InstallSnapshot():
                state.send(sender, state.reply(message.round, None))
            case ReadIndex():
                state.send(sender, ReadIndexReply(state.term, message.context, None))
            case Forward():
                state.send(sender, ForwardReply(state.term, message.context, None))
            case _:
                pass  # answers to questions of the past need no answer

    def _look_at_the_clock(self) -> None:
        state = self._state
        if not state.is_leader:
            reads.expire_asked(state)
            forwarding.give_up(state, before=state.now)
            if state.now >= state.election_deadline:
                election.election_timeout(state)
        elif state.now >= state.heartbeat_deadline:
            state.beat = True
            check_quorum(state)
            for peer in state.peers.values():
                # The answer is long overdue: a probe got lost, so send another.
                peer.paused = peer.paused and peer.mode is not Mode.PROBE

    def _act(self) -> None:
        """Everything that this step's events call for, once."""
        state = self._state
        if state.is_leader:
            replication.advance_commit(state)
            membership.leave_joint(state)
            membership.promote_learners(state)
            membership.pursue_transfer(state)
            reads.take_up_early(state)
            replication.replicate(state)
            reads.confirm(state)
            if membership.is_removed(state):
                become_follower(state, state.term, None, "removed from the cluster")
        state.announce()
        persist = self._persist()
        self._post()  # first what leaves at once: our own disk works in parallel (thesis 10.2.1)
        if persist is not None:
            state.out.append(persist)
        self._apply()

    def _persist(self) -> Persist | None:
        """One write for all that changed."""
        state = self._state
        if not state.hard_changed and state.unsaved is None and state.reset is None:
            return None
        last = state.log.last_index
        ticket = state.gate.issue(last, state.now, hard=state.hard_changed)
        entries = None if state.unsaved is None else state.cut(state.unsaved, last + 1)
        persist = Persist(ticket, state.term, state.vote, entries, state.reset)
        state.hard_changed, state.unsaved, state.reset = False, None, None
        return persist

    def _post(self) -> None:
        """Send what may be said now, hold what must wait for the disk.

        What was written in an older term is not worth sending any more: answers to a leader or
        candidate of the past, questions of a candidacy that is over.
        """
        state = self._state
        gate = state.gate
        for send in gate.release():
            if send.message.term >= state.term:
                state.out.append(send)
        for send, durable in state.mail:
            ticket = gate.issued if durable else gate.hard
            if send.message.term < state.term:
                continue
            if ticket <= gate.persisted:
                state.out.append(send)
            else:
                gate.hold(ticket, send)
        state.mail.clear()

    def _apply(self) -> None:
        """Apply what is committed, in runs, and never ahead of our own disk.

        "If commitIndex > lastApplied: increment lastApplied, apply log[lastApplied] to state
        machine" (Figure 2, All Servers).
        """
        state = self._state
        ready = min(state.commit, state.gate.durable, state.applied + APPLY_AHEAD_MAX)
        if ready > state.applying:
            run = state.log.slice(state.applying + 1, ready + 1)
            state.applying = ready
            state.unsnapshotted_bytes += sum(map(len, run.payloads))
            state.out.append(Apply(run))
            snapshots.take_if_due(state)

    def statistics(self) -> Statistics:
        """A snapshot for people and for tests."""
        state = self._state
        log = state.log
        return Statistics(
            id=state.id,
            role=state.role,
            term=state.term,
            vote=state.vote,
            leader=state.leader,
            commit=state.commit,
            applied=state.applied,
            first_index=log.first,
            last_index=log.last_index,
            last_term=log.last_term,
            snapshot_index=log.mark.index,
            durable=state.gate.durable,
            members=log.members,
            members_index=log.members_index,
            match=tuple((name, peer.match) for name, peer in state.peers.items()),
            contacts=tuple((name, peer.contact) for name, peer in state.peers.items()),
            uncommitted_bytes=state.uncommitted_bytes,
            version=log.version_at(state.commit),
            versions=tuple((name, peer.version) for name, peer in state.peers.items()),
        )
