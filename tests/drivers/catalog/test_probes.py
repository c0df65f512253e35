"""Probes against real sockets and programs: datagrams, gRPC, scripts, requests of other kinds."""

from __future__ import annotations

import sys
from random import Random

import pytest
import trio

from catalog import Node, Status
from catalog.definitions import AliasCheck, GrpcCheck, HttpCheck, ScriptCheck, UdpCheck
from catalog.errors import NoLeader
from catalog.model import CheckState, Instance, NodeView, Service
from catalog.node.checks import Checker, mirrored
from catalog.node.keeper import Keeper

SERVING = b"\0\0\0\0\2\x08\x01"
"""gRPC's health message: not compressed, two bytes, state 1."""


@pytest.fixture
async def checker():
    """A checker that may run scripts, and whose keeper never reaches a catalog."""

    async def ask(request):
        raise NoLeader("none here")

    keeper = Keeper(Node("n", "127.0.0.1"), ask, interval=60, random=Random(1))
    checker = Checker(keeper, random=Random(1), scripts=True)
    async with checker._clients.closing():
        yield checker


def program(text: str) -> tuple[str, ...]:
    """Return the arguments that run a line of Python."""
    return (sys.executable, "-c", text)


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        ("print('fine')", Status.PASSING, "fine"),
        ("print('so so'); raise SystemExit(1)", Status.WARNING, "so so"),
        ("raise SystemExit(2)", Status.CRITICAL, ""),
        ("import sys; print('x' * 100_000); sys.stderr.write('y')", Status.PASSING, "xxx"),
    ],
)
async def test_a_scripts_exit_code_is_the_state(checker, text, status, says):
    """0 passes, 1 warns, any other is critical; the output is kept as far as it fits."""
    found, output = await checker.probe(ScriptCheck(program(text)))

    assert status is found
    assert says in output
    assert len(output) <= 4096


async def test_a_script_that_takes_too_long_is_killed(checker):
    """And so is one that does not exist, or one where none may run, critical."""
    with trio.fail_after(20):
        slow = ScriptCheck(program("import time; time.sleep(60)"), timeout=0.3)
        found, output = await checker.probe(slow)
    assert (Status.CRITICAL, "no answer within 0.3 s") == (found, output)
    assert "cannot run" in (await checker.probe(ScriptCheck(("/does/not/exist",))))[1]

    careful = Checker(checker._keeper, random=Random(1))
    found, output = await careful.probe(ScriptCheck(program("print('fine')")))
    assert (Status.CRITICAL, True) == (found, "enable_script_checks" in output)


async def test_a_script_is_killed_with_its_children(checker, tmp_path):
    """Else whatever it started would pile up, one with every interval."""
    sign = tmp_path / "alive"
    child = f"while true; do touch {sign}; sleep 0.05; done"
    script = ScriptCheck(("/bin/sh", "-c", f"sh -c '{child}' & echo begun; exit 0"), timeout=0.5)
    with trio.fail_after(20):
        # The child holds the output open, so the probe lasts until its time is up.
        assert "no answer within 0.5 s" == (await checker.probe(script))[1]
    assert sign.exists()
    await trio.sleep(0.2)
    sign.unlink()
    await trio.sleep(0.3)

    assert not sign.exists()


async def test_a_datagram_is_critical_only_if_it_is_refused(checker, unused_address):
    """Silence is no fault: many servers do not answer an empty datagram."""
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as socket:
        await socket.bind(("127.0.0.1", 0))
        port = socket.getsockname()[1]
        found, _ = await checker.probe(UdpCheck(f"127.0.0.1:{port}"))
    assert Status.PASSING is found
    assert Status.CRITICAL is (await checker.probe(UdpCheck(unused_address)))[0]


async def http2_server(task_status, body: bytes, status: bytes = b"200") -> None:
    """Answer gRPC calls on a free port; reports its address."""
    h2 = pytest.importorskip("h2.connection", reason="HTTP/2 is an extra of httpx")
    from h2.config import H2Configuration  # noqa: PLC0415
    from h2.events import StreamEnded  # noqa: PLC0415

    async def serve(stream: trio.SocketStream) -> None:
        connection = h2.H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        await stream.send_all(connection.data_to_send())
        async for data in stream:
            for event in connection.receive_data(data):
                if isinstance(event, StreamEnded):
                    headers = [(b":status", status), (b"content-type", b"application/grpc")]
                    connection.send_headers(event.stream_id, headers)
                    connection.send_data(event.stream_id, body)
                    connection.send_headers(
                        event.stream_id, [(b"grpc-status", b"0")], end_stream=True
                    )
            await stream.send_all(connection.data_to_send())

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    task_status.started(f"127.0.0.1:{listeners[0].socket.getsockname()[1]}")
    await trio.serve_listeners(serve, listeners)


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (SERVING, b"200", Status.PASSING),
        (SERVING[:-1] + b"\x02", b"200", Status.CRITICAL),
        (b"", b"200", Status.CRITICAL),
        (SERVING, b"503", Status.CRITICAL),
    ],
)
async def test_grpc_is_asked_by_its_health_protocol(checker, nursery, body, status, expected):
    """SERVING passes; another state, none, or an error is critical."""

    async def serve(task_status) -> None:
        await http2_server(task_status, body, status)

    with trio.fail_after(20):
        address = await nursery.start(serve)
        found, output = await checker.probe(GrpcCheck(f"{address}/web"))
    assert (expected, address in output) == (found, True)
    nursery.cancel_scope.cancel()


async def test_grpc_without_a_server_is_critical(checker, unused_address):
    """In words."""
    found, output = await checker.probe(GrpcCheck(unused_address))

    assert Status.CRITICAL is found
    assert output.startswith("gRPC check")


async def test_a_request_is_made_as_it_is_described(checker, nursery):
    """Method, headers and body are those of the check."""
    heard = []

    async def serve(stream: trio.SocketStream) -> None:
        request = b""
        while not request.endswith(b"hello"):
            request += await stream.receive_some(65536)
        heard.append(request)
        await stream.send_all(b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n")

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/health"
    check = HttpCheck(url, method="POST", headers={"X-Who": "me"}, body="hello")
    found, output = await checker.probe(check)

    assert (Status.PASSING, True) == (found, output.startswith(f"POST {url}: 204"))
    assert heard[0].startswith(b"POST /health")
    assert b"x-who: me" in heard[0].lower()
    nursery.cancel_scope.cancel()


def test_an_alias_says_what_it_stands_for():
    """The worst of the service and its node, without the alias itself; critical if it is gone."""
    node, sick = Node("n", "h"), CheckState("c", Status.WARNING)
    mirror = CheckState("m", Status.CRITICAL)
    web = Instance(node, Service("web"), None, (sick, mirror), 1, 1)
    view = NodeView(node, CheckState("serfHealth", Status.PASSING), 1, 1, (web,), (mirror,))

    assert Status.WARNING is mirrored(AliasCheck("web"), view, "m")[0]
    assert Status.PASSING is mirrored(AliasCheck(node="n"), view, "m")[0]
    assert Status.CRITICAL is mirrored(AliasCheck("db"), view, "m")[0]
    assert Status.CRITICAL is mirrored(AliasCheck("web"), None, "m")[0]
