"""Settings of one agent: who it is, where it listens, where its data lives, whom it asks.

Durations are in seconds.
Whatever makes no sense is refused when the value is made, with a sentence that names the setting;
so an agent that starts has settings that fit together.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from math import inf
from pathlib import Path
from typing import Any, Self, cast

from attrs import Attribute, field, frozen
from attrs.validators import instance_of, optional

import quorum.config
import rumor.config
from catalog.errors import ConfigError
from catalog.limits import check_meta, check_name, sealed
from catalog.server.autopilot import Rules
from catalog.trust import Trust
from rumor.keyring import KEY_BYTES

__all__ = ["PORT", "Address", "AgentConfig", "format_address", "parse_address"]

PORT = 8300
"""Where an agent listens if nothing else is said."""

SERVERS_MAX = 9
"""More voters make every write slower and add no safety that anybody needs."""

META_BYTES_MAX = 256
"""Of an agent's own metadata, keys and values together: all of it travels in one datagram."""

Address = tuple[str, int]
"""A host and a port."""


def parse_address(text: str, *, what: str = "address") -> Address:
    """Return host and port of `host:port`; an IPv6 host stands in brackets.

    Raises:
        ConfigError: `text` is something else; the message begins with `what`.

    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError(f"{what} {text!r}: write an IPv6 address in brackets, as [::1]:{PORT}")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{what} must be host:port, such as 127.0.0.1:{PORT}, not {text!r}")
    return host, int(port)


def format_address(address: Address) -> str:
    """Return `host:port`, the inverse of `parse_address`."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_bind(_self: AgentConfig, attribute: Attribute[Any], value: str | None) -> None:
    if value is not None:
        parse_address(value, what=attribute.name)


def _check_join(_self: AgentConfig, attribute: Attribute[Any], value: tuple[str, ...]) -> None:
    for address in value:
        parse_address(address, what=attribute.name)


def _check_name(self: AgentConfig, attribute: Attribute[Any], value: object) -> None:
    try:
        check_name(self, attribute, value)
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from None
    if len(str(value).encode()) > 64:
        raise ConfigError(f"{attribute.name} has at most 64 bytes; {value!r} is longer")


def _check_duration(_self: AgentConfig, attribute: Attribute[Any], value: float) -> None:
    if not 0 < value < 86400 * 366:
        raise ConfigError(f"{attribute.name} must be a number of seconds above 0, not {value!r}")


def _check_meta(self: AgentConfig, attribute: Attribute[Any], value: Mapping[str, str]) -> None:
    try:
        check_meta(self, attribute, cast("Mapping[object, object]", value))
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from None
    size = sum(len(key.encode()) + len(text.encode()) for key, text in value.items())
    if size > META_BYTES_MAX:
        raise ConfigError(f"meta takes {size} bytes, at most {META_BYTES_MAX} travel by gossip")


def _check_key(_self: AgentConfig, attribute: Attribute[Any], value: str | None) -> None:
    if value is None:
        return
    try:
        size = len(base64.b64decode(value, validate=True))
    except (TypeError, ValueError):
        size = 0
    if size not in KEY_BYTES:
        raise ConfigError(f"{attribute.name} must be 32 random bytes as base64 (or 16, or 24)")


