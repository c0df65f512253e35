"""The other end of `catalog.rpc`: connections from agents and users, each served by itself.

Whatever a stranger sends harms its own connection only: that is closed, with one line in the log.
Every request runs as a task of its own, and its answer leaves when it is ready; so one that waits
for news holds up nobody. How many connections there are, in all and from one host, and how many
requests on each, is bounded. Requests that may wait are counted apart: each costs a little memory
and no work, and a client agent passes on those of all its users by one connection.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from catalog.errors import Busy, CatalogError, ProtocolError
from catalog.operations import REQUESTS
from catalog.requests import Request
from catalog.rpc.channel import FAULTS, Channel, keep_alive
from catalog.rpc.faults import fault_of
from catalog.rpc.frames import (
    CALL_BYTES_MAX,
    MAGIC,
    VERSION,
    Call,
    Cancel,
    Failure,
    Frame,
    Hello,
    Result,
)
from catalog.trust import Stream, Trust, begins_with_tls
from catalog.wire import dumps, loads

__all__ = ["Serving"]

log = logging.getLogger("catalog")

CONNECTIONS_MAX = 2048
PER_HOST_MAX = 100
"""Connections from one host: Consul's limit."""
CALLS_MAX = 512
"""Requests under way on one connection that do not wait; one more is answered with `Busy`."""
WAITING_MAX = 16_384
"""Likewise of those that may wait for news."""
WAITING_TOTAL_MAX = 131_072
"""The same for all connections together: some 0.9 GB, at 7 kB each."""
GREETING_SECONDS_MAX = 5.0
IDLE_SECONDS_MAX = 300.0
"""A connection on which nothing happens for so long is closed."""

Handler = Callable[[Request[Any], bool], Awaitable[Any]]
"""Answers a request; the flag says whether to ask nobody else."""


