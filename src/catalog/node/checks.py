"""Health checks that this agent runs itself, once in an interval.

What a result makes of the state is decided in `catalog.node.health`, what a probe does in
`catalog.node.probes`; here they are run. The first probe comes after a random part of the interval,
so that checks registered together do not run together. Every probe ends within its timeout, and few
run at a time.

An alias is no probe: it waits in the catalog for what it stands for to change.
"""

from __future__ import annotations

from random import Random
from typing import Final, TypeAlias

import trio

from catalog.definitions import (
    AliasCheck,
    GrpcCheck,
    HttpCheck,
    Probe,
    ScriptCheck,
    Status,
    TcpCheck,
    UdpCheck,
    worst,
)
from catalog.errors import CatalogError, NotRegistered
from catalog.model import NodeView
from catalog.node import probes
from catalog.node.keeper import Keeper
from catalog.node.probes import Result

__all__ = ["Checker"]

PROBES_MAX: Final = 64
"""Probes at a time; more wait for their turn, and their time is not running yet."""
ALIAS_SECONDS: Final = 60.0
"""For so long an alias waits for a change before it asks again."""
RETRY_SECONDS: Final = 5.0
"""Between two questions of an alias that are not answered; a random part is left out."""

ActiveCheck: TypeAlias = HttpCheck | TcpCheck | UdpCheck | GrpcCheck | ScriptCheck | AliasCheck


class Checker:
    """Runs the checks that a keeper has."""

    def __init__(self, keeper: Keeper, *, random: Random, scripts: bool = False) -> None:
        self._keeper = keeper
        self._random = random
        self._scripts = scripts
        """Whether scripts may run: who can register a check could otherwise run anything here."""
        self._limiter = trio.CapacityLimiter(PROBES_MAX)
        self._clients = probes.Clients()

    async def run(self) -> None:
        """Run what is registered, for ever."""
        running: dict[str, tuple[ActiveCheck, trio.CancelScope]] = {}
        async with self._clients.closing(), trio.open_nursery() as nursery:
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
            if isinstance(check, ActiveCheck)
        }

    async def _repeat(self, check_id: str, check: ActiveCheck, scope: trio.CancelScope) -> None:
        with scope:
            if isinstance(check, AliasCheck):
                await self._mirror(check_id, check)
                return
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

    async def probe(self, check: Probe) -> Result:
        """Run one probe; return what it found."""
        with trio.move_on_after(check.timeout):
            match check:
                case HttpCheck():
                    return await probes.get(check, self._clients)
                case TcpCheck():
                    return await probes.connect(check.address)
                case UdpCheck():
                    return await probes.datagram(check.address)
                case GrpcCheck():
                    return await probes.grpc(check, self._clients)
                case ScriptCheck():
                    return await self._run_script(check)
                case _:
                    raise AssertionError(f"{check!r} is no probe")
        return Status.CRITICAL, f"no answer within {check.timeout:g} s"

    async def _run_script(self, check: ScriptCheck) -> Result:
        if not self._scripts:
            await trio.lowlevel.checkpoint()
            return Status.CRITICAL, "this agent runs no scripts: see `enable_script_checks`"
        return await probes.script(check.args)

    async def _mirror(self, check_id: str, check: AliasCheck) -> None:
        """Report what an alias stands for, whenever that changes."""
        after: int | None = None
        while True:
            try:
                reply = await self._keeper.look(check.node, after=after, wait=ALIAS_SECONDS)
            except CatalogError:
                await trio.sleep(RETRY_SECONDS * self._random.uniform(0.5, 1.0))
                continue
            after = reply.index
            try:
                self._keeper.report(check_id, *mirrored(check, reply.value, check_id))
            except NotRegistered:
                return


def mirrored(check: AliasCheck, view: NodeView | None, check_id: str) -> Result:
    """Return what an alias says, given the node of what it stands for."""
    what = f"service {check.service_id!r}" if check.service_id else "the node"
    if view is None:
        return Status.CRITICAL, f"{what}: its node is not in the catalog"
    states = [*view.checks, *(() if view.health is None else (view.health,))]
    if check.service_id:
        found = [one for one in view.instances if one.service.id == check.service_id]
        if not found:
            return Status.CRITICAL, f"{what} is not in the catalog"
        states += found[0].checks
    status = worst(state.status for state in states if state.id != check_id)
    return status, f"{what} is {status.value}"
