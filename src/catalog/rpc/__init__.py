"""Requests to other agents: one connection to each, many requests on their way at once.

`Connections` is the caller's end, `serve` the other. A connection is opened when it is first needed
and used for whatever follows. What may go wrong has three meanings, and callers get to know which:
nothing was sent (`Unreachable`), it was sent and no answer came (`ConnectionLost`), or the other
end answered with an error, which is raised here as it was there.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import TypeVar, assert_never

import trio
from attrs import define, field

from catalog.config import Address, format_address
from catalog.errors import ProtocolError
from catalog.operations import REQUESTS
from catalog.requests import Request
from catalog.rpc.channel import FAULTS, Channel, keep_alive
from catalog.rpc.faults import ConnectionLost, Unreachable, raised
from catalog.rpc.frames import (
    ANSWER_BYTES_MAX,
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
from catalog.trust import Stream, Trust
from catalog.wire import dumps, loads

__all__ = ["Connections", "open_connections"]

log = logging.getLogger("catalog")

T = TypeVar("T")

DIAL_SECONDS_MAX = 3.0
"""For the connection and the greeting."""
IDLE_SECONDS_MAX = 60.0
"""A connection that was silent for longer is not trusted with a request, but replaced; well below
the time after which the other end closes it (`catalog.rpc.serving`)."""
METHODS = {cls: method for method, cls in REQUESTS.items()}


@define(eq=False)
class Waiting:
    """A caller who waits for an answer."""

    answered: trio.Event = field(factory=trio.Event)
    frame: Result | Failure | None = None
    """`None`, once `answered` is set: the connection ended before."""


class Connection:
    """One connection to an agent, as a caller has it."""

    def __init__(self, channel: Channel, address: str) -> None:
        self._channel = channel
        self._address = address
        self._numbers = count(1)
        self._waiting: dict[int, Waiting] = {}
        self._used = trio.current_time()
        self._retired = False
        self._scope = trio.CancelScope()

    @property
    def usable(self) -> bool:
        """Whether it can be trusted with a request."""
        fresh = trio.current_time() - self._used < IDLE_SECONDS_MAX
        return not self._retired and (fresh or bool(self._waiting))

    def retire(self) -> None:
        """Take no more requests, and end once those under way are done with."""
        self._retired = True
        if not self._waiting:
            self._scope.cancel()

    async def call(self, method: str, body: bytes, *, direct: bool, patience: float) -> bytes:
        """Return the body of the answer; raise `ConnectionLost`, or the error that was answered."""
        number = next(self._numbers)
        waiting = self._waiting[number] = Waiting()
        try:
            await self._channel.room()
            self._channel.put(Call(number, method, direct, body))
            with trio.move_on_after(patience):
                await waiting.answered.wait()
        finally:
            del self._waiting[number]
            self._used = trio.current_time()
            if not waiting.answered.is_set():
                self._channel.put(Cancel(number))
            if self._retired:
                self.retire()
        match waiting.frame:
            case Result(_, answer):
                return answer
            case Failure(_, code, text):
                raise raised(code, text)
            case None:
                if not waiting.answered.is_set():
                    self.retire()  # the agent may hang: the next request greets it anew
                raise ConnectionLost(
                    f"contact with the agent at {self._address} was lost before it answered: "
                    f"what was asked may have been done or not"
                )
            case _:
                assert_never(waiting.frame)

    async def run(self) -> None:
        """Carry requests and answers until the connection ends, for whatever reason."""
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                nursery.start_soon(self._channel.write)
                while frames := await self._channel.receive():
                    for frame in frames:
                        self._take(frame)
                nursery.cancel_scope.cancel()
        except* FAULTS as group:
            log.info("connection to the agent at %s: %s", self._address, _first(group))
        finally:
            self._retired = True
            for waiting in self._waiting.values():
                waiting.answered.set()
            with trio.CancelScope(shield=True):
                await self._channel.close()

    def _take(self, frame: Frame) -> None:
        if not isinstance(frame, Result | Failure):
            raise ProtocolError(f"the agent sent a {type(frame).__name__} instead of an answer")
        waiting = self._waiting.get(frame.id)  # none: it was given up
        if waiting is not None and not waiting.answered.is_set():
            waiting.frame = frame
            waiting.answered.set()


class Connections:
    """Connections to any number of agents; made by `open_connections`."""

    def __init__(
        self, nursery: trio.Nursery, *, cluster: str, name: str, trust: Trust | None
    ) -> None:
        self._nursery = nursery
        self._trust = trust
        self._hello = Hello(VERSION, cluster, name)
        self._open: dict[Address, Connection] = {}
        self._dialling: dict[Address, trio.Lock] = {}

    async def call(
        self, address: Address, request: Request[T], *, direct: bool = False, patience: float
    ) -> T:
        """Have the agent at `address` answer a request.

        Raises:
            Unreachable: nothing was sent.
            ConnectionLost: it was sent, and no answer came within `patience` seconds, or at all.
            CatalogError: what the other end raised.

        """
        body = dumps(request, bytes_max=CALL_BYTES_MAX - 1024)
        connection = await self._connect(address)
        method = METHODS[type(request)]
        answer = await connection.call(method, body, direct=direct, patience=patience)
        result: T = loads(answer, request.RESULT)
        return result

    async def check(self, address: Address) -> None:
        """Raise `Unreachable` unless an agent answers at `address`."""
        await self._connect(address)

    async def _connect(self, address: Address) -> Connection:
        connection = self._open.get(address)
        if connection is not None and connection.usable:
            return connection
        lock = self._dialling.setdefault(address, trio.Lock())
        async with lock:
            connection = self._open.get(address)
            if connection is None or not connection.usable:
                self._retire_unusable()
                connection = await self._dial(address)
                self._open[address] = connection
                self._nursery.start_soon(connection.run)
        return connection

    async def _dial(self, address: Address) -> Connection:
        where = format_address(address)
        try:
            with trio.fail_after(DIAL_SECONDS_MAX):
                raw = await trio.open_tcp_stream(*address)
                async with _closing_on_error(raw):
                    keep_alive(raw)
                    await raw.send_all(MAGIC)
                    stream: Stream = raw
                    if self._trust is not None:  # agents have business with servers only
                        stream = await self._trust.dial(raw, server=bool(self._hello.name))
                    channel = Channel(stream, frame_bytes_max=ANSWER_BYTES_MAX)
                    channel.put(self._hello)
                    await channel.flush()
                    _check_hello(await channel.receive(), self._hello)
        except FAULTS as error:
            why = "it does not answer" if isinstance(error, trio.TooSlowError) else error
            raise Unreachable(f"no agent was reached at {where}: {why}") from error
        return Connection(channel, where)

    def _retire_unusable(self) -> None:
        for address in [address for address, one in self._open.items() if not one.usable]:
            self._open.pop(address).retire()
            if address in self._dialling and not self._dialling[address].locked():
                del self._dialling[address]


@asynccontextmanager
async def open_connections(
    *, cluster: str, name: str, trust: Trust | None = None
) -> AsyncIterator[Connections]:
    """Have connections for as long as the block lasts.

    `cluster` may be empty: any. `name` is an agent's, and empty for a user, who may connect to
    client agents, too. With `trust` everything goes by TLS.
    """
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield Connections(nursery, cluster=cluster, name=name, trust=trust)
        except Exception as error:  # noqa: BLE001 - raised below, without the nursery's group
            failure = error
        finally:
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _check_hello(frames: list[Frame], ours: Hello) -> None:
    match frames:
        case [Hello(version, cluster, _)]:
            if version != ours.version:
                raise ProtocolError(f"it speaks version {version}, we speak {ours.version}")
            if ours.cluster not in ("", cluster):
                raise ProtocolError(
                    f"it belongs to cluster {cluster!r}, we belong to {ours.cluster!r}"
                )
        case [Failure(_, _, text)]:
            raise ProtocolError(text)
        case []:
            raise ProtocolError("it closed the connection without a word: see its log, for TLS too")
        case _:
            raise ProtocolError("it is no agent: its greeting makes no sense")


@asynccontextmanager
async def _closing_on_error(stream: trio.abc.Stream) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
