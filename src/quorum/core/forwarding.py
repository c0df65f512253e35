"""Proposals made at a follower, on their way to the leader (an option: `Config.forward`).

The leader appends them as its own and answers with their place in the log; from then on the
follower's caller waits, as a leader's would, for what is applied at that place here. A question or
an answer may get lost: then nobody here knows what became of the commands, and that is what the
caller is told.
"""

from __future__ import annotations

from quorum.core.state import Asked, State
from quorum.effects import Admit, Refusal
from quorum.events import Proposed
from quorum.messages import Forward, ForwardReply, Kind, NodeId

TAKEN_UP_MAX = 10_000
"""Messages that a leader remembers, lest one that comes twice is appended twice. A network that
repeats a message after so many others, within one term, can still do it."""


def forward(state: State, leader: NodeId, event: Proposed) -> None:
    """Send a caller's commands to the leader."""
    context, deadline = state.new_context(), state.now + state.config.election_timeout
    state.forwarded[context] = Asked((event.tag,), state.now, deadline)
    state.send(leader, Forward(state.term, context, event.commands))


def on_forward(state: State, sender: NodeId, message: Forward) -> None:
    """The leader's side: append, or refuse, and say which; but only once if it comes twice."""
    if (sender, message.context) in state.taken_up:
        return
    state.taken_up[sender, message.context] = None
    if len(state.taken_up) > TAKEN_UP_MAX:
        del state.taken_up[next(iter(state.taken_up))]
    refused = state.transfer is not None or state.overloaded or not state.is_leader
    first = None if refused else state.append(Kind.COMMAND, message.commands)
    state.send(sender, ForwardReply(state.term, message.context, first))


def on_forward_reply(state: State, reply: ForwardReply) -> None:
    """The leader's answer: a place in the log, or a refusal."""
    asked = state.forwarded.pop(reply.context, None)
    if asked is None:
        return
    (tag,) = asked.tags
    if reply.first is None:
        state.refuse(tag, Refusal.OVERLOADED)
    elif reply.first <= state.applying:
        state.refuse(tag, Refusal.UNKNOWN)  # applied before the answer came: nobody watched
    else:
        state.out.append(Admit(tag, reply.first, reply.term))


def give_up(state: State, *, before: float = float("inf")) -> None:
    """No answer will come, or none has come in time: the outcome is unknown."""
    late = [context for context, asked in state.forwarded.items() if asked.deadline <= before]
    for context in late:
        (tag,) = state.forwarded.pop(context).tags
        state.refuse(tag, Refusal.UNKNOWN)
