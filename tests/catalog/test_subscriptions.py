"""A subscriber's end, against a server that is a script."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from catalog.beside import beside
from catalog.errors import NoServers
from catalog.kv import KeyChange, KeyDelta, KeyValue
from catalog.model import (
    Change,
    ChangeKind,
    Delta,
    Instance,
    Node,
    Service,
    View,
)
from catalog.requests import Follow, FollowKeys, KeyNews, News
from catalog.subscriptions import KeySubscription, Subscription


def instance(number: int) -> Instance:
    """The instance that came with this index."""
    return Instance(Node("n", "h"), Service("web", f"web-{number}"), None, (), number, number)


def added(number: int) -> Change:
    """The change that brought it."""
    return Change(number, ChangeKind.ADDED, instance(number))


class Script:
    """Answers questions one by one, with what the test says next."""

    def __init__(self) -> None:
        self.asked: list[int | None] = []
        self._send, self._receive = trio.open_memory_channel[News | Exception](99)

    def say(self, update, *, age=0.0, epoch="e", held=inf):
        self._send.send_nowait(
            update if isinstance(update, Exception) else News(update, age, epoch, held)
        )

    async def __call__(self, request: Follow) -> News:
        self.asked.append(request.after)
        answer = await self._receive.receive()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def script() -> Script:
    """Nothing said yet."""
    return Script()


@pytest.fixture
async def web(script, nursery):
    """A running subscription to it."""
    subscription = Subscription("web", script, random=Random(1), waiting_max=3)
    async with beside(nursery, subscription.run):
        yield subscription


async def test_first_comes_the_view_and_then_each_change(script, web, autojump_clock):
    """Every question names what the answers so far have brought."""
    assert inf == web.age
    assert () == web.view.instances
    script.say(View(3, "web", (instance(3),)))
    assert View(3, "web", (instance(3),)) == await anext(web)
    script.say(Delta(3, 5, "web", (added(4), added(5))))
    script.say(Delta(5, 5, "web", ()))
    script.say(Delta(5, 6, "web", (added(6),)))

    assert [added(4), added(5), added(6)] == [await anext(web) for _ in range(3)]
    await wait_all_tasks_blocked()
    assert [None, 3, 5, 5, 6] == script.asked
    assert 4 == len(web.view.instances)


async def test_an_empty_service_is_a_view_too(script, web, autojump_clock):
    """So that "complete" and "still loading" differ; index 0 is not asked for all again."""
    script.say(View(0, "web", ()))

    assert View(0, "web", ()) == await anext(web)
    await wait_all_tasks_blocked()
    assert [None, 0] == script.asked


async def test_without_contact_the_copy_stays_and_grows_old(script, web, autojump_clock):
    """It goes on where it stopped, at whoever answers; what came twice is told once."""
    script.say(View(3, "web", (instance(3),)))
    await anext(web)
    await wait_all_tasks_blocked()
    assert web.connected
    for _ in range(4):
        script.say(NoServers("gone"))
    await trio.sleep(0.5)
    assert not web.connected
    assert 0.5 <= web.age < 60
    assert 1 == len(web.view.instances)

    script.say(Delta(2, 4, "web", (added(3), added(4))))
    assert added(4) == await anext(web)
    assert web.connected
    assert {None, 3} == set(script.asked[:-1])


async def test_a_server_that_is_behind_cannot_make_the_copy_look_fresh(script, web, autojump_clock):
    """The age of the answer counts, and the copy never gets older by an answer."""
    script.say(View(3, "web", ()), age=7.0)
    await anext(web)
    assert 7.0 == web.age
    script.say(Delta(3, 3, "web", ()), age=1.0)
    script.say(Delta(3, 3, "web", ()), age=50.0)
    await wait_all_tasks_blocked()
    assert 1.0 == web.age


async def test_a_slow_reader_gets_a_view_instead(script, web, autojump_clock):
    """Changes beyond the limit are dropped as a whole, never some of them."""
    script.say(View(1, "web", (instance(1),)))
    await anext(web)
    script.say(Delta(1, 3, "web", (added(2), added(3))))
    script.say(Delta(3, 5, "web", (added(4), added(5))))
    script.say(Delta(5, 6, "web", (added(6),)))
    await wait_all_tasks_blocked()

    view = await anext(web)
    assert isinstance(view, View)
    assert (6, 6) == (view.index, len(view.instances))
    script.say(Delta(6, 7, "web", (added(7),)))
    assert added(7) == await anext(web)


async def test_a_forgotten_past_gives_a_view_if_anything_changed(script, web, autojump_clock):
    """The server says so by sending one; if it is as of the index that we have, nobody is woken."""
    script.say(View(1, "web", (instance(1),)))
    await anext(web)
    script.say(View(1, "web", (instance(1),)))
    script.say(View(9, "web", (instance(9),)))

    assert View(9, "web", (instance(9),)) == await anext(web)


async def test_a_cluster_founded_anew_begins_from_nothing(script, web, autojump_clock):
    """Its indexes mean something else; the reader gets a view of it."""
    script.say(View(100, "web", (instance(100),)), epoch="old")
    await anext(web)
    script.say(Delta(100, 100, "web", ()), epoch="new")
    script.say(View(2, "web", (instance(2),)), epoch="new")

    assert View(2, "web", (instance(2),)) == await anext(web)
    assert [None, 100, None] == script.asked[:3]


async def test_the_end_of_the_block_ends_the_iteration(script, nursery, autojump_clock):
    """What was not read yet can still be read."""
    web = Subscription("web", script, random=Random(1))
    async with beside(nursery, web.run):
        script.say(View(3, "web", (instance(3),)))
        await wait_all_tasks_blocked()
    await wait_all_tasks_blocked()

    assert [View(3, "web", (instance(3),))] == [news async for news in web]
    assert not web.connected


async def test_a_prefix_is_followed_like_a_service(nursery, autojump_clock):
    """First all keys, then each change; all of them again when the past was forgotten."""
    send, receive = trio.open_memory_channel[KeyNews](9)
    asked = []

    async def ask(request: FollowKeys) -> KeyNews:
        asked.append(request.after)
        return await receive.receive()

    one, two = KeyValue("a/1", b"", 0, 1, 2), KeyValue("a/2", b"", 0, 3, 3)
    send.send_nowait(KeyNews(KeyDelta(0, 2, "a/", (one,), whole=True), 0.0, "e"))
    config = KeySubscription("a/", ask, random=Random(1), waiting_max=2)
    async with beside(nursery, config.run):
        assert (one,) == await anext(config)
        send.send_nowait(KeyNews(KeyDelta(2, 4, "a/", (two,), (("a/1", 4),)), 0.0, "e"))
        await wait_all_tasks_blocked()
        assert KeyChange(3, "a/2", two) == await anext(config)
        assert KeyChange(4, "a/1", None) == await anext(config)
        assert (two,) == config.view
        assert [None, 2, 4] == asked

        changed = tuple(KeyValue(f"a/{number}", b"", 0, 5, 5) for number in range(3))
        send.send_nowait(KeyNews(KeyDelta(4, 5, "a/", changed), 0.0, "e"))
        await wait_all_tasks_blocked()
        assert changed == await anext(config)
        assert config.age == 0.0


async def test_the_time_that_an_answer_was_on_its_way_makes_it_older(script, web, autojump_clock):
    """The server had the question for 3 of 5 seconds: for 2 the answer may have travelled."""
    await trio.sleep(5)
    script.say(View(3, "web", ()), age=1.0, held=3.0)
    await trio.testing.wait_all_tasks_blocked()

    assert 3.0 == web.age


async def test_a_view_without_its_past_is_told_also_if_it_looks_the_same(
    script, web, autojump_clock
):
    """An instance may have come and gone meanwhile; there is no silent gap."""
    script.say(View(3, "web", (instance(3),)))
    await anext(web)
    script.say(View(5, "web", (instance(3),)))
    with trio.fail_after(1):
        news = await anext(web)

    assert View(5, "web", (instance(3),)) == news
