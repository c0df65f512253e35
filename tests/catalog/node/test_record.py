"""What is registered with an agent, on its disk."""

from __future__ import annotations

import pytest

from catalog.config import AgentConfig
from catalog.definitions import AliasCheck, ScriptCheck
from catalog.errors import StartError
from catalog.model import HttpCheck, Service, TtlCheck, Weights
from catalog.node.record import Kept, KeptCheck, open_record

KEPT = Kept(
    "n",
    (Service("web", port=80, tags=["a"], weights=Weights(3, 1), checks=[TtlCheck(5)]),),
    (
        KeptCheck(HttpCheck("http://h/", id="c", headers={"X": "y"}), "web"),
        KeptCheck(ScriptCheck(("/bin/true",), id="s"), ""),
        KeptCheck(AliasCheck("web", id="a"), ""),
    ),
    {"": "moving house"},
)


@pytest.fixture
def config(tmp_path) -> AgentConfig:
    """An agent with a directory that is not there yet."""
    return AgentConfig("n", data_dir=tmp_path / "data")


def test_what_is_saved_is_found(config):
    """All of it; a new agent has nothing, and one without a directory no file."""
    record = open_record(config)
    assert Kept("n") == record.kept
    record.save(KEPT)

    assert KEPT == open_record(config).kept
    assert open_record(AgentConfig("n")) is None


def test_saving_the_same_again_writes_nothing(config):
    """A sync costs milliseconds."""
    record = open_record(config)
    record.save(KEPT)
    record.path.unlink()
    record.save(KEPT)

    assert not record.path.exists()


def test_a_damaged_file_is_refused_wherever_it_is_damaged(config):
    """With its name, and what to do; nothing is made of it."""
    record = open_record(config)
    record.save(KEPT)
    good = record.path.read_bytes()
    for damaged in (
        b"",
        good[:-1],
        good + b"x",
        *(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(0, len(good), 7)),
    ):
        record.path.write_bytes(damaged)
        with pytest.raises(StartError, match="registrations is damaged"):
            open_record(config)


def test_a_file_of_another_agent_is_refused(config):
    """Two agents in one directory would forget each other's services."""
    open_record(config).save(KEPT)
    with pytest.raises(StartError, match="belongs to agent 'n'"):
        open_record(AgentConfig("m", data_dir=config.data_dir))
