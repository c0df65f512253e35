"""Push-pull: two members make their lists equal, over a stream (anti-entropy).

Gossip reaches everybody with high probability, not for certain. So now and then a member compares
its list with another's, and sends what differs in both directions:

    other                                   asker
      │ Ping(.., fingerprint) ·················► │     a datagram, once in an exchange interval;
                                                       equal lists, nearly always: nothing more
      │ ◄────────────────── Summary(fingerprint) │     otherwise over a stream
      │ Digest(versions) ──────────────────────► │     (Same, if they became equal meanwhile)
      │ ◄ Push(newer here, names of newer there) │
      │ Push(those peers) ─────────────────────► │

So at rest a comparison costs 16 bytes on a ping that is sent anyway. Where pings are answered over
a stream only, each such answer is followed by an exchange, for no datagram would compare.

A newcomer, who knows nobody, begins with ``Push(itself, wanted=all)``: one round trip.

The user events that are remembered are compared and given in the same way.

Fingerprints and what is given concern the living. Tombstones are compared only when a digest shows
that the other side holds the member too; so a member that one side has forgotten is neither
brought back nor a difference that never ends.

The same exchange heals partitions: failed members and seeds are tried again for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from zlib import crc32

from rumor.core.happenings import on_event
from rumor.core.members import LIVE, Members, supersedes
from rumor.core.rumours import on_record
from rumor.core.state import Due, Joining, Outgoing, State
from rumor.core.suspicion import exchange_scale
from rumor.effects import Answer, Exchange, Settled
from rumor.messages import (
    Address,
    Digest,
    EventKey,
    Name,
    Peer,
    Push,
    Reply,
    Request,
    Same,
    Summary,
    Version,
)


def fingerprint(members: Iterable[Peer], events: tuple[EventKey, ...] = ()) -> bytes:
    """Digest the versions of the living, in the order of their names, and events: 16 bytes."""
    versions = sorted(
        (p.name, p.incarnation, int(p.health), p.address) for p in members if p.health in LIVE
    )
    return blake2b(repr((versions, events)).encode(), digest_size=16).digest()


def _own_fingerprint(state: State) -> bytes:
    """Digest our own list, once for each of its changes: at rest, all members ask all the time."""
    version = state.members.changes, state.happenings.keys
    if state.fingerprint is None or state.fingerprint[0] != version:
        state.fingerprint = version, fingerprint(state.members, version[1])
    return state.fingerprint[1]


def digest(members: Iterable[Peer], events: tuple[EventKey, ...] = ()) -> Digest:
    """List the versions of all members that are known, and the events that are remembered."""
    return Digest(tuple(map(version_of, members)), events)


def version_of(peer: Peer) -> Version:
    """The part of a record that is compared."""
    place = crc32(repr(peer.address).encode())
    return Version(peer.name, peer.incarnation, peer.health, place)


def compare(members: Members, versions: Iterable[Version]) -> tuple[list[Peer], list[Name]]:
    """Decide which records to give to a peer that holds `versions`, and which to ask for."""
    give: list[Peer] = []
    wanted: list[Name] = []
    theirs: set[Name] = set()
    for version in versions:
        theirs.add(version.name)
        held = members.get(version.name)
        if held is None:
            if version.health in LIVE:
                wanted.append(version.name)
        elif supersedes(held.incarnation, held.health, held=version):
            give.append(held)
        elif supersedes(version.incarnation, version.health, held=held):
            wanted.append(version.name)
        elif held.health in LIVE and version != version_of(held):
            # One name at two addresses: neither is newer, and both sides shall see the other.
            give.append(held)
            wanted.append(version.name)
    give.extend(peer for peer in members if peer.health in LIVE and peer.name not in theirs)
    return give, wanted


def on_asked(state: State, call: int, request: Summary | Push) -> None:
    """Answer a peer's request."""
    if isinstance(request, Summary):
        keys = state.happenings.keys
        same = request.fingerprint == _own_fingerprint(state)
        state.out.append(Answer(call, Same() if same else digest(state.members, keys)))
        return
    _take(state, request)
    if request.wanted is None:
        peers, events = tuple(state.members), state.happenings.events
    else:
        # What was asked for; and ourselves, in case the request made us speak up.
        names = dict.fromkeys((*request.wanted, state.me))
        peers = tuple(p for p in map(state.members.get, names) if p is not None)
        asked = map(state.happenings.get, request.missing)
        events = tuple(event for event in asked if event is not None)
    state.out.append(Answer(call, Push(peers, events=events)))


