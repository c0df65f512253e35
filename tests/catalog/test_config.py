"""Settings that make sense, and those that are refused with a sentence."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.config import AgentConfig, format_address, parse_address
from catalog.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8300", ("127.0.0.1", 8300)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:8300", ("::1", 8300)),
    ],
)
def test_addresses_are_host_and_port(text, address):
    """An IPv6 host stands in brackets; writing inverts reading."""
    assert address == parse_address(text)
    assert text == format_address(address)


@given(st.text(max_size=20))
def test_whatever_is_no_address_is_refused(text):
    """Any text gives an address or one error."""
    with contextlib.suppress(ConfigError):
        host, port = parse_address(text)

        assert host
        assert 0 <= port <= 65535


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": ""}, "name must be"),
        ({"name": "a b"}, "name must be"),
        ({"name": "ä" * 33}, "at most 64 bytes"),
        ({"bind": "8300"}, "bind must be host:port"),
        ({"bind": "127.0.0.1:70000"}, "bind must be host:port"),
        ({"bind": "::1:8300"}, "in brackets"),
        ({"bind": "0.0.0.0:8300"}, "say in advertise"),
        ({"join": "127.0.0.1:8300"}, "must be a sequence"),
        ({"join": ["nowhere"]}, "join must be host:port"),
        ({"server": True}, "needs bootstrap_expect"),
        ({"server": True, "bootstrap_expect": -1}, "count of servers"),
        ({"server": True, "bootstrap_expect": True}, "count of servers"),
        ({"server": True, "bootstrap_expect": 10}, "take 3 or 5"),
        ({"bootstrap_expect": 3}, "for servers only"),
        ({"meta": {"a": "x" * 300}}, "meta takes 301 bytes"),
        ({"meta": {"a": 1}}, "str to str"),
        ({"hold": 0}, "hold must be a number of seconds"),
        ({"cluster": ""}, "cluster must be"),
        ({"tls_cert": "x"}, "belong together"),
        ({"encrypt": "AAAA"}, "32 random bytes"),
        ({"encrypt": "?"}, "32 random bytes"),
        ({"connections_per_host_max": 0}, "at least 1"),
    ],
)
def test_what_makes_no_sense_is_named(settings, says):
    """The error says which setting, and what to write instead."""
    with pytest.raises(ConfigError, match=says):
        AgentConfig(**{"name": "a", **settings})


def test_a_dev_agent_is_a_server_by_itself():
    """In memory, and in need of nobody, so that it need not wait long for anybody."""
    config = AgentConfig.dev()

    assert (True, 1, None) == (config.server, config.bootstrap_expect, config.data_dir)
    assert 0.1 == config.raft.election_timeout


def test_a_server_with_data_need_not_say_how_it_began():
    """Whether the directory has data is found out when the agent starts."""
    assert AgentConfig("a", server=True, data_dir="x").data_dir is not None


@pytest.mark.parametrize(
    ("bind", "loopback"),
    [("127.0.0.1:1", True), ("[::1]:1", True), ("localhost:1", True), ("10.0.0.1:1", False)],
)
def test_loopback_is_told_from_the_network(bind, loopback):
    """What nobody else reaches needs no TLS."""
    assert loopback == AgentConfig("a", bind=bind).loopback


def test_servers_stop_and_clients_leave():
    """At a signal; either may be told otherwise."""
    server: dict[str, Any] = {"server": True, "bootstrap_expect": 1}

    assert [False, True] == [AgentConfig("a", **server).leaves, AgentConfig("a").leaves]
    assert AgentConfig("a", **server, leave_on_terminate=True).leaves
    assert not AgentConfig("a", leave_on_terminate=False).leaves
