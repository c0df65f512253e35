"""What an update does to the list: the dissemination component's receiving side (SWIM §4.1, §4.2).

Every update passes the precedence table of :mod:`rumor.core.members`; what is newer changes the
record in :func:`become`, the only place that does so, and is passed on. What is not newer changes
nothing, with four exceptions: a second accuser confirms a suspicion, an old Alive of somebody
whom we hold dead shows that it has not heard so and is told, an old accusation shows that its
accuser has missed the answer and is told that, and an accusation against ourselves is always
answered.
"""

from __future__ import annotations

from typing import assert_never

from attrs import evolve

from rumor.core.members import LIVE, supersedes, update_of
from rumor.core.state import Due, State
from rumor.core.suspicion import Suspicion, suspicion_time
from rumor.effects import (
    Conflicted,
    Failed,
    Joined,
    Left,
    Reaped,
    Recovered,
    Send,
    Suspected,
    Updated,
)
from rumor.messages import (
    META_BYTES_MAX,
    Address,
    Alive,
    Dead,
    Gossip,
    Health,
    Incarnation,
    Leave,
    Name,
    Peer,
    Suspect,
    Update,
)


def on_update(state: State, update: Update) -> None:
    """Take one update, from a datagram or from ourselves."""
    if update.name == state.me:
        _on_update_about_me(state, update)
        return
    match update:
        case Alive():
            _on_alive(state, update)
        case Suspect():
            _on_suspect(state, update)
        case Dead(name, incarnation, accuser):
            held = state.members.get(name)
            if held is not None and supersedes(incarnation, Health.DEAD, held=held):
                dead = evolve(held, incarnation=incarnation, health=Health.DEAD, accuser=accuser)
                become(state, dead)
        case Leave(name, incarnation):
            held = state.members.get(name)
            if held is not None and supersedes(incarnation, Health.LEFT, held=held):
                left = evolve(held, incarnation=incarnation, health=Health.LEFT, accuser=None)
                become(state, left)
        case _:
            assert_never(update)


def on_record(state: State, peer: Peer) -> None:
    """Take one record from a push-pull exchange.

    A death that reaches us this way is old news, perhaps from the other side of a partition that
    has just healed. If we hold the member alive it becomes a suspect first, accused by whoever
    declared it dead, and has the time of a suspicion to refute.
    """
    match peer.health:
        case Health.ALIVE | Health.LEFT:
            on_update(state, update_of(peer))
        case Health.SUSPECT:
            on_update(state, Alive(peer.name, peer.address, peer.incarnation, peer.meta))
            on_update(state, update_of(peer))
        case Health.DEAD:
            held = state.members.get(peer.name)
            if held is not None and held.health in LIVE:
                peer = evolve(peer, health=Health.SUSPECT)
            on_update(state, update_of(peer))
        case _:
            assert_never(peer.health)


def become(state: State, peer: Peer) -> None:
    """Replace a member's record, notify the user, and pass it on."""
    held = state.members.get(peer.name)
    state.members.put(peer, state.now)
    if peer.health is not Health.SUSPECT:
        state.suspicions.pop(peer.name, None)
        state.schedule.cancel((Due.SUSPICION, peer.name))
    if peer.health in LIVE:
        state.schedule.cancel((Due.REAP, peer.name))
        state.told.pop(peer.name, None)
    elif peer.name != state.me:
        state.detours.pop(peer.name, None)
        state.schedule.set((Due.REAP, peer.name), state.now + state.config.tombstone_time)
    state.backlog.put(peer.name, state.encode(update_of(peer)))
    _notify(state, held, peer)


def describe(state: State, meta: bytes) -> None:
    """Give this member new metadata; a new incarnation makes it newer than the old."""
    assert len(meta) <= META_BYTES_MAX, len(meta)
    mine = state.members.myself
    if meta != mine.meta and not state.has_left:
        become(state, evolve(mine, incarnation=mine.incarnation + 1, meta=meta))


def reap(state: State, name: Name) -> None:
    """Forget a member whose tombstone time has passed."""
    peer = state.members.forget(name)
    state.backlog.remove(name)
    state.told.pop(name, None)
    state.conflicts.pop(name, None)
    state.coordinates.pop(name, None)
    state.vivaldi.forget(name)
    state.out.append(Reaped(peer))


def on_suspicion_expired(state: State, name: Name) -> None:
    """Declare a suspect dead: it "is not refuted within the timeout" (§4.2)."""
    suspicion = state.suspicions[name]
    on_update(state, Dead(name, suspicion.incarnation, state.me))


def _on_alive(state: State, alive: Alive) -> None:
    held = state.members.get(alive.name)
    if held is None:
        if len(state.members) >= state.config.members_max:
            state.counts.refused += 1
            return
        # "a new member is inserted at a random position" of the round-robin (§4.3)
        state.ring.insert(state.random.randint(0, len(state.ring)), alive.name)
    elif held.health in LIVE and alive.address != held.address:
        if alive.incarnation >= held.incarnation:
            _report_conflict(state, held, alive)
        return
    elif not supersedes(alive.incarnation, Health.ALIVE, held=held):
        if held.health not in LIVE:
            _tell_stale_speaker(state, held, alive.address)
        return
    become(state, Peer(alive.name, alive.address, alive.incarnation, Health.ALIVE, alive.meta))


