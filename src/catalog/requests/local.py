"""Requests that concern the agent that is asked: what is registered with it, whom it sees."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import field, frozen
from attrs.validators import instance_of

from catalog.definitions import Check
from catalog.limits import check_id, check_interval, check_name, check_text, clip, seconds
from catalog.model import CheckState, Role, Service, Status
from catalog.requests.base import Request


class MemberHealth(enum.Enum):
    """What gossip says of a member."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    """Did not answer, and may still refute it."""
    FAILED = "failed"
    LEFT = "left"


@frozen
class Member:
    """An agent, as another one knows it by gossip."""

    name: str
    address: str
    """`host:port`, for everything."""
    role: Role
    datacenter: str
    health: MemberHealth
    meta: Mapping[str, str] = field(factory=dict, hash=False)


@frozen
class LocalCheck:
    """A check of the agent that is asked, and how it fares."""

    state: CheckState
    definition: Check | None
    """`None`: a maintenance mode, which nothing runs."""
    service: Service | None
    """`None`: of the node."""


@frozen
class AgentInfo:
    """An agent at a glance; `None` where it is no server, or not yet."""

    name: str
    agent: Role
    address: str
    datacenter: str
    cluster: str
    version: str
    epoch: str | None = None
    role: str | None = None
    term: int | None = None
    leader: str | None = None
    commit_index: int | None = None
    applied_index: int | None = None
    last_index: int | None = None
    snapshot_index: int | None = None
    peers: Mapping[str, str] = field(factory=dict, hash=False)
    """The voters, with their addresses where gossip knows them."""
    services: int = 0
    """Registered on this node."""
    members: int = 0
    """Agents alive, this one included."""
    state: str = ""
    """For people: what the agent is doing or waiting for."""


@frozen
class Register(Request[int]):
    """Register a service on the agent's node; the answer is the index of the entry."""

    RESULT: ClassVar[Any] = int
    LOCAL: ClassVar[bool] = True

    service: Service = field(validator=instance_of(Service))
    keep: bool = field(default=True, kw_only=True, validator=instance_of(bool))
    """Whether it is registered again when the agent starts again, if that has a `data_dir`."""


@frozen
class Drain(Request[int]):
    """Have a service of the agent serve whom it has, and take nobody new; or end that."""

    RESULT: ClassVar[Any] = int
    LOCAL: ClassVar[bool] = True

    service_id: str = field(validator=check_name)
    terminating: bool = field(default=True, validator=instance_of(bool))


@frozen
class Deregister(Request[int]):
    """Remove a service from the agent's node."""

    RESULT: ClassVar[Any] = int
    LOCAL: ClassVar[bool] = True

    service_id: str = field(validator=check_name)


@frozen
class Heartbeat(Request[None]):
    """A report to the TTL checks of a service on the agent's node."""

    RESULT: ClassVar[Any] = None
    LOCAL: ClassVar[bool] = True

    service_id: str = field(validator=check_name)
    status: Status = field(default=Status.PASSING, validator=instance_of(Status))
    output: str = field(default="", converter=clip, validator=check_text)


@frozen
class RegisterLocalCheck(Request[int]):
    """Register a check with the agent, of its node or of a service that it has."""

    RESULT: ClassVar[Any] = int
    LOCAL: ClassVar[bool] = True

    check: Check
    """It must have an id."""
    service_id: str = field(default="", validator=check_id)


@frozen
class DeregisterLocalCheck(Request[int]):
    """Remove a check from the agent."""

    RESULT: ClassVar[Any] = int
    LOCAL: ClassVar[bool] = True

    check_id: str = field(validator=check_name)


@frozen
class Report(Request[None]):
    """A report to one TTL check on the agent's node."""

    RESULT: ClassVar[Any] = None
    LOCAL: ClassVar[bool] = True

    check_id: str = field(validator=check_name)
    status: Status = field(default=Status.PASSING, validator=instance_of(Status))
    output: str = field(default="", converter=clip, validator=check_text)


@frozen
class Maintain(Request[int]):
    """Take a service of the agent, or all of its node, out of use for a while, or back in."""

    RESULT: ClassVar[Any] = int
    LOCAL: ClassVar[bool] = True

    service_id: str = field(default="", validator=check_id)
    """Empty: the node."""
    enable: bool = field(default=True, validator=instance_of(bool))
    reason: str = field(default="", converter=clip, validator=check_text)


@frozen
class LocalServices(Request[tuple[Service, ...]]):
    """What is registered with the agent, by id."""

    RESULT: ClassVar[Any] = tuple[Service, ...]
    LOCAL: ClassVar[bool] = True


@frozen
class LocalService(Request[Service | None]):
    """One service that is registered with the agent; `None`: there is none of this id."""

    RESULT: ClassVar[Any] = Service | None
    LOCAL: ClassVar[bool] = True

    service_id: str = field(validator=check_text)
    unlike: Service | None = None
    """Wait while it is equal to this; `None`: do not wait."""
    wait: float = field(default=10.0, converter=seconds, validator=check_interval)
    """But no longer than so many seconds; then the answer is what there is."""

    @property
    def patience(self) -> float:
        """See `Request.patience`."""
        return 0.0 if self.unlike is None else self.wait


@frozen
class LocalChecks(Request[tuple[LocalCheck, ...]]):
    """The agent's checks, by id."""

    RESULT: ClassVar[Any] = tuple[LocalCheck, ...]
    LOCAL: ClassVar[bool] = True


@frozen
class Members(Request[tuple[Member, ...]]):
    """Whom the agent knows by gossip."""

    RESULT: ClassVar[Any] = tuple[Member, ...]
    LOCAL: ClassVar[bool] = True


@frozen
class Info(Request[AgentInfo]):
    """The agent at a glance."""

    RESULT: ClassVar[Any] = AgentInfo
    LOCAL: ClassVar[bool] = True
