"""Coordinates over HTTP."""

from __future__ import annotations

PLACE = {"Adjustment": 0.1, "Error": 1.5, "Height": 0.01, "Vec": [0.5] * 8}


async def test_a_place_is_kept(web):
    """With Consul's fields."""
    body = {"Node": "n1", "Segment": "", "Coord": PLACE}
    assert (200, b"") == (
        (answer := await web.put("coordinate/update", json=body)).status_code,
        answer.content,
    )

    for path in ("coordinate/node/n1", "coordinate/nodes"):
        assert [body] == (await web.get(path)).json()


async def test_servers_have_a_place_from_the_start(web):
    """The origin, until something was measured."""
    (area,) = (await web.get("coordinate/datacenters")).json()

    assert ("dc1", "wan", ["n1"]) == (
        area["Datacenter"],
        area["AreaID"],
        [one["Node"] for one in area["Coordinates"]],
    )


async def test_a_node_without_a_place_is_404(web):
    """An empty answer, as Consul's."""
    assert 404 == (await web.get("coordinate/node/none")).status_code


NONSENSE = [{}, {"Node": "n1", "Coord": {"Vec": ["x"]}}, {"Node": "n1", "Coord": {"Vec": 1}}]


async def test_a_place_that_is_none_is_refused(web):
    """400."""
    for body in NONSENSE:
        assert 400 == (await web.put("coordinate/update", json=body)).status_code, body
