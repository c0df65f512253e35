"""`catalog agent`: run an agent until a signal, and say what it does."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator

import trio
from attrs import define, field

import catalog
from catalog.cli.interfaces import Interfaces
from catalog.exits import DONE, FAILED, NO_START, USAGE, Failure, sentence, sole
from quorum.errors import QuorumError
from rumor.errors import RumorError

__all__ = ["configure", "run"]

LEAVE_SECONDS = 10.0
"""How long saying farewell may take; a second signal cuts it short."""
LOG_FORMAT = "%(asctime)s.%(msecs)03d  %(levelname)-7s  %(message)s"
LOG_TIME_FORMAT = "%H:%M:%S"

log = logging.getLogger("catalog")


def run(options: argparse.Namespace) -> int:
    """Run an agent until SIGINT or SIGTERM; return the exit status."""
    config = configure(options)
    logging.basicConfig(
        level=options.log_level.upper(),
        format=LOG_FORMAT,
        datefmt=LOG_TIME_FORMAT,
        stream=sys.stderr,
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else it has a line for every check
    interfaces = Interfaces(options.http, options.dns, tuple(options.dns_recursor))
    interfaces.check()
    run = Run(config, interfaces)
    try:
        trio.run(run.serve)
    except Exception as problem:
        error = sole(problem)
        if isinstance(error, Failure):
            raise error from None
        if not isinstance(error, catalog.CatalogError | QuorumError | RumorError | OSError):
            raise
        status = FAILED if run.opened else NO_START
        raise Failure(f"agent: {as_flags(sentence(error))}", status) from None
    return DONE


@define
class Run:
    """One agent, from its start to its farewell."""

    config: catalog.AgentConfig
    interfaces: Interfaces
    opened: bool = False
    _leave: trio.Event = field(factory=trio.Event)

    async def serve(self) -> None:
        """Run until a signal, then leave; a second signal ends it at once."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals, nursery.cancel_scope)
                await self._live()
                nursery.cancel_scope.cancel()

    async def _live(self) -> None:
        """Open the agent and stay until told to leave."""
        async with catalog.open_catalog(self.config) as agent:
            await self._stay(agent)

    async def _stay(self, agent: catalog.Agent) -> None:
        self.opened = True
        log.info("%s listens on %s; Ctrl-C leaves the cluster", agent.name, agent.address)
        async with trio.open_nursery() as nursery:
            await self.interfaces.start(agent, self.config.datacenter, nursery)
            await self._leave.wait()
            nursery.cancel_scope.cancel()
        log.info("leaving; once more ends it at once")
        with trio.move_on_after(LEAVE_SECONDS) as limit:
            await agent.leave()
        if limit.cancelled_caught:
            log.warning("no farewell within %g s; the others will notice", LEAVE_SECONDS)

    async def _obey(self, signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
        async for _ in signals:
            if not self.opened or self._leave.is_set():
                everything.cancel()
            self._leave.set()


def configure(options: argparse.Namespace) -> catalog.AgentConfig:
    """Return the settings that the flags ask for; raise `Failure` if they make no sense."""
    name = options.name or f"{socket.gethostname()}-{options.bind.rpartition(':')[2]}"
    try:
        _check_flags(options)
        if options.dev:
            return catalog.AgentConfig.dev(name=name, bind=options.bind)
        return catalog.AgentConfig(
            name,
            server=options.server,
            bind=options.bind,
            advertise=options.advertise,
            data_dir=options.data_dir,
            join=tuple(options.join),
            retry_join=options.join_timeout,
            bootstrap_expect=options.bootstrap_expect or 0,
            datacenter=options.datacenter,
            cluster=options.cluster,
        )
    except (ValueError, TypeError) as error:
        text = as_flags(sentence(error))
        raise Failure(f"agent: {text}; see catalog agent --help", USAGE) from None


def as_flags(text: str) -> str:
    """Return a sentence about settings in the words of the command line."""
    for setting in ("bootstrap_expect", "data_dir"):
        text = text.replace(setting, "--" + setting.replace("_", "-"))
    return text


def _check_flags(options: argparse.Namespace) -> None:
    """Refuse flags that do not go together, in the words of the command line."""
    servers = {"--bootstrap-expect": options.bootstrap_expect, "--data-dir": options.data_dir}
    others = {"--server": options.server, "--join": options.join, "--advertise": options.advertise}
    if options.dev:
        for flag, value in (servers | others).items():
            if value:
                raise ValueError(f"--dev is one server alone, in memory: leave {flag} out")
        return
    if options.server and not options.bootstrap_expect and not options.data_dir:
        raise ValueError(
            "a server needs --data-dir, or else --bootstrap-expect: 1 to be alone, 3 or 5 to "
            "found a cluster with others"
        )
    for flag, value in servers.items():
        if value and not options.server:
            raise ValueError(f"{flag} is for servers only: add --server, or leave it out")
    if options.bind.startswith(("0.0.0.0:", "[::]:")) and not options.advertise:
        raise ValueError(
            f"--bind {options.bind} listens everywhere, but nobody can connect to such an address: "
            f"say with --advertise where the others reach this agent"
        )
