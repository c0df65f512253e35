"""How requests find a server, with servers that are a script."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import trio

import quorum
from catalog.commands import Applied, PutKey
from catalog.errors import Busy, Indeterminate, NoLeader, NoServers
from catalog.forward import Local, Remote
from catalog.requests import Get, Write
from catalog.rpc.faults import ConnectionLost, NotLeading, Unreachable

WRITE = Write(PutKey("k", b"v"))
READ = Get("k")
DONE = Applied(7)
A, B = ("a", 1), ("b", 1)


class Script:
    """A replica, or connections: gives the next answer of a list, the last one for ever."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    def _next(self, whom):
        self.asked.append(whom)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def answer(self, request):
        await trio.sleep(0.001)
        return self._next(request)

    async def call(self, address, request, *, direct=False, patience):
        await trio.sleep(0.001)
        assert patience > 7
        return self._next((address, direct))


def local(replica, connections=None) -> Local:
    """The route of a server called b, whose leader may be a."""
    route = Local(connections, lambda: {"a": A}, hold=7.0, random=Random(1))
    route.duties = replica
    return route


def remote(connections, *candidates) -> Remote:
    """The route of a client."""
    return Remote(connections, lambda: candidates, hold=7.0, random=Random(1))


@pytest.mark.parametrize(
    "error",
    [quorum.NotLeader(None), quorum.Overloaded("full"), quorum.Superseded("lost")],
    ids=["no leader", "overloaded", "superseded"],
)
async def test_what_is_safe_to_retry_is_retried(autojump_clock, error):
    """Until it succeeds."""
    assert DONE == await local(Script(error, error, DONE)).ask(WRITE)


@pytest.mark.parametrize(
    ("error", "becomes"),
    [(quorum.NotLeader(None), NoLeader), (quorum.Overloaded("full"), Busy)],
    ids=["no leader", "overloaded"],
)
async def test_a_request_is_held_for_so_long_and_no_longer(autojump_clock, error, becomes):
    """Then the caller is told that nothing was written."""
    begun = trio.current_time()
    with pytest.raises(becomes):
        await local(Script(error)).ask(WRITE)
    assert 7.0 <= trio.current_time() - begun < 8.0


async def test_an_unknown_fate_is_told_at_once(autojump_clock):
    """A write is not repeated behind the caller's back."""
    replica = Script(quorum.Indeterminate("who knows"), DONE)
    with pytest.raises(Indeterminate, match="who knows"):
        await local(replica).ask(WRITE)
    assert 1 == len(replica.asked)


async def test_a_server_passes_writes_to_the_leader(autojump_clock):
    """With the word to ask nobody else; a leader that is none any more is asked again later."""
    connections = Script(NotLeading("not me"), Unreachable("gone"), DONE)

    assert DONE == await local(Script(quorum.NotLeader("a")), connections).ask(WRITE)
    assert [(A, True)] * 3 == connections.asked


async def test_a_leader_lost_on_the_way_leaves_the_fate_unknown(autojump_clock):
    """It may have written."""
    connections = Script(ConnectionLost("no answer"), DONE)
    with pytest.raises(Indeterminate):
        await local(Script(quorum.NotLeader("a")), connections).ask(WRITE)


async def test_who_is_asked_directly_asks_nobody(autojump_clock):
    """Requests never travel in circles."""
    connections = Script(DONE)
    with pytest.raises(NotLeading):
        await local(Script(quorum.NotLeader("a")), connections).ask(WRITE, direct=True)
    with pytest.raises(NotLeading):
        await remote(connections, A).ask(WRITE, direct=True)
    assert [] == connections.asked


async def test_a_server_that_hangs_is_not_waited_for_for_ever(autojump_clock):
    """A read fails cleanly then, a write's fate is unknown."""

    class Hanging(Script):
        async def answer(self, request):
            await trio.sleep_forever()

    with pytest.raises(Indeterminate):
        await local(Hanging()).ask(WRITE)
    with pytest.raises(NoLeader):
        await local(Hanging()).ask(READ)


async def test_before_the_founding_the_reason_is_told(autojump_clock):
    """It is what an operator has to know."""
    route = local(None)
    route.problem = "two more servers are waited for"
    with pytest.raises(NoLeader, match="two more servers are waited for"):
        await route.ask(READ)


async def test_a_client_stays_with_the_server_that_answers(autojump_clock):
    """And looks for another when it does not."""
    connections = Script(DONE)
    route = remote(connections, A, B)
    for _ in range(5):
        await route.ask(WRITE)
    assert 1 == len(set(connections.asked))
    (first, _) = connections.asked[0]

    connections.answers = [Unreachable("gone"), DONE]
    await route.ask(WRITE)
    await route.ask(WRITE)
    assert [first, *2 * [B if first == A else A]] == [who for who, _ in connections.asked[5:]]


async def test_a_client_repeats_what_does_no_harm_and_nothing_else(autojump_clock):
    """After a lost connection."""
    assert None is await remote(Script(ConnectionLost("x"), None), A).ask(READ)
    with pytest.raises(Indeterminate):
        await remote(Script(ConnectionLost("x"), DONE), A).ask(WRITE)


async def test_a_client_without_servers_says_so(autojump_clock):
    """After it has tried for as long as it holds requests."""
    with pytest.raises(NoServers, match="no server is known"):
        await remote(Script(DONE)).ask(READ)
    with pytest.raises(NoServers, match="gone"):
        await remote(Script(Unreachable("gone")), A, B).ask(READ)
