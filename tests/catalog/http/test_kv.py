"""Keys and values over HTTP."""

from __future__ import annotations

import base64

import trio

HEADERS = {
    "x-consul-index",
    "x-consul-knownleader",
    "x-consul-lastcontact",
    "x-consul-effective-consistency",
    "x-consul-query-backend",
    "x-consul-default-acl-policy",
}


async def put(web, path: str, body: bytes = b"", **params):
    """What a PUT answers, as JSON."""
    answer = await web.put(path, content=body, params=params)
    assert 200 == answer.status_code, answer.text
    return answer.json()


async def test_a_key_is_read_as_it_was_written(web):
    """With Consul's fields and headers, and no others."""
    assert await put(web, "kv/a/b", b"one", flags=7) is True

    answer = await web.get("kv/a/b")

    index = int(answer.headers["X-Consul-Index"])
    assert [
        {
            "LockIndex": 0,
            "Key": "a/b",
            "Flags": 7,
            "Value": base64.b64encode(b"one").decode(),
            "CreateIndex": index,
            "ModifyIndex": index,
        }
    ] == answer.json()
    assert set(answer.headers) >= HEADERS


async def test_an_empty_value_is_null(web):
    """And a raw one has no bytes."""
    await put(web, "kv/a")

    assert (await web.get("kv/a")).json()[0]["Value"] is None
    assert b"" == (await web.get("kv/a?raw")).content


async def test_a_key_that_is_not_there_is_404_with_an_index(web):
    """Clients wait on it for the key to come."""
    for query in ("kv/x", "kv/x?recurse", "kv/x?keys"):
        answer = await web.get(query)
        assert (404, b"") == (answer.status_code, answer.content)
        assert int(answer.headers["X-Consul-Index"]) > 0


async def test_a_raw_value_is_bytes_that_no_browser_runs(web):
    """Whatever they are."""
    await put(web, "kv/page", b"<script>")

    answer = await web.get("kv/page?raw")

    assert b"<script>" == answer.content
    assert "sandbox" == answer.headers["content-security-policy"]
    assert "nosniff" == answer.headers["x-content-type-options"]


async def test_keys_are_listed_up_to_a_separator(web):
    """Also with the spelling that an old client has."""
    for key in ("a/b", "a/c/d", "a/c/e", "z"):
        await put(web, f"kv/{key}")

    assert ["a/b", "a/c/"] == (await web.get("kv/a/?keys&separator=/")).json()
    assert ["a/", "z"] == (await web.get("kv/?keys&seperator=/")).json()
    assert ["a/b", "a/c/d", "a/c/e"] == [
        one["Key"] for one in (await web.get("kv/a?recurse")).json()
    ]


async def test_the_keys_of_an_empty_store_are_an_empty_list(web):
    """At the root there is always a list."""
    answer = await web.get("kv/?keys")

    assert (200, []) == (answer.status_code, answer.json())


async def test_cas_answers_whether_it_was_done(web):
    """0: only if there is none."""
    assert await put(web, "kv/a", b"1", cas=0) is True
    assert await put(web, "kv/a", b"2", cas=0) is False
    index = (await web.get("kv/a")).json()[0]["ModifyIndex"]
    assert await put(web, "kv/a", b"3", cas=index) is True
    assert (await web.delete(f"kv/a?cas={index}")).json() is False
    assert b"3" == (await web.get("kv/a?raw")).content


async def test_deletion_of_a_prefix_takes_all_below(web):
    """And the root everything."""
    for key in ("a/b", "a/c", "z"):
        await put(web, f"kv/{key}")

    assert (await web.delete("kv/a/?recurse")).json() is True
    assert ["z"] == (await web.get("kv/?keys")).json()
    assert (await web.delete("kv/?recurse")).json() is True
    assert [] == (await web.get("kv/?keys")).json()


async def test_a_lock_has_one_holder(web):
    """Acquired, refused to another, released by its holder only."""
    one, two = [(await put(web, "session/create"))["ID"] for _ in range(2)]

    assert await put(web, "kv/lock", b"x", acquire=one) is True
    assert await put(web, "kv/lock", b"y", acquire=two) is False
    held = (await web.get("kv/lock")).json()[0]
    assert (one, 1) == (held["Session"], held["LockIndex"])
    assert await put(web, "kv/lock", b"y", release=two) is False
    assert await put(web, "kv/lock", b"x", release=one) is True
    assert "Session" not in (await web.get("kv/lock")).json()[0]
    assert await put(web, "kv/none", release=one) is False


async def test_an_unknown_session_cannot_acquire(web):
    """An error, and not just `false`."""
    answer = await web.put("kv/lock", params={"acquire": "nobody"})

    assert (500, 'invalid session "nobody"') == (answer.status_code, answer.text)


async def test_a_reader_waits_for_news(web):
    """And is answered within moments of the write, with a higher index."""
    await put(web, "kv/a", b"1")
    index = int((await web.get("kv/a")).headers["X-Consul-Index"])
    answers = []

    async def wait():
        answers.append(await web.get("kv/a", params={"index": index, "wait": "10s"}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(0.05)
        assert not answers
        await put(web, "kv/a", b"2")

    assert b"2" == base64.b64decode(answers[0].json()[0]["Value"])
    assert int(answers[0].headers["X-Consul-Index"]) > index


async def test_a_reader_that_waits_in_vain_gets_the_same_again(web):
    """After its own time."""
    await put(web, "kv/a", b"1")
    index = (await web.get("kv/a")).headers["X-Consul-Index"]

    answer = await web.get("kv/a", params={"index": index, "wait": "20ms"})

    assert index == answer.headers["X-Consul-Index"]


NONSENSE = [
    ("PUT", "kv/", 400),
    ("GET", "kv/", 400),
    ("DELETE", "kv/", 400),
    ("PUT", "kv/a?cas=x", 400),
    ("PUT", "kv/a?flags=-1", 400),
    ("PUT", "kv/a?cas=1&acquire=s", 400),
    ("PUT", "kv/a?acquire=", 400),
    ("DELETE", "kv/a?recurse&cas=1", 400),
    ("GET", "kv/a?index=-1", 400),
    ("GET", "kv/a?stale&consistent", 400),
    ("GET", "kv/" + "k" * 2000, 400),
    ("GET", "kv/a?dc=elsewhere", 500),
    ("POST", "kv/a", 405),
]


async def test_nonsense_is_refused_with_a_sentence(web):
    """Plain text, and nothing was changed."""
    for method, path, status in NONSENSE:
        answer = await web.request(method, path)

        assert status == answer.status_code, path
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.text
    assert [] == (await web.get("kv/?keys")).json()


async def test_a_value_may_have_512_kib(web):
    """Consul's limit."""
    assert await put(web, "kv/a", bytes(524288)) is True
