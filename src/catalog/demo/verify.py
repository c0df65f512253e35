"""Reading everything back, to see whether anything was lost that had been acknowledged."""

from __future__ import annotations

from collections.abc import Mapping

import trio

import catalog
from catalog.requests import Consistency

__all__ = ["count_lost"]

READERS = 32
"""Questions under way at a time; one answers for many, since they share a round (ReadIndex)."""
ATTEMPTS_MAX = 5
RETRY_SECONDS = 0.2


async def count_lost(
    written: Mapping[str, bytes], address: str, consistency: Consistency = Consistency.DEFAULT
) -> int:
    """Return how many keys are missing or have another value than was written.

    Args:
        written: the acknowledged keys with their values.
        address: of the agent to ask.
        consistency: `STALE` reads what a server has itself.

    Raises:
        catalog.CatalogError: a key could not be read, in some attempts.

    """
    todo = iter(written.items())
    lost = 0

    async def read(client: catalog.Client) -> None:
        nonlocal lost
        for key, value in todo:  # one iterator for all readers: each takes what is next
            found = await _get(client, key, consistency)
            lost += found != value  # not in one with the await: `lost` would be read before it

    async with catalog.connect(address) as client, trio.open_nursery() as nursery:
        for _ in range(READERS):
            nursery.start_soon(read, client)
    return lost


async def _get(client: catalog.Client, key: str, consistency: Consistency) -> bytes | None:
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            found = await client.get(key, consistency=consistency)
        except catalog.CatalogError:  # reading twice does no harm
            if attempt == ATTEMPTS_MAX:
                raise
            await trio.sleep(RETRY_SECONDS)
        else:
            return None if found is None else found.value
    raise AssertionError("unreachable: the last attempt returns or raises")
