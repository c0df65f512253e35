"""Linearizable reads without writing to the log: ReadIndex (thesis 6.4).

1. The leader must have committed an entry of its own term; until then it may not know what is
   committed (§8). Reads that come earlier wait.
2. It notes its commit index as the read's index.
3. It makes sure that it still leads: a round of messages *after* the read came, answered by a
   majority. Rounds are numbered, and an answer to an earlier round proves nothing. All reads of one
   step share a round.
4. Once the machine has applied up to the read's index, the read may look at it.

A follower asks the leader for steps 1 to 3 and does step 4 itself.
"""

from __future__ import annotations

from collections import deque

from quorum.core.lease import confirmed_round, holds_lease
from quorum.core.state import Asked, Read, State
from quorum.effects import Answer, Refusal
from quorum.events import ReadRequested, Tag
from quorum.messages import NodeId, ReadIndex, ReadIndexReply


def on_read_requested(state: State, event: ReadRequested) -> None:
    """One of our own readers wants to read."""
    confirmed_at, index = state.fresh
    within_reach = index <= state.commit or state.leader is not None
    if within_reach and state.now - confirmed_at <= event.max_age:
        # Confirmed a moment ago, for another reader: fresh enough for this one.
        state.waiting_reads.append((index, (event.tag,)))
        answer(state)
    elif state.is_leader:
        if event.lease and holds_lease(state):
            state.waiting_reads.append((state.commit, (event.tag,)))
            answer(state)
        else:
            _begin(state, event.tag)
    elif state.leader is None:
        state.refuse(event.tag, Refusal.NOT_LEADER)
    else:
        _ask(state, state.leader, event.tag)


def _begin(state: State, asker: Tag | tuple[NodeId, int]) -> None:
    """Steps 1 and 2, on the leader; step 3 begins at the end of the step."""
    if state.commit < state.term_start:
        state.early_reads.append(asker)
        return
    state.beat = True
    round_ = state.round + 1
    if isinstance(asker, tuple):
        peer, context = asker
        state.reads.append(Read(state.commit, round_, state.now, (), peer, context))
        return
    newest = state.reads[-1] if state.reads else None
    if newest is not None and newest.round == round_ and newest.asker is None:
        newest.tags = (*newest.tags, asker)
    else:
        state.reads.append(Read(state.commit, round_, state.now, (asker,)))


def _ask(state: State, leader: NodeId, tag: Tag) -> None:
    """A follower's reader: all readers of one step share a question."""
    newest = state.asked.get(state.context)
    if (
        newest is not None
        and state.mail
        and state.mail[-1][0].message == ReadIndex(state.term, state.context)
    ):
        newest.tags = (*newest.tags, tag)
        return
    context, deadline = state.new_context(), state.now + state.config.election_timeout
    state.asked[context] = Asked((tag,), state.now, deadline)
    state.send(leader, ReadIndex(state.term, context))


def on_read_index(state: State, sender: NodeId, message: ReadIndex) -> None:
    """A follower asks on behalf of its readers."""
    if state.is_leader:
        _begin(state, (sender, message.context))
    else:
        state.send(sender, ReadIndexReply(state.term, message.context, None))


def on_read_index_reply(state: State, reply: ReadIndexReply) -> None:
    """The leader answered our question."""
    asked = state.asked.pop(reply.context, None)
    if asked is None:
        return
    if reply.index is None:
        for tag in asked.tags:
            state.refuse(tag, Refusal.NOT_LEADER)
    else:
        state.fresh = max(state.fresh, (asked.begun, reply.index))
        state.waiting_reads.append((reply.index, asked.tags))
        answer(state)


def take_up_early(state: State) -> None:
    """Step 1 is done: the reads that came too early begin now."""
    if state.early_reads and state.commit >= state.term_start:
        early, state.early_reads = state.early_reads, []
        for asker in early:
            _begin(state, asker)


def confirm(state: State) -> None:
    """Step 3, on the leader, after this step's messages went out: let go of confirmed reads."""
    if not state.reads:
        return
    confirmed = confirmed_round(state)
    while state.reads and state.reads[0].round <= confirmed:
        read = state.reads.popleft()
        state.fresh = max(state.fresh, (read.begun, read.index))
        if read.asker is None:
            state.waiting_reads.append((read.index, read.tags))
        else:
            state.send(read.asker, ReadIndexReply(state.term, read.context, read.index))
    answer(state)


def answer(state: State) -> None:
    """Step 4: let go of reads that the machine has caught up with."""
    waiting = state.waiting_reads
    if not waiting:
        return
    for _ in range(len(waiting)):
        index, tags = waiting.popleft()
        if index <= state.applied:
            state.out.extend([Answer(tag, index) for tag in tags])
        else:
            waiting.append((index, tags))


def refuse_all(state: State) -> None:
    """We lead no more: a read that is not confirmed may be out of date."""
    for read in state.reads:
        if read.asker is not None:
            state.send(read.asker, ReadIndexReply(state.term, read.context, None))
        for tag in read.tags:
            state.refuse(tag, Refusal.NOT_LEADER)
    for asker in state.early_reads:
        if isinstance(asker, tuple):
            state.send(asker[0], ReadIndexReply(state.term, asker[1], None))
        else:
            state.refuse(asker, Refusal.NOT_LEADER)
    state.reads.clear()
    state.early_reads.clear()


def forget_asked(state: State) -> None:
    """The leader that we asked is not our leader any more: its answers may never come.

    Nor may the entries that it told us to wait for, unless we know that they are committed.
    """
    for asked in state.asked.values():
        for tag in asked.tags:
            state.refuse(tag, Refusal.NOT_LEADER)
    state.asked.clear()
    late = [read for read in state.waiting_reads if read[0] > state.commit]
    if late:
        near = (read for read in state.waiting_reads if read[0] <= state.commit)
        state.waiting_reads = deque(near)
        for _, tags in late:
            for tag in tags:
                state.refuse(tag, Refusal.NOT_LEADER)


def expire_asked(state: State) -> None:
    """Questions that got lost on the way."""
    late = [context for context, asked in state.asked.items() if asked.deadline <= state.now]
    for context in late:
        for tag in state.asked.pop(context).tags:
            state.refuse(tag, Refusal.NOT_LEADER)
