"""HTTP on a port: Hypercorn's connections on trio, our own door before them.

The door counts: so many connections in all, and so many from one address (Consul's
`http_max_conns_per_client`); one more is told 429 and closed. Whoever opens a connection and is
silent, or sends half a request, is closed by Hypercorn.

Stopping is prompt: nobody new gets in, and every connection is closed, also those that wait for
news or do not read their answer.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from starlette.applications import Starlette

from catalog.config import Address, format_address, parse_address
from catalog.errors import StartError

__all__ = ["serve_http"]

log = logging.getLogger("catalog")

CONNECTIONS_MAX: Final = 4096
CLIENT_CONNECTIONS_MAX: Final = 200
"""From one address; Consul's limit."""
HEADER_BYTES_MAX: Final = 32 * 1024
"""Of one request's first line and headers: room for a long filter."""
IDLE_SECONDS: Final = 75.0
"""How long a connection is kept for another request."""
REFUSAL_SECONDS: Final = 1.0
REFUSAL_TEXT: Final = (
    b"Your IP is issuing too many concurrent connections, please rate limit your calls\n"
)
REFUSAL: Final = (
    b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n" % len(REFUSAL_TEXT)
) + REFUSAL_TEXT


class Connection(TCPServer):
    """One connection; one that the client has closed does not stay for its idle time."""

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


class HttpServer:
    """Connections from clients, counted."""

    def __init__(self, app: Starlette) -> None:
        self._app = ASGIWrapper(app)  # type: ignore[arg-type]
        self._config = Config()
        self._config.errorlog = log
        self._config.h11_max_incomplete_size = HEADER_BYTES_MAX
        self._config.keep_alive_timeout = IDLE_SECONDS
        self._config.include_server_header = False
        self._context = WorkerContext(None)
        self._clients: Counter[str] = Counter()
        self._streams: set[trio.SocketStream] = set()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection."""
        try:
            client = str(stream.socket.getpeername()[0])
        except OSError:
            return
        if len(self._streams) >= CONNECTIONS_MAX or self._clients[client] >= CLIENT_CONNECTIONS_MAX:
            await _refuse(stream)
            return
        self._clients[client] += 1
        self._streams.add(stream)
        try:
            state = ConnectionState({})
            await Connection(self._app, self._config, self._context, state, stream).run()  # type: ignore[arg-type]
        except Exception:  # one strange connection must not end all of them
            log.exception("http: a fault of ours")
        finally:
            self._streams.discard(stream)
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
            await trio.aclose_forcefully(stream)

    def close(self) -> None:
        """Close every connection; what was being sent to a slow reader is cut."""
        for stream in tuple(self._streams):
            stream.socket.close()


async def _refuse(stream: trio.SocketStream) -> None:
    with trio.move_on_after(REFUSAL_SECONDS):
        try:
            await stream.send_all(REFUSAL)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
    await trio.aclose_forcefully(stream)


async def serve_http(
    app: Starlette,
    bind: str,
    *,
    task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an app at `bind` until cancelled; started with the address that it became.

    Raises:
        StartError: nobody can listen there.

    """
    address = parse_address(bind, what="http")
    try:
        listeners = await trio.open_tcp_listeners(address[1], host=address[0])
    except OSError as error:
        raise StartError(f"http cannot listen at {format_address(address)}: {error}") from error
    server = HttpServer(app)
    async with trio.open_nursery() as nursery:
        host, port, *_ = listeners[0].socket.getsockname()
        log.info("http listens on %s", format_address((host, port)))
        task_status.started((host, port))
        try:
            await trio.serve_listeners(server.serve, listeners, handler_nursery=nursery)
        finally:
            server.close()
