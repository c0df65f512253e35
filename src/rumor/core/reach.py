"""Reach: who is there, but not for us.

Where A reaches B and B reaches C, but A does not reach C, the indirect probe of SWIM (§3.1) keeps
all three members: B vouches for C. That is right, and hides a fault that somebody should look at.
So we count the probes in a row that were answered by a detour only, through a helper or over a
stream, and tell the user when it happens again and again; and when it is over. A suspicion is
something else: nobody could reach the member, by any way.
"""

from __future__ import annotations

from rumor.core.state import State, is_live
from rumor.effects import Reachable, Unreachable
from rumor.messages import Ack, Name, Reply, StreamAck

DETOURS_MIN = 3
"""So many probes in a row make it worth telling; one or two may be lost datagrams."""


def on_ack(state: State, ack: Ack) -> None:
    """Note by which way the ack came, if it is one that the probe waits for."""
    probe = state.probe
    if probe is not None and (probe.sequence, probe.target) == (ack.sequence, ack.source):
        if ack.coordinate is None:  # relayed
            _on_detour(state, ack.source)
        else:
            _on_direct(state, ack.source)


def on_stream_answer(state: State, ticket: int, reply: Reply) -> None:
    """Note that the member answered, but over a stream only."""
    probe = state.probe
    if (
        probe is not None
        and probe.ticket == ticket
        and isinstance(reply, StreamAck)
        and reply.source == probe.target
    ):
        _on_detour(state, reply.source)


def unreachable(state: State) -> int:
    """How many members are there, but not for us."""
    return sum(count >= DETOURS_MIN for count in state.detours.values())


def _on_detour(state: State, name: Name) -> None:
    if not is_live(state, name):
        return
    state.detours[name] = state.detours.get(name, 0) + 1
    if state.detours[name] == DETOURS_MIN:
        state.out.append(Unreachable(state.members.view[name]))


def _on_direct(state: State, name: Name) -> None:
    if state.detours.pop(name, 0) >= DETOURS_MIN:  # the dead are in no such list
        state.out.append(Reachable(state.members.view[name]))
