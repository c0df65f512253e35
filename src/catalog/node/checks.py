"""Health checks that this agent runs itself: a GET, or a connection, once in an interval.

What a result makes of the state is decided in `catalog.node.health`; here a probe is run and
put into words. The first one comes after a random part of the interval, so that checks registered
together do not run together. Every probe ends within its timeout, and few run at a time.

HTTP checks need `httpx` (`pip install quorumkit[checks]`); without it they are critical, and say
why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeAlias, assert_never

import trio

from catalog.config import parse_address
from catalog.errors import ConfigError, NotRegistered
from catalog.limits import OUTPUT_CHARS_MAX
from catalog.model import HttpCheck, Status, TcpCheck
from catalog.node.keeper import Keeper

if TYPE_CHECKING:
    import httpx

__all__ = ["Checker"]

PROBES_MAX: Final = 64
"""Probes at a time; more wait for their turn, and their time is not running yet."""
TOO_MANY_REQUESTS: Final = 429
"""The one status that is a warning, as in Consul: it lives, and has too much to do."""

ActiveCheck: TypeAlias = HttpCheck | TcpCheck
Result: TypeAlias = tuple[Status, str]


class Checker:
    """Runs the checks of the services that a keeper has."""

    def __init__(self, keeper: Keeper, *, random: Random) -> None:
        self._keeper = keeper
        self._random = random
        self._limiter = trio.CapacityLimiter(PROBES_MAX)
        self._client: httpx.AsyncClient | None = None

    async def run(self) -> None:
        """Run what is registered, for ever."""
        running: dict[str, tuple[ActiveCheck, trio.CancelScope]] = {}
        async with self._closing_client(), trio.open_nursery() as nursery:
            while True:
                wanted = self._wanted()
                for check_id, (check, scope) in list(running.items()):
                    if wanted.get(check_id) != check:
                        scope.cancel()
                        del running[check_id]
                for check_id, check in wanted.items():
                    if check_id not in running:
                        running[check_id] = check, trio.CancelScope()
                        nursery.start_soon(self._repeat, check_id, *running[check_id])
                await self._keeper.wait_services()

    def _wanted(self) -> dict[str, ActiveCheck]:
        return {
            check_id: check
            for check_id, check in self._keeper.local.definitions.items()
            if isinstance(check, HttpCheck | TcpCheck)
        }

    async def _repeat(self, check_id: str, check: ActiveCheck, scope: trio.CancelScope) -> None:
        with scope:
            due = trio.current_time() + self._random.random() * check.interval
            while True:
                await trio.sleep_until(due)
                async with self._limiter:
                    status, output = await self.probe(check)
                try:
                    self._keeper.report(check_id, status, output)
                except NotRegistered:
                    return  # removed in this very moment
                due = max(due + check.interval, trio.current_time())

    async def probe(self, check: ActiveCheck) -> Result:
        """Run one probe; return what it found."""
        with trio.move_on_after(check.timeout):
            match check:
                case HttpCheck():
                    return await self._get(check.url)
                case TcpCheck():
                    return await _dial(check.address)
                case _:
                    assert_never(check)
        return Status.CRITICAL, f"no answer within {check.timeout:g} s"

    async def _get(self, url: str) -> Result:
        try:
            import httpx  # noqa: PLC0415 - an extra
        except ImportError:
            await trio.lowlevel.checkpoint()
            return Status.CRITICAL, "HTTP checks need httpx: pip install 'quorumkit[checks]'"
        if self._client is None:
            # The environment's proxies are not for what runs beside us.
            self._client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=None)  # noqa: S113 - probe
        try:
            async with self._client.stream("GET", url) as response:
                body = await _beginning(response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Status.CRITICAL, f"GET {url}: {error or type(error).__name__}"
        code = response.status_code
        output = f"GET {url}: {code} {response.reason_phrase}: {body}"
        if code == TOO_MANY_REQUESTS:
            return Status.WARNING, output
        return (Status.PASSING if 200 <= code < 300 else Status.CRITICAL), output

    @asynccontextmanager
    async def _closing_client(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if self._client is not None:
                with trio.move_on_after(1.0, shield=True):
                    await self._client.aclose()


async def _beginning(response: Any) -> str:
    """Return as much of a response as a check's output holds; the rest is not read."""
    data = bytearray()
    with trio.CancelScope() as scope:
        async for chunk in response.aiter_bytes():
            data += chunk
            if len(data) >= OUTPUT_CHARS_MAX:
                scope.cancel()  # and no `break`: this ends all of httpx's generators in order
    return data[:OUTPUT_CHARS_MAX].decode(errors="replace")


async def _dial(address: str) -> Result:
    try:
        host, port = parse_address(address)
        stream = await trio.open_tcp_stream(host, port)
    except (ConfigError, OSError) as error:
        return Status.CRITICAL, f"connect to {address}: {error}"
    await trio.aclose_forcefully(stream)
    return Status.PASSING, f"connect to {address}: success"
