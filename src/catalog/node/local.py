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
from typing import TYPE_CHECKING

from catalog.commands import (
    DeregisterService,
    Operation,
    RegisterNode,
    RegisterService,
    SetCheck,
    SetNodeHealth,
)
from catalog.errors import NotRegistered
from catalog.model import CheckState, Instance, Node, NodeView, Service, Status
from catalog.node.health import CheckRun
from catalog.server.reconcile import ALIVE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Local", "difference"]


class Local:
    """The services and checks that this agent registered on its node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._services: dict[str, Service] = {}
        self._runs: dict[str, CheckRun] = {}
        """By check id."""

    @property
    def services(self) -> dict[str, Service]:
        """The services by id; a copy."""
        return dict(self._services)

    @property
    def checks(self) -> dict[str, CheckState]:
        """The state of every check, by id; a copy."""
        return {check_id: run.state for check_id, run in self._runs.items()}

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

    def report(self, check_id: str, status: Status, output: str = "", *, now: float) -> bool:
        """Take the result of a check; return whether its state changed.

        Raises:
            NotRegistered: there is none of this id.

        """
        if check_id not in self._runs:
            raise NotRegistered(
                f"no check {check_id!r} is registered here; nothing changed. Known: "
                f"{', '.join(sorted(self._runs)) or 'none'}"
            )
        return self._runs[check_id].observe(status, output, now=now)

    def expire(self, *, now: float) -> tuple[str, ...]:
        """Turn TTL checks that were silent for too long critical; return their ids."""
        return tuple(check_id for check_id, run in self._runs.items() if run.expire(now=now))

    def condemned(self, *, now: float) -> tuple[str, ...]:
        """Return the services of which a check was critical for too long: deregister them."""
        return tuple(
            service.id
            for service in self._services.values()
            if any(self._runs[check_id].condemns_at <= now for check_id in service.named_checks())
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
    return tuple(operations)


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
