"""A task that runs beside a block, for as long as the block lasts.

It runs in a nursery of somebody else, and not in one around the block: so an exception of the block
reaches its caller as it is, and in no group.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

__all__ = ["beside"]


@asynccontextmanager
async def beside(nursery: trio.Nursery, task: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run a task until the block ends; it is then cancelled."""
    scope = trio.CancelScope()

    async def run() -> None:
        with scope:
            await task()

    nursery.start_soon(run)
    try:
        yield
    finally:
        scope.cancel()
