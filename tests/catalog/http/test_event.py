"""User events over HTTP."""

from __future__ import annotations

import base64

import trio


async def test_an_event_is_fired_and_remembered(web):
    """With Consul's fields; the index tells a new list from the old."""
    before = (await web.get("event/list")).headers["X-Consul-Index"]
    fired = (await web.put("event/fire/deploy", content=b"v2")).json()
    with trio.fail_after(5):
        answer = await web.get("event/list", params={"index": before, "wait": "5s"})

    (found,) = answer.json()
    assert {
        "ID",
        "Name",
        "Payload",
        "NodeFilter",
        "ServiceFilter",
        "TagFilter",
        "Version",
        "LTime",
    } == set(found)
    assert (fired["ID"], "deploy", b"v2") == (
        found["ID"],
        found["Name"],
        base64.b64decode(found["Payload"]),
    )
    assert answer.headers["X-Consul-Index"] != before
    assert [] == (await web.get("event/list?name=other")).json()


async def test_an_event_that_is_too_big_is_refused(web):
    """413, or 400 where the name alone is."""
    assert 400 == (await web.put("event/fire/" + "n" * 300)).status_code
