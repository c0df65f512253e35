"""Exchanges: an agent's streams, those that it opens and those that others open to it.

Both kinds are limited in number and in time, and no fault of a peer or of the network is ever a
reason for the agent to stop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from rumor.config import Config
from rumor.effects import Exchange
from rumor.errors import ProtocolError
from rumor.messages import Address, Reply, Request
from rumor.trio.mail import Mail
from rumor.trio.streams import ask, receive_request, send_reply

logger = logging.getLogger("rumor")

STREAM_FAULTS = (
    OSError,
    ProtocolError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.TooSlowError,
)
"""What a peer or the network may do to a stream."""

FAILURES_MAX = 256
"""Reasons why dialling failed that are remembered for the text of a ``JoinFailed``."""


class Exchanges:
    """The streams of one agent; `answer` gives the reply to a request at once."""

    def __init__(self, mail: Mail, config: Config, answer: Callable[[Request], Reply]) -> None:
        self._mail = mail
        self._config = config
        self._answer = answer
        self._dialling = trio.CapacityLimiter(config.exchanges_max)
        self._serving = 0
        self._failures: dict[Address, str] = {}

    def why(self, address: Address) -> str:
        """Why the latest exchange with this address failed."""
        return self._failures.get(address, "no answer")

    async def ask(self, exchange: Exchange) -> Reply | None:
        """Carry out one exchange; ``None`` if it failed."""
        try:
            async with self._dialling:
                with trio.fail_after(self._config.stream_timeout):
                    stream = await self._mail.port.dial(exchange.to)
                    async with stream:
                        return await ask(
                            stream,
                            self._mail.wire,
                            exchange.request,
                            bytes_max=self._config.stream_bytes_max,
                            guard=self._mail.guard,
                        )
        except STREAM_FAULTS as error:
            self._note_failure(exchange.to, error)
            return None

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Answer one request on a stream that somebody opened."""
        traffic = self._mail.traffic
        if self._serving >= self._config.exchanges_max:
            traffic.streams_refused += 1
            await trio.aclose_forcefully(stream)
            return
        self._serving += 1
        try:
            with trio.fail_after(self._config.stream_timeout):
                async with stream:
                    await self._serve(stream)
                    traffic.streams_served += 1
        except STREAM_FAULTS as error:
            traffic.streams_failed += 1
            logger.debug("%s: a stream failed: %r", self._mail.name, error)
        finally:
            self._serving -= 1

    async def _serve(self, stream: trio.abc.Stream) -> None:
        wire, guard = self._mail.wire, self._mail.guard
        bytes_max = self._config.stream_bytes_max
        request, bound = await receive_request(stream, wire, bytes_max=bytes_max, guard=guard)
        await send_reply(stream, wire, self._answer(request), bound=bound, guard=guard)

    def _note_failure(self, to: Address, error: Exception) -> None:
        self._mail.traffic.streams_failed += 1
        self._failures.pop(to, None)
        self._failures[to] = str(error) or type(error).__name__
        while len(self._failures) > FAILURES_MAX:
            del self._failures[next(iter(self._failures))]
        logger.debug("%s: exchange with %s:%d failed: %r", self._mail.name, *to, error)
