"""Log compaction and InstallSnapshot (§7). The bytes travel beside the core; here are the marks.

Our own: when enough has been applied since the last snapshot, the driver is told to take one; once
it is durable, the log before it goes, but for a kept tail. The leader's: complete and durable on
our disk before the core hears of it, it replaces the log and the machine's state, unless we had all
of it anyway.
"""

from __future__ import annotations

from quorum.core.progress import Mode
from quorum.core.replication import follow
from quorum.core.state import State
from quorum.effects import Restore, Snapshot, Trim
from quorum.events import SnapshotArrived, SnapshotSent
from quorum.messages import InstallSnapshot, NodeId, SnapshotMark


def take_if_due(state: State) -> None:
    """Order a snapshot when the log since the last one is long or large enough."""
    config, log = state.config, state.log
    due = (
        state.applying - log.mark.index >= config.snapshot_entries
        or state.unsnapshotted_bytes >= config.snapshot_bytes
    )
    if due and not state.snapshotting and state.applying > log.mark.index:
        state.snapshotting = True
        state.unsnapshotted_bytes = 0
        state.out.append(Snapshot(log.mark_at(state.applying)))


def on_compacted(state: State, mark: SnapshotMark) -> None:
    """Our snapshot is durable: "discard the log up through lastIncludedIndex", but for a tail."""
    state.snapshotting = False
    log = state.log
    if mark.index <= log.mark.index:
        return  # the leader's snapshot overtook ours
    log.compact(mark, state.config.tail_entries)
    state.out.append(Trim(mark, log.first, log.base_term))


def on_not_compacted(state: State, mark: SnapshotMark) -> None:
    """Our snapshot was not saved: all is as before, so the next one is due at once."""
    state.snapshotting = False
    if mark.index > state.log.mark.index:
        state.unsnapshotted_bytes += state.config.snapshot_bytes


def on_install_snapshot(state: State, sender: NodeId, message: InstallSnapshot) -> None:
    """The leader began to send a snapshot: a sign of life, answered as one."""
    follow(state, sender)
    match = min(state.commit, state.gate.durable)
    state.acknowledge(sender, state.reply(message.round, match), durable=False)


def on_snapshot_arrived(state: State, event: SnapshotArrived) -> None:
    """Figure 13's receiver, steps 5 to 8, for a snapshot that is already on our disk."""
    mark = event.mark
    if event.term < state.term:
        return
    follow(state, event.sender)
    if mark.index > state.commit:
        if state.log.term_at(mark.index) == mark.term:
            # "If existing log entry has same index and term as snapshot's last included entry,
            # retain log entries following it": and those before it, they are as good.
            state.commit = mark.index
        else:
            _install(state, mark)
    reply = state.reply(event.round, state.commit)
    state.acknowledge(event.sender, reply, durable=state.commit > state.gate.durable)


def _install(state: State, mark: SnapshotMark) -> None:
    """Discard the entire log, and reset the state machine using the snapshot's contents."""
    state.log.reset(mark)
    state.gate.truncated(1)  # nothing of the old log counts any more
    state.commit = state.applying = mark.index
    state.run, state.unsaved = None, None
    state.unsnapshotted_bytes = 0
    state.reset = mark
    state.out.append(Restore(mark))


def on_snapshot_sent(state: State, event: SnapshotSent) -> None:
    """The transfer to a follower ended: go on with entries, or find out where it is."""
    peer = state.peers.get(event.to)
    if peer is not None and peer.mode is Mode.SNAPSHOT:
        peer.probe(event.mark.index + 1 if event.ok else peer.match + 1)
        peer.paused = not event.ok  # after a failure the next heartbeat is soon enough
