"""Rules of the core broken on purpose, one by one: the simulator has to notice each.

A sweep without violations means as much as the sweep can see. Every case here is a mistake that
somebody could make, most of them one that somebody has made.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from rumor.core import departure, exchange, probe, rumours, swim
from rumor.core.awareness import Awareness
from rumor.core.backlog import Backlog
from rumor.core.members import LIVE, Members
from rumor.core.schedule import Schedule
from rumor.core.state import State
from rumor.messages import Alive, Health, Incarnation, Name, Peer
from rumor.simulation import run

SEEDS_MAX = 30
"""Within so many runs each mistake must show."""


def nothing(*_: object) -> None:
    """What a forgotten rule does."""


def newer_or_equal(incarnation: Incarnation, health: Health, *, held: Peer) -> bool:
    return (incarnation, health) >= (held.incarnation, held.health)


def alive_clears_suspicion(incarnation: Incarnation, health: Health, *, held: Peer) -> bool:
    if (incarnation, health, held.health) == (held.incarnation, Health.ALIVE, Health.SUSPECT):
        return True
    return (incarnation, health) > (held.incarnation, held.health)


def worst_wins(_: Incarnation, health: Health, *, held: Peer) -> bool:
    return health > held.health


def nobody_returns(incarnation: Incarnation, health: Health, *, held: Peer) -> bool:
    return held.health in LIVE and (incarnation, health) > (held.incarnation, held.health)


def death_after_farewell(incarnation: Incarnation, health: Health, *, held: Peer) -> bool:
    order = (Health.ALIVE, Health.SUSPECT, Health.LEFT, Health.DEAD)
    mine, theirs = order.index(health), order.index(held.health)
    return (incarnation, mine) > (held.incarnation, theirs)


def refute_with_the_same_number(state: State, _: Incarnation) -> None:
    rumours.become(state, state.members.myself)


def believe_the_accuser(state: State, incarnation: Incarnation) -> None:
    mine = state.members.myself
    if not state.has_left and incarnation >= mine.incarnation:
        rumours.become(state, evolve(mine, health=Health.DEAD, accuser="somebody"))


def describe_without_a_new_number(state: State, meta: bytes) -> None:
    rumours.become(state, evolve(state.members.myself, meta=meta))


def let_the_name_be_taken(state: State, alive: Alive) -> None:
    held = state.members.get(alive.name)
    if held is None or alive.incarnation > held.incarnation:
        peer = Peer(alive.name, alive.address, alive.incarnation, Health.ALIVE, alive.meta)
        rumours.become(state, peer)


def leave_as_if_dead(state: State, peer: Peer) -> None:
    rumours.become(state, evolve(peer, health=Health.DEAD, accuser=peer.name))


def leave_in_silence(state: State, peer: Peer) -> None:
    state.members.put(peer, state.now)


def probe_in_one_round_only(state: State) -> Name | None:
    while state.ring:
        name = state.ring.pop()
        if (peer := state.members.get(name)) is not None and peer.health in LIVE:
            return name
    return None


def accept_any_ack(state: State, _: object) -> None:
    state.probe = None


def reap_halfway(state: State, name: Name) -> None:
    state.members.forget(name)


def forget_the_limit(draw: Callable[..., Any]) -> Callable[..., Any]:
    return lambda backlog, room, _: draw(backlog, room, 1 << 60)


def forget_the_room(draw: Callable[..., Any]) -> Callable[..., Any]:
    return lambda backlog, _, limit: draw(backlog, 1 << 60, limit)


def worsen_for_ever(awareness: Awareness, points: int = 1) -> None:
    awareness.score += points


SABOTAGE: dict[str, tuple[Any, str, Any, set[str]]] = {
    "equal statements replace each other": (
        rumours,
        "supersedes",
        newer_or_equal,
        {"Transition", "Walk", "Storm"},
    ),
    "Alive clears a Suspect of its own incarnation": (
        rumours,
        "supersedes",
        alive_clears_suspicion,
        {"Transition"},
    ),
    "health overrides incarnation": (
        rumours,
        "supersedes",
        worst_wins,
        {"Incarnation", "Transition", "Liveness", "Convergence"},
    ),
    "the dead never return": (rumours, "supersedes", nobody_returns, {"Convergence"}),
    "a death overrides a farewell": (
        rumours,
        "supersedes",
        death_after_farewell,
        {"Transition", "Walk", "Farewell", "Exception"},
    ),
    "accusations are not answered": (rumours, "_refute", nothing, {"Liveness"}),
    "a refutation has no larger incarnation": (
        rumours,
        "_refute",
        refute_with_the_same_number,
        {"Liveness"},
    ),
    "a member believes that it is dead": (rumours, "_refute", believe_the_accuser, {"Liveness"}),
    "suspicions never end": (
        rumours,
        "on_suspicion_expired",
        nothing,
        {"Completeness", "Convergence"},
    ),
    "the user is not told": (rumours, "_notify", nothing, {"Walk"}),
    "new metadata have no new incarnation": (
        rumours,
        "describe",
        describe_without_a_new_number,
        {"Transition"},
    ),
    "a name moves while its owner lives": (
        rumours,
        "_on_alive",
        let_the_name_be_taken,
        {"Authenticity", "Transition"},
    ),
    "tombstones stay": (rumours, "reap", nothing, {"Forgetting"}),
    "the reaped are not reported": (rumours, "reap", reap_halfway, {"Walk"}),
    "failed probes accuse nobody": (probe, "_fail", nothing, {"Completeness", "Convergence"}),
    "each member is probed once only": (
        probe,
        "_next_target",
        probe_in_one_round_only,
        {"Completeness", "Convergence"},
    ),
    "any ack ends a probe": (probe, "on_ack", accept_any_ack, {"Exception", "Rest", "Farewell"}),
    "lost members are not tried again": (exchange, "reconnect", nothing, {"Convergence"}),
    "all lists have one fingerprint": (
        exchange,
        "fingerprint",
        lambda *_: bytes(16),
        {"Convergence"},
    ),
    "differences are not sent": (exchange, "compare", lambda *_: ([], []), {"Convergence"}),
    "a farewell looks like a death": (departure, "become", leave_as_if_dead, {"Liveness", "Walk"}),
    "a farewell is not passed on": (
        departure,
        "become",
        leave_in_silence,
        {"Walk", "Farewell"},
    ),
    "updates are passed on for ever": (Backlog, "draw", forget_the_limit(Backlog.draw), {"Rest"}),
    "datagrams are overfilled": (Backlog, "draw", forget_the_room(Backlog.draw), {"Bounds"}),
    "the health score has no bound": (Awareness, "worsen", worsen_for_ever, {"Bounds"}),
    "replaced timers fire": (Schedule, "_drop_stale", nothing, {"Exception", "Deadline"}),
    "the deadline is always past": (
        swim.Swim,
        "deadline",
        property(lambda _: 0.0),
        {"Deadline"},
    ),
}


@pytest.mark.parametrize("mistake", SABOTAGE)
def test_the_simulator_notices(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken rule shows as a broken promise, within a few seeds."""
    where, name, replacement, promises = SABOTAGE[mistake]
    monkeypatch.setattr(where, name, replacement)
    for seed in range(SEEDS_MAX):
        violations = run(seed, periods=60).violations
        if violations:
            break
    else:
        pytest.fail(f"{SEEDS_MAX} seeds showed nothing")
    assert violations[0].promise in promises, str(violations[0])


def test_a_core_with_its_own_dice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance that the seed does not decide makes two runs of one seed differ."""

    def sample(members: Members, count: int, *_: object, **__: object) -> list[Peer]:
        names = members.live_names()
        random.shuffle(names)
        return [members.view[name] for name in names[:count]]

    monkeypatch.setattr(Members, "sample", sample)
    assert run(0, periods=20).digests != run(0, periods=20).digests
