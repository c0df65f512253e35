"""A server's directory."""

from __future__ import annotations

import pytest
from attrs import evolve

from catalog.config import AgentConfig
from catalog.errors import StartError
from catalog.server.home import open_home
from quorum import MemoryStorage
from quorum.storage.journal import JournalStorage


@pytest.fixture
def config(tmp_path) -> AgentConfig:
    """A server with a directory that is not there yet."""
    return AgentConfig("a", server=True, bootstrap_expect=1, data_dir=tmp_path / "deep" / "data")


async def test_a_nonce_is_drawn_once_and_kept(config):
    """It is on the disk before anybody hears of it."""
    async with open_home(config) as home:
        first = home.founding
        assert first.me.nonce.encode() in (config.data_dir / "bootstrap.json").read_bytes()
    async with open_home(config) as home:
        assert first == home.founding
    async with open_home(evolve(config, data_dir=None)) as home:
        assert first.me != home.founding.me


async def test_what_is_remembered_is_there_after_a_restart(config):
    """And decides where the log is kept."""
    async with open_home(config) as home:
        founding = evolve(home.founding, founders=[home.founding.me], agreed=True)
        await home.remember(founding)
        assert isinstance(home.open_storage(), JournalStorage)
    async with open_home(evolve(config, bootstrap_expect=0)) as home:
        assert founding == home.founding
    async with open_home(evolve(config, data_dir=None)) as home:
        assert isinstance(home.open_storage(), MemoryStorage)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: (d / "bootstrap.json").write_bytes(b"{"), "is damaged"),
        (lambda d: (d / "bootstrap.json").unlink(), "is missing"),
    ],
    ids=["damaged", "missing"],
)
async def test_a_spoilt_directory_is_refused_and_left_alone(config, spoil, says):
    """A server that begins anew in it would have forgotten its votes."""
    async with open_home(config):
        (config.data_dir / "raft").mkdir()
    spoil(config.data_dir)
    before = sorted(config.data_dir.iterdir())
    with pytest.raises(StartError, match=says):
        async with open_home(config):
            pass
    assert before == sorted(config.data_dir.iterdir())


async def test_an_empty_directory_needs_a_plan(config):
    """Without data, it founds a cluster or joins one."""
    with pytest.raises(StartError, match="how many servers found the cluster"):
        async with open_home(evolve(config, bootstrap_expect=0)):
            pass
    async with open_home(evolve(config, bootstrap_expect=0, join=["127.0.0.1:1"])) as home:
        assert "" == home.founding.digest


async def test_a_place_that_is_no_directory_is_refused(config, tmp_path):
    """With the reason that the system gives."""
    (tmp_path / "deep").write_bytes(b"")
    with pytest.raises(StartError, match="cannot be used"):
        async with open_home(config):
            pass
