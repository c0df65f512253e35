"""Health checks against real sockets."""

from __future__ import annotations

import sys
from contextlib import suppress
from random import Random

import pytest
import trio

from catalog import HttpCheck, Node, Service, Status, TcpCheck
from catalog.errors import NoLeader
from catalog.node.checks import Checker
from catalog.node.keeper import Keeper

ANSWERS = {
    "/fine": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "/busy": b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n",
    "/away": b"HTTP/1.1 302 Found\r\nLocation: /fine\r\nContent-Length: 0\r\n\r\n",
    "/circle": b"HTTP/1.1 302 Found\r\nLocation: /circle\r\nContent-Length: 0\r\n\r\n",
    "/broken": b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    "/chatty": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000,
    "/rude": b"nonsense\r\n\r\n",
}


@pytest.fixture
async def checker():
    """A checker whose keeper never reaches a catalog."""

    async def ask(request):
        raise NoLeader("none here")

    keeper = Keeper(Node("n", "127.0.0.1"), ask, interval=60, random=Random(1))
    return Checker(keeper, random=Random(1))


@pytest.fixture
async def server(nursery):
    """The base of URLs of an HTTP server of few words."""

    async def serve(stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some(65536)
        path = request.split()[1].decode()
        if path == "/silent":
            await trio.sleep_forever()
        with suppress(trio.BrokenResourceError):
            await stream.send_all(ANSWERS[path])

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    return f"127.0.0.1:{listener.socket.getsockname()[1]}"


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/fine", Status.PASSING, "200 OK: ok"),
        ("/busy", Status.WARNING, "429"),
        ("/away", Status.PASSING, "200 OK: ok"),
        ("/circle", Status.CRITICAL, "redirects"),
        ("/broken", Status.CRITICAL, "500 Oops"),
        ("/chatty", Status.PASSING, "xxx"),
        ("/rude", Status.CRITICAL, "GET http://"),
        ("/silent", Status.CRITICAL, "no answer within 0.2 s"),
    ],
)
async def test_a_get_tells_how_the_service_fares(checker, server, path, status, says):
    """2xx passes, 429 warns, all else is critical; redirects are followed, but not for ever."""
    timeout = 0.2 if path == "/silent" else 10.0
    found, output = await checker.probe(HttpCheck(f"http://{server}{path}", timeout=timeout))

    assert status is found
    assert says in output
    assert len(output) < 5000


async def test_a_connection_tells_whether_somebody_listens(checker, server, unused_address):
    """It passes when it opens, and is critical else, whatever is written there."""
    assert Status.PASSING is (await checker.probe(TcpCheck(server)))[0]
    assert Status.CRITICAL is (await checker.probe(TcpCheck(unused_address)))[0]
    assert Status.CRITICAL is (await checker.probe(TcpCheck("nonsense")))[0]


async def test_urls_that_are_none_are_critical(checker, unused_address):
    """A check is a poor place to raise."""
    for url in ("ftp://x/", "http://", "no-url", f"http://{unused_address}/"):
        assert Status.CRITICAL is (await checker.probe(HttpCheck(url)))[0]


async def test_without_httpx_a_check_says_what_to_install(checker, monkeypatch):
    """The extra is optional."""
    monkeypatch.setitem(sys.modules, "httpx", None)

    status, output = await checker.probe(HttpCheck("http://127.0.0.1/"))

    assert Status.CRITICAL is status
    assert "pip install 'quorumkit[checks]'" in output


async def test_checks_run_while_their_service_is_registered(
    checker, server, nursery, eventually, unused_address
):
    """Results reach the record; a new definition replaces the old; removal ends them."""
    local = checker._keeper.local
    nursery.start_soon(checker.run)

    async def register(address: str) -> None:
        check = TcpCheck(address, interval=0.02, id="c")
        with pytest.raises(NoLeader):
            await checker._keeper.register(Service("web", checks=[check]))

    async def passes() -> bool:
        return local.checks["c"].status is Status.PASSING

    async def fails() -> bool:
        return local.checks["c"].status is Status.CRITICAL

    await register(server)
    await eventually(passes)
    await register(unused_address)
    await eventually(fails)
    with pytest.raises(NoLeader):
        await checker._keeper.deregister("web")
    assert {} == local.checks
    nursery.cancel_scope.cancel()
