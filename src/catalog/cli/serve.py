"""`catalog agent`: run an agent until a signal, and say what it does."""

from __future__ import annotations

import argparse
import logging
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator

import trio
from attrs import define, evolve, field

import catalog
from catalog.cli.interfaces import Interfaces
from catalog.exits import DONE, FAILED, NO_START, USAGE, Failure, sentence, sole
from quorum.errors import QuorumError
from rumor.errors import RumorError

__all__ = ["configure", "run"]

LEAVE_SECONDS = 10.0
"""How long saying farewell may take; a second signal cuts it short."""
LOOK_SECONDS = 0.1
RETRY_SECONDS = 0.25
LISTEN_SECONDS = (0.5, 1.5)
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
    run = Run(config, options.join_timeout, interfaces)
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
    join_timeout: float
    """Seconds for one of the addresses to join to answer."""
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
        """Open the agent and stay until told to leave; try for a while to find the others.

        On three machines that start together each may name another one to join, so somebody must
        be there to be joined: between its attempts an agent listens alone, each time for a random
        while, so that they do not all knock at the same time. Only who would found a cluster of
        one must not be alone for a moment.
        """
        give_up = trio.current_time() + self.join_timeout
        answered = False  # somebody did just before this attempt: then joining is not what failed
        while True:
            try:
                async with catalog.open_catalog(self.config) as agent:
                    return await self._stay(agent)
            except catalog.StartError:
                late = trio.current_time() > give_up
                if self.opened or late or answered or not self.config.join:
                    raise
            answered = await self._somebody_answers()
            if answered:
                continue
            log.info("nobody answers yet at %s; trying again", ", ".join(self.config.join))
            if self.config.bootstrap_expect == 1:
                await trio.sleep(RETRY_SECONDS)
                continue
            async with catalog.open_catalog(evolve(self.config, join=())) as agent:
                if await self._is_joined(agent):
                    return await self._stay(agent)

    async def _somebody_answers(self) -> bool:
        for address in self.config.join:
            try:
                async with catalog.connect(address, cluster=self.config.cluster):
                    return True
            except (catalog.CatalogError, OSError):
                continue
        return False

    async def _is_joined(self, agent: catalog.Agent) -> bool:
        with trio.move_on_after(random.uniform(*LISTEN_SECONDS)):
            while True:
                if len(await agent.members()) > 1:
                    return True
                await trio.sleep(LOOK_SECONDS)
        return False

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
