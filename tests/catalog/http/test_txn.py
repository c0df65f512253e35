"""Transactions over HTTP."""

from __future__ import annotations

import base64


def kv(verb: str, key: str, value: bytes = b"", **more):
    return {"KV": {"Verb": verb, "Key": key, "Value": base64.b64encode(value).decode(), **more}}


async def commit(web, *operations, status: int = 200):
    answer = await web.put("txn", json=list(operations))
    assert status == answer.status_code, answer.text
    return answer.json()


async def test_all_is_done(web):
    """What was written comes back without its value, what was read with it."""
    found = await commit(web, kv("set", "a", b"1"), kv("get", "a"), kv("check-not-exists", "b"))

    assert found["Errors"] is None
    written, read = found["Results"]
    assert ("a", None) == (written["KV"]["Key"], written["KV"]["Value"])
    assert base64.b64encode(b"1").decode() == read["KV"]["Value"]


async def test_or_nothing(web):
    """409, with the operation that stood in the way."""
    found = await commit(web, kv("set", "a", b"1"), kv("cas", "a", b"2", Index=999), status=409)

    assert found["Results"] is None
    assert [1] == [one["OpIndex"] for one in found["Errors"]]
    assert 404 == (await web.get("kv/a")).status_code


async def test_every_verb_of_keys_works(web):
    """In order, each seeing what came before."""
    session = (await web.put("session/create")).json()["ID"]
    await commit(web, kv("set", "t/a"), kv("set", "t/b"), kv("set", "c", b"x"))
    index = (await web.get("kv/c")).json()[0]["ModifyIndex"]

    found = await commit(
        web,
        kv("check-index", "c", Index=index),
        kv("lock", "l", Session=session),
        kv("check-session", "l", Session=session),
        kv("unlock", "l", Session=session),
        kv("get-tree", "t/"),
        kv("get-or-empty", "none"),
        kv("delete", "t/a"),
        kv("delete-tree", "t/"),
        kv("delete-cas", "c", Index=index),
    )

    assert {"t/a", "t/b"} <= {one["KV"]["Key"] for one in found["Results"]}
    assert ["l"] == (await web.get("kv/?keys")).json()


async def test_nodes_services_and_checks_go_along(web):
    """With their own shapes."""
    node = {"Node": "x", "Address": "10.0.0.1"}
    service = {"Service": "web", "ID": "web1", "Port": 80}
    check = {"Node": "x", "CheckID": "c", "Name": "C", "Status": "passing", "ServiceID": "web1"}

    found = await commit(
        web,
        {"Node": {"Verb": "set", "Node": node}},
        {"Service": {"Verb": "set", "Node": "x", "Service": service}},
        {"Check": {"Verb": "set", "Check": check}},
        {"Check": {"Verb": "get", "Check": {"Node": "x", "CheckID": "c"}}},
    )

    assert ["Node", "Service", "Check", "Check"] == [next(iter(one)) for one in found["Results"]]
    assert 1 == len((await web.get("health/service/web?passing")).json())
    await commit(web, {"Node": {"Verb": "delete", "Node": {"Node": "x"}}})
    assert [] == (await web.get("health/service/web")).json()


NONSENSE = [
    ({}, 400),
    ([{}], 400),
    ([{"KV": {"Verb": "explode", "Key": "a"}}], 400),
    ([{"KV": {"Verb": "set", "Key": "a", "Value": "?"}}], 400),
    ([{"KV": {"Verb": "set", "Key": ""}}], 400),
    ([kv("set", "a")] * 129, 413),
    ([kv("set", "a", bytes(300_000))] * 2, 413),
]


async def test_nonsense_is_refused(web):
    """And nothing is done."""
    for body, status in NONSENSE:
        assert status == (await web.put("txn", json=body)).status_code
    assert 404 == (await web.get("kv/a")).status_code


async def test_nothing_to_do_is_done(web):
    """Null twice, as Consul says it."""
    assert {"Results": None, "Errors": None} == await commit(web)
