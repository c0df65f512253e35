"""What the catalog must be told so that it has a node as its agent has it.

This is Consul's anti-entropy: what the catalog lacks or has otherwise is written again, what only
the catalog has on this node is removed.
That repairs every loss, whoever caused it: a write that never arrived, an operator's slip, a
catalog restored from an old snapshot. It is also why nothing deregistered comes back: what is not
in the agent's record does not stay.

One thing may be edited in the catalog: the tags of a service that allows it
(`enable_tag_override`). And one service of a server's node is not its agent's, but the leader's:
the one by which the servers are found (`catalog.server.reconcile`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve

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
from catalog.model import CheckState, Instance, NodeView, Role, Service
from catalog.node.local import NODE, Local
from catalog.server.reconcile import ALIVE, SERVERS

__all__ = ["difference"]


def difference(
    local: Local, view: NodeView | None, *, outputs: bool = True
) -> tuple[Operation, ...]:
    """Return what to write, in order; best in one batch: readers then see no step between.

    Args:
        local: the agent's record.
        view: the catalog's (`Registry.node`), `None` where it does not know the node.
        outputs: `False` leaves checks alone of which only the output differs; output changes
            often and matters little, so it may wait for a rarer pass.

    """
    operations: list[Operation] = []
    node = local.node.name
    if view is None:
        # With its health: a node without is taken for one registered from outside, and would
        # outlive its agent.
        operations += [
            RegisterNode(local.node),
            SetNodeHealth(node, ALIVE.status, ALIVE.output),
        ]
    there = {} if view is None else {one.service.id: one for one in view.instances}
    if local.node.role is Role.SERVER:
        there.pop(SERVERS, None)
    ours = local.checks_of(NODE)
    theirs = {} if view is None else {state.id: state for state in view.checks}
    operations += [DeregisterCheck(node, gone) for gone in sorted(theirs.keys() - ours.keys())]
    for service_id in sorted(_in_the_way(local, there)):
        operations.append(DeregisterService(node, service_id))
        del there[service_id]
    for service_id, service in sorted(local.services.items()):
        operations += _service(local, service, there.get(service_id), outputs=outputs)
    operations += _alone(node, ours, theirs, NODE, outputs=outputs)
    return tuple(operations)


def _in_the_way(local: Local, there: Mapping[str, Instance]) -> set[str]:
    """Return the ids in the catalog that must go: unknown here, or holding another's check id."""
    services = local.services
    wanted = dict.fromkeys(local.checks_of(NODE), NODE)
    for service in services.values():
        wanted |= dict.fromkeys(service.named_checks(), service.id)
        wanted |= dict.fromkeys(local.checks_of(service.id), service.id)
    return {
        service_id
        for service_id, instance in there.items()
        if service_id not in services
        or any(wanted.get(state.id, service_id) != service_id for state in instance.checks)
    }


def _service(
    local: Local, service: Service, instance: Instance | None, *, outputs: bool
) -> Iterator[Operation]:
    """Yield what to write for one service with its checks."""
    node, defined, states = local.node.name, service.named_checks(), local.checks
    alone = local.checks_of(service.id)
    theirs = {} if instance is None else {state.id: state for state in instance.checks}
    for gone in sorted(theirs.keys() - defined.keys() - alone.keys()):
        yield DeregisterCheck(node, gone)
    if instance is not None and service.enable_tag_override:
        service = evolve(service, tags=instance.service.tags)
    if instance is None or instance.service != service or defined.keys() - theirs.keys():
        yield RegisterService(node, service)
    for check_id, check in defined.items():
        # A check that the catalog does not have yet starts as its definition says.
        known = theirs.get(check_id) or CheckState.begin(check_id, check, service.name)
        ours = states[check_id]
        if ours.status != known.status or (outputs and ours.output != known.output):
            yield SetCheck(node, check_id, ours.status, ours.output)
    yield from _alone(node, alone, theirs, service.id, outputs=outputs)


def _alone(
    node: str,
    ours: Mapping[str, CheckState],
    theirs: Mapping[str, CheckState],
    service_id: str,
    *,
    outputs: bool,
) -> Iterator[Operation]:
    """Yield what to write for checks that were registered alone."""
    for check_id, state in sorted(ours.items()):
        known = theirs.get(check_id)
        if known is not None and not outputs:
            known = evolve(known, output=state.output)
        if known != state:
            yield RegisterCheck(node, state, service_id)
