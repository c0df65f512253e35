"""Broken rules of gossip: `python -m tests.sabotage.gossip` shows which promise each breaks.

The rows are mistakes that somebody could make, most of them ones that somebody has made. What must
notice is the simulator: its troubles and its calm, from seeds as they come.
"""

from __future__ import annotations

import random
import re
import sys
from typing import Any

import pytest
from attrs import evolve, frozen
from tests.sabotage.rows import Row, Verdict, broken

from rumor.core import departure, exchange, happenings, probe, rumours
from rumor.core.awareness import Awareness
from rumor.core.backlog import Backlog
from rumor.core.history import Happenings
from rumor.core.members import LIVE, Members
from rumor.core.schedule import Schedule
from rumor.core.state import State
from rumor.core.suspicion import Suspicion
from rumor.core.swim import Swim
from rumor.messages import Alive, Health, Incarnation, Name, Peer
from rumor.simulation import run

SEEDS_MAX = 60
"""Far above what most rows need today: the generator's draws change with the simulator."""

PERIODS = 60.0


@frozen
class Troubles:
    """Runs of rumor's simulator, seed by seed, until one breaks a promise that stands on this."""

    promises: str
    """A regular expression for the names of those promises."""
    first: int = 0
    """Rows that only a rare mix of troubles shows begin near one."""

    def watch(self, row: Row) -> Verdict:
        """See `Watcher.watch`."""
        with pytest.MonkeyPatch.context() as patch:
            row.break_rule(patch)
            for count in range(1, SEEDS_MAX + 1):
                violations = run(self.first + count - 1, periods=PERIODS).violations
                if violations:
                    promise = violations[0].promise
                    caught = re.fullmatch(self.promises, promise) is not None
                    return Verdict(f"simulation: {promise}", caught, count)
        return Verdict(f"simulation: {self.promises}", caught=False, seeds=SEEDS_MAX)


@frozen
class Twice:
    """Two runs of one seed, which must be the same run."""

    def watch(self, row: Row) -> Verdict:
        """See `Watcher.watch`."""
        with pytest.MonkeyPatch.context() as patch:
            row.break_rule(patch)
            differ = run(0, periods=20).digests != run(0, periods=20).digests
        return Verdict("simulation: two runs of one seed", differ, 1)


def nothing(*_: object) -> None:
    """What a forgotten rule does."""


# --- which statement is newer -----------------------------------------------------------------


@broken(Troubles("Transition|Walk|Storm"))
def equal_statements_replace(patch: pytest.MonkeyPatch) -> None:
    """A statement that says nothing new is taken for news, and passed on again."""

    def sabotaged(incarnation: Incarnation, health: Health, *, held: Peer) -> bool:
        return (incarnation, health) >= (held.incarnation, held.health)

    patch.setattr(rumours, "supersedes", sabotaged)


@broken(Troubles("Transition", first=6))
def alive_clears_its_suspicion(patch: pytest.MonkeyPatch) -> None:
    """An old Alive clears a suspicion of the same incarnation."""

    def sabotaged(incarnation: Incarnation, health: Health, *, held: Peer) -> bool:
        cleared = (held.incarnation, Health.ALIVE, Health.SUSPECT)
        if (incarnation, health, held.health) == cleared:
            return True
        return (incarnation, health) > (held.incarnation, held.health)

    patch.setattr(rumours, "supersedes", sabotaged)


@broken(Troubles("Incarnation|Transition|Liveness|Convergence"))
def worst_statement_wins(patch: pytest.MonkeyPatch) -> None:
    """Health overrides incarnation, so that nobody can refute."""

    def sabotaged(_: Incarnation, health: Health, *, held: Peer) -> bool:
        return health > held.health

    patch.setattr(rumours, "supersedes", sabotaged)


@broken(Troubles("Convergence"))
def dead_never_return(patch: pytest.MonkeyPatch) -> None:
    """Whoever was declared dead stays so, whatever it says: partitions never heal."""

    def sabotaged(incarnation: Incarnation, health: Health, *, held: Peer) -> bool:
        return held.health in LIVE and (incarnation, health) > (held.incarnation, held.health)

    patch.setattr(rumours, "supersedes", sabotaged)


@broken(Troubles("Transition|Walk|Farewell|Exception", first=34))
def death_over_farewell(patch: pytest.MonkeyPatch) -> None:
    """A death overrides a farewell: who left is reported as failed."""
    order = (Health.ALIVE, Health.SUSPECT, Health.LEFT, Health.DEAD)

    def sabotaged(incarnation: Incarnation, health: Health, *, held: Peer) -> bool:
        mine, theirs = order.index(health), order.index(held.health)
        return (incarnation, mine) > (held.incarnation, theirs)

    patch.setattr(rumours, "supersedes", sabotaged)


