"""Log replication (§5.3), the commit rule (§5.4.2) and pipelining (thesis 10.2).

The leader's side works at the end of a step, on whatever came in meanwhile: one run to every
follower whose window has room, before and in parallel with its own disk. It sends ahead without
waiting for answers; a refusal takes it back to probing, a whole term at a time.

The follower's side obeys Figure 2's "AppendEntries RPC" rule by rule, and answers when what it
answers for is durable.
"""

from __future__ import annotations

from quorum.core import forwarding, membership
from quorum.core.majority import reached
from quorum.core.progress import Mode, Progress
from quorum.core.roles import become_follower
from quorum.core.state import State
from quorum.effects import Admit, Refusal, SendSnapshot
from quorum.events import Proposed
from quorum.messages import AppendEntries, AppendReply, Entries, Index, Kind, NodeId


def on_proposed(state: State, event: Proposed) -> None:
    """Append a client's commands to our log, if we lead (Figure 2, Leaders)."""
    if not state.is_leader:
        if state.config.forward and state.leader is not None:
            forwarding.forward(state, state.leader, event)
        else:
            state.refuse(event.tag, Refusal.NOT_LEADER)
    elif state.transfer is not None:
        state.refuse(event.tag, Refusal.TRANSFERRING)
    elif state.overloaded:
        state.refuse(event.tag, Refusal.OVERLOADED)
    else:
        first = state.append(Kind.COMMAND, event.commands)
        state.out.append(Admit(event.tag, first, state.term))


def on_append_entries(state: State, sender: NodeId, message: AppendEntries) -> None:
    """Receiver's side of AppendEntries (Figure 2), for a message of our own term."""
    follow(state, sender)
    log, entries = state.log, message.entries
    if entries.first <= state.commit:
        # What we have committed every later leader has (Leader Completeness): skip it. This also
        # spares us questions about entries that a snapshot has replaced here.
        if entries.last < state.commit:
            entries = Entries(state.commit + 1)
        else:
            entries = entries.slice(state.commit + 1, entries.last + 1)
    elif log.term_at(message.previous_index) != message.previous_term:
        # "Reply false if log doesn't contain an entry at prevLogIndex whose term matches
        # prevLogTerm" (§5.3)
        hint = log.last_within(message.previous_index - 1, message.previous_term)
        hint = max(hint, state.commit)  # what is committed is the same everywhere
        term = log.term_at(hint)
        state.send(sender, state.reply(message.round, None, hint, term or 0))
        return
    agreed = log.agreement(entries)
    if agreed < entries.last:
        # "If an existing entry conflicts with a new one (same index but different terms), delete
        # the existing entry and all that follow it": only then; a late message truncates nothing.
        if agreed < log.last_index:
            _truncate(state, agreed + 1)
        # "Append any new entries not already in the log"
        news = entries.slice(agreed + 1, entries.last + 1)
        log.append(news)
        state.note_unsaved(news)
    # "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)"
    match = entries.last
    state.commit = max(state.commit, min(message.commit, match))
    if len(message.entries) == 0:
        # A heartbeat is answered at once, for what is durable so far, however slow the disk is.
        match = min(match, state.gate.durable)
    late = match > state.gate.durable
    state.acknowledge(sender, state.reply(message.round, match), durable=late)


def follow(state: State, leader: NodeId) -> None:
    """Somebody leads our term: hear it out (§5.2)."""
    assert not state.is_leader, "Election Safety: at most one leader can be elected in a term"
    if state.leader != leader:
        become_follower(state, state.term, leader, f"{leader} leads")
    state.heard = state.now
    state.restart_election_timer()


def _truncate(state: State, start: Index) -> None:
    assert start > state.commit, "a committed entry is never overwritten (State Machine Safety)"
    state.log.truncate(start)
    state.gate.truncated(start)
    state.run = None
    if state.unsaved is not None:
        state.unsaved = min(state.unsaved, start)


