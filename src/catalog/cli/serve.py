"""`catalog agent`: run an agent until a signal, and say what it does."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import trio
from attrs import define, field

import catalog
from catalog.cli.arguments import parse
from catalog.cli.interfaces import Interfaces
from catalog.cli.reload import apply, register
from catalog.exits import DONE, FAILED, NO_START, USAGE, Failure, sentence, sole
from catalog.settings import Settings, load_settings
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
    settings = configure(options)
    logging.basicConfig(
        level=settings.log_level.upper(),
        format=LOG_FORMAT,
        datefmt=LOG_TIME_FORMAT,
        stream=sys.stderr,
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else it has a line for every check
    interfaces = Interfaces(settings.http, settings.dns, settings.recursors)
    interfaces.check()
    run = Run(settings, options.config, interfaces)
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
    """One agent, from its start to its end."""

    settings: Settings
    path: Path | None
    """Where the settings are from, if from a file."""
    interfaces: Interfaces
    _agent: catalog.Agent | None = None
    """Once it is open."""
    _stop: trio.Event = field(factory=trio.Event)

    @property
    def opened(self) -> bool:
        """Whether the agent was open, if only for a moment."""
        return self._agent is not None

    async def serve(self) -> None:
        """Run until a signal, then leave or stop; a second signal ends it at once."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        with trio.open_signal_receiver(*numbers) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals, nursery.cancel_scope)
                async with catalog.open_catalog(self.settings.config) as agent:
                    await self._stay(agent)
                nursery.cancel_scope.cancel()

    async def _stay(self, agent: catalog.Agent) -> None:
        config = self.settings.config
        self._agent = agent
        what = "leaves the cluster" if config.leaves else "stops it"
        log.info("%s listens on %s; Ctrl-C %s", agent.name, agent.address, what)
        agent.reloader = self._reload
        async with trio.open_nursery() as nursery:
            await self.interfaces.start(agent, config, nursery)
            nursery.start_soon(register, agent, self.settings)
            nursery.start_soon(self._wait_left, agent)
            await self._stop.wait()
            nursery.cancel_scope.cancel()
        if agent.left.is_set():
            return
        log.info("%s; once more ends it at once", "leaving" if config.leaves else "stopping")
        with trio.move_on_after(LEAVE_SECONDS) as limit:
            await (agent.leave() if config.leaves else agent.hand_over())
        if limit.cancelled_caught:
            log.warning("no farewell within %g s; the others will notice", LEAVE_SECONDS)

    async def _wait_left(self, agent: catalog.Agent) -> None:
        await agent.left.wait()
        self._stop.set()

    async def _reload(self) -> tuple[str, ...]:
        if self.path is None or self._agent is None:
            raise ValueError("this agent was started without --config: there is no file to reload")
        new = load_settings(self.path)
        lines = await apply(self._agent, self.settings, new)
        self.settings = new
        return lines

    async def _obey(self, signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
        async for number in signals:
            if number == signal.SIGHUP and self.path is not None:
                try:
                    log.info("reloaded: %s", "; ".join(await self._reload()))
                except (catalog.CatalogError, ValueError) as error:
                    log.error("not reloaded: %s", error)  # noqa: TRY400 - it is all there is to say
                continue
            if not self.opened or self._stop.is_set():
                everything.cancel()
            self._stop.set()


def configure(options: argparse.Namespace) -> Settings:
    """Return what the file or the flags ask for; raise `Failure` if that makes no sense."""
    if options.config is not None:
        return _from_file(options)
    config = _from_flags(options)
    return Settings(
        config,
        log_level=options.log_level,
        http=options.http,
        dns=options.dns,
        recursors=tuple(options.dns_recursor),
    )


def _from_file(options: argparse.Namespace) -> Settings:
    usual = vars(parse(["agent", "--config", str(options.config)]))
    for name, value in vars(options).items():
        if value != usual[name]:
            flag = "--" + name.replace("_", "-")
            raise Failure(f"agent: {flag} does not go with --config: write it into the file", USAGE)
    try:
        return load_settings(options.config)
    except ValueError as error:
        raise Failure(f"agent: {sentence(error)}", USAGE) from None


def _from_flags(options: argparse.Namespace) -> catalog.AgentConfig:
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
    if options.bootstrap_expect and not options.server:
        raise ValueError("--bootstrap-expect is for servers only: add --server, or leave it out")
    if options.bind.startswith(("0.0.0.0:", "[::]:")) and not options.advertise:
        raise ValueError(
            f"--bind {options.bind} listens everywhere, but nobody can connect to such an address: "
            f"say with --advertise where the others reach this agent"
        )
