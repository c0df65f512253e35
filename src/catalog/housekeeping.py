"""What can be asked of one agent by those who run it: to leave, to reload, for metrics."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import field, frozen
from attrs.validators import instance_of

from catalog.limits import check_name
from catalog.requests import Request

__all__ = [
    "ChangeKeys",
    "ForceLeave",
    "JoinOthers",
    "KeyAction",
    "KeysReport",
    "Leave",
    "Metrics",
    "Reload",
]


@frozen
class Leave(Request[None]):
    """Leave the cluster for good, then stop; see `Agent.leave`."""

    RESULT: ClassVar[Any] = None
    LOCAL: ClassVar[bool] = True
    REPEATABLE: ClassVar[bool] = False


@frozen
class ForceLeave(Request[None]):
    """Declare by gossip that an agent which failed has left for good.

    The leader then deregisters its node, and removes a server from the voters, as it does with who
    leaves by itself. A `ValueError` where the agent asked sees it alive, or does not know it.
    """

    RESULT: ClassVar[Any] = None
    LOCAL: ClassVar[bool] = True

    name: str = field(validator=check_name)


@frozen
class JoinOthers(Request[int]):
    """Meet the agents at these addresses; the answer is how many answered."""

    RESULT: ClassVar[Any] = int
    LOCAL: ClassVar[bool] = True

    addresses: tuple[str, ...]


@frozen
class Reload(Request[tuple[str, ...]]):
    """Read the configuration file again; the answer says, line by line, what came of it."""

    RESULT: ClassVar[Any] = tuple[str, ...]
    LOCAL: ClassVar[bool] = True


@frozen
class Metrics(Request[str]):
    """The agent's metrics, in Prometheus' text format."""

    RESULT: ClassVar[Any] = str
    LOCAL: ClassVar[bool] = True


class KeyAction(enum.Enum):
    """What to do with the keys of gossip, at all agents."""

    LIST = "list"
    INSTALL = "install"
    """Decrypt with the key, too."""
    USE = "use"
    """Encrypt with it."""
    REMOVE = "remove"
    """Refuse what it sealed."""
    ROTATE = "rotate"
    """Install it, use it, and remove all others."""


@frozen
class KeysReport:
    """Who holds which keys; keys go by their fingerprints."""

    members: int
    """How many agents answered."""
    keys: Mapping[str, int]
    """How many of these hold each key,"""
    primary: Mapping[str, int]
    """and encrypt with it."""
    silent: tuple[str, ...]
    """Living agents that did not answer."""


@frozen
class ChangeKeys(Request[KeysReport]):
    """Change the keys of gossip at all agents, and say who holds what then.

    `Unavailable` where not all living agents obeyed: the text says who did not, and why.
    """

    RESULT: ClassVar[Any] = KeysReport
    LOCAL: ClassVar[bool] = True

    action: KeyAction = field(default=KeyAction.LIST, validator=instance_of(KeyAction))
    key: bytes = field(default=b"", repr=False)
    """32 random bytes, or 16, or 24; of `LIST` none."""
