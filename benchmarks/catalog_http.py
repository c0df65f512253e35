"""The least HTTP client that can load a server: one connection, one request at a time.

The same for every server that is compared, so that what differs is the servers'. It takes answers
with a Content-Length, which all of them give.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import trio
from attrs import define, field, frozen


@frozen
class Request:
    """What is sent."""

    method: str
    path: str
    body: bytes = b""

    def to_bytes(self) -> bytes:
        """Return it as HTTP/1.1."""
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: l\r\nContent-Length: {len(self.body)}"
        return head.encode() + b"\r\n\r\n" + self.body


@frozen
class Response:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@define
class Browser:
    """One connection to a server; opened at the first request."""

    port: int
    _stream: trio.SocketStream | None = None
    _pending: bytes = b""

    async def ask(self, request: Request) -> Response:
        """Send a request, and wait for the answer."""
        if self._stream is None:
            self._stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        await self._stream.send_all(request.to_bytes())
        while b"\r\n\r\n" not in self._pending:
            await self._receive(self._stream)
        head, _, self._pending = self._pending.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers["content-length"])
        while len(self._pending) < length:
            await self._receive(self._stream)
        body, self._pending = self._pending[:length], self._pending[length:]
        return Response(int(status.split()[1]), headers, body)

    async def _receive(self, stream: trio.SocketStream) -> None:
        data = await stream.receive_some(65536)
        if not data:
            raise SystemExit(f"the server at port {self.port} closed the connection")
        self._pending += data

    async def close(self) -> None:
        """Close the connection."""
        if self._stream is not None:
            await self._stream.aclose()


@define
class Loop:
    """A closed loop: so many connections, each with one request under way."""

    ports: Sequence[int]
    """Taken in turn by the connections."""
    request: Callable[[int], Request]
    """The request of this number."""
    latencies: list[float] = field(factory=list)
    _sent: int = 0
    _recording: bool = False

    async def run(self, *, callers: int, warm: float, seconds: float) -> dict[str, float]:
        """Warm up and measure; return operations per second and quantiles in milliseconds."""
        async with trio.open_nursery() as nursery:
            for number in range(callers):
                nursery.start_soon(self._caller, self.ports[number % len(self.ports)])
            await trio.sleep(warm)
            self._recording, begun = True, time.perf_counter()
            await trio.sleep(seconds)
            elapsed = time.perf_counter() - begun
            nursery.cancel_scope.cancel()
        return {"rate": len(self.latencies) / elapsed, **quantiles(self.latencies)}

    async def _caller(self, port: int) -> None:
        browser = Browser(port)
        try:
            while True:
                self._sent += 1
                begun = time.perf_counter()
                response = await browser.ask(self.request(self._sent))
                if response.status != 200:
                    raise SystemExit(f"{response.status} from port {port}: {response.body!r:.200}")
                if self._recording:
                    self.latencies.append((time.perf_counter() - begun) * 1e3)
        finally:
            await browser.close()


def quantiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and the worst."""
    ordered = sorted(milliseconds) or [float("nan")]
    return {
        "p50": ordered[len(ordered) // 2],
        "p99": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        "worst": ordered[-1],
    }
