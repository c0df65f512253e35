"""Prepared queries over HTTP."""

from __future__ import annotations


async def create(web, **body) -> str:
    answer = await web.post("query", json=body)
    assert 200 == answer.status_code, answer.text
    query: str = answer.json()["ID"]
    return query


async def test_a_query_is_kept_changed_and_forgotten(web):
    """Clients send lower case, and an empty template."""
    query = await create(
        web,
        name="near",
        service={"service": "web", "onlypassing": True, "tags": ["a", "!b"]},
        template={"type": "", "regexp": ""},
        dns={"ttl": "10s"},
    )

    (found,) = (await web.get(f"query/{query}")).json()
    assert ("near", "web", True, ["a", "!b"], "10s") == (
        found["Name"],
        found["Service"]["Service"],
        found["Service"]["OnlyPassing"],
        found["Service"]["Tags"],
        found["DNS"]["TTL"],
    )
    assert [query] == [one["ID"] for one in (await web.get("query")).json()]
    changed = await web.put(f"query/{query}", json={"Name": "far", "Service": {"Service": "web"}})
    assert (200, b"") == (changed.status_code, changed.content)
    assert "far" == (await web.get(f"query/{query}")).json()[0]["Name"]
    assert 200 == (await web.delete(f"query/{query}")).status_code
    assert 404 == (await web.get(f"query/{query}")).status_code


async def test_a_query_gives_instances_by_id_and_by_name(web):
    """In the shape of health, with what DNS needs."""
    for number in "12":
        body = {"name": "web", "id": f"web{number}", "port": 80}
        await web.put("agent/service/register", json=body)
    query = await create(web, Name="near", Service={"Service": "web"}, DNS={"TTL": "9s"})

    for name in (query, "near"):
        found = (await web.get(f"query/{name}/execute")).json()
        assert ("web", {"TTL": "9s"}, "dc1", 2) == (
            found["Service"],
            found["DNS"],
            found["Datacenter"],
            len(found["Nodes"]),
        )
        assert {"Node", "Service", "Checks"} == set(found["Nodes"][0])
    assert 1 == len((await web.get("query/near/execute?limit=1&near=_agent")).json()["Nodes"])


async def test_a_template_answers_to_every_name_with_its_prefix(web):
    """And is explained with the name filled in."""
    await create(
        web,
        Name="geo-",
        Template={"Type": "name_prefix_match"},
        Service={"Service": "${name.suffix}"},
    )

    found = (await web.get("query/geo-web/explain")).json()

    assert "web" == found["Query"]["Service"]["Service"]


async def test_unknown_queries_are_404(web):
    """In Consul's words."""
    for path in ("query/none", "query/none/execute", "query/none/explain"):
        answer = await web.get(path)
        assert (404, "Query not found") == (answer.status_code, answer.text)
    assert 404 == (await web.put("query/none", json={"Service": {"Service": "x"}})).status_code
    assert 400 == (await web.post("query", json={"Name": "x"})).status_code
