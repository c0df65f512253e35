"""What the query string of a read may ask for: how current, what to wait for, what to leave out.

Every read of Consul's API takes the same options; they are read here once, into one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

from attrs import field, frozen
from starlette.datastructures import Headers, QueryParams

from catalog.http.durations import parse_duration

__all__ = ["Options", "parse_bool", "parse_index", "read_options"]

WAIT_SECONDS_DEFAULT: Final = 300.0
WAIT_SECONDS_MAX: Final = 600.0
"""Consul's limits of a blocking query."""
CACHED_SECONDS_MAX: Final = 3 * 86400.0
"""How old an answer to `?cached` may be if nothing else is said: as long as Consul keeps one."""
INDEX_MAX: Final = 2**64 - 1
FILTER_CHARS_MAX: Final = 4096

TRUE: Final = {"1", "t", "T", "true", "TRUE", "True"}
FALSE: Final = {"0", "f", "F", "false", "FALSE", "False"}


@frozen
class Options:
    """The options of one call."""

    datacenter: str | None = None
    """`None`: ours."""
    index: int = 0
    """Answer once there is something newer than this; 0: at once."""
    wait: float = WAIT_SECONDS_DEFAULT
    """But after so many seconds in any case."""
    consistent: bool = False
    stale: bool = False
    max_stale: float | None = None
    """With `stale`: seconds an answer may be behind."""
    cached: bool = False
    max_age: float = CACHED_SECONDS_MAX
    """With `cached`: seconds an answer may be old."""
    filter: str = ""
    """An expression; empty: everything passes."""
    near: str | None = None
    node_meta: Mapping[str, str] = field(factory=dict, hash=False)
    pretty: bool = False
    token: str = ""


def read_options(params: QueryParams, headers: Headers) -> Options:
    """Return the options of a call.

    Raises:
        ValueError: they contradict each other, or one makes no sense.

    """
    consistent, stale, cached = ("consistent" in params, "stale" in params, "cached" in params)
    if consistent and stale:
        raise ValueError("Cannot specify ?stale with ?consistent, conflicting semantics.")
    if consistent and cached:
        raise ValueError("Cannot specify ?cached with ?consistent, conflicting semantics.")
    wait, max_stale = params.get("wait"), params.get("max_stale")
    expression = params.get("filter", "")
    if len(expression) > FILTER_CHARS_MAX:
        raise ValueError(f"filter: {len(expression)} characters, at most {FILTER_CHARS_MAX}")
    return Options(
        datacenter=params.get("datacenter") or params.get("dc") or None,
        index=parse_index(params.get("index", ""), what="index"),
        wait=_wait(wait),
        consistent=consistent,
        stale=stale or max_stale is not None,
        max_stale=parse_duration(max_stale, what="max_stale") if max_stale else None,
        cached=cached,
        max_age=_max_age(headers.get("cache-control", "") if cached else ""),
        filter=expression,
        near=params.get("near") or None,
        node_meta=dict(_pair(text) for text in params.getlist("node-meta")),
        pretty="pretty" in params,
        token=params.get("token") or headers.get("x-consul-token") or _bearer(headers),
    )


def parse_index(text: str, *, what: str) -> int:
    """Return an unsigned 64-bit number; of an empty text 0.

    Raises:
        ValueError: it is something else; the message names `what`.

    """
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 20 or int(text) > INDEX_MAX:
        raise ValueError(f"Invalid {what}: {text[:40]!r} is no number from 0 to 2^64 - 1")
    return int(text)


def parse_bool(text: str, *, what: str) -> bool:
    """Return what Go's ParseBool makes of a text.

    Raises:
        ValueError: it is none of the texts that stand for true or false.

    """
    if text not in TRUE | FALSE:
        raise ValueError(f"Invalid value for {what}: {text[:40]!r} is neither true nor false")
    return text in TRUE


def _wait(text: str | None) -> float:
    if not text:
        return WAIT_SECONDS_DEFAULT
    try:
        wait = parse_duration(text, what="wait")
    except ValueError as error:
        raise ValueError(f"Invalid wait time: {error}") from None
    return min(wait, WAIT_SECONDS_MAX) if wait > 0 else WAIT_SECONDS_DEFAULT


def _max_age(control: str) -> float:
    """Return what `Cache-Control` (RFC 9111, 5.2.1) says of age; what else it says is ignored."""
    directives = [part.strip().lower() for part in control.split(",")]
    if "must-revalidate" in directives:
        return 0.0
    ages = (one.removeprefix("max-age=") for one in directives if one.startswith("max-age="))
    text = next(ages, "")
    age = float(parse_index(text, what="max-age")) if text else inf
    return min(age, CACHED_SECONDS_MAX)


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition(":")
    return key, value


def _bearer(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
