"""Questions about the catalog, which a server answers from its replica.

All of them are asked in one way (`Read`): how current the answer must be, and whether to wait for
news; and answered in one way (`Reply`): the value, the index to wait on, and its age.
Whoever follows a service or a prefix asks `Follow` or `FollowKeys` again and again.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Generic

from attrs import field, frozen
from attrs.validators import instance_of, optional

from catalog.limits import (
    check_id,
    check_index,
    check_interval,
    check_key,
    check_meta,
    check_name,
    check_text,
    sealed,
    seconds,
)
from catalog.model import (
    Coordinate,
    KeyDelta,
    KeyValue,
    NodeCheck,
    NodeView,
    Session,
    Status,
    Update,
    View,
)
from catalog.queries import PreparedQuery, QueryResult
from catalog.requests.base import Request, T_co

WAIT_SECONDS_MAX: Final = 600.0
"""How long a request may wait for news; Consul's limit."""


class Consistency(enum.Enum):
    """How current an answer must be."""

    DEFAULT = "default"
    """Linearizable: it has everything that was acknowledged before the question was asked.
    Consul's `consistent` is this as well."""
    STALE = "stale"
    """What any server has, at once; it may be behind, and the answer says by how much."""


@frozen
class Answer(View):
    """A view, and how old it may be."""

    age: float = 0.0
    """Seconds since the server that answered was last known to have everything; 0: it has."""
    cached: bool = False
    """Whether the agent answered from its own copy."""


@frozen
class Reply(Generic[T_co]):
    """What a read found, as of which index, and how old that may be."""

    value: T_co
    index: int
    """Ask again with `after=index` to wait for news; never goes back on one cluster."""
    age: float = 0.0
    """As in `Answer`."""
    known_leader: bool = True
    """Whether the server that answered knew of a leader."""
    cached: bool = False
    """As in `Answer`."""


@frozen
class News:
    """What a subscriber is sent."""

    update: Update
    age: float
    """As in `Answer`."""
    epoch: str
    """Which log the indexes belong to; another one means: the cluster was founded anew."""
    held: float = 0.0
    """Seconds for which the server had the question; the rest of the time it, or the answer, was on
    its way."""


@frozen
class KeyNews:
    """What a subscriber to a prefix is sent."""

    update: KeyDelta
    age: float
    """As in `Answer`."""
    epoch: str
    """As in `News`."""
    held: float = 0.0
    """As in `News`."""


@frozen
class Read(Request[Reply[T_co]]):
    """A question about the catalog: its answer has an index, and may be waited for."""

    consistency: Consistency = field(
        default=Consistency.DEFAULT, kw_only=True, validator=instance_of(Consistency)
    )
    max_stale: float | None = field(default=None, kw_only=True, converter=seconds)
    """Of a stale read: if the answer might be older than so many seconds, make it a default one."""
    after: int | None = field(default=None, kw_only=True, validator=check_index)
    """Wait until the answer's index is above this; `None`: do not wait."""
    wait: float = field(
        default=WAIT_SECONDS_MAX, kw_only=True, converter=seconds, validator=check_interval
    )
    """But no longer than so many seconds; then the answer is what there is."""

    @property
    def patience(self) -> float:
        """See `Request.patience`."""
        return 0.0 if self.after is None else self.wait


@frozen
class Lookup(Read[View]):
    """The instances of a service."""

    RESULT: ClassVar[Any] = Reply[View]

    name: str = field(validator=check_name)
    healthy: bool = True
    tag: str | None = None
    near: str = field(default="", kw_only=True, validator=check_id)
    """A node: the nearest to it come first, those of unknown place last."""
    node_meta: Mapping[str, str] = field(
        factory=dict, kw_only=True, converter=sealed, validator=check_meta, hash=False
    )
    """Only on nodes that have all of this."""
    max_age: float | None = field(default=None, kw_only=True, converter=seconds)
    """The agent may answer from its own copy if that was current so many seconds ago, and while no
    server answers however old it is. `None`: it asks a server. Not with `near`, `node_meta` or
    `after`."""


@frozen
class Services(Read[dict[str, tuple[str, ...]]]):
    """All services, with their tags."""

    RESULT: ClassVar[Any] = Reply[dict[str, tuple[str, ...]]]

    node_meta: Mapping[str, str] = field(
        factory=dict, kw_only=True, converter=sealed, validator=check_meta, hash=False
    )