class Serving:
    """Serves connections with a handler."""

    def __init__(
        self,
        handler: Handler,
        *,
        cluster: str,
        name: str,
        trust: Trust | None = None,
        per_host_max: int = PER_HOST_MAX,
    ) -> None:
        self._handler = handler
        self._hello = Hello(VERSION, cluster, name)
        self._trust = trust
        self._per_host_max = per_host_max
        self._hosts: Counter[str] = Counter()
        self._waiting = trio.CapacityLimiter(WAITING_TOTAL_MAX)

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return self._hosts.total()

    @property
    def waiting(self) -> int:
        """How many requests are under way that may wait for news."""
        return self._waiting.borrowed_tokens

    async def run(self, listener: trio.abc.Listener[trio.SocketStream]) -> None:
        """Serve whoever comes, for ever."""
        await trio.serve_listeners(self.serve, [listener])

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection until it ends."""
        host = _host_of(stream)
        refusal = self._refusal(host)
        if refusal:
            log.warning("%s: %s; one more was refused", self._hello.name, refusal)
            return
        self._hosts[host] += 1
        try:
            keep_alive(stream)
            with trio.fail_after(GREETING_SECONDS_MAX):
                channel = await self._greet(stream)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(channel.write)
                await Calls(channel, self._handler, nursery, self._waiting).run()
                nursery.cancel_scope.cancel()
        except* FAULTS as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            level = logging.WARNING if isinstance(error, ProtocolError) else logging.DEBUG
            why = error if str(error) else "too slow"
            log.log(level, "%s: a connection from %s was closed: %s", self._hello.name, host, why)
        finally:
            self._hosts[host] -= 1
            self._hosts += Counter()  # drops those that have none

    def _refusal(self, host: str) -> str:
        """Return why one more connection from a host is refused; empty: it is not."""
        if self.connections >= CONNECTIONS_MAX:
            return f"{CONNECTIONS_MAX} connections"
        if self._hosts[host] >= self._per_host_max:
            return f"{self._per_host_max} connections from {host}"
        return ""

    async def _greet(self, raw: trio.SocketStream) -> Channel:
        magic = bytearray()
        while len(magic) < len(MAGIC):
            chunk = await raw.receive_some(len(MAGIC) - len(magic))
            if not chunk:
                raise ProtocolError("it ended before its greeting")
            magic += chunk
        channel = Channel(await self._secured(raw), frame_bytes_max=CALL_BYTES_MAX)
        frames = await channel.receive()
        match frames:
            case [Hello() as hello] if magic == MAGIC:
                pass
            case _:
                raise ProtocolError("its greeting makes no sense")
        if hello.version != VERSION or hello.cluster not in ("", self._hello.cluster):
            text = (
                f"agent {self._hello.name!r} speaks version {VERSION} and belongs to cluster "
                f"{self._hello.cluster!r}; the caller speaks version {hello.version} and asks for "
                f"cluster {hello.cluster[:64]!r}"
            )
            channel.put(Failure(0, "bad-request", text))
            await channel.flush()
            raise ProtocolError(text)
        channel.put(self._hello)
        return channel

    async def _secured(self, raw: trio.SocketStream) -> Stream:
        by_tls = await begins_with_tls(raw)
        if self._trust is None:
            if by_tls:
                raise ProtocolError("the caller uses TLS, this agent does not: set it up here")
            return raw
        if not by_tls:
            raise ProtocolError("the caller does not use TLS, this agent does: set it up there")
        return await self._trust.accept(raw)


class Calls:
    """The calls of one connection."""

    def __init__(
        self,
        channel: Channel,
        handler: Handler,
        nursery: trio.Nursery,
        waiting: trio.CapacityLimiter,
    ) -> None:
        self._channel = channel
        self._handler = handler
        self._nursery = nursery
        self._under_way: dict[int, trio.CancelScope] = {}
        self._waiting: set[int] = set()
        """Those under way that may wait for news."""
        self._waiting_in_all = waiting

    async def run(self) -> None:
        """Take calls until the caller closes the connection, or is silent for too long."""
        while True:
            frames: list[Frame] = []
            with trio.move_on_after(IDLE_SECONDS_MAX):
                frames = await self._channel.receive()
                if not frames:
                    return
            if not frames and not self._under_way:
                return
            for frame in frames:
                self._take(frame)
            await self._channel.room()

    def _take(self, frame: Frame) -> None:
        match frame:
            case Call():
                self._begin(frame)
            case Cancel(number):
                if (scope := self._under_way.get(number)) is not None:
                    scope.cancel()
            case _:
                raise ProtocolError(f"a {type(frame).__name__} frame is none of a caller's")

    def _begin(self, call: Call) -> None:
        if call.id in self._under_way:
            raise ProtocolError(f"two calls have the number {call.id}")
        scope = trio.CancelScope()
        try:
            request = _request_of(call)
            self._admit(call.id, scope, waits=request.patience > 0)
        except CatalogError as error:
            self._channel.put(Failure(call.id, *fault_of(error)))
        else:
            self._under_way[call.id] = scope
            self._nursery.start_soon(self._answer, call, request, scope)

    def _admit(self, number: int, scope: trio.CancelScope, *, waits: bool) -> None:
        """Raise `Busy` unless there is room for one more."""
        if not waits:
            if len(self._under_way) - len(self._waiting) >= CALLS_MAX:
                raise Busy(f"{CALLS_MAX} requests are under way on this connection; back off")
            return
        if len(self._waiting) >= WAITING_MAX:
            raise Busy(f"{WAITING_MAX} requests wait for news on this connection; back off")
        try:
            self._waiting_in_all.acquire_on_behalf_of_nowait(scope)
        except trio.WouldBlock:
            most = self._waiting_in_all.total_tokens
            raise Busy(f"{most} requests wait for news at this agent; ask another") from None
        self._waiting.add(number)

    async def _answer(self, call: Call, request: Request[Any], scope: trio.CancelScope) -> None:
        try:
            with scope:
                frame = await self._handle(call, request)
                self._channel.put(frame)
        finally:
            del self._under_way[call.id]
            if call.id in self._waiting:
                self._waiting.remove(call.id)
                self._waiting_in_all.release_on_behalf_of(scope)

    async def _handle(self, call: Call, request: Request[Any]) -> Result | Failure:
        try:
            answer = await self._handler(request, call.direct)
            await self._channel.room()  # so that few answers wait as bytes
            return Result(call.id, dumps(answer, request.RESULT))
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
            try:
                return Failure(call.id, *fault_of(error))
            except LookupError:
                log.exception("a request of kind %s failed", call.method)
                return Failure(call.id, "failed", f"the agent failed to answer: {error!r:.200}")


def _request_of(call: Call) -> Request[Any]:
    kind = REQUESTS.get(call.method)
    if kind is None:
        raise ProtocolError(f"no request is called {call.method[:40]!r}")
    request: Request[Any] = loads(call.body, kind)
    return request


def _host_of(stream: trio.SocketStream) -> str:
    """Return who is at the other end; whoever has gone already is nobody in particular."""
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return "nowhere"
