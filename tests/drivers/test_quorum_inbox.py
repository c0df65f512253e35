"""Tests of quorum.trio.inbox: many put, one takes, and takes all."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from quorum.events import Applied, Persisted
from quorum.trio.inbox import Inbox

INF = float("inf")


async def test_whoever_takes_takes_all():
    """In order of arrival, and once."""
    inbox = Inbox()
    inbox.put(Persisted(1))
    inbox.extend([Applied(1), Applied(2)])
    await inbox.wait(INF)
    assert [Persisted(1), Applied(1), Applied(2)] == inbox.take()
    assert [] == inbox.take()


async def test_waiting_ends_with_news(autojump_clock):
    """Or with a nudge that there is something elsewhere."""
    inbox = Inbox()
    for bring in (lambda: inbox.put(Applied(1)), inbox.wake):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inbox.wait, INF)
            await wait_all_tasks_blocked()
            bring()
        inbox.take()


async def test_waiting_ends_with_the_deadline(autojump_clock, nursery):
    """A later one, an earlier one, one that has passed already."""
    inbox = Inbox()
    nursery.start_soon(inbox.run)
    begun = trio.current_time()
    for deadline, expected in [(3, 3), (10, 10), (11, 11), (5, 11)]:
        await inbox.wait(begun + deadline)
        assert expected == trio.current_time() - begun
        assert [] == inbox.take()


async def test_a_deadline_that_moves_counts_as_it_stands(autojump_clock, nursery):
    """Earlier or later than the one before: news came in between."""
    inbox = Inbox()
    nursery.start_soon(inbox.run)
    begun = trio.current_time()
    for old, new in [(100, 2), (3, 50)]:
        nursery.start_soon(inbox.wait, begun + old)
        await wait_all_tasks_blocked()
        inbox.put(Applied(1))
        await wait_all_tasks_blocked()
        inbox.take()
        await inbox.wait(begun + new)
        assert new == trio.current_time() - begun
        inbox.take()


async def test_with_news_there_others_may_still_add_theirs(autojump_clock):
    """`wait` yields once: tasks that are ready join the same batch."""
    inbox = Inbox()

    async def bring():
        inbox.put(Applied(2))

    async with trio.open_nursery() as nursery:
        inbox.put(Applied(1))
        nursery.start_soon(bring)
        await inbox.wait(INF)
        await inbox.wait(INF)
        assert [Applied(1), Applied(2)] == inbox.take()


async def test_a_cancelled_wait_leaves_the_inbox_usable(autojump_clock):
    """Nobody is woken who is not there."""
    inbox = Inbox()
    with trio.move_on_after(1):
        await inbox.wait(INF)
    inbox.put(Applied(1))
    await inbox.wait(INF)
    assert [Applied(1)] == inbox.take()
