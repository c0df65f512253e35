"""The agent's services and checks over HTTP."""

from __future__ import annotations

import pytest
import trio


async def register(web, **body) -> None:
    answer = await web.put("agent/service/register", json=body)
    assert (200, b"") == (answer.status_code, answer.content), answer.text


async def status_of(web, check: str) -> tuple[str, str]:
    found = (await web.get("agent/checks")).json()[check]
    return found["Status"], found["Output"]


async def test_a_bare_service_has_exactly_these_fields(web):
    """Clients compare the whole object."""
    await register(web, name="web")

    assert {
        "web": {
            "ID": "web",
            "Service": "web",
            "Tags": [],
            "Meta": {},
            "Port": 0,
            "Address": "",
            "Weights": {"Passing": 1, "Warning": 1},
            "EnableTagOverride": False,
            "Datacenter": "dc1",
        }
    } == (await web.get("agent/services")).json()


async def test_a_full_service_comes_back_whole(web):
    """Keys in any case and spelling."""
    await register(
        web,
        Name="web",
        id="web#1:2",
        address="10.0.0.1",
        PORT=80,
        tags=["a"],
        meta={"K": "v"},
        weights={"passing": 5, "Warning": 2},
        tagged_addresses={"lan": {"address": "10.0.0.2", "port": 81}},
        enable_tag_override=True,
    )

    found = (await web.get("agent/service/web%231:2")).json()

    assert found.pop("ContentHash")
    assert {
        "ID": "web#1:2",
        "Service": "web",
        "Tags": ["a"],
        "Meta": {"K": "v"},
        "Port": 80,
        "Address": "10.0.0.1",
        "TaggedAddresses": {"lan": {"Address": "10.0.0.2", "Port": 81}},
        "Weights": {"Passing": 5, "Warning": 2},
        "EnableTagOverride": True,
        "Datacenter": "dc1",
    } == found


async def test_a_read_with_the_hash_waits_until_the_service_is_another_one(web, nursery):
    """What is not shown, as a check, ends no wait; a former hash is answered at once."""
    await register(web, name="web", port=1)
    before = (await web.get("agent/service/web")).json()
    answers = []

    async def read() -> None:
        answers.append((await web.get(f"agent/service/web?hash={before['ContentHash']}")).json())

    nursery.start_soon(read)
    await trio.sleep(0.1)
    await register(web, name="web", port=1, check={"ttl": "10s"})
    await trio.sleep(0.1)
    assert [] == answers
    await register(web, name="web", port=2)
    with trio.fail_after(5):
        while not answers:  # noqa: ASYNC110 - nobody rings for it
            await trio.sleep(0.01)
        again = await web.get(f"agent/service/web?hash={before['ContentHash']}")

    assert (1, [2]) == (before["Port"], [one["Port"] for one in answers])
    assert answers == [again.json()]
    assert again.json()["ContentHash"] == again.headers["X-Consul-ContentHash"]
    assert before["ContentHash"] != again.json()["ContentHash"]


async def test_a_read_with_the_hash_ends_with_its_time_or_with_the_service(web):
    """The service as it was; or that there is none."""
    await register(web, name="web")
    before = (await web.get("agent/service/web")).json()
    params = {"hash": before["ContentHash"], "wait": "50ms"}
    statuses = []

    async def read() -> None:
        answer = await web.get("agent/service/web", params=params | {"wait": "60s"})
        statuses.append(answer.status_code)

    with trio.fail_after(5):
        assert before == (await web.get("agent/service/web", params=params)).json()
        async with trio.open_nursery() as waiting:
            waiting.start_soon(read)
            await trio.sleep(0.1)
            assert [] == statuses
            await web.put("agent/service/deregister/web")

    assert [404] == statuses


async def test_a_registration_is_seen_in_health_at_once(web):
    """The answer comes when the catalog has it."""
    await register(web, name="web", check={"ttl": "10s", "status": "passing"})

    (found,) = (await web.get("health/service/web?passing")).json()

    assert ["serfHealth", "service:web"] == [one["CheckID"] for one in found["Checks"]]


async def test_checks_of_a_service_are_numbered(web):
    """Consul's ids, which clients report to."""
    await register(web, name="web", checks=[{"ttl": "9s"}, {"ttl": "9s"}])

    assert {"service:web:1", "service:web:2"} == set((await web.get("agent/checks")).json())


@pytest.mark.parametrize(
    ("verb", "status"), [("pass", "passing"), ("warn", "warning"), ("fail", "critical")]
)
async def test_an_application_reports_to_its_check(web, verb, status):
    """With a note that becomes the output."""
    await register(web, name="web", check={"ttl": "10s"})

    answer = await web.put(f"agent/check/{verb}/service:web?note=so")

    assert (200, b"") == (answer.status_code, answer.content)
    assert (status, "so") == await status_of(web, "service:web")


async def test_a_report_can_come_in_a_body(web):
    """With the status in it."""
    await register(web, name="web", check={"ttl": "10s"})
    body = {"Status": "passing", "Output": "x" * 5000}

    assert 200 == (await web.put("agent/check/update/service:web", json=body)).status_code
    assert ("passing", "x" * 4096) == await status_of(web, "service:web")
    wrong = await web.put("agent/check/update/service:web", json={"Status": "fine"})
    assert 400 == wrong.status_code


