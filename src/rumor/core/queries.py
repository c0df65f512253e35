"""Queries: a question to all members, or to some of them, and what they answer.

    asker                         everybody                    asker
      │ Query, by gossip ───────────► │ is it meant for us?
      │                               │ QueryAck ───────────────► │ each once, until time is up
      │                               │ QueryAnswer ────────────► │
      │                  others ◄──── │ QueryRelay
      │                     │ the same once more ───────────────► │

A query spreads like a user event: on the same Lamport clock, known by its origin and a number, so
that each member takes it once, and an old one that comes again is no news (Serf's queries). Unlike
an event it is not given to members that come late. Acknowledgements and answers go straight to
the asker, by a datagram each, which may get lost; so the asker may have each passed on by a few
others as well, and takes only the first of each member.

A query is open as long as gossip needs to reach everybody, and an answer to come back: Serf's
gossip_interval * 16 * ceil(log10(n + 1)). The asker alone decides when that is over. Nobody else
keeps anything about a query but that it was heard.
"""

from __future__ import annotations

from math import ceil, log10

from rumor.core.happenings import is_crowded, take
from rumor.core.state import Asking, Due, State, is_live
from rumor.effects import Collect, Deliver, Refuse, Settled
from rumor.events import Queried
from rumor.messages import Query, QueryAck, QueryAnswer, QueryRelay


def query_time(multiplier: float, gossip_interval: float, members: int) -> float:
    """How long a query is open, in seconds, if its asker does not say."""
    return gossip_interval * multiplier * ceil(log10(members + 1))


def ask(state: State, queried: Queried) -> None:
    """Open a query of our own, and put it to ourselves as to everybody."""
    config = state.config
    if len(state.asking) >= config.queries_max or is_crowded(state) or state.has_left:
        state.out.append(Refuse(queried.tag))
        return
    open_for = queried.timeout or query_time(
        config.query_multiplier, config.gossip_interval, state.members.size
    )
    mine = state.members.myself
    sequence = state.next_sequence()
    query = Query(
        state.clock + 1,
        mine.name,
        mine.incarnation,
        sequence,
        queried.name,
        queried.payload,
        mine.address,
        ceil(1000 * open_for),
        queried.acks,
        queried.relays,
        queried.names,
        queried.tags,
    )
    state.asking[sequence] = Asking(queried.tag)
    state.schedule.set((Due.QUERY, sequence), state.now + open_for)
    on_query(state, query)


def on_query(state: State, query: Query) -> None:
    """Take a query of anybody: pass it on, and if it is meant for us give it to the user."""
    if not take(state, state.queries, query) or query.clock <= state.clock_before:
        return
    if state.has_left or not _is_for_us(state, query):
        return
    if query.acks:
        _respond(state, query, QueryAck(query.sequence, state.me))
    state.out.append(Deliver(query))


def answer(state: State, query: Query, payload: bytes) -> None:
    """Answer a query that the user was given."""
    _respond(state, query, QueryAnswer(query.sequence, state.me, payload))


def on_answer(state: State, word: QueryAck | QueryAnswer) -> None:
    """Give the first word of each kind of each member to the user who asked."""
    asking = state.asking.get(word.sequence)
    if asking is None:
        return
    is_answer = isinstance(word, QueryAnswer)
    heard = asking.answered if is_answer else asking.acked
    if word.source in heard:
        return
    if len(heard) >= state.config.answers_max:
        state.counts.refused += 1
        return
    heard[word.source] = None
    payload = word.payload if isinstance(word, QueryAnswer) else None
    state.out.append(Collect(asking.tag, word.source, payload))


def on_relay(state: State, relay: QueryRelay) -> None:
    """Pass on what was said to a member that asks; to members only, so that strangers are safe."""
    if relay.target == state.me:
        on_answer(state, relay.word)
    elif is_live(state, relay.target):
        address = state.members.view[relay.target].address
        state.send(address, relay.word, about=relay.target)


def end(state: State, sequence: int) -> None:
    """Close a query of ours: its time is up."""
    asking = state.asking.pop(sequence)
    state.out.append(Settled(asking.tag, len(asking.answered)))


def stop_asking(state: State, tag: int) -> None:
    """Close a query of ours whose user has heard enough."""
    for sequence, asking in list(state.asking.items()):
        if asking.tag == tag:
            state.schedule.cancel((Due.QUERY, sequence))
            end(state, sequence)


def _is_for_us(state: State, query: Query) -> bool:
    if query.names and state.me not in query.names:
        return False
    tags = state.tags_of(state.members.myself.meta) if query.tags else {}
    return all(tags.get(key) == text for key, text in query.tags)


def _respond(state: State, query: Query, word: QueryAck | QueryAnswer) -> None:
    if query.origin == state.me:
        on_answer(state, word)
        return
    state.send(query.address, word, about=query.origin)
    without = (query.origin,)
    for peer in state.members.sample(query.relays, state.random, without=without):
        state.send(peer.address, QueryRelay(query.origin, word), about=peer.name)
