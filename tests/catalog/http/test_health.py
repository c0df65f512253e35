"""Health over HTTP."""

from __future__ import annotations

import trio

HEALTH_CHECK = {
    "Node",
    "CheckID",
    "Name",
    "Status",
    "Notes",
    "Output",
    "ServiceID",
    "ServiceName",
    "ServiceTags",
    "Type",
    "Interval",
    "Timeout",
    "ExposedPort",
    "Definition",
    "CreateIndex",
    "ModifyIndex",
}


async def two(web) -> None:
    """Two instances, one of them critical."""
    for number, status in (("1", "passing"), ("2", "critical")):
        body = {
            "name": "web",
            "id": f"web{number}",
            "tags": [f"t{number}"],
            "check": {"ttl": "60s", "status": status},
        }
        assert 200 == (await web.put("agent/service/register", json=body)).status_code


async def test_instances_come_with_node_and_checks(web):
    """With Consul's fields; sorted by id."""
    await two(web)

    found = (await web.get("health/service/web")).json()

    assert ["web1", "web2"] == [one["Service"]["ID"] for one in found]
    assert {"Node", "Service", "Checks"} == set(found[0])
    assert set(found[0]["Checks"][0]) == HEALTH_CHECK
    assert ["serfHealth", "service:web1"] == [one["CheckID"] for one in found[0]["Checks"]]


async def test_passing_leaves_out_what_does_not(web):
    """Bare, 1, true; false is none of it."""
    await two(web)

    for query, count in (("passing", 1), ("passing=1", 1), ("passing=true", 1), ("passing=0", 2)):
        assert count == len((await web.get(f"health/service/web?{query}")).json())
    assert 400 == (await web.get("health/service/web?passing=perhaps")).status_code


async def test_tags_and_filters_narrow(web):
    """A filter sees the whole entry."""
    await two(web)

    for params in (
        {"tag": "t2"},
        {"filter": 'Service.ID == "web2"'},
        {"filter": "t2 in Service.Tags"},
    ):
        found = (await web.get("health/service/web", params=params)).json()
        assert ["web2"] == [one["Service"]["ID"] for one in found]


async def test_checks_are_found_by_service_node_and_state(web):
    """Those of the node have no service."""
    await two(web)

    by_service = (await web.get("health/checks/web")).json()
    assert ["service:web1", "service:web2"] == [one["CheckID"] for one in by_service]
    by_node = (await web.get("health/node/n1")).json()
    assert {"", "web1", "web2"} == {one["ServiceID"] for one in by_node}
    critical = (await web.get("health/state/critical")).json()
    assert ["service:web2"] == [one["CheckID"] for one in critical]
    assert 3 == len((await web.get("health/state/any")).json())
    assert 400 == (await web.get("health/state/fine")).status_code
    assert [] == (await web.get("health/node/none")).json()


async def test_a_service_nobody_knows_has_no_instances(web):
    """An empty list, never null, with an index to wait on."""
    answer = await web.get("health/service/none")

    assert [] == answer.json()
    assert int(answer.headers["X-Consul-Index"]) > 0


async def test_a_cached_answer_says_so(web):
    """The first comes from a server; then the agent has a copy, and says how old it is."""
    await two(web)
    first = await web.get("health/service/web?cached")
    assert ("MISS", "0") == (first.headers["x-cache"], first.headers["age"])

    for _ in range(500):
        again = await web.get("health/service/web?cached")
        if again.headers["x-cache"] == "HIT":
            break
        await trio.sleep(0.01)
    assert "HIT" == again.headers["x-cache"]
    assert again.headers["age"].isdigit()
    assert first.json() == again.json()