def _on_suspect(state: State, suspect: Suspect) -> None:
    name, incarnation, accuser = suspect.name, suspect.incarnation, suspect.accuser
    held = state.members.get(name)
    if held is None or accuser == name:
        return
    if supersedes(incarnation, Health.SUSPECT, held=held):
        become(
            state,
            evolve(held, incarnation=incarnation, health=Health.SUSPECT, accuser=accuser),
        )
        _open_suspicion(state, suspect)
    elif (incarnation, Health.SUSPECT) == (held.incarnation, held.health):
        # Lifeguard: each independent confirmation shortens the suspicion, and is passed on so
        # that the others learn of it too.
        suspicion = state.suspicions[name]
        if suspicion.confirm(accuser):
            state.schedule.set((Due.SUSPICION, name), suspicion.deadline)
            state.backlog.put(name, state.encode(suspect))
    elif held.health in (Health.ALIVE, Health.LEFT) and state.config.buddy:
        _tell_accuser(state, held, accuser)


def _open_suspicion(state: State, suspect: Suspect) -> None:
    config, size = state.config, state.members.size
    shortest = suspicion_time(config.suspicion_multiplier, size, config.probe_interval)
    # Without enough others to confirm, waiting for confirmations would only delay.
    expected = config.suspicion_confirmations if size - 2 >= config.suspicion_confirmations else 0
    suspicion = Suspicion(
        suspect.incarnation,
        state.now,
        shortest,
        shortest * config.suspicion_max_multiplier,
        expected,
    )
    suspicion.confirm(suspect.accuser)
    state.suspicions[suspect.name] = suspicion
    state.schedule.set((Due.SUSPICION, suspect.name), suspicion.deadline)


def _on_update_about_me(state: State, update: Update) -> None:
    mine = state.members.myself
    match update:
        case Alive(_, address, incarnation, meta):
            if address != mine.address:
                if incarnation >= mine.incarnation:
                    _report_conflict(state, mine, update)
            elif incarnation > mine.incarnation or (
                incarnation == mine.incarnation and meta != mine.meta
            ):
                # Word of an earlier life at this address: speak louder than it did.
                become(state, evolve(mine, incarnation=incarnation + 1))
        case Suspect() | Dead() | Leave():
            _refute(state, update.incarnation)
        case _:
            assert_never(update)


def _refute(state: State, incarnation: Incarnation) -> None:
    """Answer an accusation: "Alive, with an incremented incarnation number" (§4.2)."""
    mine = state.members.myself
    if incarnation > mine.incarnation or (incarnation == mine.incarnation and not state.has_left):
        become(state, evolve(mine, incarnation=incarnation + 1))
        if not state.has_left:
            state.counts.refutations += 1
            state.awareness.worsen()  # Lifeguard: to be accused is a sign of being slow
    elif state.me not in state.backlog:
        # Refuted already, but the accuser has not heard: say it again.
        state.backlog.put(state.me, state.encode(update_of(mine)))


def _tell_stale_speaker(state: State, held: Peer, address: Address) -> None:
    """Tell a member that speaks up with too small a number what it has to beat.

    It was restarted, or slept through its own death. At most once in a protocol period, for the
    word may be an old one that still goes round.
    """
    if state.now >= state.told.get(held.name, state.now):
        state.told[held.name] = state.now + state.config.probe_interval
        state.send(address, Gossip(), about=held.name)


def _tell_accuser(state: State, held: Peer, accuser: Name) -> None:
    """Tell an accuser of the refutation or farewell that it has missed, before it buries anybody.

    Gossip reaches everybody with high probability only; whoever it has not reached goes on to
    accuse, and those who hear it are the ones who know better. At most once in a protocol period
    about each member: an accusation that is not newer than what we hold is not passed on, so few
    hear it.
    """
    peer = state.members.get(accuser)
    if (
        peer is not None
        and accuser != state.me
        and state.now >= state.told.get(held.name, state.now)
    ):
        state.told[held.name] = state.now + state.config.probe_interval
        state.out.append(Send(peer.address, Gossip(), (state.encode(update_of(held)),)))


def _report_conflict(state: State, held: Peer, rival: Alive) -> None:
    """Tell the user that a name is used twice; and its first owner, who cannot see it else."""
    if state.now >= state.conflicts.get(held.name, state.now):
        state.conflicts[held.name] = state.now + state.config.conflict_interval
        state.out.append(Conflicted(held, rival.address))
        if held.name != state.me:
            state.out.append(Send(held.address, Gossip(), (state.encode(rival),)))


def _notify(state: State, held: Peer | None, peer: Peer) -> None:
    """Report a change as steps of the walk drawn in :mod:`rumor.effects`."""
    before = held.health if held is not None else None
    if before not in LIVE and peer.health is not before and not _is_burial(before, peer.health):
        state.out.append(Joined(peer))
        before = Health.ALIVE
    elif held is not None and peer.health is Health.ALIVE:
        if before is Health.SUSPECT:
            state.out.append(Recovered(peer))
        if held.meta != peer.meta:
            state.out.append(Updated(peer))
    if peer.health is before:
        return
    match peer.health:
        case Health.ALIVE:
            pass
        case Health.SUSPECT:
            state.out.append(Suspected(peer, peer.accuser or peer.name))
        case Health.DEAD:
            state.out.append(Failed(peer))
        case Health.LEFT:
            state.out.append(Left(peer))
        case _:
            assert_never(peer.health)


def _is_burial(before: Health | None, after: Health) -> bool:
    """Whether the dead turns out to have left: the one step between two ends."""
    return before is Health.DEAD and after is Health.LEFT
