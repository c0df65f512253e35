"""One call: what its handler sees of it, and how answers and errors come out.

A handler takes a `Call` and returns a response; whatever it raises becomes a status and a sentence
here. A client that hangs up while it waits for news ends its call, and so gives its place free.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar

import trio
from attrs import field, frozen
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from catalog.api import Catalog
from catalog.errors import CatalogError
from catalog.http.answers import COMMON, empty, failure, json_answer
from catalog.http.options import Options, parse_bool, parse_index, read_options
from catalog.http.trouble import Trouble, trouble_of
from catalog.requests import Request as Asking
from catalog.server.autopilot import Rules

__all__ = ["Call", "Handler", "Site", "answering"]

log = logging.getLogger("catalog")

T = TypeVar("T")

CLIENT_CLOSED: Final = 499
"""For a client that is not there any more; nobody reads it."""


@frozen
class Site:
    """The agent behind the interface."""

    catalog: Catalog
    name: str
    """Of the agent, and of its node."""
    datacenter: str
    rules: Rules = field(factory=Rules)
    """The autopilot's, as this agent has them in its settings."""


@frozen
class Call:
    """One request, and the agent that it is made to."""

    site: Site
    request: Request
    options: Options

    @property
    def may_wait(self) -> bool:
        """Whether the answer may take minutes, since there is something to wait for."""
        return self.request.method == "GET" and bool(self.options.index or self.text("hash"))

    async def ask(self, request: Asking[T]) -> T:
        """Have the catalog answer."""
        answer: T = await self.site.catalog.ask(request)
        return answer

    def part(self, name: str, *, missing: str) -> str:
        """Return a part of the path; `missing` is what an empty one is told."""
        text: str = self.request.path_params[name]
        if not text:
            raise Trouble(400, missing)
        return text

    def has(self, name: str) -> bool:
        """Return whether the query string names something, whatever its value."""
        return name in self.request.query_params

    def text(self, name: str) -> str:
        """Return a value of the query string; empty: there is none."""
        return self.request.query_params.get(name, "")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return all values of one name."""
        return tuple(self.request.query_params.getlist(name))

    def number(self, name: str) -> int | None:
        """Return a number of the query string."""
        text = self.text(name)
        return parse_index(text, what=name) if text else None

    def flag(self, name: str) -> bool:
        """Return whether something is asked for: bare, or true in Go's spelling."""
        text = self.request.query_params.get(name)
        return text is not None and (not text or parse_bool(text, what=name))

    def json(
        self, value: Any, *, headers: dict[str, str] | None = None, status: int = 200
    ) -> Response:
        """Return a value as JSON, for people if they asked for it."""
        return json_answer(value, headers=headers, status=status, pretty=self.options.pretty)


Handler: TypeAlias = Callable[[Call], Awaitable[Response]]


def answering(site: Site, handlers: dict[str, Handler]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that answers each method of one path by its handler."""
    allowed = ",".join(("OPTIONS", *handlers))

    async def endpoint(request: Request) -> Response:
        handler = handlers.get(request.method)
        if request.method == "OPTIONS":
            response = empty(headers={"Allow": allowed})
        elif handler is None:
            response = failure(Trouble(405, f"method {request.method} not allowed"))
            response.headers["Allow"] = allowed
        else:
            response = await _handle(site, handler, request)
        response.headers.update(COMMON)
        return response

    return endpoint


async def _handle(site: Site, handler: Handler, request: Request) -> Response:
    try:
        call = Call(site, request, read_options(request.query_params, request.headers))
        other = call.options.datacenter
        if other is not None and other != site.datacenter:
            return failure(Trouble(500, "No path to datacenter"))
        if call.may_wait:
            return await _while_connected(handler, call)
        return await handler(call)
    except Trouble as trouble:
        return failure(trouble)
    except (CatalogError, ValueError, TypeError) as error:
        return failure(trouble_of(error))
    except ClientDisconnect:
        return empty(status=CLIENT_CLOSED)


async def _while_connected(handler: Handler, call: Call) -> Response:
    """Have a call answered that may take minutes, unless the client hangs up."""
    response: Response = empty(status=CLIENT_CLOSED)
    failed: Exception | None = None

    async def watch() -> None:
        while not await _is_gone(call.request):
            pass
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        try:
            response = await handler(call)
        except Exception as error:  # noqa: BLE001 - raised below, without the nursery's group
            failed = error
        nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return response


async def _is_gone(request: Request) -> bool:
    message = await request.receive()
    return bool(message["type"] == "http.disconnect")
