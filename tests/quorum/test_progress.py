"""One follower in the leader's eyes."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from quorum.core.progress import Mode, Progress


@given(st.lists(st.integers(0, 20), max_size=30))
def test_match_never_falls_and_next_stays_ahead_of_it(replies):
    """Whatever order answers come in, repeated or late."""
    progress = Progress(next=10, since=0, contact=0.0)
    highest = 0
    for match in replies:
        progress.matched(match)
        highest = max(highest, match)

        assert highest == progress.match < progress.next


def test_probing_sends_one_message_at_a_time():
    """Until the answer comes, nothing more is sent."""
    progress = Progress(next=5, since=0, contact=0.0)
    assert progress.ready(16, 1 << 20)

    progress.sent(9, 100)

    assert not progress.ready(16, 1 << 20)
    assert progress.next == 5


def test_replicating_sends_ahead_up_to_the_window():
    """Each message moves `next`; answers make room."""
    progress = Progress(next=5, since=0, contact=0.0)
    progress.matched(4)
    assert Mode.REPLICATE is progress.mode
    progress.sent(6, 100)
    progress.sent(8, 100)
    assert (progress.next, progress.ready(2, 1 << 20)) == (9, False)

    progress.matched(6)

    assert progress.ready(2, 1 << 20)


def test_a_snapshot_that_arrived_is_known_by_any_answer_that_shows_it():
    """The word that it was sent may get lost."""
    progress = Progress(next=5, since=0, contact=0.0)
    progress.await_snapshot(100)
    progress.matched(99)
    assert Mode.SNAPSHOT is progress.mode

    progress.matched(100)

    assert (progress.mode, progress.next) == (Mode.REPLICATE, 101)


def test_the_window_counts_bytes_too():
    """Few large messages fill it as well as many small ones; an answer gives the room back."""
    progress = Progress(next=5, since=0, contact=0.0)
    progress.matched(4)
    progress.sent(5, 900)
    progress.sent(6, 200)
    assert not progress.ready(16, 1000)

    progress.matched(5)

    assert (200, True) == (progress.inflight_bytes, progress.ready(16, 1000))
