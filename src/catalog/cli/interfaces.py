"""`catalog agent --http --dns`: Consul's interfaces beside an agent, where they are installed."""

from __future__ import annotations

from functools import partial
from importlib import import_module

import trio
from attrs import frozen

import catalog
from catalog.errors import StartError
from catalog.exits import NO_START, Failure, sentence

__all__ = ["Interfaces"]


@frozen
class Interfaces:
    """Where to listen for which of them; `None`: not at all."""

    http: str | None = None
    dns: str | None = None
    recursors: tuple[str, ...] = ()

    def check(self) -> None:
        """Import what is wanted, which takes a moment, before anything runs.

        Raises:
            Failure: it is not installed.

        """
        try:
            if self.http:
                import_module("catalog.http.server")
                import_module("catalog.http.app")
            if self.dns:
                import_module("catalog.dns.server")
        except ModuleNotFoundError as error:
            extra = "http" if error.name in ("starlette", "hypercorn") else "dns"
            raise Failure(
                f"agent: --{extra} needs {error.name}, which is not installed: "
                f"pip install 'quorumkit[{extra}]'",
                NO_START,
            ) from None

    async def start(
        self, agent: catalog.Agent, config: catalog.AgentConfig, nursery: trio.Nursery
    ) -> None:
        """Start what is wanted; return once it listens.

        Raises:
            Failure: nobody can listen there.

        """
        try:
            if self.http:
                await _start_http(agent, self.http, config, nursery)
            if self.dns:
                await _start_dns(agent, self.dns, self.recursors, config.datacenter, nursery)
        except StartError as error:
            raise Failure(f"agent: {sentence(error)}", NO_START) from None


async def _start_http(
    agent: catalog.Agent, bind: str, config: catalog.AgentConfig, nursery: trio.Nursery
) -> None:
    from catalog.http.app import build_app  # noqa: PLC0415 - an extra
    from catalog.http.calls import Site  # noqa: PLC0415 - as above
    from catalog.http.server import serve_http  # noqa: PLC0415 - as above

    app = build_app(Site(agent, agent.name, config.datacenter, config.autopilot))
    await nursery.start(serve_http, app, bind)


async def _start_dns(
    agent: catalog.Agent,
    bind: str,
    recursors: tuple[str, ...],
    datacenter: str,
    nursery: trio.Nursery,
) -> None:
    from catalog.dns.server import serve_dns  # noqa: PLC0415 - an extra
    from catalog.dns.settings import DnsSettings  # noqa: PLC0415 - as above

    settings = DnsSettings(recursors=recursors)
    serve = partial(serve_dns, datacenter=datacenter, settings=settings)
    await nursery.start(serve, agent, bind)
