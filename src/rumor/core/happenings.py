"""User events: what users tell all members, in the order of a logical clock, each once.

An event is known by who said it: its origin, the origin's incarnation, and a number that the origin
counts up from a random start; so two equal events are two events, also across a restart. It also
carries the origin's *clock* (Lamport, "Time, Clocks, and the Ordering of Events in a Distributed
System", CACM 1978): "each process increments its clock between any two successive events", and
whoever hears of an event sets its own clock no lower. So an effect has a later clock than its
cause; the pair of clock and identity is a total order that all members agree on.

Each member remembers the latest ``events_max`` events of that order, neither more nor others. They
tell what was heard already, and are given to members that come late, through the exchange. What
falls below the oldest of them after that is refused, for nobody can tell any more whether it was
heard: an event is delivered at most once in one life of a member.

A member that knows the clock of its earlier life delivers nothing that is not later than that. It
still remembers such events, so that its memory agrees with that of the others.
"""

from __future__ import annotations

from rumor.core.history import Happenings, Told
from rumor.core.state import State
from rumor.effects import Deliver, Settled
from rumor.messages import UserEvent

CLOCK_LEAP_MAX = 1 << 32
"""An event farther ahead of our clock than this is refused: no honest clock runs so fast."""


def say(state: State, tag: int, name: str, payload: bytes) -> None:
    """Tell everybody something, unless too much still waits to be passed on."""
    if is_crowded(state):
        state.out.append(Settled(tag, 0))
        return
    mine = state.members.myself
    number = state.next_sequence()
    clock = state.clock + 1
    on_event(state, UserEvent(clock, mine.name, mine.incarnation, number, name, payload))
    state.out.append(Settled(tag, 1))


def on_event(state: State, event: UserEvent) -> None:
    """Take an event of anybody: deliver it and pass it on, if it is new."""
    if not take(state, state.happenings, event):
        return
    if event.clock > state.clock_before:
        state.out.append(Deliver(event))


def is_crowded(state: State) -> bool:
    """Whether so much waits to be passed on that our own user has to wait too."""
    waiting_max = max(1, state.config.events_max // 2)
    return state.members.others > 0 and len(state.events) >= waiting_max


def take(state: State, memory: Happenings[Told], told: Told) -> bool:
    """Remember what was said and pass it on; tell whether it is new."""
    if told.clock > state.clock + CLOCK_LEAP_MAX:
        state.counts.refused += 1
        return False
    state.clock = max(state.clock, told.clock)
    if not memory.is_new(told.key):
        return False
    for forgotten in memory.add(told, state.config.events_max):
        state.events.remove(forgotten)
    state.events.put(told.key, state.encode(told))
    return True
