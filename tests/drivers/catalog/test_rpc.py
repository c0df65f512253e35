"""Calls between agents, and what strangers may send instead."""

from __future__ import annotations

import logging
from functools import partial

import pytest
import trio
import trio.testing

from catalog import rpc
from catalog.errors import Busy, CatalogError, NoLeader, NoServers, ProtocolError
from catalog.model import KeyValue
from catalog.requests import AskedNode, Get, Keys, Lookup, Members, Reply
from catalog.rpc import open_connections, serving
from catalog.rpc.faults import ConnectionLost, Unreachable
from catalog.rpc.frames import MAGIC, Call, Cancel, Failure, FrameReader, Hello, Result, encode
from catalog.rpc.serving import Serving
from catalog.wire import dumps

HELLO = encode(Hello(1, "", ""))


NOTHING: Reply[KeyValue | None] = Reply(None, 1)


def found(key: str) -> Reply[KeyValue | None]:
    """What is answered to a question for a key."""
    return Reply(KeyValue(key, b"value"), 2)


class Handler:
    """Answers what the tests ask."""

    def __init__(self) -> None:
        self.cancelled = trio.Event()
        self.asked: list[tuple[object, bool]] = []
        self.released = trio.Event()

    async def __call__(self, request, direct):
        self.asked.append((request, direct))
        match request:
            case Get("slow"):
                try:
                    await trio.sleep_forever()
                finally:
                    self.cancelled.set()
            case Get("held"):
                await self.released.wait()
                return NOTHING
            case Get("none"):
                return NOTHING
            case Get(key):
                return found(key)
            case Keys():
                raise NoLeader("nobody leads")
            case Lookup():
                raise RuntimeError("a fault of ours")
            case _:
                return "of the wrong type"


@pytest.fixture
async def handler():
    """A fresh handler."""
    return Handler()


@pytest.fixture
async def address(handler, nursery):
    """Where an agent with that handler listens."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    served = Serving(handler, cluster="c", name="a")
    nursery.start_soon(served.run, listener)
    return listener.socket.getsockname()


@pytest.fixture
async def stranger(address):
    """A connection of which the test sends every byte."""
    stream = await trio.open_tcp_stream(*address)
    yield stream
    await stream.aclose()


async def read_all(stream):
    """Return all frames until the other end closes."""
    reader, frames = FrameReader(frame_bytes_max=1 << 20), []
    with trio.fail_after(10):
        try:
            while data := await stream.receive_some(65536):
                frames += reader.feed(data)
        except trio.BrokenResourceError:
            pass
    return frames


async def greet(stream):
    """Say hello, and read the answer."""
    await stream.send_all(MAGIC + HELLO)
    reader, frames = FrameReader(frame_bytes_max=1 << 20), []
    with trio.fail_after(10):
        while not frames:
            frames = reader.feed(await stream.receive_some(65536))
    assert [Hello(1, "c", "a")] == frames


async def test_many_calls_share_a_connection(handler, address):
    """Answers come when they are ready, each to its caller; the flag travels."""
    async with open_connections(cluster="c", name="b") as connections:
        answers = {}

        async def ask(key: str) -> None:
            answers[key] = await connections.call(address, Get(key), direct=True, patience=10)

        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(ask, f"key-{number}")
            nursery.start_soon(ask, "none")

        assert NOTHING == answers.pop("none")
        assert {key: found(key) for key in answers} == answers
        assert 50 == len(answers)
        assert {True} == {direct for _, direct in handler.asked}
        assert 1 == len(connections._open)


async def test_errors_arrive_as_what_they_were(handler, address, caplog):
    """Ours by class and text; a fault of the agent is logged there, and is an error here."""
    async with open_connections(cluster="c", name="b") as connections:
        with pytest.raises(NoLeader, match="nobody leads"):
            await connections.call(address, Keys(), patience=10)
        with pytest.raises(CatalogError, match="a fault of ours"):
            await connections.call(address, Lookup("web"), patience=10)
        with pytest.raises(CatalogError):
            await connections.call(address, Members(), patience=10)
        assert found("k") == await connections.call(address, Get("k"), patience=10)
    assert "a fault of ours" in caplog.text


async def test_a_caller_who_gives_up_stops_the_work(handler, address):
    """The other end is told; the connection stays."""
    async with open_connections(cluster="c", name="b") as connections:
        with trio.move_on_after(0.05):
            await connections.call(address, Get("slow"), patience=60)
        with trio.fail_after(10):
            await handler.cancelled.wait()
        before = dict(connections._open)
        await connections.call(address, Get("k"), patience=10)

        assert before == connections._open


async def test_an_agent_that_does_not_answer_is_given_up(handler, address):
    """The fate of the request is unknown then; the next one tries a new connection."""
    async with open_connections(cluster="c", name="b") as connections:
        with pytest.raises(ConnectionLost):
            await connections.call(address, Get("slow"), patience=0.05)
        before = dict(connections._open)
        await connections.call(address, Get("k"), patience=10)

        assert before != connections._open


async def test_a_broken_connection_is_told_to_all_who_wait(nursery):
    """Those who waited do not know; those who come then find nobody."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = listener.socket.getsockname()

    async def serve_and_break() -> None:
        stream = await listener.accept()
        await listener.aclose()
        await stream.send_all(encode(Hello(1, "c", "a")))
        while b"node" not in await stream.receive_some(65536):
            pass
        await trio.aclose_forcefully(stream)

    nursery.start_soon(serve_and_break)
    async with open_connections(cluster="c", name="b") as connections:
        with pytest.raises(ConnectionLost, match="may have been done or not"):
            await connections.call(address, AskedNode("x"), patience=10)
        with pytest.raises(Unreachable, match="no agent was reached"):
            await connections.call(address, AskedNode("x"), patience=10)


