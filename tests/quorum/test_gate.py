"""What waits for the disk."""

from __future__ import annotations

from quorum.core.gate import Gate
from quorum.effects import Send
from quorum.messages import VoteReply


def letter(to: str) -> Send:
    return Send(to, VoteReply(1, granted=True))


def test_a_message_waits_for_its_ticket_and_for_no_later_one():
    """Each leaves as soon as what it needs is durable."""
    gate = Gate(durable=0)
    early = gate.issue(1, 0.0, hard=True)
    late = gate.issue(2, 0.0, hard=False)
    gate.hold(late, letter("late"))
    gate.hold(early, letter("early"))
    assert gate.release() == []

    gate.persisted_up_to(early)
    assert [letter("early")] == gate.release()

    gate.persisted_up_to(late)
    assert [letter("late")] == gate.release()


def test_one_answer_covers_all_tickets_before_it():
    """Tickets are cumulative, so one sync answers many."""
    gate = Gate(durable=0)
    for last in (1, 2, 3):
        gate.issue(last, 0.0, hard=False)

    gate.persisted_up_to(3)

    assert gate.durable == 3


def test_a_write_of_replaced_entries_does_not_make_their_successors_durable():
    """Entry 5 is replaced while its write is under way; the same index comes again (ABA)."""
    gate = Gate(durable=4)
    first = gate.issue(5, 0.0, hard=False)
    gate.truncated(5)
    second = gate.issue(5, 0.0, hard=True)

    gate.persisted_up_to(first)
    assert gate.durable == 4

    gate.persisted_up_to(second)
    assert gate.durable == 5


def test_truncation_takes_back_what_was_durable():
    """Durable entries that are no longer in the log count no more."""
    gate = Gate(durable=9)

    gate.truncated(7)

    assert gate.durable == 6


def test_the_oldest_write_tells_how_long_the_disk_is_stalled():
    """Nothing under way is infinitely fresh."""
    gate = Gate(durable=0)
    assert float("inf") == gate.stalled_since()
    first = gate.issue(1, 10.0, hard=False)
    gate.issue(2, 20.0, hard=False)
    assert gate.stalled_since() == 10.0

    gate.persisted_up_to(first)

    assert gate.stalled_since() == 20.0
