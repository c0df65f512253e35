"""The catalog over HTTP."""

from __future__ import annotations

from catalog.server.reconcile import SERVERS

CATALOG_SERVICE = {
    "ID",
    "Node",
    "Address",
    "Datacenter",
    "TaggedAddresses",
    "NodeMeta",
    "ServiceKind",
    "ServiceID",
    "ServiceName",
    "ServiceTags",
    "ServiceAddress",
    "ServiceTaggedAddresses",
    "ServiceWeights",
    "ServiceMeta",
    "ServicePort",
    "ServiceSocketPath",
    "ServiceEnableTagOverride",
    "ServiceProxy",
    "ServiceConnect",
    "CreateIndex",
    "ModifyIndex",
}


async def register(web, **body) -> None:
    answer = await web.put("catalog/register", json=body)
    assert (200, True) == (answer.status_code, answer.json()), answer.text


async def external(web, **more) -> None:
    """A node outside with a service and a check of it."""
    await register(
        web,
        Datacenter="dc1",
        Node="ext",
        Address="10.0.0.9",
        NodeMeta={"rack": "r1"},
        Service={"Service": "db", "ID": "db1", "Tags": ["a", "b"], "Port": 5432},
        Check={"CheckID": "db-up", "Status": "passing", "ServiceID": "db1", "Output": "fine"},
        **more,
    )


async def test_a_node_from_outside_is_entered_with_its_service_and_check(web):
    """In one call."""
    await external(web)

    (found,) = (await web.get("catalog/service/db")).json()

    assert set(found) == CATALOG_SERVICE
    assert ("ext", "10.0.0.9", "db1", 5432, ["a", "b"], {"rack": "r1"}) == (
        found["Node"],
        found["Address"],
        found["ServiceID"],
        found["ServicePort"],
        found["ServiceTags"],
        found["NodeMeta"],
    )
    (check,) = (await web.get("health/checks/db")).json()
    assert ("db-up", "passing", "fine") == (check["CheckID"], check["Status"], check["Output"])


async def test_nodes_are_listed_by_name_and_by_metadata(web):
    """With Consul's fields."""
    await external(web)

    found = (await web.get("catalog/nodes")).json()

    assert ["ext", "n1"] == [one["Node"] for one in found]
    assert {
        "ID",
        "Node",
        "Address",
        "Datacenter",
        "TaggedAddresses",
        "Meta",
        "CreateIndex",
        "ModifyIndex",
    } == set(found[0])
    some = (await web.get("catalog/nodes?node-meta=rack:r1")).json()
    assert ["ext"] == [one["Node"] for one in some]


async def test_services_are_listed_with_their_tags(web):
    """A filter looks at instances."""
    await external(web)
    await web.put("agent/service/register", json={"name": "web"})

    found = (await web.get("catalog/services")).json()
    found.pop(SERVERS, None)  # the leader writes it when it gets round to it
    assert {"db": ["a", "b"], "web": []} == found
    answer = await web.get("catalog/services", params={"filter": "ServiceName == web"})
    assert {"web": []} == answer.json()


async def test_tags_narrow_a_list_together(web):
    """All of them must be there; a peer has nothing."""
    await external(web)

    for query, count in (("tag=a", 1), ("tag=a&tag=b", 1), ("tag=a&tag=c", 0), ("peer=x", 0)):
        assert count == len((await web.get(f"catalog/service/db?{query}")).json())


async def test_a_node_comes_with_its_services_by_id(web):
    """An unknown one is null."""
    await external(web)

    found = (await web.get("catalog/node/ext")).json()
    assert "ext" == found["Node"]["Node"]
    assert ["db1"] == list(found["Services"])
    nothing = await web.get("catalog/node/ext", params={"filter": "Port == 1"})
    assert {} == nothing.json()["Services"]
    listed = (await web.get("catalog/node-services/ext")).json()
    assert ["db1"] == [one["ID"] for one in listed["Services"]]
    unknown = await web.get("catalog/node/none")
    assert (200, None) == (unknown.status_code, unknown.json())


async def test_deregistration_takes_a_check_a_service_or_all(web):
    """What is gone already is fine."""
    await external(web)

    for body in ({"CheckID": "db-up"}, {"ServiceID": "db1"}, {}, {}):
        answer = await web.put("catalog/deregister", json={"Node": "ext", **body})
        assert (200, True) == (answer.status_code, answer.json())

    assert ["n1"] == [one["Node"] for one in (await web.get("catalog/nodes")).json()]


async def test_an_agents_node_keeps_what_a_body_cannot_say(web):
    """A server that somebody describes anew is a server still."""
    await register(web, Node="n1", Address="127.0.0.1", NodeMeta={"k": "v"})

    found = (await web.get("catalog/nodes?filter=Meta.k==v")).json()

    assert ["n1"] == [one["Node"] for one in found]


async def test_there_is_one_data_centre(web):
    """And no mesh."""
    assert ["dc1"] == (await web.get("catalog/datacenters")).json()
    for path in ("catalog/connect/web", "health/connect/web", "catalog/gateway-services/g"):
        answer = await web.get(path)
        assert [] == answer.json()
        assert answer.headers["X-Consul-Index"]


NONSENSE = [
    {"Node": "x"},
    {"Address": "10.0.0.1"},
    {"Node": "x", "Address": "10.0.0.1", "Service": {}},
    {"Node": "x", "Address": "10.0.0.1", "Check": {"Name": "c", "Status": "fine"}},
    {"Node": "x", "Address": "10.0.0.1", "Check": {"Status": "passing"}},
    {"Node": "a b", "Address": "10.0.0.1"},
]


async def test_nonsense_is_refused_whole(web):
    """Also the part that made sense."""
    for body in NONSENSE:
        answer = await web.put("catalog/register", json=body)
        assert 400 == answer.status_code, (body, answer.text)
    assert 1 == len((await web.get("catalog/nodes")).json())


async def test_a_filter_that_makes_no_sense_is_refused(web):
    """With the place where it stops making sense."""
    assert 400 == (await web.get("catalog/nodes?filter=Node+==")).status_code
