"""Broken rules of client sessions and of the cluster's clock."""

from __future__ import annotations

from attrs import evolve
from tests.sabotage.mixes import CRASHES
from tests.sabotage.rows import Seeds, broken

from quorum import session_image
from quorum.core.state import State
from quorum.envelope import Request, parse
from quorum.sessions import Sessions, _Session

REPEATED = "Exactly once|State Machine Safety|Linearizability"


@broken(Seeds("Exactly once"))
def repetition_applied(patch):
    """Applies a command once more when its client asks again."""
    decide = Sessions._command

    def sabotaged(sessions, session, sequence):
        session.results.pop(sequence, None)
        return decide(sessions, session, sequence)

    patch.setattr(Sessions, "_command", sabotaged)


@broken(Seeds(REPEATED, {"faults": CRASHES, "steps": 800}))
def results_left_out_of_snapshots(patch):
    """Takes snapshots without what it remembers of its clients' commands."""
    pack = session_image.pack

    def sabotaged(image):
        return pack(evolve(image, rows=tuple(evolve(row, results=()) for row in image.rows)))

    patch.setattr("quorum.sessions.session_image.pack", sabotaged)


@broken(Seeds(REPEATED, {"steps": 800}))
def ended_session_taken_for_new(patch):
    """Takes a command of a session that has ended for one of a new session."""
    receive = Sessions._receive

    def sabotaged(sessions, index, envelope):
        request, key, _, _ = parse(envelope)
        if request is Request.COMMAND and key not in sessions._sessions:
            while len(sessions) >= sessions._limits.sessions_max:
                sessions._sessions.popitem(last=False)
            sessions._sessions[key] = _Session(ttl_ms=1_000_000, heard=sessions._clock)
        return receive(sessions, index, envelope)

    patch.setattr(Sessions, "_receive", sabotaged)


@broken(Seeds("State Machine Safety"))
def sessions_end_by_local_time(patch):
    """Ends sessions by how long this server has been up, not by the log's time."""
    apply = Sessions.apply
    ticks = {}

    def sabotaged(sessions, entries):
        ticks[id(sessions)] = ticks.get(id(sessions), 0) + 200
        stamps = (ticks[id(sessions)],) * len(entries)
        return apply(sessions, evolve(entries, stamps=stamps))

    patch.setattr(Sessions, "apply", sabotaged)


@broken(Seeds("Cluster clock"))
def cluster_clock_goes_back(patch):
    """A new leader stamps entries by its own clock, whatever the log's last stamp is."""
    patch.setattr(State, "stamp", lambda state: int(state.now * 1000))