def on_append_reply(state: State, sender: NodeId, reply: AppendReply) -> None:
    """The leader's side of the answer, for an answer of our own term."""
    peer = state.peers.get(sender)
    if peer is None or reply.round < peer.since or not state.is_leader:
        return  # of nobody we replicate to, or of a former life of this peer
    peer.contact, peer.version = state.now, reply.version
    peer.acked = max(peer.acked, reply.round)
    if reply.match is not None:
        if reply.match <= state.log.last_index:  # more than we have ever sent is not an answer
            peer.matched(reply.match)
            membership.watch_learner(state, sender, peer)
    elif peer.mode is Mode.SNAPSHOT or reply.hint_index < peer.match:
        pass  # an answer that has been overtaken
    elif reply.hint_index < peer.next - 1 or peer.next < state.log.first:
        # "If AppendEntries fails because of log inconsistency: decrement nextIndex and retry", by
        # whole terms: both sides skip what cannot be the same. (Or: what was sent got lost, and is
        # no longer in our log, so that the heartbeat could not ask about it.)
        peer.probe(state.log.last_within(reply.hint_index, reply.hint_term) + 1)


def advance_commit(state: State) -> None:
    """Commit what a majority has, if it is of our own term (Figure 2, Leaders; §5.3, §5.4.2).

    "If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and
    log[N].term == currentTerm: set commitIndex = N." Our own log counts as far as it is durable.
    Terms never fall along a log, so the entries of our own term are those from `term_start` on.
    """
    matches = {peer: progress.match for peer, progress in state.peers.items()}
    matches[state.id] = state.gate.durable
    index = reached(state.log.members, matches, 0)
    if index > state.commit and index >= state.term_start:
        state.uncommitted_bytes -= state.log.size(state.commit + 1, index + 1)
        state.commit = index
        state.commit_notice = min(state.commit_notice, state.now + state.config.commit_delay)


def replicate(state: State) -> None:
    """Send every follower what it lacks, as far as its window goes; heartbeats where due."""
    notice = state.now >= state.commit_notice
    if state.beat:
        state.heartbeat_deadline = state.now + state.config.heartbeat
    if not state.beat and not notice and not _anyone_lacks(state):
        return
    state.round += 1
    state.rounds.append((state.round, state.now))
    runs: dict[Index, AppendEntries] = {}  # followers in step with each other share a message
    for name, peer in state.peers.items():
        _send_entries(state, name, peer, runs)
        if (state.beat and peer.told < state.round) or (notice and peer.commit < state.commit):
            _send_heartbeat(state, name, peer)
    state.beat = False
    if notice or all(peer.commit >= state.commit for peer in state.peers.values()):
        state.commit_notice = float("inf")


def _anyone_lacks(state: State) -> bool:
    last, config = state.log.last_index, state.config
    window = config.inflight_max, config.inflight_bytes_max
    return any(peer.next <= last and peer.ready(*window) for peer in state.peers.values())


def _send_entries(
    state: State, name: NodeId, peer: Progress, runs: dict[Index, AppendEntries]
) -> None:
    log, config = state.log, state.config
    window = config.inflight_max, config.inflight_bytes_max
    while peer.next <= log.last_index and peer.ready(*window):
        message = runs.get(peer.next)
        if message is None:
            previous_term = log.term_at(peer.next - 1)
            if previous_term is None:
                _send_snapshot(state, name, peer)
                return
            stop = log.fit(peer.next, config.entries_max, config.message_bytes_max)
            run = state.cut(peer.next, stop)
            message = runs[peer.next] = AppendEntries(
                state.term, peer.next - 1, previous_term, state.commit, state.round, run
            )
        state.send(name, message)
        peer.sent(message.entries.last, sum(map(len, message.entries.payloads)))
        peer.told, peer.commit = state.round, state.commit


def _send_heartbeat(state: State, name: NodeId, peer: Progress) -> None:
    """Send an empty AppendEntries.

    It asks about the entry before `next`, so it also finds out whether anything sent was lost.
    """
    previous_term = state.log.term_at(peer.next - 1)
    if previous_term is None:
        # It lacks what only a snapshot has: ask about the log's beginning, just to be heard.
        index, previous_term = state.log.first - 1, state.log.base_term
    else:
        index = peer.next - 1
    empty = Entries(index + 1)
    peer.told, peer.commit = state.round, state.commit
    state.send(
        name, AppendEntries(state.term, index, previous_term, state.commit, state.round, empty)
    )


def _send_snapshot(state: State, name: NodeId, peer: Progress) -> None:
    """The entries it needs are gone: send the snapshot that replaced them (§7).

    But not to somebody who is silent: heartbeats find out when it is back.
    """
    if state.now - peer.contact >= state.config.election_timeout:
        peer.paused = True
        return
    mark = state.log.mark
    peer.await_snapshot(mark.index)
    state.out.append(SendSnapshot(name, state.term, state.round, mark))
