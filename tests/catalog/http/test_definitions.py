"""Services and checks as clients define them."""

from __future__ import annotations

import pytest

from catalog.definitions import (
    AliasCheck,
    GrpcCheck,
    HttpCheck,
    ScriptCheck,
    Status,
    TcpCheck,
    TtlCheck,
    UdpCheck,
)
from catalog.http.bodies import Fields
from catalog.http.definitions import check_of, check_state, service_of
from catalog.http.trouble import Trouble


@pytest.mark.parametrize(
    ("body", "check"),
    [
        ({"ttl": "15s"}, TtlCheck(15)),
        ({"TTL": "15s", "Status": "passing"}, TtlCheck(15, status=Status.PASSING)),
        ({"tcp": "h:1", "interval": "5s"}, TcpCheck("h:1", interval=5)),
        ({"udp": "h:1", "interval": "5s", "timeout": "2s"}, UdpCheck("h:1", interval=5, timeout=2)),
        (
            {"grpc": "h:1/x", "interval": "5s", "grpc_use_tls": True},
            GrpcCheck("h:1/x", interval=5, tls=True),
        ),
        ({"args": ["a", "b"], "interval": "5s"}, ScriptCheck(("a", "b"), interval=5)),
        ({"alias_service": "web"}, AliasCheck("web")),
        (
            {
                "http": "http://h/",
                "interval": "100ms",
                "method": "POST",
                "header": {"A": ["x", "y"]},
                "tls_skip_verify": True,
                "FailuresBeforeCritical": 3,
                "DeregisterCriticalServiceAfter": "1s",
            },
            HttpCheck(
                "http://h/",
                interval=1,
                method="POST",
                headers={"A": "x, y"},
                tls_skip_verify=True,
                failures_before_critical=3,
                deregister_critical_after=60,
            ),
        ),
    ],
)
def test_every_kind_of_check_is_understood(body, check):
    """With Consul's floors: a second between probes, a minute before deregistration."""
    assert check == check_of(Fields.of(body, ""))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ttl": "1s", "http": "http://h/"},
        {"http": "http://h/"},
        {"http": "http://h/", "interval": "0s"},
        {"docker_container_id": "x", "interval": "1s"},
        {"ttl": "1s", "status": "fine"},
    ],
)
def test_a_check_that_makes_no_sense_is_refused(body):
    """With a sentence."""
    with pytest.raises(Trouble, match=r"\w+ \w+"):
        check_of(Fields.of(body, ""))


def test_empty_checks_are_none():
    """Clients send them where there is nothing to check."""
    body = {"name": "web", "check": {}, "checks": []}

    assert () == service_of(Fields.of(body, "")).checks


def test_a_check_with_its_state_takes_its_id_from_its_name():
    """And is critical unless it says otherwise."""
    state = check_state(Fields.of({"Name": "disk"}, ""))

    assert ("disk", "disk", Status.CRITICAL) == (state.id, state.name, state.status)
