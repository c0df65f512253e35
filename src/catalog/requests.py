"""What can be asked of an agent, as values, each with the type of its answer.

The same value is asked of an agent in this process, travels to one in another, and is passed on
from a client agent to a server and from a server to the leader; so there is one list of what a
catalog can do, and one path for all of it.

Some requests concern the agent itself: what is registered on its node, whom it sees by gossip.
All others concern the catalog, and whatever agent is asked sees to it that a server answers.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Generic, TypeVar

from attrs import field, frozen
from attrs.validators import instance_of

from catalog.commands import Applied, Command
from catalog.limits import check_interval, check_key, check_name, check_text, clip, seconds
from catalog.model import KeyValue, NodeView, Role, Service, Status, Update, View

__all__ = [
    "REQUESTS",
    "WAIT_SECONDS_MAX",
    "AgentInfo",
    "Answer",
    "AskedNode",
    "Consistency",
    "Deregister",
    "Follow",
    "Get",
    "Heartbeat",
    "Info",
    "Keys",
    "Lookup",
    "Member",
    "MemberHealth",
    "Members",
    "News",
    "Nodes",
    "Register",
    "Request",
    "Services",
    "Write",
]

T_co = TypeVar("T_co", covariant=True)

WAIT_SECONDS_MAX: Final = 600.0
"""How long a request may wait for news; Consul's limit."""


class Consistency(enum.Enum):
    """How current an answer must be."""

    DEFAULT = "default"
    """Linearizable: it has everything that was acknowledged before the question was asked."""
    STALE = "stale"
    """What any server has, at once; it may be behind, and the answer says by how much."""


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
class Answer(View):
    """A view, and how old it may be."""

    age: float = 0.0
    """Seconds since the server that answered was last known to have everything; 0: it has."""


@frozen
class News:
    """What a subscriber is sent."""

    update: Update
    age: float
    """As in `Answer`."""
    epoch: str
    """Which log the indexes belong to; another one means: the cluster was founded anew."""


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
class Request(Generic[T_co]):
    """Something to ask; `T_co` is the type of the answer, `RESULT` the same for the wire."""

    RESULT: ClassVar[Any] = None
    REPEATABLE: ClassVar[bool] = True
    """Whether it does no harm to ask twice."""
    LOCAL: ClassVar[bool] = False
    """Whether it concerns the agent that is asked, and no other may answer."""


# Of the catalog: answered by a server.


@frozen
class Write(Request[Applied]):
    """Replicate a command; the answer may be a refusal."""

    RESULT: ClassVar[Any] = Applied
    REPEATABLE: ClassVar[bool] = False

    command: Command


@frozen
class Lookup(Request[Answer]):
    """The instances of a service, at once or when they changed."""

    RESULT: ClassVar[Any] = Answer

    name: str = field(validator=check_name)
    healthy: bool = True
    tag: str | None = None
    consistency: Consistency = Consistency.DEFAULT
    after: int | None = None
    """Wait until the service's index is above this; `None`: do not wait."""
    wait: float = field(default=WAIT_SECONDS_MAX, converter=seconds, validator=check_interval)
    """But no longer than so many seconds; then the answer is what there is."""


@frozen
class Follow(Request[News]):
    """What a subscriber that has a service as of an index needs, once there is something."""

    RESULT: ClassVar[Any] = News

    name: str = field(validator=check_name)
    after: int | None
    """The subscriber's index; `None`: it has nothing, send all there is."""
    wait: float = field(default=10.0, converter=seconds, validator=check_interval)
    """Seconds until an empty update is sent as a sign of life."""


@frozen
class Services(Request[dict[str, tuple[str, ...]]]):
    """All services, with their tags."""

    RESULT: ClassVar[Any] = dict[str, tuple[str, ...]]

    consistency: Consistency = Consistency.DEFAULT


@frozen
class Nodes(Request[tuple[NodeView, ...]]):
    """All nodes, with what runs on them."""

    RESULT: ClassVar[Any] = tuple[NodeView, ...]

    consistency: Consistency = Consistency.DEFAULT


@frozen
class AskedNode(Request[NodeView | None]):
    """One node, with what runs on it."""

    RESULT: ClassVar[Any] = NodeView | None

    name: str = field(validator=check_name)
    consistency: Consistency = Consistency.DEFAULT


@frozen
class Get(Request[KeyValue | None]):
    """A key with its value."""

    RESULT: ClassVar[Any] = KeyValue | None

    key: str = field(validator=check_key)
    consistency: Consistency = Consistency.DEFAULT


@frozen
class Keys(Request[tuple[str, ...]]):
    """The keys that start with a prefix."""

    RESULT: ClassVar[Any] = tuple[str, ...]

    prefix: str = field(default="", validator=check_text)
    consistency: Consistency = Consistency.DEFAULT


# Of the agent that is asked.


@frozen
class Register(Request[int]):
    """Register a service on the agent's node; the answer is the index of the entry."""

    RESULT: ClassVar[Any] = int
    LOCAL: ClassVar[bool] = True

    service: Service = field(validator=instance_of(Service))


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
class Members(Request[tuple[Member, ...]]):
    """Whom the agent knows by gossip."""

    RESULT: ClassVar[Any] = tuple[Member, ...]
    LOCAL: ClassVar[bool] = True


@frozen
class Info(Request[AgentInfo]):
    """The agent at a glance."""

    RESULT: ClassVar[Any] = AgentInfo
    LOCAL: ClassVar[bool] = True


REQUESTS: Final[Mapping[str, type[Request[Any]]]] = {
    "write": Write,
    "lookup": Lookup,
    "follow": Follow,
    "services": Services,
    "nodes": Nodes,
    "node": AskedNode,
    "get": Get,
    "keys": Keys,
    "register": Register,
    "deregister": Deregister,
    "heartbeat": Heartbeat,
    "members": Members,
    "info": Info,
}
"""The requests by their names on the wire; a name, once used, keeps its meaning."""
