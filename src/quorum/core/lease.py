"""Leases: proof of leadership by clocks instead of messages (thesis 6.4.1).

A server that hears a leader ignores candidates for an election timeout (`election`). So from the
moment at which a leader sent a round that a majority then answered, no other leader can be elected
for that long, by the clocks of the majority; by the leader's own clock, for a little less, as far
as the two may differ in speed. How far is a promise of whoever sets `Config.lease_drift`; the rest
is arithmetic.
"""

from __future__ import annotations

from quorum.core.majority import reached
from quorum.core.state import State


def confirmed_round(state: State) -> int:
    """The newest round that a majority has answered; -1: none. Our own voice counts for all."""
    acked = {peer: progress.acked for peer, progress in state.peers.items()}
    acked[state.id] = state.round
    return reached(state.log.members, acked, -1)


def lease_start(state: State) -> float:
    """When the newest round was sent that a majority has answered: since then nobody else led.

    Whoever answered it ignores candidates for an election timeout from when it heard it, and that
    was later.
    """
    confirmed = confirmed_round(state)
    while len(state.rounds) > 1 and state.rounds[1][0] <= confirmed:
        state.rounds.popleft()
    if not state.rounds or state.rounds[0][0] > confirmed:
        return float("-inf")
    return state.rounds[0][1]


def holds_lease(state: State) -> bool:
    """Whether no other server can lead now, if clocks are as good as `Config.lease_drift` says.

    "The lease period is election timeout / clock drift bound" (thesis 6.4.1). A leader that hands
    over has given its lease away: TimeoutNow makes voters forget theirs.
    """
    drift = state.config.lease_drift
    if drift is None or state.transfer is not None or state.commit < state.term_start:
        return False
    return state.now - lease_start(state) < state.config.election_timeout / (1 + drift)