# --- suspicion and refutation -----------------------------------------------------------------


@broken(Troubles("Liveness"))
def accusation_unanswered(patch: pytest.MonkeyPatch) -> None:
    """A member that hears of its own death says nothing."""
    patch.setattr(rumours, "_refute", nothing)


@broken(Troubles("Liveness"))
def refutation_without_a_number(patch: pytest.MonkeyPatch) -> None:
    """A refutation has the incarnation of the accusation, so that nobody believes it."""

    def sabotaged(state: State, _: Incarnation) -> None:
        rumours.become(state, state.members.myself)

    patch.setattr(rumours, "_refute", sabotaged)


@broken(Troubles("Liveness"))
def accuser_believed(patch: pytest.MonkeyPatch) -> None:
    """A member believes that it is dead."""

    def sabotaged(state: State, incarnation: Incarnation) -> None:
        mine = state.members.myself
        if not state.has_left and incarnation >= mine.incarnation:
            rumours.become(state, evolve(mine, health=Health.DEAD, accuser="somebody"))

    patch.setattr(rumours, "_refute", sabotaged)


@broken(Troubles("Completeness|Convergence"))
def suspicion_without_end(patch: pytest.MonkeyPatch) -> None:
    """Suspects stay suspects."""
    patch.setattr(rumours, "on_suspicion_expired", nothing)


@broken(Troubles("Storm|Completeness|Convergence"))
def suspicion_restarted(patch: pytest.MonkeyPatch) -> None:
    """An accusation that was heard before counts again: it is passed on, and no suspicion ends."""

    def sabotaged(suspicion: Suspicion, accuser: Name) -> bool:
        suspicion.accusers[accuser] = None
        suspicion.longest = suspicion.shortest = suspicion.shortest + 1_000.0
        return True

    patch.setattr(Suspicion, "confirm", sabotaged)


@broken(Troubles("Walk"))
def user_not_told(patch: pytest.MonkeyPatch) -> None:
    """The list changes and the user hears nothing of it."""
    patch.setattr(rumours, "_notify", nothing)


# --- records, names, forgetting ---------------------------------------------------------------


@broken(Troubles("Transition"))
def metadata_without_a_number(patch: pytest.MonkeyPatch) -> None:
    """New metadata go out under the old incarnation: some have them, some never."""

    def sabotaged(state: State, meta: bytes) -> None:
        rumours.become(state, evolve(state.members.myself, meta=meta))

    patch.setattr(rumours, "describe", sabotaged)


@broken(Troubles("Authenticity|Transition", first=20))
def name_taken(patch: pytest.MonkeyPatch) -> None:
    """Somebody else takes the name of a member that lives."""

    def sabotaged(state: State, alive: Alive) -> None:
        held = state.members.get(alive.name)
        if held is None or alive.incarnation > held.incarnation:
            peer = Peer(alive.name, alive.address, alive.incarnation, Health.ALIVE, alive.meta)
            rumours.become(state, peer)

    patch.setattr(rumours, "_on_alive", sabotaged)


@broken(Troubles("Forgetting"))
def tombstones_stay(patch: pytest.MonkeyPatch) -> None:
    """The dead are remembered for ever: the list grows with every restart elsewhere."""
    patch.setattr(rumours, "reap", nothing)


@broken(Troubles("Walk"))
def reaped_in_silence(patch: pytest.MonkeyPatch) -> None:
    """Who is forgotten is not reported as such."""

    def sabotaged(state: State, name: Name) -> None:
        state.members.forget(name)

    patch.setattr(rumours, "reap", sabotaged)


# --- probes -----------------------------------------------------------------------------------


