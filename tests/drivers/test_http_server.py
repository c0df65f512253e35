"""HTTP on a loopback port: limits, waiting clients, a prompt stop."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import httpx
import pytest
import trio

import catalog.http.server
from catalog.agent import open_catalog
from catalog.config import AgentConfig
from catalog.errors import StartError
from catalog.http.app import build_app
from catalog.http.calls import Site
from catalog.http.server import serve_http
from quorum import Config


@pytest.fixture
async def agent():
    """A server that leads; quick to elect itself."""
    config = AgentConfig(
        "n1",
        server=True,
        bind="127.0.0.1:0",
        bootstrap_expect=1,
        raft=Config(heartbeat=0.02, election_timeout=0.15, disk_grace=2.0),
    )
    async with open_catalog(config) as agent:
        await agent.wait_leader()
        yield agent


@pytest.fixture
async def address(agent, nursery):
    """Where its HTTP interface listens."""
    return await nursery.start(serve_http, build_app(Site(agent, "n1", "dc1")), "127.0.0.1:0")


CLOSING = b"GET /v1/status/leader HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def client(address) -> httpx.AsyncClient:
    host, port = address
    return httpx.AsyncClient(
        base_url=f"http://{host}:{port}/v1/", trust_env=False, verify=False, timeout=10.0
    )


async def exchange(address, data: bytes) -> bytes:
    """Send bytes over a connection of its own; return all that comes back."""
    answer = b""
    async with await trio.open_tcp_stream(*address) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(send, stream, data)
        with trio.move_on_after(5), suppress(trio.BrokenResourceError):
            while part := await stream.receive_some():
                answer += part
        nursery.cancel_scope.cancel()
    return answer


async def send(stream: trio.SocketStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # the other end has heard enough
        await stream.send_all(data)


async def test_keys_go_in_and_out(address):
    """Over one connection that is kept."""
    async with client(address) as web:
        for number in range(20):
            assert (await web.put("kv/a", content=b"%d" % number)).json() is True
        assert b"19" == (await web.get("kv/a?raw")).content


@pytest.mark.parametrize(
    ("path", "size"), [("kv/a", 524289), ("session/create", 3 * 1024 * 1024)], ids=["kv", "json"]
)
async def test_a_body_over_the_limit_is_refused(address, path, size):
    """413 for a value and for JSON, however much is still to come."""
    head = f"PUT /v1/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {size}"

    answer = await exchange(address, head.encode() + b"\r\n\r\n" + bytes(size))

    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_client_that_hangs_up_frees_its_place(agent, address):
    """Whoever waited for news is not waited for."""
    async with client(address) as web:
        index = (await web.get("kv/x")).headers["X-Consul-Index"]
        with trio.move_on_after(0.1):
            await web.get("kv/x", params={"index": index, "wait": "600s"})
    with trio.fail_after(5):
        async with client(address) as web:
            assert (await web.put("kv/x", content=b"1")).json() is True


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /v1/kv/a HTTP/1.1\r\n" + b"x: " + b"y" * 40_000 + b"\r\n\r\n",
        b"PUT /v1/kv/a HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_closed(address, data):
    """And the next one is served."""
    answer = await exchange(address, data)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    async with client(address) as web:
        assert 200 == (await web.get("status/leader")).status_code


async def test_one_client_cannot_take_all_connections(address, monkeypatch):
    """One more is told so, and closed."""
    monkeypatch.setattr(catalog.http.server, "CLIENT_CONNECTIONS_MAX", 3)
    streams = [await trio.open_tcp_stream(*address) for _ in range(3)]
    await trio.sleep(0.1)

    assert (await exchange(address, b"")).startswith(b"HTTP/1.1 429")

    for stream in streams:
        await stream.aclose()
    answers = []
    for _ in range(100):
        answers.append(await exchange(address, CLOSING))
        if answers[-1].startswith(b"HTTP/1.1 200"):
            return
        await trio.sleep(0.05)
    pytest.fail(f"no place became free: {answers[-1]!r}")


async def test_a_stop_is_prompt(agent):
    """Whoever waits for news, or does not read, is cut off."""
    async with trio.open_nursery() as nursery:
        app = build_app(Site(agent, "n1", "dc1"))
        address = await nursery.start(serve_http, app, "127.0.0.1:0")
        async with client(address) as web:
            await web.put("kv/a", content=bytes(500_000))
            index = (await web.get("kv/a")).headers["X-Consul-Index"]
        waiting = await trio.open_tcp_stream(*address)
        await waiting.send_all(f"GET /v1/kv/a?index={index} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        lazy = await trio.open_tcp_stream(*address)
        await lazy.send_all(b"GET /v1/kv/a?raw HTTP/1.1\r\nhost: x\r\n\r\n" * 40)
        await trio.sleep(0.3)
        with trio.fail_after(2):
            nursery.cancel_scope.cancel()
            await trio.lowlevel.checkpoint_if_cancelled()
    await waiting.aclose()
    await lazy.aclose()


async def test_a_port_that_is_taken_is_said(agent, address):
    """With the address."""
    app = build_app(Site(agent, "n1", "dc1"))

    with pytest.raises(StartError, match=str(address[1])):
        await serve_http(app, f"127.0.0.1:{address[1]}")


async def test_snapshots_go_out_and_in(address):
    """Compressed; garbage is refused and changes nothing."""
    async with client(address) as web:
        await web.put("kv/a", content=b"before")
        saved = await web.get("snapshot")
        assert b"\x1f\x8b" == saved.content[:2]
        await web.put("kv/a", content=b"after")

        assert 200 == (await web.put("snapshot", content=saved.content)).status_code
        assert b"before" == (await web.get("kv/a?raw")).content
        for garbage in (b"", b"garbage", saved.content[:-9]):
            assert 400 == (await web.put("snapshot", content=garbage)).status_code
        assert b"before" == (await web.get("kv/a?raw")).content


async def test_a_change_wakes_a_reader_through_the_port(address):
    """Within moments."""
    answers = []
    async with client(address) as web, trio.open_nursery() as nursery:
        index = (await web.get("kv/new")).headers["X-Consul-Index"]

        async def wait():
            answers.append(await web.get("kv/new", params={"index": index, "wait": "9s"}))

        nursery.start_soon(wait)
        await trio.sleep(0.1)
        began = trio.current_time()
        await web.put("kv/new", content=b"1")

    assert trio.current_time() - began < 2.0
    assert 200 == answers[0].status_code


async def test_many_readers_that_wait_do_not_stop_the_others(address):
    """Each connection waits by itself."""
    async with trio.open_nursery() as nursery:
        for number in range(30):
            web = await _entered(client(address))
            nursery.start_soon(partial(web.get, f"kv/other{number}?index=99999&wait=60s"))
        await trio.sleep(0.3)
        async with client(address) as web:
            with trio.fail_after(5):
                assert 200 == (await web.get("catalog/nodes")).status_code
        nursery.cancel_scope.cancel()


async def _entered(web: httpx.AsyncClient) -> httpx.AsyncClient:
    await web.__aenter__()
    return web