async def test_an_old_connection_is_replaced(handler, address, monkeypatch):
    """One that was idle may have been closed meanwhile."""
    monkeypatch.setattr(rpc, "IDLE_SECONDS_MAX", 0.0)
    async with open_connections(cluster="c", name="b") as connections:
        await connections.call(address, Get("k"), patience=10)
        before = dict(connections._open)
        await connections.call(address, Get("k"), patience=10)

        assert before != connections._open


async def test_clusters_do_not_mix(address):
    """An agent of another cluster is told so, and so is the caller."""
    async with open_connections(cluster="other", name="b") as connections:
        with pytest.raises(NoServers, match="belongs to cluster 'c'"):
            await connections.check(address)


async def test_a_request_that_is_too_big_is_not_sent(handler, address):
    """The caller's mistake does not cost the connection."""
    async with open_connections(cluster="c", name="b") as connections:
        with pytest.raises(ProtocolError, match="nothing was sent"):
            await connections.call(address, Keys("x" * (2 << 20)), patience=10)
    assert [] == handler.asked


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"CAT",
        b"GET / HTTP/1.1\r\n\r\n",
        MAGIC,
        MAGIC + b"\xff\xff\xff\xff",
        MAGIC + b"\x00\x00\x00\x03abc",
        MAGIC + HELLO[:-1],
        MAGIC + HELLO + HELLO,
        MAGIC + encode(Call(1, "get", False, b"")),
        MAGIC + encode(Hello(99, "", "")),
    ],
)
async def test_hostile_greetings_end_their_own_connection_only(
    handler, address, stranger, caplog, sent
):
    """It is closed, with one line in the log; others are served as before."""
    caplog.set_level(logging.INFO, logger="catalog")
    await stranger.send_all(sent)
    await stranger.send_eof()
    frames = await read_all(stranger)
    async with open_connections(cluster="c", name="b") as connections:
        assert found("k") == await connections.call(address, Get("k"), patience=10)
    assert [] == [frame for frame in frames if not isinstance(frame, Failure)]
    assert 1 == len([one for one in caplog.records if "was closed" in one.message])


