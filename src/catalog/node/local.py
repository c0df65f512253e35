"""What is registered with this agent: services, checks, and what is under maintenance.

The agent knows best what runs beside it, so its record wins over the catalog's; how the catalog is
brought to say the same is decided in `catalog.node.difference`.

A check belongs to a service or to the node. It comes with its service, or it is registered alone.
Maintenance is a check as well, one that nothing runs: critical for as long as it lasts.

The driver calls `expire` at `deadline`, and feeds `report`.
"""

from __future__ import annotations

from math import inf

from attrs import evolve

from catalog.definitions import Check, Status, TtlCheck
from catalog.errors import NotRegistered
from catalog.model import CheckState, Node, Role, Service
from catalog.node.health import CheckRun
from catalog.node.record import Kept, KeptCheck
from catalog.requests import LocalCheck
from catalog.server.reconcile import SERVERS

__all__ = ["Local"]

NODE = ""
"""Stands for the node itself, where a check's owner is named."""
MAINTENANCE = {
    True: ("_service_maintenance:", "Service Maintenance Mode"),
    False: ("_node_maintenance", "Node Maintenance Mode"),
}
"""Ids and names of maintenance checks, of services and of the node; Consul's."""
NO_REASON = "Maintenance mode is enabled for this {what}, but no reason was provided."


