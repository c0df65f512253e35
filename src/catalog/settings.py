"""The configuration file: TOML, with the names of `AgentConfig`, and some more.

    name = "s1"
    server = true
    data_dir = "/var/lib/catalog"
    join = ["10.0.0.2:8300"]
    log_level = "info"
    http = "127.0.0.1:8500"

    [autopilot]                 # fields of `catalog.server.autopilot.Rules`
    stable_seconds = 30

    [[service]]                 # fields of `Service`
    name = "web"
    port = 8080
      [[service.check]]         # of a check, by its type: ttl, http, tcp, udp, grpc, script, alias
      type = "http"
      url = "http://127.0.0.1:8080/health"
      interval = 10

What is in no such place is refused, so that nothing is misspelled in silence.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import field, fields, frozen

import quorum
import rumor
from catalog.config import AgentConfig
from catalog.definitions import (
    AliasCheck,
    Check,
    GrpcCheck,
    HttpCheck,
    ScriptCheck,
    TcpCheck,
    TtlCheck,
    UdpCheck,
)
from catalog.errors import ConfigError
from catalog.model import Service
from catalog.server.autopilot import Rules

__all__ = ["Settings", "load_services", "load_settings", "parse_settings"]

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
CHECKS: Final[Mapping[str, Callable[..., Check]]] = {
    "ttl": TtlCheck,
    "http": HttpCheck,
    "tcp": TcpCheck,
    "udp": UdpCheck,
    "grpc": GrpcCheck,
    "script": ScriptCheck,
    "alias": AliasCheck,
}
TABLES: Final[Mapping[str, Callable[..., Any]]] = {
    "autopilot": Rules,
    "raft": quorum.Config,
    "gossip": rumor.Config,
}
RELOADED: Final = ("log_level", "services")
"""What changes while the agent runs; besides, the files of TLS are read again."""


@frozen
class Settings:
    """All that a configuration file says."""

    config: AgentConfig
    services: tuple[Service, ...] = ()
    """To register when the agent starts."""
    log_level: str = field(default="info")
    http: str | None = None
    dns: str | None = None
    recursors: tuple[str, ...] = ()

    @log_level.validator
    def _check_log_level(self, _: object, value: object) -> None:
        if value not in LOG_LEVELS:
            raise ConfigError(f"log_level must be one of {', '.join(LOG_LEVELS)}, not {value!r}")

    def __attrs_post_init__(self) -> None:
        ids = [service.id for service in self.services]
        for twice in (one for one in ids if ids.count(one) > 1):
            raise ConfigError(f"two services have the id {twice!r}: give one of them another id")

    def fixed(self, other: Settings) -> tuple[str, ...]:
        """Return the names of settings that differ from others and need a restart."""
        mine, theirs = self.config, other.config
        names = [
            one.name
            for one in fields(AgentConfig)
            if getattr(mine, one.name) != getattr(theirs, one.name)
        ]
        own = [
            one.name
            for one in fields(Settings)
            if one.name not in ("config", *RELOADED)
            and getattr(self, one.name) != getattr(other, one.name)
        ]
        return (*names, *own)


def load_settings(path: Path) -> Settings:
    """Read a configuration file.

    Raises:
        ConfigError: it is not there, or makes no sense; the message names it.

    """
    try:
        return parse_settings(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # ConfigError, TOMLDecodeError and UnicodeDecodeError are
        raise ConfigError(f"{path}: {error}") from error


def load_services(path: Path) -> tuple[Service, ...]:
    """Read a file that has nothing but services, as a configuration file has them.

    Raises:
        ConfigError: it is not there, or makes no sense; the message names it.

    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        services = tuple(_service(one) for one in _tables(table.pop("service", []), "service"))
        if table or not services:
            raise ConfigError("write one [[service]] or more, and nothing else")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # as in load_settings
        raise ConfigError(f"{path}: {error}") from error
    return services


def parse_settings(text: str) -> Settings:
    """Read the text of a configuration file; raise `ValueError` if it makes no sense."""
    table = tomllib.loads(text)
    rest: dict[str, Any] = {
        name: tuple(table.pop(name)) if isinstance(table[name], list) else table.pop(name)
        for name in ("log_level", "http", "dns", "recursors")
        if name in table
    }
    services = tuple(_service(one) for one in _tables(table.pop("service", []), "service"))
    for name, kind in TABLES.items():
        if name in table:
            table[name] = _made(kind, table[name], f"[{name}]")
    config = _made(AgentConfig, table, "the file")
    return Settings(config, services, **rest)


def _service(table: dict[str, Any]) -> Service:
    checks = [_check(one) for one in _tables(table.pop("check", []), "service.check")]
    service: Service = _made(Service, {**table, "checks": checks}, "[[service]]")
    return service


def _check(table: dict[str, Any]) -> Check:
    kind = CHECKS.get(str(table.pop("type", "")))
    if kind is None:
        raise ConfigError(f"[[service.check]]: type must be one of {', '.join(CHECKS)}")
    check: Check = _made(kind, table, "[[service.check]]")
    return check


def _tables(value: object, name: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ConfigError(f"write [[{name}]] for each, not {name} = ...")
    return value


def _made(kind: Any, table: object, where: str) -> Any:
    """Build a value from a table; a table's keys are the value's fields."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where} must be a table")
    names = {one.name for one in fields(kind) if one.init}
    if unknown := sorted(table.keys() - names):
        raise ConfigError(
            f"{where} has no setting {unknown[0]!r}; there are: {', '.join(sorted(names))}"
        )
    try:
        return kind(**table)
    except (TypeError, ValueError, quorum.ConfigError, rumor.ConfigError) as error:
        raise ConfigError(f"{where}: {error}") from error