@pytest.mark.parametrize(
    "sent",
    [
        b"\x7f\xff\xff\xff",
        encode(Result(1, b"")),
        HELLO,
        2 * encode(Call(1, "get", False, dumps(Get("slow")))),
        encode(Call(1, "get", False, b""))[:-1],
    ],
)
async def test_hostile_calls_end_their_own_connection_only(
    handler, address, stranger, caplog, sent
):
    """Whoever has said hello may still send nonsense."""
    await greet(stranger)
    await stranger.send_all(sent)
    await stranger.send_eof()
    await read_all(stranger)
    async with open_connections(cluster="c", name="b") as connections:
        assert found("k") == await connections.call(address, Get("k"), patience=10)
    assert 1 == len([one for one in caplog.records if "was closed" in one.message])


async def test_bad_requests_are_answered_as_such(stranger):
    """What does not decode, or is no request, fails by itself; the connection goes on."""
    await greet(stranger)
    await stranger.send_all(encode(Call(1, "get", False, b"\xff")))
    await stranger.send_all(encode(Call(2, "nonsense", False, b"")))
    await stranger.send_all(encode(Call(3, "get", False, dumps(Get("k")))) + encode(Cancel(77)))
    reader, frames = FrameReader(frame_bytes_max=1 << 20), []
    with trio.fail_after(10):
        while len(frames) < 3:
            frames += reader.feed(await stranger.receive_some(65536))
    answers = {frame.id: frame for frame in frames}

    assert ("bad-request", "bad-request") == (answers[1].code, answers[2].code)
    assert Result(3, dumps(found("k"))) == answers[3]


async def test_calls_and_connections_are_bounded(handler, address, stranger, monkeypatch):
    """One too many is refused, with an error that says so, and the others go on."""
    monkeypatch.setattr(serving, "CALLS_MAX", 2)
    monkeypatch.setattr(serving, "CONNECTIONS_MAX", 1)
    held = [encode(Call(number, "get", False, dumps(Get("held")))) for number in range(3)]
    await greet(stranger)
    await stranger.send_all(b"".join(held))
    reader, frames = FrameReader(frame_bytes_max=1 << 20), []
    with trio.fail_after(10):
        while not frames:
            frames += reader.feed(await stranger.receive_some(65536))
        second = await trio.open_tcp_stream(*address)
        await second.send_all(MAGIC + HELLO)
        assert [] == await read_all(second)
        handler.released.set()
        while len(frames) < 3:
            frames += reader.feed(await stranger.receive_some(65536))
    await second.aclose()

    busy = frames[0]
    assert isinstance(busy, Failure)
    assert (2, "busy") == (busy.id, busy.code)
    assert {0, 1} == {frame.id for frame in frames[1:]}


async def test_those_who_wait_are_counted_apart(handler, address, monkeypatch):
    """They take no place from others, and have limits of their own."""
    monkeypatch.setattr(serving, "CALLS_MAX", 1)
    monkeypatch.setattr(serving, "WAITING_MAX", 3)
    async with open_connections(cluster="c", name="b") as connections:

        async def wait() -> None:
            await connections.call(address, Get("held", after=1), patience=10)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert found("k") == await connections.call(address, Get("k"), patience=10)
            with pytest.raises(Busy, match="3 requests wait for news on this connection"):
                await wait()
            handler.released.set()
        await wait()  # they have given their places back


async def test_those_who_wait_are_bounded_for_all_connections(handler, nursery, monkeypatch):
    """Else many connections could fill the memory."""
    monkeypatch.setattr(serving, "WAITING_TOTAL_MAX", 1)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(Serving(handler, cluster="c", name="a").run, listener)
    address = listener.socket.getsockname()
    held = Get("held", after=1)
    async with open_connections(cluster="c", name="b") as one:
        nursery.start_soon(partial(one.call, address, held, patience=10))
        await trio.testing.wait_all_tasks_blocked(0.05)
        async with open_connections(cluster="c", name="d") as other:
            with pytest.raises(Busy, match="1 requests wait for news at this agent"):
                await other.call(address, held, patience=10)
            handler.released.set()
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert NOTHING == await other.call(address, held, patience=10)
