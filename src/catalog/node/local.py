"""What this agent itself registered, and the difference that the catalog must make up.

The agent knows best what runs beside it, so its record wins over the catalog's (Consul's
anti-entropy): what the catalog lacks or has otherwise is written again, what only the catalog has
on this node is removed.
That repairs every loss, whoever caused it: a write that never arrived, an operator's slip, a
catalog restored from an old snapshot.

The driver calls `expire` at `deadline`, feeds `report`, and writes `difference` when something
changed and once in a while.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from catalog.commands import (
    DeregisterCheck,
    DeregisterService,
    Operation,
    RegisterCheck,
    RegisterNode,
    RegisterService,
    SetCheck,
    SetNodeHealth,
)
from catalog.definitions import Check
from catalog.errors import NotRegistered
from catalog.model import CheckState, Instance, Node, NodeView, Service, Status
from catalog.node.health import CheckRun
from catalog.server.reconcile import ALIVE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Local", "Loose", "difference"]

NODE_MAINTENANCE: Final = "_node_maintenance"
SERVICE_MAINTENANCE: Final = "_service_maintenance:"
"""Ids of the checks that stand for maintenance modes; Consul's."""
NO_REASON: Final = "Maintenance mode is enabled; no reason was given."


@frozen
class Loose:
    """A check that no service defines: registered by itself, or a maintenance mode."""

    service_id: str
    """Empty: it is about the node."""
    definition: Check | None
    """`None`: a maintenance mode, which nothing runs."""


