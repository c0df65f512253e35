"""Every error that rumor raises; each says what became of the state and what to do next.

RumorError
├── ConfigError            also a ValueError: a setting is out of its range, nothing was started
├── JoinFailed             no seed answered; the agent keeps its list and may try again
├── MetaTooLarge           also a ValueError: the metadata exceeds its limit, the old stays
├── EventTooLarge          also a ValueError: the event exceeds its limits, nobody was told
├── QueryInvalid           also a ValueError: a query or answer is too long, or makes no sense
├── KeysIncomplete         an order about keys was not carried out by all; `report` says more
├── NotFailed              also a ValueError: a member to dismiss lives, or is unknown; it stays so
├── Overloaded             too many events or queries are under way; nobody was told, try later
├── AgentClosed            the agent has left or was closed; open a new one
└── ProtocolError          bytes from the network are not ours; they are dropped and counted
    ├── ForeignCluster     they are well formed, but of another cluster
    └── NotAuthentic       no key of ours sealed them
        └── Replayed       a key did, but they were recorded, or meant for another process
"""

from __future__ import annotations


class RumorError(Exception):
    """The root of this package's exceptions; raised only through its children."""


class ConfigError(RumorError, ValueError):
    """A setting makes no sense. Nothing was started; correct the setting that is named."""


class JoinFailed(RumorError):
    """None of the seeds answered.

    The agent runs on with the members that it knows, remembers the seeds, and goes on trying
    them by itself. Check the addresses and the cluster's name, or call ``join`` again.
    """


class MetaTooLarge(RumorError, ValueError):
    """The metadata exceeds its limit in bytes. The former metadata stays; shorten the new."""


class EventTooLarge(RumorError, ValueError):
    """An event's name or payload exceeds its limit in bytes. Nobody was told; shorten it."""


class QueryInvalid(RumorError, ValueError):
    """A query or an answer is too long or makes no sense. Nobody was asked or told; correct it."""


class KeysIncomplete(RumorError):
    """Not all living members have carried out an order about keys, or could without being cut off.

    The message says what was changed; all members still understand each other. `report` is the
    :class:`~rumor.KeyReport`: who obeyed, who failed and why, who is silent.
    """

    def __init__(self, message: str, report: object) -> None:
        super().__init__(message)
        self.report = report


class NotFailed(RumorError, ValueError):
    """A member cannot be dismissed: it lives, or nobody knows it. Nothing changed."""


class Overloaded(RumorError):
    """Too many events or queries are under way. Nobody was told; try again in a second."""


class AgentClosed(RumorError):
    """The agent has left the cluster or was closed. It changed nothing; open a new agent."""


class ProtocolError(RumorError):
    """A peer's bytes break the protocol.

    Raised by :mod:`rumor.wire` only, before any state is touched. Drop the bytes; the driver does
    so and counts them.
    """


class ForeignCluster(ProtocolError):
    """The bytes are well formed but belong to a cluster of another name. Drop them."""


class NotAuthentic(ProtocolError):
    """No key of ours sealed the bytes, for this cluster and this purpose. Drop them unread."""


class Replayed(NotAuthentic):
    """The bytes are a recording, or were meant for another process. Drop them unread."""
