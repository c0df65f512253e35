"""A registry, and a way to write to it without building log entries by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from catalog.commands import Applied, Command
from catalog.registry import Registry
from catalog.wire import encode
from quorum.messages import Entries


@pytest.fixture
def registry() -> Registry:
    """An empty registry."""
    return Registry()


@pytest.fixture
def write() -> Callable[..., list[Applied]]:
    """Write commands (or raw payloads) to a registry, one entry each, after what it has."""

    def write(registry: Registry, *commands: Command | bytes) -> list[Applied]:
        payloads = tuple(one if isinstance(one, bytes) else encode(one) for one in commands)
        count = len(payloads)
        first = registry.applied + 1
        run = Entries(first, (1,) * count, (0,) * count, bytes(count), payloads)
        return list(registry.apply(run))

    return write