class Local:
    """The services and checks that this agent registered on its node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._services: dict[str, Service] = {}
        self._runs: dict[str, CheckRun] = {}
        """By check id."""
        self._alone: dict[str, str] = {}
        """Checks that were registered alone, with the service that they are of, or `NODE`."""
        self._maintenance: dict[str, CheckState] = {}
        """The checks of maintenance, by the service, or `NODE`."""
        self._passing_by: dict[str, None] = {}
        """Services that do not survive the agent."""

    @property
    def services(self) -> dict[str, Service]:
        """The services by id; a copy."""
        return dict(self._services)

    @property
    def checks(self) -> dict[str, CheckState]:
        """The state of every check, by id; a copy."""
        states = {check_id: run.state for check_id, run in self._runs.items()}
        return states | {state.id: state for state in self._maintenance.values()}

    @property
    def definitions(self) -> dict[str, Check]:
        """What every check does, by id; maintenance does nothing."""
        return {check_id: run.check for check_id, run in self._runs.items()}

    def checks_of(self, service_id: str) -> dict[str, CheckState]:
        """Return the checks of a service, or of the node, that did not come with the service."""
        found = {
            check_id: self._runs[check_id].state
            for check_id, owner in self._alone.items()
            if owner == service_id
        }
        if service_id in self._maintenance:
            found[self._maintenance[service_id].id] = self._maintenance[service_id]
        return found

    def entries(self) -> tuple[LocalCheck, ...]:
        """Return all checks with their definitions, by id."""
        found = [
            LocalCheck(run.state, run.check, self._services.get(self._owner(check_id) or NODE))
            for check_id, run in self._runs.items()
        ]
        for owner, state in self._maintenance.items():
            found.append(LocalCheck(state, None, self._services.get(owner)))
        return tuple(sorted(found, key=lambda one: one.state.id))

    def register(self, service: Service, *, now: float, keep: bool = True) -> None:
        """Take on a service, or replace the one of the same id; checks it had keep their state.

        Args:
            service: the service.
            now: the time, in seconds.
            keep: whether it is part of `kept`, and so survives the agent.

        Raises:
            ValueError: a check id is in use elsewhere, or the id is that of the servers'
                own service and this is one of them; nothing changed.

        """
        if service.id == SERVERS and self.node.role is Role.SERVER:
            raise ValueError(
                f"{SERVERS!r} is the servers' own service, which the leader keeps; nothing was "
                f"registered: choose another id"
            )
        checks = service.named_checks()
        for check_id in checks:
            owner = self._owner(check_id)
            if owner not in (None, service.id):
                raise ValueError(
                    f"check {check_id!r} belongs to {_whose(owner)}; {service.id!r} was "
                    f"not registered: choose another check id"
                )
        before = self._services.get(service.id)
        for gone in {} if before is None else before.named_checks().keys() - checks.keys():
            del self._runs[gone]
        for check_id, check in checks.items():
            self._alone.pop(check_id, None)  # from now on it comes with its service
            self._begin(check_id, check, service.name, now=now)
        self._services[service.id] = service
        if keep:
            self._passing_by.pop(service.id, None)
        else:
            self._passing_by[service.id] = None

    def deregister(self, service_id: str) -> None:
        """Let go of a service and all its checks.

        Raises:
            NotRegistered: there is none of this id.

        """
        service = self._service(service_id)
        for check_id in service.named_checks():
            del self._runs[check_id]
        for check_id in [one for one, owner in self._alone.items() if owner == service_id]:
            del self._alone[check_id], self._runs[check_id]
        self._maintenance.pop(service_id, None)
        self._passing_by.pop(service_id, None)
        del self._services[service_id]

    def drain(self, service_id: str, *, terminating: bool) -> None:
        """Have a service serve whom it has and take nobody new; or end that.

        Raises:
            NotRegistered: there is no such service.

        """
        service = self._service(service_id)
        self._services[service_id] = evolve(service, terminating=terminating)

    def kept(self) -> Kept:
        """Return what survives the agent."""
        return Kept(
            self.node.name,
            tuple(one for _, one in sorted(self._services.items()) if self._survives(one.id)),
            tuple(
                KeptCheck(self._runs[check_id].check, owner)
                for check_id, owner in sorted(self._alone.items())
                if self._survives(owner)
            ),
            {
                owner: state.notes
                for owner, state in sorted(self._maintenance.items())
                if self._survives(owner)
            },
        )

    def restore(self, kept: Kept, *, now: float) -> None:
        """Take on what survived; to be called first of all."""
        for service in kept.services:
            self.register(service, now=now)
        for one in kept.checks:
            self.register_check(one.check, one.service_id, now=now)
        for owner, reason in kept.maintenance.items():
            self.maintain(owner, reason)

    def _survives(self, owner: str) -> bool:
        return owner not in self._passing_by

    def register_check(self, check: Check, service_id: str, *, now: float) -> None:
        """Take on a check of a service or of the node, or replace the one of the same id.

        Raises:
            NotRegistered: there is no such service.
            ValueError: it has no id, or that is in use elsewhere; nothing changed.

        """
        if not check.id:
            raise ValueError("a check that is registered alone needs an id; nothing changed")
        name = self._service(service_id).name if service_id else ""
        owner = self._owner(check.id)
        if owner not in (None, service_id):
            raise ValueError(
                f"check {check.id!r} belongs to {_whose(owner)}; it is as it was: choose another id"
            )
        if owner is not None and check.id not in self._alone:
            self._without(check.id, service_id)
        self._alone[check.id] = service_id
        self._begin(check.id, check, name, now=now)

    def deregister_check(self, check_id: str) -> None:
        """Let go of a check, alone or out of its service.

        Raises:
            NotRegistered: there is none of this id.

        """
        for owner, state in list(self._maintenance.items()):
            if state.id == check_id:
                del self._maintenance[owner]
                return
        self._run(check_id)
        service_id = self._owner(check_id)
        assert service_id is not None, "what runs has an owner"
        if self._alone.pop(check_id, None) is None:
            self._without(check_id, service_id)
        del self._runs[check_id]

    def maintain(self, service_id: str, reason: str | None) -> None:
        """Take a service, or the node, out of use for a reason; `None`: back into use.

        Raises:
            NotRegistered: there is no such service.

        """
        if service_id:
            self._service(service_id)
        if reason is None:
            self._maintenance.pop(service_id, None)
            return
        prefix, name = MAINTENANCE[bool(service_id)]
        notes = reason or NO_REASON.format(what="service" if service_id else "node")
        self._maintenance[service_id] = CheckState(
            prefix + service_id, Status.CRITICAL, "", name, notes, "maintenance"
        )

    def report(self, check_id: str, status: Status, output: str = "", *, now: float) -> bool:
        """Take the result of a check; return whether its status changed.

        Raises:
            NotRegistered: there is none of this id.

        """
        return self._run(check_id).observe(status, output, now=now)

    def feed(self, check_id: str, status: Status, output: str, *, now: float) -> bool:
        """Take the application's report to a TTL check; return whether its status changed.

        Raises:
            NotRegistered: there is none of this id, or it is none that is fed.

        """
        if not isinstance(self._run(check_id).check, TtlCheck):
            raise NotRegistered(
                f"check {check_id!r} is no TTL check, and takes no report; nothing changed"
            )
        return self.report(check_id, status, output, now=now)

    def expire(self, *, now: float) -> tuple[str, ...]:
        """Turn TTL checks that were silent for too long critical; return their ids."""
        return tuple(check_id for check_id, run in self._runs.items() if run.expire(now=now))

    def condemned(self, *, now: float) -> tuple[str, ...]:
        """Return the services of which a check was critical for too long: deregister them."""
        owners = [
            self._owner(check_id) for check_id, run in self._runs.items() if run.condemns_at <= now
        ]
        return tuple(dict.fromkeys(owner for owner in owners if owner))

    @property
    def deadline(self) -> float:
        """When to call `expire` and `condemned` next, in seconds; `inf`: not as things stand."""
        moments = [run.expires_at for run in self._runs.values()]
        moments += [
            run.condemns_at for check_id, run in self._runs.items() if self._owner(check_id)
        ]
        return min(moments, default=inf)

    def _begin(self, check_id: str, check: Check, service: str, *, now: float) -> None:
        if check_id in self._runs:
            self._runs[check_id].redefine(check, service=service)
        else:
            self._runs[check_id] = CheckRun.begin(check_id, check, now=now, service=service)

    def _without(self, check_id: str, service_id: str) -> None:
        """Take a check out of the service that it came with; the others keep their ids."""
        service = self._services[service_id]
        named = service.named_checks().items()
        rest = tuple(evolve(check, id=name) for name, check in named if name != check_id)
        self._services[service_id] = evolve(service, checks=rest)

    def _owner(self, check_id: str) -> str | None:
        """Return the service that a check is of, or `NODE`; `None`: there is no such check."""
        if check_id in self._alone:
            return self._alone[check_id]
        for service in self._services.values():
            if check_id in service.named_checks():
                return service.id
        return None

    def _service(self, service_id: str) -> Service:
        if service_id not in self._services:
            raise NotRegistered(f"no service {service_id!r} is registered here; nothing changed")
        return self._services[service_id]

    def _run(self, check_id: str) -> CheckRun:
        if check_id not in self._runs:
            raise NotRegistered(
                f"no check {check_id!r} is registered here; nothing changed. Known: "
                f"{', '.join(sorted(self._runs)) or 'none'}"
            )
        return self._runs[check_id]


def _whose(owner: str | None) -> str:
    return f"service {owner!r}" if owner else "the node"
