"""Polls: what users hold of queries, one's own and those of others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Self

import trio
from attrs import frozen

from rumor.errors import ProtocolError, QueryInvalid
from rumor.events import Queried
from rumor.fields import NATURAL_MAX, check_answer, fields, update
from rumor.messages import Name, Peer, Query

TIMEOUT_MAX = 3_600.0
"""Longest time that a query may be open, in seconds."""


@frozen
class Response:
    """What one member answers."""

    source: Name
    payload: bytes


class Poll:
    """A query of our own: an asynchronous iterator over the answers, as they come.

    It ends when the time of the query is up. Each member answers once at the most; whoever has
    nothing to say, or whose answer got lost, is not in it.
    """

    def __init__(self) -> None:
        self.acknowledged: dict[Name, None] = {}
        """Who got the query so far, if that was asked for, in the order of their words."""
        self.is_refused = False
        self._answers: deque[Response] = deque()  # no longer than the core's `answers_max`
        self._closed = False
        self._bell = trio.Event()

    def put_nowait(self, source: Name, payload: bytes | None) -> None:
        """Take an answer, or with ``None`` an acknowledgement."""
        if payload is None:
            self.acknowledged[source] = None
        else:
            self._answers.append(Response(source, payload))
            self._bell.set()

    def refuse(self) -> None:
        """Note that nobody was asked."""
        self.is_refused = True
        self.close()

    def close(self) -> None:
        """Let the reader end after what it has not read yet."""
        self._closed = True
        self._bell.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Response:
        """Wait for the next answer."""
        await trio.lowlevel.checkpoint()
        while not self._answers:
            if self._closed:
                raise StopAsyncIteration
            self._bell = trio.Event()
            await self._bell.wait()
        return self._answers.popleft()


class Question:
    """A query of somebody, meant for us: ``await question.answer(...)``."""

    def __init__(self, query: Query, reply: Callable[[Query, bytes], None]) -> None:
        self._query = query
        self._reply = reply

    def __repr__(self) -> str:
        return f"<Question {self.name!r} of {self.origin!r}>"

    @property
    def origin(self) -> Name:
        """Who asks."""
        return self._query.origin

    @property
    def name(self) -> str:
        """What is asked for."""
        return self._query.name

    @property
    def payload(self) -> bytes:
        """What is asked with it."""
        return self._query.payload

    async def answer(self, payload: bytes = b"") -> None:
        """Answer; only the first answer counts, and none once the asker's time is up.

        Raises :class:`~rumor.errors.QueryInvalid` beyond 768 bytes, and
        :class:`~rumor.errors.AgentClosed` once the agent has closed.
        """
        try:
            self._reply(self._query, check_answer(payload))
        except ProtocolError as error:
            raise QueryInvalid(f"{error}; nothing was answered, shorten it") from error
        await trio.lowlevel.checkpoint()


def queried(
    tag: int,
    me: Peer,
    name: str,
    payload: bytes,
    *,
    names: Iterable[Name] = (),
    tags: Mapping[str, str] = MappingProxyType({}),
    acks: bool = False,
    relays: int = 0,
    timeout: float | None = None,
) -> Queried:
    """Say what the user asks as an event, or raise :class:`~rumor.errors.QueryInvalid`."""
    event = Queried(
        tag=tag,
        name=name,
        payload=payload,
        names=tuple(names),
        tags=tuple(sorted(tags.items())),
        acks=acks,
        relays=relays,
        timeout=timeout,
    )
    whole = Query(
        *(0, me.name, NATURAL_MAX, 0, name, payload, me.address, 0, acks, relays),
        event.names,
        event.tags,
    )
    if timeout is not None and not 0 < timeout <= TIMEOUT_MAX:
        raise QueryInvalid(f"timeout={timeout} must be more than 0, and {TIMEOUT_MAX} s at most")
    try:
        update(fields(whole))
    except ProtocolError as error:
        raise QueryInvalid(f"{error}; nobody was asked") from error
    return event