@frozen
class Nodes(Read[tuple[NodeView, ...]]):
    """All nodes."""

    RESULT: ClassVar[Any] = Reply[tuple[NodeView, ...]]

    instances: bool = field(default=True, kw_only=True)
    """Whether with all that runs on them; without, their changes wake nobody."""
    near: str = field(default="", kw_only=True, validator=check_id)
    node_meta: Mapping[str, str] = field(
        factory=dict, kw_only=True, converter=sealed, validator=check_meta, hash=False
    )


@frozen
class AskedNode(Read[NodeView | None]):
    """One node, with what runs on it."""

    RESULT: ClassVar[Any] = Reply[NodeView | None]

    name: str = field(validator=check_name)


@frozen
class Checks(Read[tuple[NodeCheck, ...]]):
    """All checks in a state, by node and check id."""

    RESULT: ClassVar[Any] = Reply[tuple[NodeCheck, ...]]

    status: Status | None = field(default=None, validator=optional(instance_of(Status)))
    """`None`: in any."""
    near: str = field(default="", kw_only=True, validator=check_id)
    node_meta: Mapping[str, str] = field(
        factory=dict, kw_only=True, converter=sealed, validator=check_meta, hash=False
    )


@frozen
class Get(Read[KeyValue | None]):
    """A key with its value."""

    RESULT: ClassVar[Any] = Reply[KeyValue | None]

    key: str = field(validator=check_key)


@frozen
class Keys(Read[tuple[str, ...]]):
    """The keys that start with a prefix."""

    RESULT: ClassVar[Any] = Reply[tuple[str, ...]]

    prefix: str = field(default="", validator=check_text)
    separator: str = field(default="", kw_only=True, validator=check_text)
    """Roll up: of all keys that go on after a separator beyond the prefix, the part up to it."""


@frozen
class Items(Read[tuple[KeyValue, ...]]):
    """The keys that start with a prefix, with their values."""

    RESULT: ClassVar[Any] = Reply[tuple[KeyValue, ...]]

    prefix: str = field(default="", validator=check_text)


@frozen
class Sessions(Read[tuple[Session, ...]]):
    """All sessions, or those of one node."""

    RESULT: ClassVar[Any] = Reply[tuple[Session, ...]]

    node: str = field(default="", validator=check_id)


@frozen
class AskedSession(Read[Session | None]):
    """One session."""

    RESULT: ClassVar[Any] = Reply[Session | None]

    session: str = field(validator=check_name)


@frozen
class Queries(Read[tuple[PreparedQuery, ...]]):
    """All prepared queries."""

    RESULT: ClassVar[Any] = Reply[tuple[PreparedQuery, ...]]


@frozen
class AskedQuery(Read[PreparedQuery | None]):
    """One prepared query by id."""

    RESULT: ClassVar[Any] = Reply[PreparedQuery | None]

    query: str = field(validator=check_name)


@frozen
class ExecuteQuery(Read[QueryResult | None]):
    """What a prepared query gives; `None`: there is none of this id or name."""

    RESULT: ClassVar[Any] = Reply[QueryResult | None]

    query: str = field(validator=check_name)
    """An id, a name, or a name that a template answers to."""
    near: str = field(default="", kw_only=True, validator=check_id)
    """Instead of the query's own."""


@frozen
class Coordinates(Read[tuple[Coordinate, ...]]):
    """The coordinates of all nodes, or of one."""

    RESULT: ClassVar[Any] = Reply[tuple[Coordinate, ...]]

    node: str = field(default="", validator=check_id)


@frozen
class Follow(Request[News]):
    """What a subscriber that has a service as of an index needs, once there is something."""

    RESULT: ClassVar[Any] = News

    name: str = field(validator=check_name)
    after: int | None
    """The subscriber's index; `None`: it has nothing, send all there is."""
    wait: float = field(default=10.0, converter=seconds, validator=check_interval)
    """Seconds until an empty update is sent as a sign of life."""

    @property
    def patience(self) -> float:
        """See `Request.patience`."""
        return 0.0 if self.after is None else self.wait


@frozen
class FollowKeys(Request[KeyNews]):
    """What a subscriber that has a prefix as of an index needs, once there is something."""

    RESULT: ClassVar[Any] = KeyNews

    prefix: str = field(validator=check_text)
    after: int | None
    """As in `Follow`."""
    wait: float = field(default=10.0, converter=seconds, validator=check_interval)

    @property
    def patience(self) -> float:
        """See `Request.patience`."""
        return 0.0 if self.after is None else self.wait
