"""Where nodes are, in round trip times: `/v1/coordinate/...`."""

from __future__ import annotations

from starlette.responses import Response

from catalog.commands import SetCoordinates
from catalog.http.answers import empty
from catalog.http.asking import read, select, write
from catalog.http.bodies import Fields, read_fields
from catalog.http.calls import Call
from catalog.http.shapes import coordinate
from catalog.http.trouble import Trouble
from catalog.model import Coordinate, Role
from catalog.requests import Coordinates, Members

__all__ = ["datacenters", "node", "nodes", "update"]

ORIGIN = (0.0,) * 8
"""Where a node is before anything was measured."""


async def datacenters(call: Call) -> Response:
    """Return the servers' places, by data centre."""
    found, _ = await read(call, Coordinates())
    known = {one.node: one for one in found}
    places = [
        coordinate(known.get(one.name) or Coordinate(one.name, ORIGIN))
        for one in await call.ask(Members())
        if one.role is Role.SERVER
    ]
    area = {
        "Datacenter": call.site.datacenter,
        "AreaID": "wan",
        "Coordinates": [{"Node": place["Node"], "Coord": place["Coord"]} for place in places],
    }
    return call.json([area])


async def nodes(call: Call) -> Response:
    """Return the places of all nodes that have one."""
    found, headers = await read(call, Coordinates())
    return call.json(select(call, map(coordinate, found)), headers=headers)


async def node(call: Call) -> Response:
    """Return the place of one node, in a list."""
    name = call.part("node", missing="Missing node name")
    found, headers = await read(call, Coordinates(name))
    if not found:
        raise Trouble(404, "")
    return call.json([coordinate(one) for one in found], headers=headers)


async def update(call: Call) -> Response:
    """Record where a node is."""
    fields = await read_fields(call.request)
    await write(call, SetCoordinates((_coordinate(fields),)))
    return empty()


def _coordinate(fields: Fields) -> Coordinate:
    place = fields.object("Coord")
    return Coordinate(
        fields.text("Node"),
        place.reals("Vec"),
        error=place.real("Error"),
        adjustment=place.real("Adjustment"),
        height=place.real("Height"),
        segment=fields.text("Segment"),
    )