class Local:
    """The services and checks that this agent registered on its node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._services: dict[str, Service] = {}
        self._runs: dict[str, CheckRun] = {}
        """By check id."""
        self._loose: dict[str, Loose] = {}
        """By check id; those with a definition have a run as well."""
        self._maintenance: dict[str, CheckState] = {}

    @property
    def services(self) -> dict[str, Service]:
        """The services by id; a copy."""
        return dict(self._services)

    @property
    def checks(self) -> dict[str, CheckState]:
        """The state of every check, by id; a copy."""
        return {check_id: run.state for check_id, run in self._runs.items()} | self._maintenance

    @property
    def definitions(self) -> dict[str, Check]:
        """What every check does, by id; maintenance modes do nothing."""
        return {check_id: run.check for check_id, run in self._runs.items()}

    @property
    def loose(self) -> dict[str, Loose]:
        """The checks that no service defines, by id; a copy."""
        return dict(self._loose)

    def owner(self, check_id: str) -> Service | None:
        """Return the service that a check is of; `None`: it is of the node."""
        if check_id in self._loose:
            return self._services.get(self._loose[check_id].service_id)
        return next(
            (one for one in self._services.values() if check_id in one.named_checks()), None
        )

    def register(self, service: Service, *, now: float) -> None:
        """Take on a service, or replace the one of the same id; checks it had keep their state.

        Raises:
            ValueError: a check id is in use by another service; nothing changed.

        """
        checks = service.named_checks()
        for other in self._services.values():
            for check_id in checks.keys() & other.named_checks().keys():
                if other.id != service.id:
                    raise ValueError(
                        f"check {check_id!r} belongs to service {other.id!r}; {service.id!r} was "
                        f"not registered: choose another check id"
                    )
        for check_id in checks.keys() & self._loose.keys():
            if self._loose[check_id].service_id != service.id:
                raise ValueError(
                    f"check {check_id!r} is registered by itself; {service.id!r} was not "
                    f"registered: choose another check id"
                )
            del self._loose[check_id]  # from now on the service defines it
        before = self._services.get(service.id)
        for gone in {} if before is None else before.named_checks().keys() - checks.keys():
            del self._runs[gone]
        for check_id, check in checks.items():
            if check_id in self._runs:
                self._runs[check_id].redefine(check, service=service.name)
            else:
                self._runs[check_id] = CheckRun.begin(
                    check_id, check, now=now, service=service.name
                )
        self._services[service.id] = service

    def deregister(self, service_id: str) -> None:
        """Let go of a service.

        Raises:
            NotRegistered: there is none of this id.

        """
        if service_id not in self._services:
            raise NotRegistered(f"no service {service_id!r} is registered here; nothing changed")
        for check_id in self._services.pop(service_id).named_checks():
            del self._runs[check_id]
        for check_id, loose in list(self._loose.items()):
            if loose.service_id == service_id:
                self._drop(check_id)

    def register_check(self, check: Check, service_id: str = "", *, now: float) -> None:
        """Take on a check by itself, of a service or of the node, or replace the one of its id.

        Raises:
            NotRegistered: there is no such service.
            ValueError: it has no id, or one that a service's definition uses; nothing changed.

        """
        if not check.id:
            raise ValueError("a check that is registered by itself needs an id; nothing changed")
        if service_id and service_id not in self._services:
            raise NotRegistered(f"no service {service_id!r} is registered here; nothing changed")
        if check.id in self._maintenance or (
            check.id in self._runs and check.id not in self._loose
        ):
            raise ValueError(f"check {check.id!r} exists already; nothing changed")
        name = self._services[service_id].name if service_id else ""
        if check.id in self._runs:
            self._runs[check.id].redefine(check, service=name)
        else:
            self._runs[check.id] = CheckRun.begin(check.id, check, now=now, service=name)
        self._loose[check.id] = Loose(service_id, check)

    def deregister_check(self, check_id: str) -> None:
        """Let go of a check, also of one that a service defines.

        Raises:
            NotRegistered: there is none of this id.

        """
        if check_id in self._loose:
            self._drop(check_id)
            return
        service = self.owner(check_id)
        if service is None:
            raise self._unknown(check_id)
        left = {one: check for one, check in service.named_checks().items() if one != check_id}
        named = tuple(evolve(check, id=one) for one, check in left.items())
        self._services[service.id] = evolve(service, checks=named)
        del self._runs[check_id]

    def maintain(self, service_id: str, reason: str | None) -> None:
        """Begin maintenance of a service, or with an empty id of the node; `None` ends it.

        Raises:
            NotRegistered: there is no such service.

        """
        if service_id and service_id not in self._services:
            raise NotRegistered(f"no service {service_id!r} is registered here; nothing changed")
        check_id = SERVICE_MAINTENANCE + service_id if service_id else NODE_MAINTENANCE
        if reason is None:
            if check_id in self._loose:
                self._drop(check_id)
            return
        self._loose[check_id] = Loose(service_id, None)
        self._maintenance[check_id] = CheckState(
            check_id,
            Status.CRITICAL,
            name="Service Maintenance Mode" if service_id else "Node Maintenance Mode",
            notes=reason or NO_REASON,
            kind="maintenance",
        )

    def _drop(self, check_id: str) -> None:
        del self._loose[check_id]
        self._runs.pop(check_id, None)
        self._maintenance.pop(check_id, None)

    def _unknown(self, check_id: str) -> NotRegistered:
        return NotRegistered(
            f"no check {check_id!r} is registered here; nothing changed. Known: "
            f"{', '.join(sorted(self.checks)) or 'none'}"
        )

    def report(self, check_id: str, status: Status, output: str = "", *, now: float) -> bool:
        """Take the result of a check; return whether its state changed.

        Raises:
            NotRegistered: there is none of this id.

        """
        if check_id not in self._runs:
            raise self._unknown(check_id)
        return self._runs[check_id].observe(status, output, now=now)

    def expire(self, *, now: float) -> tuple[str, ...]:
        """Turn TTL checks that were silent for too long critical; return their ids."""
        return tuple(check_id for check_id, run in self._runs.items() if run.expire(now=now))

    def condemned(self, *, now: float) -> tuple[str, ...]:
        """Return the services of which a check was critical for too long: deregister them."""
        late = {check_id for check_id, run in self._runs.items() if run.condemns_at <= now}
        ids = {loose.service_id for check_id, loose in self._loose.items() if check_id in late}
        return tuple(
            service.id
            for service in self._services.values()
            if service.id in ids or not late.isdisjoint(service.named_checks())
        )

    @property
    def deadline(self) -> float:
        """When to call `expire` and `condemned` next, in seconds; `inf`: not as things stand."""
        moments = (min(run.expires_at, run.condemns_at) for run in self._runs.values())
        return min(moments, default=inf)


def difference(
    local: Local, view: NodeView | None, *, outputs: bool = True
) -> tuple[Operation, ...]:
    """Return what to write so that the catalog has this node as its agent has it.

    Write them in order, and best in one batch: readers then see no step between.

    Args:
        local: the agent's record.
        view: the catalog's (`Registry.node`), `None` where it does not know the node.
        outputs: `False` leaves checks alone of which only the output differs; output changes
            often and matters little, so it may wait for a rarer pass.

    """
    operations: list[Operation] = []
    if view is None:
        # With its health: a node without is taken for one registered from outside, and would
        # outlive its agent.
        operations += [
            RegisterNode(local.node),
            SetNodeHealth(local.node.name, ALIVE.status, ALIVE.output),
        ]
    node = local.node.name
    there = {} if view is None else {one.service.id: one for one in view.instances}
    services = local.services
    for service_id in sorted(_in_the_way(services, there)):
        operations.append(DeregisterService(node, service_id))
        del there[service_id]
    for service_id, service in sorted(services.items()):
        instance = there.get(service_id)
        if instance is None or instance.service != service:
            operations.append(RegisterService(node, service))
        operations += _set_checks(node, service, instance, local.checks, outputs=outputs)
    operations += _set_loose(local, view, outputs=outputs)
    return tuple(operations)


def _set_loose(local: Local, view: NodeView | None, *, outputs: bool) -> Iterator[Operation]:
    """Yield what makes the checks that no service defines as they are here."""
    node, services = local.node.name, local.services
    there: dict[tuple[str, str], CheckState] = {}
    if view is not None:
        there |= {("", state.id): state for state in view.checks}
        for one in view.instances:
            defined = one.service.named_checks()
            loose = [state for state in one.checks if state.id not in defined]
            there |= {(one.service.id, state.id): state for state in loose}
    states = local.checks
    ours = {(one.service_id, check_id): states[check_id] for check_id, one in local.loose.items()}
    for service_id, check_id in sorted(there.keys() - ours.keys()):
        # Of a service that goes, its checks go with it; a check may also be defined by now.
        if (not service_id or service_id in services) and check_id not in states:
            yield DeregisterCheck(node, check_id)
    for place, state in sorted(ours.items(), key=lambda item: item[0]):
        theirs = there.get(place)
        if theirs is not None and not outputs:
            theirs = evolve(theirs, output=state.output)
        if theirs != state:
            yield RegisterCheck(node, state, place[0])


def _in_the_way(services: Mapping[str, Service], there: Mapping[str, Instance]) -> set[str]:
    """Return the ids in the catalog that must go: unknown here, or holding another's check id."""
    wanted = {
        check_id: service.id for service in services.values() for check_id in service.named_checks()
    }
    return {
        service_id
        for service_id, instance in there.items()
        if service_id not in services
        or any(wanted.get(state.id, service_id) != service_id for state in instance.checks)
    }


def _set_checks(
    node: str,
    service: Service,
    instance: Instance | None,
    checks: Mapping[str, CheckState],
    *,
    outputs: bool,
) -> Iterator[SetCheck]:
    known = {} if instance is None else {state.id: state for state in instance.checks}
    for check_id, check in service.named_checks().items():
        ours = checks[check_id]
        # A check that the catalog does not have yet starts as its definition says.
        theirs = known.get(check_id) or CheckState.begin(check_id, check, service.name)
        if ours.status != theirs.status or (outputs and ours.output != theirs.output):
            yield SetCheck(node, check_id, ours.status, ours.output)