def _strings(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise ConfigError(f"join must be a sequence of addresses, not the text {value!r}")
    return tuple(value)


def _path(value: Path | str | None) -> Path | None:
    return None if value is None else Path(value)


@frozen
class AgentConfig:
    """Settings of one agent; see `open_catalog`."""

    name: str = field(validator=_check_name)
    """Unique in the cluster. A server keeps it for as long as its data; with an emptied directory
    it needs a new one, for it has forgotten its votes."""
    server: bool = field(default=False, kw_only=True, validator=instance_of(bool))
    """Take part in consensus; otherwise gossip, forward, and check what is registered here."""
    bind: str = field(default=f"127.0.0.1:{PORT}", kw_only=True, validator=_check_bind)
    """`host:port` for everything, TCP and UDP; port 0: any that is free."""
    advertise: str | None = field(default=None, kw_only=True, validator=_check_bind)
    """Where others reach this agent, if not at `bind`: behind NAT, or with a wildcard there."""
    data_dir: Path | None = field(default=None, kw_only=True, converter=_path)
    """Where a server keeps its log, and every agent what others registered with it and the keys of
    gossip; `None`: in memory, gone when it stops."""
    join: tuple[str, ...] = field(
        default=(), kw_only=True, converter=_strings, validator=_check_join
    )
    """Addresses of some agents of the cluster; one that answers is enough."""
    retry_join: float = field(default=0.0, kw_only=True)
    """For how many seconds these are tried at the start before it fails; 0: once."""
    leave_on_terminate: bool | None = field(
        default=None, kw_only=True, validator=optional(instance_of(bool))
    )
    """Whether `catalog agent` leaves for good at SIGTERM and SIGINT. `None`: a client does; a
    server hands over leadership, stops, and stays a voter, so that it may come back."""
    bootstrap_expect: int = field(default=0, kw_only=True)
    """How many servers found the cluster together: 1, or better 3 or 5. The same on each of them;
    not needed any more once a server has its data. A server that finds a cluster founded joins it
    in any case; 0: it waits for one."""
    datacenter: str = field(default="dc1", kw_only=True, validator=_check_name)
    cluster: str = field(default="default", kw_only=True, validator=_check_name)
    """Agents of other clusters are refused."""
    meta: Mapping[str, str] = field(
        factory=dict, kw_only=True, converter=sealed, validator=_check_meta, hash=False
    )
    """Whatever else others should know of this node."""
    hold: float = field(default=7.0, kw_only=True, validator=_check_duration)
    """How long a request waits for a leader before it fails: longer than an election."""
    sync_interval: float = field(default=60.0, kw_only=True, validator=_check_duration)
    """Between two full comparisons of what is registered here with the catalog."""
    reconcile_interval: float = field(default=60.0, kw_only=True, validator=_check_duration)
    """Between two full comparisons of gossip with the catalog, by the leader."""
    eviction_share: float | None = field(default=None, kw_only=True)
    """Protection against mass eviction, the same on all servers: when nodes with more than this
    share of all instances (0.3: three in ten) fail within `eviction_window` seconds, those that
    fail stay in use until fewer are failed; see docs/checks.md. `None`: no protection."""
    eviction_window: float = field(default=60.0, kw_only=True, validator=_check_duration)
    coordinate_interval: float = field(default=15.0, kw_only=True, validator=_check_duration)
    """How often this node's place in the space of round trip times is told, at most."""
    tls_ca: Path | None = field(default=None, kw_only=True, converter=_path)
    """The certificate (PEM) of the authority that signs those of all agents and users; see
    `catalog.trust` for what a server's must say. All three of these, or none: no TLS."""
    tls_cert: Path | None = field(default=None, kw_only=True, converter=_path)
    tls_key: Path | None = field(default=None, kw_only=True, converter=_path)
    encrypt: str | None = field(default=None, kw_only=True, repr=False, validator=_check_key)
    """The key of gossip, the same on all agents: 32 random bytes as base64. Only the first time:
    the keys are kept in `data_dir`, if there is one, and may have been changed since."""
    enable_script_checks: bool = field(default=False, kw_only=True, validator=instance_of(bool))
    """Whether checks may run programs: whoever can register a check then runs any, as this agent's
    user."""
    connections_per_host_max: int = field(default=100, kw_only=True, validator=instance_of(int))
    """Connections for requests that one host may have with this agent."""
    autopilot: Rules = field(factory=Rules, kw_only=True)
    """When the leader makes voters of servers that come, and removes those that are lost."""
    raft: quorum.config.Config = field(factory=quorum.config.Config.lan, kw_only=True)
    gossip: rumor.config.Config = field(factory=rumor.config.Config.lan, kw_only=True)

    def __attrs_post_init__(self) -> None:
        expect = self.bootstrap_expect
        if isinstance(expect, bool) or not isinstance(expect, int) or expect < 0:
            raise ConfigError(f"bootstrap_expect must be a count of servers, not {expect!r}")
        if expect > SERVERS_MAX:
            raise ConfigError(f"bootstrap_expect is {expect}, at most {SERVERS_MAX}: take 3 or 5")
        if expect and not self.server:
            raise ConfigError("bootstrap_expect is for servers only: set server=True, or drop it")
        if self.server and not expect and self.data_dir is None and not self.join:
            raise ConfigError(
                "a server without data needs bootstrap_expect: 1 to be alone, 3 or 5 to found a "
                "cluster with others; or join, with the address of a cluster to be let into"
            )
        share = self.eviction_share
        if share is not None and not (isinstance(share, float) and 0 < share < 1):
            raise ConfigError(f"eviction_share must be above 0 and below 1, not {share!r}")
        given = [file is not None for file in (self.tls_ca, self.tls_cert, self.tls_key)]
        if any(given) and not all(given):
            raise ConfigError("tls_ca, tls_cert and tls_key belong together: give all three")
        if not 0 <= self.retry_join < inf:
            raise ConfigError(f"retry_join must be a number of seconds, not {self.retry_join!r}")
        if self.connections_per_host_max < 1:
            raise ConfigError("connections_per_host_max must be at least 1")
        host, _ = parse_address(self.bind, what="bind")
        if self.advertise is None and host in ("0.0.0.0", "::"):  # noqa: S104 - refused
            raise ConfigError(
                f"bind {self.bind!r} listens everywhere, but nobody can connect to such an "
                f"address: say in advertise where others reach this agent"
            )

    @property
    def loopback(self) -> bool:
        """Whether nobody but this machine reaches the agent."""
        host, _ = parse_address(self.bind)
        return host in ("localhost", "::1") or host.startswith("127.")

    @property
    def leaves(self) -> bool:
        """Whether the command leaves for good at a signal."""
        return not self.server if self.leave_on_terminate is None else self.leave_on_terminate

    def trust(self) -> Trust | None:
        """Return what the agent shows and checks by TLS; raise `ConfigError` for unfit files."""
        if self.tls_ca is None or self.tls_cert is None or self.tls_key is None:
            return None
        return Trust(self.tls_ca, self.tls_cert, self.tls_key, datacenter=self.datacenter)

    @classmethod
    def dev(cls, *, name: str = "dev", bind: str = f"127.0.0.1:{PORT}") -> Self:
        """One server in memory, to try things out; everything is gone when it stops.

        It elects itself soon: there is nobody whose heartbeats could be late.
        """
        raft = quorum.config.Config(election_timeout=0.1)
        return cls(name, server=True, bind=bind, bootstrap_expect=1, raft=raft)
