"""One probe of each kind: what is tried, and what is made of the answer.

No probe knows how long it may take; whoever runs it sets the limit, and a probe that is stopped
leaves nothing behind: no connection, no process.

HTTP and gRPC need `httpx` (`pip install quorumkit[checks]`); without it they are critical, and say
why.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import trio

from catalog.config import parse_address
from catalog.definitions import GrpcCheck, HttpCheck, Status
from catalog.errors import ConfigError
from catalog.limits import OUTPUT_CHARS_MAX

if TYPE_CHECKING:
    import httpx

__all__ = ["Clients", "Result", "connect", "datagram", "get", "grpc", "script"]

Result: TypeAlias = tuple[Status, str]

TOO_MANY_REQUESTS: Final = 429
"""The one status that is a warning, as in Consul: it lives, and has too much to do."""
REDIRECTS_MAX: Final = 10
SILENCE_SECONDS: Final = 1.0
"""For so long an answer to a datagram is waited for; none is no fault."""
SERVING: Final = 1
"""Of gRPC's health protocol."""


class Clients:
    """HTTP clients, one for each way to connect, made when they are first needed."""

    def __init__(self) -> None:
        self._clients: dict[tuple[bool, bool], httpx.AsyncClient] = {}

    def get(self, *, verify: bool, http2: bool = False) -> httpx.AsyncClient:
        """Return a client; raise `ImportError` if there is no httpx, or no HTTP/2 for it."""
        import httpx  # noqa: PLC0415 - an extra

        if (verify, http2) not in self._clients:
            # The environment's proxies are not for what runs beside us.
            self._clients[verify, http2] = httpx.AsyncClient(
                trust_env=False,
                follow_redirects=True,
                max_redirects=REDIRECTS_MAX,
                timeout=None,  # noqa: S113 - whoever runs the probe sets the limit
                verify=verify,
                http1=not http2,
                http2=http2,
            )
        return self._clients[verify, http2]

    @asynccontextmanager
    async def closing(self) -> AsyncIterator[None]:
        """Close them all at the end of the block."""
        try:
            yield
        finally:
            with trio.move_on_after(1.0, shield=True):
                for client in self._clients.values():
                    await client.aclose()


async def get(check: HttpCheck, clients: Clients) -> Result:
    """Make a request: 2xx passes, 429 warns, anything else is critical."""
    what = f"{check.method} {check.url}"
    try:
        import httpx  # noqa: PLC0415 - an extra

        client = clients.get(verify=not check.tls_skip_verify)
    except ImportError:
        await trio.lowlevel.checkpoint()
        return Status.CRITICAL, "HTTP checks need httpx: pip install 'quorumkit[checks]'"
    try:
        async with client.stream(
            check.method, check.url, headers=dict(check.headers), content=check.body or None
        ) as response:
            body = await _beginning(response)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Status.CRITICAL, f"{what}: {error or type(error).__name__}"
    code = response.status_code
    text = body.decode(errors="replace")
    output = f"{what}: {code} {response.reason_phrase}: {text}"
    if code == TOO_MANY_REQUESTS:
        return Status.WARNING, output
    return (Status.PASSING if 200 <= code < 300 else Status.CRITICAL), output


async def _beginning(response: Any) -> bytes:
    """Return as much of a response as a check's output holds; the rest is not read."""
    data = bytearray()
    with trio.CancelScope() as scope:
        async for chunk in response.aiter_bytes():
            data += chunk
            if len(data) >= OUTPUT_CHARS_MAX:
                scope.cancel()  # and no `break`: this ends all of httpx's generators in order
    return bytes(data[:OUTPUT_CHARS_MAX])


async def grpc(check: GrpcCheck, clients: Clients) -> Result:
    """Ask by gRPC's health protocol: SERVING passes, anything else is critical."""
    address, _, service = check.address.partition("/")
    what = f"gRPC check {check.address}"
    try:
        import httpx  # noqa: PLC0415 - an extra

        client = clients.get(verify=not check.tls_skip_verify, http2=True)
    except ImportError:
        await trio.lowlevel.checkpoint()
        return Status.CRITICAL, "gRPC checks need httpx and h2: pip install 'httpx[http2]'"
    name = service.encode()[:127]
    message = b"\x0a" + bytes([len(name)]) + name if name else b""
    try:
        async with client.stream(
            "POST",
            f"{'https' if check.tls else 'http'}://{address}/grpc.health.v1.Health/Check",
            headers={"content-type": "application/grpc", "te": "trailers"},
            content=b"\0" + len(message).to_bytes(4, "big") + message,
        ) as response:
            body = await _beginning(response)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Status.CRITICAL, f"{what}: {error or type(error).__name__}"
    # A message is a flag, its length in four bytes, and field 1 (a varint): the state.
    if response.status_code == 200 and len(body) >= 7 and body[0] == 0 and body[5] == 0x08:
        state = body[6]
        return (Status.PASSING if state == SERVING else Status.CRITICAL), f"{what}: state {state}"
    said = response.headers.get("grpc-message") or response.headers.get("grpc-status")
    return Status.CRITICAL, f"{what}: no state; {said or f'HTTP {response.status_code}'}"


async def connect(address: str) -> Result:
    """Open a connection, and close it."""
    try:
        host, port = parse_address(address)
        stream = await trio.open_tcp_stream(host, port)
    except (ConfigError, OSError) as error:
        return Status.CRITICAL, f"connect to {address}: {error}"
    await trio.aclose_forcefully(stream)
    return Status.PASSING, f"connect to {address}: success"


async def datagram(address: str) -> Result:
    """Send an empty datagram: critical if somebody says that nobody listens there."""
    try:
        host, port = parse_address(address)
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_DGRAM)
        family, kind, protocol, _, where = found[0]
        with trio.socket.socket(family, kind, protocol) as socket:
            await socket.connect(where)
            await socket.send(b"")
            with trio.move_on_after(SILENCE_SECONDS):
                await socket.recv(1)
    except (ConfigError, OSError) as error:
        return Status.CRITICAL, f"datagram to {address}: {error}"
    return Status.PASSING, f"datagram to {address}: success"


async def script(args: tuple[str, ...]) -> Result:
    """Run a program: exit code 0 passes, 1 warns, any other is critical."""
    try:
        process = await trio.lowlevel.open_process(
            list(args),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Status.CRITICAL, f"cannot run {args[0]}: {error}"
    output = bytearray()
    code: int | None = None
    try:
        assert process.stdout is not None, "it was asked for"
        async with process.stdout:
            async for chunk in process.stdout:
                output += chunk[: OUTPUT_CHARS_MAX - len(output)]
        code = await process.wait()
    finally:
        if code is None:
            with suppress(ProcessLookupError):  # it has a group of its own, with its children
                os.killpg(process.pid, signal.SIGKILL)
            with trio.CancelScope(shield=True):
                await process.wait()
    status = {0: Status.PASSING, 1: Status.WARNING}.get(code, Status.CRITICAL)
    return status, output.decode(errors="replace")
