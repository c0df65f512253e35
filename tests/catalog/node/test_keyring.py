"""Keys that outlive the agent."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

import rumor
from catalog.config import AgentConfig
from catalog.errors import StartError
from catalog.node.keyring import load_keyring

OLD, NEW = bytes(range(32)), bytes(32)
ENCRYPT = base64.b64encode(OLD).decode()


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    """A server that was given a key."""
    return AgentConfig("a", server=True, data_dir=tmp_path / "deep" / "data", encrypt=ENCRYPT)


def test_without_a_key_gossip_goes_in_clear(tmp_path):
    """Neither in the settings nor on disk."""
    assert load_keyring(AgentConfig("a")) is None
    assert load_keyring(AgentConfig("a", server=True, data_dir=tmp_path)) is None
    assert [] == list(tmp_path.iterdir())


def test_without_a_directory_the_setting_counts():
    """Nothing is kept."""
    assert OLD == load_keyring(AgentConfig("a", encrypt=ENCRYPT)).primary


def test_what_was_changed_holds_after_a_restart(config):
    """Each step is on the disk, and readable for its owner only; the setting is history."""
    ring = load_keyring(config)
    ring.install(NEW)
    assert (OLD, (OLD, NEW)) == (load_keyring(config).primary, load_keyring(config).keys)
    ring.use(NEW)
    assert NEW == load_keyring(config).primary
    ring.remove(OLD)
    assert (NEW,) == load_keyring(config).keys
    assert 0o600 == (config.data_dir / "keyring.json").stat().st_mode & 0o777


def test_what_cannot_be_kept_is_not_done(config, monkeypatch):
    """A key that would be lost at the next start is not obeyed."""
    ring = load_keyring(config)

    def fail(*_, **__):
        raise OSError(28, "full")

    monkeypatch.setattr("catalog.node.keyring.write_durably", fail)
    with pytest.raises(rumor.ConfigError, match="the keys are the same as before"):
        ring.install(NEW)
    assert (OLD,) == ring.keys


def test_nonsense_never_reaches_the_disk(config):
    """The rules of every keyring hold for this one."""
    ring = load_keyring(config)
    before = (config.data_dir / "keyring.json").read_bytes()
    for change in (
        lambda: ring.install(b"short"),
        lambda: ring.use(NEW),
        lambda: ring.remove(OLD),
    ):
        with pytest.raises(rumor.ConfigError):
            change()
    assert before == (config.data_dir / "keyring.json").read_bytes()


@pytest.mark.parametrize("damage", ["{", "[]", '["x"]', "[7]", json.dumps(["AAAA"])])
def test_a_damaged_file_is_refused(config, damage):
    """It may hold the only key that the cluster still uses."""
    config.data_dir.mkdir(parents=True)
    (config.data_dir / "keyring.json").write_text(damage)
    with pytest.raises(StartError):
        load_keyring(config)
    assert damage == (config.data_dir / "keyring.json").read_text()
