"""The configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from catalog.config import AgentConfig
from catalog.errors import ConfigError
from catalog.model import HttpCheck, Service, TtlCheck
from catalog.server.autopilot import Rules
from catalog.settings import Settings, load_settings, parse_settings

TEXT = """
name = "s1"
server = true
data_dir = "/var/lib/catalog"
join = ["10.0.0.2:8300"]
hold = 3
log_level = "warning"
http = "127.0.0.1:8500"
recursors = ["10.0.0.1:53"]

[meta]
rack = "r1"

[autopilot]
stable_seconds = 30

[[service]]
name = "web"
port = 80
tags = ["blue"]

  [[service.check]]
  type = "http"
  url = "http://127.0.0.1/health"
  interval = 5

  [[service.check]]
  type = "ttl"
  ttl = 15

[[service]]
name = "db"
"""


def test_a_file_says_all_there_is_to_say():
    """Settings by their names, tables for what has fields of its own."""
    checks = (HttpCheck("http://127.0.0.1/health", interval=5), TtlCheck(15))
    config = AgentConfig(
        "s1",
        server=True,
        data_dir="/var/lib/catalog",
        join=["10.0.0.2:8300"],
        hold=3,
        meta={"rack": "r1"},
        autopilot=Rules(stable_seconds=30),
    )

    assert parse_settings(TEXT) == Settings(
        config,
        (Service("web", port=80, tags=["blue"], checks=checks), Service("db")),
        log_level="warning",
        http="127.0.0.1:8500",
        recursors=("10.0.0.1:53",),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "name"),
        ("name = 'a'\nnmae = 'b'", "no setting 'nmae'"),
        ("name = 'a'\nhold = 'x'", "the file"),
        ("name = 'a'\nlog_level = 'loud'", "log_level must be one of"),
        ("name = 'a'\nservice = 7", r"write \[\[service\]\]"),
        ("name = 'a'\n[autopilot]\nspeed = 1", r"\[autopilot\] has no setting 'speed'"),
        ("name = 'a'\n[raft]\nheartbeat = -1.0", r"\[raft\]: heartbeat"),
        ("name = 'a'\n[gossip]\nprobe_interval = 0.0", r"\[gossip\]: probe_interval"),
        ("name = 'a'\nautopilot = 3", r"\[autopilot\] must be a table"),
        ("name = 'a'\n[[service]]\nport = 80", r"\[\[service\]\]"),
        ("name = 'a'\n[[service]]\nname = 'w'\n[[service.check]]\ntype = 'x'", "type must be one"),
        ("name = 'a'\n[[service]]\nname = 'w'\n[[service.check]]\ntype = 'ttl'", "ttl"),
        ("name = 'a'\n[[service]]\nname = 'w'\n[[service]]\nname = 'w'", "two services"),
    ],
)
def test_what_makes_no_sense_is_named(text, says):
    """Nothing is misspelled in silence."""
    with pytest.raises(ConfigError, match=says):
        parse_settings(text)


def test_the_file_is_named(tmp_path: Path):
    """Whether it is missing, no TOML, or no text."""
    for content in (None, b"name =", b"\xff"):
        path = tmp_path / "agent.toml"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"agent\.toml"):
            load_settings(path)


def test_what_needs_a_restart_is_listed():
    """All but the level of the log and the services."""
    old = parse_settings(TEXT)
    new = evolve(old, services=(), log_level="info", http=None, config=evolve(old.config, hold=4))

    assert ("hold", "http") == old.fixed(new)
