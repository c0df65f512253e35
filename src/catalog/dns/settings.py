"""Settings of the DNS interface. Durations are in seconds."""

from __future__ import annotations

from typing import Any

import dns.exception
import dns.name
from attrs import Attribute, field, frozen

from catalog.config import parse_address
from catalog.errors import ConfigError

__all__ = ["DnsSettings"]

TTL_SECONDS_MAX = 2**31 - 1
"""RFC 2181, 8."""


def _check_domain(_self: object, attribute: Attribute[Any], value: str) -> None:
    try:
        labels = len(dns.name.from_text(value))
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ConfigError(f"dns {attribute.name} {value!r}: {error}") from None
    if labels < 2 and (value or attribute.name == "domain"):
        raise ConfigError(f"dns {attribute.name} must be a domain such as consul, not {value!r}")


def _check_ttl(_self: object, attribute: Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= TTL_SECONDS_MAX:
        raise ConfigError(f"dns {attribute.name} must be whole seconds, 0 or more, not {value!r}")


def _check_timeout(_self: object, attribute: Attribute[Any], value: float) -> None:
    if not 0 < value <= 60:
        raise ConfigError(f"dns {attribute.name} must be up to 60 seconds, not {value!r}")


def _check_recursors(_self: object, _attribute: Attribute[Any], value: tuple[str, ...]) -> None:
    for address in value:
        parse_address(address, what="dns recursor")


@frozen(kw_only=True)
class DnsSettings:
    """How names are answered."""

    domain: str = field(default="consul", validator=_check_domain)
    alt_domain: str = field(default="", validator=_check_domain)
    """A second name for the same; empty: none."""
    node_ttl: int = field(default=0, validator=_check_ttl)
    """How long others may keep records of nodes; 0: ask each time."""
    service_ttl: int = field(default=0, validator=_check_ttl)
    only_passing: bool = False
    """Leave instances out that warn, and not only those that are critical."""
    truncate: bool = True
    """Say so when an answer was cut, so that it is asked for again over TCP; otherwise a client is
    content with the part that fitted."""
    recursors: tuple[str, ...] = field(default=(), validator=_check_recursors)
    """`host:port` of those who are asked for the names of others; none: they are refused."""
    recursor_timeout: float = field(default=2.0, validator=_check_timeout)
