"""Sessions over HTTP."""

from __future__ import annotations

KEYS = {
    "ID",
    "Name",
    "Node",
    "LockDelay",
    "Behavior",
    "TTL",
    "NodeChecks",
    "ServiceChecks",
    "CreateIndex",
    "ModifyIndex",
}


async def create(web, **body) -> str:
    answer = await web.put("session/create", json=body)
    assert 200 == answer.status_code, answer.text
    session: str = answer.json()["ID"]
    return session


async def test_a_session_has_consuls_fields_and_defaults(web):
    """It stands on its node's health, and delays locks for 15 s."""
    session = await create(web)

    (found,) = (await web.get(f"session/info/{session}")).json()

    assert set(found) == KEYS
    assert ("n1", "release", "", 15_000_000_000) == (
        found["Node"],
        found["Behavior"],
        found["TTL"],
        found["LockDelay"],
    )
    assert ["serfHealth"] == found["NodeChecks"]


async def test_what_a_client_says_is_kept(web):
    """Keys in any case, durations in Go's notation."""
    session = await create(web, name="me", behavior="delete", ttl="90s", lockdelay="1s", checks=[])

    (found,) = (await web.get(f"session/info/{session}")).json()

    assert ("me", "delete", "90s", 10**9, []) == (
        found["Name"],
        found["Behavior"],
        found["TTL"],
        found["LockDelay"],
        found["NodeChecks"],
    )


async def test_a_small_lock_delay_means_seconds(web):
    """Consul's rule for numbers."""
    session = await create(web, LockDelay=5)

    (found,) = (await web.get(f"session/info/{session}")).json()

    assert 5 * 10**9 == found["LockDelay"]


async def test_sessions_are_listed_for_all_and_for_a_node(web):
    """An unknown node has none."""
    session = await create(web)

    for path in ("session/list", "session/node/n1"):
        assert [session] == [one["ID"] for one in (await web.get(path)).json()]
    assert [] == (await web.get("session/node/other")).json()


async def test_a_session_is_renewed_until_it_is_destroyed(web):
    """Then it is 404; destroying it once more is fine."""
    session = await create(web, TTL="10s")

    assert session == (await web.put(f"session/renew/{session}")).json()[0]["ID"]
    for _ in range(2):
        assert (await web.put(f"session/destroy/{session}")).json() is True
    answer = await web.put(f"session/renew/{session}")
    assert (404, f"Session id '{session}' not found") == (answer.status_code, answer.text)
    assert [] == (await web.get(f"session/info/{session}")).json()


NONSENSE = [{"TTL": "soon"}, {"Behavior": "explode"}, {"LockDelay": "5m"}, [1]]


async def test_a_session_that_makes_no_sense_is_refused(web):
    """400, and there is none."""
    for body in NONSENSE:
        assert 400 == (await web.put("session/create", json=body)).status_code, body
    assert [] == (await web.get("session/list")).json()


async def test_a_session_on_an_unknown_node_is_refused(web):
    """As with Consul an error of the servers."""
    answer = await web.put("session/create", json={"Node": "nowhere"})

    assert 500 == answer.status_code
    assert "nowhere" in answer.text


async def test_a_ttl_out_of_bounds_is_refused_in_consuls_words(web):
    """Clients that choose their own look for them."""
    answer = await web.put("session/create", json={"TTL": "1s"})

    assert 500 == answer.status_code
    assert answer.text.startswith("Invalid Session TTL")