@broken(Troubles("Completeness|Convergence"))
def failed_probe_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Nobody is accused when a probe fails."""
    patch.setattr(probe, "_fail", nothing)


@broken(Troubles("Completeness|Convergence"))
def one_round_of_probes(patch: pytest.MonkeyPatch) -> None:
    """The list of targets is not filled again: each member is probed once."""

    def sabotaged(state: State) -> Name | None:
        while state.ring:
            name = state.ring.pop()
            if (peer := state.members.get(name)) is not None and peer.health in LIVE:
                return name
        return None

    patch.setattr(probe, "_next_target", sabotaged)


@broken(Troubles("Exception|Rest|Farewell"))
def any_ack_will_do(patch: pytest.MonkeyPatch) -> None:
    """An ack of anybody, of any time, ends the probe."""

    def sabotaged(state: State, _: object) -> None:
        state.probe = None

    patch.setattr(probe, "on_ack", sabotaged)


@broken(Troubles("Bounds"))
def health_without_bound(patch: pytest.MonkeyPatch) -> None:
    """The health score grows without a limit: after a bad minute a member probes no more."""

    def sabotaged(awareness: Awareness, points: int = 1) -> None:
        awareness.score += points

    patch.setattr(Awareness, "worsen", sabotaged)


# --- exchanges and farewells ------------------------------------------------------------------


@broken(Troubles("Convergence", first=20))
def lost_members_left_alone(patch: pytest.MonkeyPatch) -> None:
    """Failed members and seeds are not tried again: partitions stay for ever."""
    patch.setattr(exchange, "reconnect", nothing)


@broken(Troubles("Convergence", first=24))
def one_fingerprint(patch: pytest.MonkeyPatch) -> None:
    """All lists look alike to an exchange."""
    patch.setattr(exchange, "fingerprint", lambda *_: bytes(16))


@broken(Troubles("Convergence", first=37))
def differences_kept_back(patch: pytest.MonkeyPatch) -> None:
    """An exchange finds out what differs, and sends nothing."""
    patch.setattr(exchange, "compare", lambda *_: ([], []))


@broken(Troubles("Liveness|Walk"))
def farewell_as_death(patch: pytest.MonkeyPatch) -> None:
    """Who leaves says that it is dead."""

    def sabotaged(state: State, peer: Peer) -> None:
        rumours.become(state, evolve(peer, health=Health.DEAD, accuser=peer.name))

    patch.setattr(departure, "become", sabotaged)


@broken(Troubles("Walk|Farewell"))
def farewell_in_silence(patch: pytest.MonkeyPatch) -> None:
    """Who leaves tells nobody."""

    def sabotaged(state: State, peer: Peer) -> None:
        state.members.put(peer, state.now)

    patch.setattr(departure, "become", sabotaged)


# --- user events ------------------------------------------------------------------------------


@broken(Troubles("Once"))
def event_told_twice(patch: pytest.MonkeyPatch) -> None:
    """An event that was heard is heard again, by gossip or by an exchange."""
    patch.setattr(Happenings, "is_new", lambda *_: True)


@broken(Troubles("Delivery"))
def equal_events_merged(patch: pytest.MonkeyPatch) -> None:
    """Two events with the same name and payload are taken for one."""
    take = happenings.take

    def sabotaged(state: State, memory: Any, told: Any) -> bool:
        if any((each.name, each.payload) == (told.name, told.payload) for each in memory.events):
            return False
        return take(state, memory, told)

    patch.setattr(happenings, "take", sabotaged)


# --- the backlog and the clock ----------------------------------------------------------------


@broken(Troubles("Rest"))
def passed_on_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Updates have no transmit limit: the backlog never empties."""
    draw = Backlog.draw

    def sabotaged(backlog: Any, room: int, _: int) -> tuple[bytes, ...]:
        return draw(backlog, room, 1 << 60)

    patch.setattr(Backlog, "draw", sabotaged)


@broken(Troubles("Bounds"))
def datagram_overfilled(patch: pytest.MonkeyPatch) -> None:
    """Datagrams are filled past their limit, and cut off on the way."""
    draw = Backlog.draw

    def sabotaged(backlog: Any, _: int, limit: int) -> tuple[bytes, ...]:
        return draw(backlog, 1 << 60, limit)

    patch.setattr(Backlog, "draw", sabotaged)


@broken(Troubles("Exception|Deadline"))
def replaced_timer_fires(patch: pytest.MonkeyPatch) -> None:
    """A deadline that was set anew or called off falls due all the same."""
    patch.setattr(Schedule, "_drop_stale", nothing)


@broken(Troubles("Deadline"))
def deadline_in_the_past(patch: pytest.MonkeyPatch) -> None:
    """The driver is told to come back at once, for ever."""
    patch.setattr(Swim, "deadline", property(lambda _: 0.0))


@broken(Twice())
def own_dice(patch: pytest.MonkeyPatch) -> None:
    """Chance that the seed does not decide: no run can be seen again."""

    def sabotaged(members: Members, count: int, *_: object, **__: object) -> list[Peer]:
        names = members.live_names()
        random.shuffle(names)
        return [members.view[name] for name in names[:count]]

    patch.setattr(Members, "sample", sabotaged)


ROWS: dict[str, Row] = {row.name: row for row in list(vars().values()) if isinstance(row, Row)}

if __name__ == "__main__":
    from tests.sabotage.__main__ import main

    sys.exit(main(rows=ROWS))