def on_answered(state: State, ticket: int, reply: Reply) -> None:
    """Take the reply to an exchange of ours; a digest is followed by a second exchange."""
    outgoing = state.outgoing.pop(ticket, None)
    if outgoing is None:
        return
    if isinstance(reply, Digest) and outgoing.summary:
        give, wanted = compare(state.members, reply.versions)
        events, missing = state.happenings.compare(reply.events)
        if give or wanted or events or missing:
            request = Push(tuple(give), tuple(wanted), tuple(events), tuple(missing))
            _exchange(state, outgoing.to, request, tag=outgoing.tag, timer=outgoing.timer)
            return
    elif isinstance(reply, Push):
        _take(state, reply)
    _settle(state, outgoing, answered=True)


def _take(state: State, push: Push) -> None:
    for peer in push.peers:
        on_record(state, peer)
    for event in push.events:
        on_event(state, event)


def on_unanswered(state: State, ticket: int) -> None:
    """Note that an exchange of ours failed; the timers will try again, perhaps elsewhere."""
    outgoing = state.outgoing.pop(ticket, None)
    if outgoing is not None:
        _settle(state, outgoing, answered=False)


def on_introduced(state: State, tag: int, seeds: tuple[Address, ...]) -> None:
    """Ask all seeds at once for their lists, and remember them for a lonelier day."""
    own = state.members.myself.address
    others = [] if state.has_left else [seed for seed in dict.fromkeys(seeds) if seed != own]
    for seed in others:
        state.seeds.pop(seed, None)
        state.seeds[seed] = None
    while len(state.seeds) > state.config.seeds_max:
        del state.seeds[next(iter(state.seeds))]
        state.counts.refused += 1
    if not others:
        state.out.append(Settled(tag, 0))
        return
    state.joining[tag] = Joining(waiting=len(others))
    for seed in others:
        _exchange(state, seed, _first_request(state), tag=tag)


def become_curious(state: State) -> None:
    """Let the next ping compare lists; less often in a large cluster."""
    interval = state.config.exchange_interval * exchange_scale(state.members.size)
    state.schedule.set((Due.EXCHANGE, 0), state.now + interval)
    state.curious = True


def comparison(state: State) -> bytes | None:
    """What the next ping is to carry: our fingerprint, or nothing yet."""
    if not state.curious:
        return None
    state.curious = False
    return _own_fingerprint(state)


def on_compared(state: State, name: Name, source: Address, theirs: bytes) -> None:
    """A ping showed its sender's list; ask for it if it is not the same as ours."""
    if theirs != _own_fingerprint(state):
        exchange_with(state, name, source)


def exchange_with(state: State, name: Name, address: Address | None = None) -> None:
    """Compare lists with a member, at `address` if we do not know it; one such call at a time."""
    peer = state.members.get(name)
    to = address if peer is None else peer.address
    if to is not None and not _is_under_way(state, Due.EXCHANGE):
        _exchange(state, to, Summary(_own_fingerprint(state)), timer=Due.EXCHANGE)


def reconnect(state: State) -> None:
    """Try a failed member or a lost seed, so that a healed partition becomes one cluster.

    All members together make about as many attempts as there are candidates: each tries with a
    probability of candidates to living members. Who is alone always tries, and often.
    """
    config, members = state.config, state.members
    interval = config.reconnect_interval if members.others else config.probe_interval
    state.schedule.set((Due.RECONNECT, 0), state.now + min(interval, config.reconnect_interval))
    if _is_under_way(state, Due.RECONNECT):
        return
    lost = dict.fromkeys(members.view[name].address for name in members.dead_names())
    if state.seeds:
        living = {peer.address for peer in members if peer.health in LIVE}
        lost.update((seed, None) for seed in state.seeds if seed not in living)
    if lost and state.random.random() * max(1, members.others) < len(lost):
        to = state.random.choice(list(lost))
        _exchange(state, to, _first_request(state), timer=Due.RECONNECT)


def _first_request(state: State) -> Request:
    if state.members.others:
        return Summary(_own_fingerprint(state))
    return Push((state.members.myself,), wanted=None, events=state.happenings.events)


def _exchange(
    state: State,
    to: Address,
    request: Request,
    *,
    tag: int | None = None,
    timer: Due | None = None,
) -> None:
    ticket = state.next_sequence()
    state.outgoing[ticket] = Outgoing(to, tag, isinstance(request, Summary), timer)
    state.counts.exchanges += 1
    state.out.append(Exchange(ticket, to, request))


def _is_under_way(state: State, timer: Due) -> bool:
    return any(outgoing.timer is timer for outgoing in state.outgoing.values())


def _settle(state: State, outgoing: Outgoing, *, answered: bool) -> None:
    if outgoing.tag is None:
        return
    joining = state.joining[outgoing.tag]
    joining.waiting -= 1
    joining.answered += answered
    if joining.waiting == 0:
        del state.joining[outgoing.tag]
        state.out.append(Settled(outgoing.tag, joining.answered))
