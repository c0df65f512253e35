"""quorum.testing.STORAGE_CHECKS on both of our storages, in all their modes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quorum.storage.journal import JournalStorage
from quorum.storage.memory import MemoryStorage
from quorum.testing import STORAGE_CHECKS, FaultyDisk, StorageCheck, StorageFactory

MODES: dict[str, dict[str, Any]] = {
    "adaptive": {},
    "inline": {"sync_inline": True},
    "thread": {"sync_inline": False},
    "unsynced": {"sync": False},
    "short-segments": {"segment_bytes": 1, "fill_bytes": 64},
}


@pytest.fixture(params=["memory", "faulty-disk", *MODES])
def factory(request: pytest.FixtureRequest, tmp_path: Path) -> StorageFactory:
    """A place that can be reopened."""
    mode = request.param
    if mode == "memory":
        memory = MemoryStorage()
        return lambda: memory
    if mode == "faulty-disk":
        disk = FaultyDisk()
        return lambda: JournalStorage(
            tmp_path, node="a", cluster="test", disk=disk, sync_inline=True
        )
    return lambda: JournalStorage(tmp_path, node="a", cluster="test", **MODES[mode])


@pytest.mark.parametrize("check", STORAGE_CHECKS, ids=lambda check: check.__name__)
async def test_storage(check: StorageCheck, factory: StorageFactory) -> None:
    """Every check holds for every storage."""
    await check(factory)
