"""A registry, and a way to write to it without building log entries by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from catalog.answers import Applied
from catalog.commands import Command
from catalog.registry import Registry
from catalog.wire import encode
from quorum.messages import Entries


@pytest.fixture
def registry() -> Registry:
    """An empty registry."""
    return Registry()


@pytest.fixture
def write() -> Callable[..., list[Applied]]:
    """Write commands (or raw payloads) to a registry, one entry each, after what it has.

    `stamp` is the time of the cluster in ms; without it, no time passes.
    """

    def write(
        registry: Registry, *commands: Command | bytes, stamp: int | None = None
    ) -> list[Applied]:
        payloads = tuple(one if isinstance(one, bytes) else encode(one) for one in commands)
        count = len(payloads)
        first = registry.applied + 1
        stamps = (registry.clock if stamp is None else stamp,) * count
        run = Entries(first, (1,) * count, stamps, bytes(count), payloads)
        return list(registry.apply(run))

    return write
