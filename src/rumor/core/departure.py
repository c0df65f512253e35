"""Leaving: a farewell that is heard, before the process exits.

A member that leaves says so with an update of its own (``Leave``), which stands above any rumour
of its death. An update that nobody has received yet is lost when the process exits, so the
farewell rides on pings to members chosen at random, and counts as handed over when some of them
have acknowledged; they pass it on like any other update.

Who has failed says nothing any more. If a user knows that it will not return, the farewell is said
on its behalf, at the incarnation of its death. By the table of :mod:`rumor.core.members` it is
newer than the death, and older than whatever the member answers should it live after all. Only of
the dead, for the living would deny it at once.
"""

from __future__ import annotations

from attrs import evolve

from rumor.core.rumours import become, on_update
from rumor.core.state import Departure, Due, State
from rumor.effects import Settled
from rumor.messages import Ack, Health, Leave, Name, Ping


def on_departed(state: State, tag: int) -> None:
    """Say farewell; every ``leave`` is settled when enough members have heard it."""
    if state.departure is None:
        state.departure = Departure([tag], state.now + state.config.leave_timeout)
        state.probe = None
        for due in (Due.PROBE, Due.ACK, Due.EXCHANGE, Due.RECONNECT):
            state.schedule.cancel((due, 0))
        become(state, evolve(state.members.myself, health=Health.LEFT))
        continue_departure(state)
    elif state.departure.settled:
        state.out.append(Settled(tag, len(state.departure.confirmed)))
    else:
        state.departure.tags.append(tag)


def continue_departure(state: State) -> None:
    """Ping members that have not confirmed yet, or settle when enough have or time is up."""
    departure = state.departure
    assert departure is not None
    needed = min(state.config.leave_acks, state.members.others)
    if len(departure.confirmed) >= needed or state.now >= departure.ends:
        departure.settled = True
        departure.asked.clear()
        state.schedule.cancel((Due.LEAVE, 0))
        for tag in departure.tags:
            state.out.append(Settled(tag, len(departure.confirmed)))
        return
    again = state.now + state.config.probe_timeout
    state.schedule.set((Due.LEAVE, 0), min(again, departure.ends))
    without = departure.confirmed
    for peer in state.members.sample(state.config.leave_acks, state.random, without=without):
        sequence = state.next_sequence()
        departure.asked[sequence] = peer.name
        state.send(peer.address, Ping(sequence, state.me, peer.name), about=peer.name)


def on_departure_ack(state: State, ack: Ack) -> None:
    """Count a member that has heard the farewell."""
    departure = state.departure
    if departure is None or departure.asked.get(ack.sequence) != ack.source:
        return
    del departure.asked[ack.sequence]
    departure.confirmed[ack.source] = None
    if len(departure.confirmed) >= min(state.config.leave_acks, state.members.others):
        continue_departure(state)


def on_dismissed(state: State, tag: int, name: Name) -> None:
    """Say farewell on behalf of a member that is dead; of all others say nothing."""
    held = state.members.get(name)
    if held is not None and held.health is Health.DEAD and not state.has_left:
        on_update(state, Leave(name, held.incarnation))
    peer = state.members.get(name)
    state.out.append(Settled(tag, int(peer is not None and peer.health is Health.LEFT)))