async def test_a_check_can_be_registered_by_itself(web):
    """Of the node or of a service; it is critical until somebody says otherwise."""
    await register(web, name="web")
    for body in ({"name": "disk", "ttl": "10s"}, {"id": "x", "name": "X", "ttl": "10s"}):
        assert 200 == (await web.put("agent/check/register", json=body)).status_code
    body = {"name": "deep", "serviceid": "web", "ttl": "10s", "notes": "n"}
    assert 200 == (await web.put("agent/check/register", json=body)).status_code

    found = (await web.get("agent/checks")).json()

    assert {"disk", "x", "deep"} == set(found)
    assert ("web", "n", "critical", "ttl") == (
        found["deep"]["ServiceID"],
        found["deep"]["Notes"],
        found["deep"]["Status"],
        found["deep"]["Type"],
    )
    assert {"disk", "x", "serfHealth"} == {
        one["CheckID"] for one in (await web.get("health/node/n1")).json() if not one["ServiceID"]
    }
    assert 200 == (await web.put("agent/check/deregister/deep")).status_code
    assert [] == (await web.get("health/checks/web")).json()


async def test_maintenance_takes_a_service_out_and_back_in(web):
    """By a critical check with the reason; Go's spelling of true."""
    await register(web, name="web")

    await web.put("agent/service/maintenance/web?enable=True&reason=because")
    found = (await web.get("agent/checks")).json()["_service_maintenance:web"]
    assert ("critical", "because", "web") == (
        found["Status"],
        found["Notes"],
        found["ServiceID"],
    )
    assert [] == (await web.get("health/service/web?passing=1")).json()

    await web.put("agent/service/maintenance/web?enable=false")
    assert {} == (await web.get("agent/checks")).json()
    assert 1 == len((await web.get("health/service/web?passing")).json())


async def test_maintenance_of_the_node_takes_everything_out(web):
    """Until it ends."""
    await register(web, name="web")

    await web.put("agent/maintenance?enable=true")
    assert [] == (await web.get("health/service/web?passing")).json()
    await web.put("agent/maintenance?enable=false")
    assert 1 == len((await web.get("health/service/web?passing")).json())


async def test_health_for_load_balancers_is_in_the_status(web):
    """200, 429, 503, 404."""
    await register(web, name="web", id="web1", check={"ttl": "10s"})

    for verb, status in (("pass", 200), ("warn", 429), ("fail", 503)):
        await web.put(f"agent/check/{verb}/service:web1")
        for path in ("id/web1", "name/web"):
            answer = await web.get(f"agent/health/service/{path}")
            assert status == answer.status_code
        text = await web.get("agent/health/service/id/web1?format=text")
        assert {200: "passing", 429: "warning", 503: "critical"}[status] == text.text
    assert 404 == (await web.get("agent/health/service/id/none")).status_code
    assert 404 == (await web.get("agent/health/service/name/none")).status_code


async def test_checks_that_are_not_named_again_can_be_removed(web):
    """With replace-existing-checks."""
    await register(web, name="web")
    body = {"name": "old", "serviceid": "web", "ttl": "10s"}
    await web.put("agent/check/register", json=body)

    await web.put("agent/service/register?replace-existing-checks=true", json={"name": "web"})

    assert {} == (await web.get("agent/checks")).json()


NONSENSE = [
    ("agent/service/register", {}, 400),
    ("agent/service/register", {"name": "a b"}, 400),
    ("agent/service/register", {"name": "web", "address": "0.0.0.0"}, 400),
    ("agent/service/register", {"name": "web", "weights": {"passing": 0}}, 400),
    ("agent/service/register", {"name": "web", "check": {"http": "http://x"}}, 400),
    ("agent/service/register", {"name": "web", "check": {"h2ping": "x"}}, 400),
    ("agent/service/register", {"name": "web", "check": {"ttl": "1s", "tcp": "x:1"}}, 400),
    ("agent/service/register", {"name": "web", "port": 70000}, 400),
    ("agent/service/deregister/none", None, 404),
    ("agent/service/maintenance/none?enable=true", None, 404),
    ("agent/service/maintenance/web", None, 400),
    ("agent/maintenance", None, 400),
    ("agent/maintenance?enable=maybe", None, 400),
    ("agent/check/register", {"ttl": "1s"}, 400),
    ("agent/check/register", {"name": "x"}, 400),
    ("agent/check/register", {"name": "x", "ttl": "1s", "serviceid": "none"}, 404),
    ("agent/check/deregister/none", None, 404),
    ("agent/check/pass/none", None, 404),
]


async def test_nonsense_is_refused(web):
    """And nothing is registered."""
    for path, body, status in NONSENSE:
        answer = await web.put(path, json=body)
        assert status == answer.status_code, (path, body, answer.text)
    assert {} == (await web.get("agent/services")).json()


async def test_the_interval_of_a_probe_is_at_least_a_second(web):
    """As with Consul; a number is nanoseconds."""
    await register(web, name="web", check={"tcp": "127.0.0.1:1", "interval": 10})

    assert "1s" == (await web.get("agent/checks")).json()["service:web"]["Interval"]
