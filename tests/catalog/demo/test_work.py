"""The work of the demo: a provider that counts words, a ledger, a witness, a verdict."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from catalog.demo.consumer import Consumer, post, texts
from catalog.demo.load import Ledger, value_of
from catalog.demo.provider import BODY_BYTES_MAX, WordServer, count_words
from catalog.demo.run import verdict
from catalog.demo.scene import ConsumerReport, Summary
from catalog.demo.witness import Witness
from catalog.model import Instance, Node, Service


@pytest.fixture
def server() -> Iterator[WordServer]:
    """A provider's HTTP server, serving."""
    with WordServer("words-1") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def instance(port: int, id: str = "words-1") -> Instance:
    """A healthy provider."""
    node = Node("n1", "127.0.0.1")
    return Instance(node, Service("words", id=id, port=port), None, (), 1, 1)


def test_words_are_counted_without_regard_to_case() -> None:
    """Digits, underscores and marks are no letters."""
    expected = {"words": 6, "distinct": 3, "favourite": "the"}

    assert expected == count_words("The cat, the_dog; THE 42 cat")


def test_a_text_without_words_has_none() -> None:
    """Nothing is the most frequent word of nothing."""
    assert {"words": 0, "distinct": 0, "favourite": ""} == count_words("1 2 3")


def test_a_provider_counts_what_it_is_sent(server: WordServer) -> None:
    """The answer over HTTP is the same as our own count, and says who counted."""
    expected = {"provider": "words-1", **count_words("to be or not to be")}

    assert expected == post("127.0.0.1", server.port, "to be or not to be")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/health", {}, 200),
        ("GET", "/elsewhere", {}, 404),
        ("POST", "/elsewhere", {"Content-Length": "0"}, 400),
        ("POST", "/count", {"Content-Length": "many"}, 400),
        ("POST", "/count", {"Content-Length": str(BODY_BYTES_MAX + 1)}, 413),
    ],
)
def test_a_provider_answers_everything(
    server: WordServer, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """What it cannot do gets a status and a sentence, and costs it nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.putrequest(method, path)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()

    assert status == response.status
    assert ("error" in body) == (status != 200)


async def test_a_consumer_counts_right_answers_wrong_ones_and_failures(server: WordServer) -> None:
    """A provider that is gone costs an error under its name; nothing is raised."""
    consumer = Consumer()
    text = "one two"
    gone = instance(1, id="gone")

    assert await consumer.call(instance(server.port), text, dict(count_words(text)))
    assert await consumer.call(instance(server.port), text, dict(count_words("three")))
    assert not await consumer.call(gone, text, dict(count_words(text)))

    assert (1, 1, {"gone": 1}) == (consumer.calls, consumer.wrong, dict(consumer.errors))


async def test_a_consumer_takes_providers_in_turn() -> None:
    """Nobody is left out."""
    consumer = Consumer(healthy=(instance(1, "a"), instance(2, "b")))

    chosen = [(await consumer.choose()).service.id for _ in range(4)]

    assert sorted(chosen) == ["a", "a", "b", "b"]


def test_there_are_real_texts_to_count() -> None:
    """The standard library has them, wherever Python is."""
    assert all(isinstance(text, str) and text for text in texts())


async def test_only_a_write_begun_after_a_moment_ends_the_wait_for_one() -> None:
    """The answer to an older one may have been on its way already."""
    ledger = Ledger()
    moment = trio.current_time()

    async def acknowledge() -> None:
        ledger.acknowledge("old", b"", begun=moment - 1, now=moment + 1)
        await trio.testing.wait_all_tasks_blocked()
        ledger.acknowledge("new", b"", begun=moment, now=moment + 2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(acknowledge)
        assert moment + 2 == await ledger.wait_acknowledged(begun_after=moment)
    assert list(ledger.acknowledged) == ["old", "new"]


def test_values_differ_from_key_to_key() -> None:
    """A value under the wrong key would be noticed."""
    assert len({value_of(f"demo/w0/{number}") for number in range(100)}) == 100


async def test_a_witness_knows_the_list_and_the_counts() -> None:
    """Lists replace each other, counts are the last ones said, the rate is of the last two."""
    witness = Witness(ConsumerReport())
    counts = {"wrong": 0, "errors": {"a": 1}, "age": 0.5, "connected": True}
    witness.take({"list": ["a", "b"], "index": 4}, now=0.0)
    witness.take({"calls": 10, **counts}, now=1.0)
    witness.take({"calls": 30, **counts}, now=3.0)
    witness.take({"list": ["b"], "index": 7}, now=3.0)

    await witness.wait_list(has=frozenset("b"), lacks=frozenset("a"))
    assert frozenset("b") == witness.sees
    assert (30, 10.0, {"a": 1}) == (
        witness.report.calls,
        witness.report.rate,
        witness.report.errors,
    )
    assert not witness.went_back()


def test_a_witness_notices_an_older_list() -> None:
    """A later list with a smaller index is what a consumer must never see."""
    witness = Witness(ConsumerReport())
    witness.take({"list": [], "index": 7}, now=0.0)
    witness.take({"list": [], "index": 4}, now=1.0)

    assert witness.went_back()


def test_a_verdict_says_how_long_each_recovery_took() -> None:
    """Where all is well, in five lines."""
    summary = Summary(
        ok=True, failover_s=1.5, provider_removed_s=2.5, node_removed_s=3.5, catch_up_s=0.5
    )

    text = "\n".join(verdict(summary, None))

    assert all(f"{number:.2f} s" in text for number in (1.5, 2.5, 3.5, 0.5))


def test_a_verdict_says_what_failed_and_where_the_files_are() -> None:
    """A failed check is a sentence."""
    summary = Summary(failed=["2 of 9 acknowledged writes are lost"])

    lines = verdict(summary, Path("kept"))

    assert "FAILED: 2 of 9 acknowledged writes are lost" in lines
    assert lines[-1].endswith("kept")
