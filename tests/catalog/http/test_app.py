"""The routes: what is there, what is off, and what no input does."""

from __future__ import annotations

import json

import httpx
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.agent import open_catalog
from catalog.config import AgentConfig
from catalog.http.app import ROUTES, build_app
from catalog.http.calls import Site
from catalog.requests import Request

READS = (
    "agent/checks",
    "agent/members",
    "agent/metrics",
    "agent/self",
    "agent/services",
    "agent/version",
    "catalog/datacenters",
    "catalog/nodes",
    "catalog/services",
    "coordinate/datacenters",
    "coordinate/nodes",
    "event/list",
    "operator/autopilot/configuration",
    "operator/autopilot/health",
    "operator/autopilot/state",
    "operator/raft/configuration",
    "operator/usage",
    "query",
    "session/list",
    "status/leader",
    "status/peers",
)


async def test_every_read_answers_with_json(web):
    """From a fresh agent."""
    for path in READS:
        answer = await web.get(path)

        assert 200 == answer.status_code, (path, answer.text)
        assert "allow" == answer.headers["X-Consul-Default-ACL-Policy"]
        answer.json()


async def test_the_agent_describes_itself(web):
    """With exactly these keys, and the leader that status names."""
    found = (await web.get("agent/self")).json()

    assert {"Config", "DebugConfig", "Coord", "Member", "Stats", "Meta", "xDS"} == set(found)
    assert {
        "Datacenter",
        "PrimaryDatacenter",
        "NodeName",
        "NodeID",
        "Revision",
        "Server",
        "Version",
        "BuildDate",
    } == set(found["Config"])
    assert (await web.get("status/leader")).json() == found["Stats"]["consul"]["leader_addr"]
    assert found["Member"] in (await web.get("agent/members")).json()


async def test_members_of_the_wide_area_are_servers_with_their_data_centre(web):
    """By Consul's names for them."""
    assert ["n1.dc1"] == [one["Name"] for one in (await web.get("agent/members?wan=1")).json()]


async def test_raft_names_the_servers(web):
    """The one that leads, too; nobody unknown can be removed."""
    (server,) = (await web.get("operator/raft/configuration")).json()["Servers"]

    assert ("n1", True, True) == (server["ID"], server["Leader"], server["Voter"])
    assert 400 == (await web.delete("operator/raft/peer")).status_code
    assert 400 == (await web.delete("operator/raft/peer?id=a&address=b")).status_code
    assert 500 == (await web.delete("operator/raft/peer?id=nobody")).status_code


async def test_who_has_left_may_be_made_to_leave(web, agent):
    """Once more, which changes nothing."""
    config = AgentConfig("c1", bind="127.0.0.1:0", join=[agent.address])
    async with open_catalog(config) as other:
        await other.leave()
        answer = await web.put("agent/force-leave/c1?prune")

    assert (200, b"") == (answer.status_code, answer.content)


OFF = [
    ("GET", "acl/tokens", 401, "ACL support disabled"),
    ("PUT", "acl/bootstrap", 401, "ACL support disabled"),
    ("PUT", "agent/token/default", 401, "ACL support disabled"),
    ("GET", "connect/ca/roots", 500, "Connect must be enabled"),
    ("PUT", "config", 500, "not supported"),
    ("GET", "peerings", 403, "peering is disabled"),
    ("PUT", "agent/force-leave/x", 400, "'x' has not failed"),
    ("PUT", "agent/force-leave/n1", 400, "'n1' has not failed"),
    ("GET", "operator/keyring", 500, ""),
    ("GET", "agent/monitor?loglevel=loud", 400, "loud"),
    ("GET", "nothing/here", 404, ""),
    ("PATCH", "kv/a", 405, "method PATCH not allowed"),
]


async def test_what_is_off_says_so(web):
    """As Consul does, in plain text."""
    for method, path, status, text in OFF:
        answer = await web.request(method, path)

        assert status == answer.status_code, path
        assert text in answer.text


async def test_methods_are_named_where_one_is_wrong(web):
    """And by OPTIONS."""
    assert "OPTIONS,GET,PUT,DELETE" == (await web.patch("kv/a")).headers["Allow"]
    answer = await web.options("kv/a")
    assert (200, "OPTIONS,GET,PUT,DELETE") == (answer.status_code, answer.headers["Allow"])


async def test_the_root_answers(web):
    """Health checks of Consul itself look there."""
    assert 200 == (await web.get("http://agent/")).status_code


async def test_json_for_people_is_indented(web):
    """On demand."""
    assert "\n    " in (await web.get("catalog/nodes?pretty")).text


class Silent:
    """A catalog that must not be asked: every answer is a fault."""

    async def ask(self, request: Request[object]) -> object:
        raise ValueError("asked")


FIELDS = """
ID Name Node Address Service Check Checks TTL Interval KV Verb Key Value Coord Vec Weights Meta
Tags Port Status LockDelay Behavior HTTP Header TaggedAddresses NodeChecks Template DNS
"""
PARAMETERS = """
index wait dc stale consistent cached max_stale filter near node-meta cas flags acquire recurse
keys separator raw enable passing tag pretty token limit id address format loglevel name
"""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(FIELDS.split()) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
QUERIES = st.dictionaries(
    st.sampled_from(PARAMETERS.split()),
    st.text(max_size=8) | st.integers().map(str) | st.just("1s"),
    max_size=4,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    path=st.sampled_from(sorted(ROUTES)),
    part=st.text(min_size=1, max_size=9),
    method=st.sampled_from(("GET", "PUT", "POST", "DELETE")),
    query=QUERIES,
    body=st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode()),
)
def test_no_input_is_a_fault_of_ours(path, part, method, query, body):
    """Every answer is one that a handler meant; an exception would come out of the client."""
    url = path.split("{", maxsplit=1)[0] + ("" if "{" not in path else part)

    async def call() -> httpx.Response:
        site = Site(Silent(), "n1", "dc1")  # type: ignore[arg-type]
        transport = httpx.ASGITransport(build_app(site))
        async with httpx.AsyncClient(transport=transport) as client:
            with trio.fail_after(5):
                return await client.request(
                    method,
                    httpx.URL("http://agent").join(f"/v1/{_quoted(url)}"),
                    params=query,
                    content=body,
                )

    answer = trio.run(call)

    assert answer.status_code in {200, 400, 401, 403, 404, 405, 413, 500}
    if answer.status_code == 500:
        assert "internal error" not in answer.text


def _quoted(url: str) -> str:
    return "".join(f"%{byte:02x}" if byte != 0x2F else "/" for byte in url.encode())
