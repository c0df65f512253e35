"""Settings."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from rumor.config import DATAGRAM_BYTES_MIN, ENVELOPE_BYTES_MAX, Config
from rumor.errors import ConfigError
from rumor.fields import NATURAL_MAX
from rumor.messages import META_BYTES_MAX, NAME_BYTES_MAX, Alive, PingRequest
from rumor.wire import CLUSTER_BYTES_MAX, Wire, encode


@pytest.mark.parametrize("config", [Config.lan(), Config.wan(), Config.local()])
def test_presets_leave_helpers_time_for_their_nacks(config: Config) -> None:
    """A nack, sent at 80 % of the helper's timeout, arrives before the asker's period ends."""
    assert config.probe_timeout + 0.8 * config.probe_timeout < config.probe_interval


@pytest.mark.parametrize(
    "settings",
    [
        {"probe_interval": 0.0},
        {"probe_interval": -1.0},
        {"probe_interval": inf},
        {"probe_interval": nan},
        {"probe_interval": "1"},
        {"probe_timeout": 0.9},
        {"gossip_nodes": 0},
        {"gossip_nodes": 2.5},
        {"members_max": True},
        {"buddy": 1},
        {"suspicion_max_multiplier": 0.5},
        {"datagram_bytes_max": 500},
        {"datagram_bytes_max": 70_000},
    ],
)
def test_nonsense_is_refused(settings: dict[str, Any]) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Config(**settings)


@pytest.mark.parametrize("name", ["indirect_probes", "suspicion_confirmations", "gossip_to_dead"])
def test_a_feature_can_be_switched_off_with_zero(name: str) -> None:
    """Plain SWIM without helpers, or without Lifeguard's timeout, is a setting."""
    settings: dict[str, Any] = {name: 0}

    assert getattr(Config(**settings), name) == 0


def test_the_largest_update_fits_beside_the_largest_message() -> None:
    """Full metadata and the longest names are still delivered by gossip, beside any message."""
    name, address = "n" * NAME_BYTES_MAX, ("1111:" * 7 + "1111", 65_535)
    update = encode(Alive(name, address, NATURAL_MAX, b"m" * META_BYTES_MAX))
    request = encode(PingRequest(NATURAL_MAX, name, name, address))

    assert len(update) + len(request) + ENVELOPE_BYTES_MAX <= DATAGRAM_BYTES_MIN


def test_the_envelope_is_never_larger_than_what_the_core_reserves() -> None:
    """The longest name of a cluster and the most updates stay within the reserve."""
    wire = Wire("c" * CLUSTER_BYTES_MAX)
    message = PingRequest(1, "a", "b", ("10.0.0.1", 1))
    gossip = [b"\x82\x03\x00"] * 300
    overhead = len(wire.pack(message, gossip)) - len(encode(message)) - 900

    assert overhead <= ENVELOPE_BYTES_MAX


def test_a_switch_is_on_or_off() -> None:
    """A number is no switch, and a switch is no number."""
    assert Config(stream_probe=False).stream_probe is False
    with pytest.raises(ConfigError, match="True or False"):
        Config(stream_probe=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="number"):
        Config(members_max=True)
