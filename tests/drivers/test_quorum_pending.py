"""Tests of quorum.trio.pending and waiting: every caller gets its own answer, exactly once."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from quorum import Config, Entries, Indeterminate, Members, NotLeader, Stopped, Superseded
from quorum.effects import Refusal, Refuse
from quorum.events import MembersProposed, Proposed, ReadRequested, TransferRequested
from quorum.messages import Kind
from quorum.trio import pending as pending_module
from quorum.trio.pending import Pending
from quorum.trio.waiting import stopped


@pytest.fixture
def pending():
    """No requests yet."""
    return Pending(Config())


@pytest.fixture
async def settle(nursery):
    """Wait for a waiter in the background; the list gets its result or error."""

    async def start(waiter):
        outcomes = []

        async def run():
            try:
                outcomes.append(await waiter.wait())
            except Exception as error:  # noqa: BLE001 - compared by the test
                outcomes.append(error)

        nursery.start_soon(run)
        await wait_all_tasks_blocked()
        return outcomes

    return start


def gather_one(pending) -> Any:
    """The only event that there is to gather."""
    (event,) = pending.gather()
    return event


def run_of(first, *terms):
    """A run of commands with these terms, and a result for each: its index."""
    count = len(terms)
    entries = Entries(first, terms, (0,) * count, bytes(count), (b"",) * count)
    return entries, list(range(first, first + count))


def test_what_was_asked_between_two_steps_is_one_event(pending):
    """One `Proposed` for all proposals, one `ReadRequested` for all reads."""
    for command in (b"a", b"b"):
        pending.propose(command)
    pending.propose_many([b"c", b"d"])
    pending.read()
    pending.read()
    assert [Proposed(1, (b"a", b"b", b"c", b"d")), ReadRequested(2)] == pending.gather()
    assert [] == pending.gather()
    assert 5 == len(pending)


def test_reads_of_another_kind_are_another_event(pending):
    """What is proof enough for one is not for the other."""
    for kind in ({}, {"lease": True}, {"max_age": 2.0}, {"lease": True}):
        pending.read(**kind)
    expected = [ReadRequested(1), ReadRequested(2, lease=True), ReadRequested(3, max_age=2.0)]
    assert expected == pending.gather()
    assert 4 == len(pending)


def test_changes_and_transfers_go_alone(pending):
    """They have fates of their own."""
    members = Members(voters=("ann",))
    pending.change(members, 7)
    pending.transfer("bob")
    assert [MembersProposed(1, members, 7), TransferRequested(2, "bob")] == pending.gather()


def test_groups_are_bounded_in_entries_and_bytes():
    """A group is admitted or refused whole, so it does not grow without limit."""
    pending = Pending(evolve(Config(), entries_max=3, message_bytes_max=10))
    for command in (b"a", b"b", b"c", b"d", b"e" * 10, b"f"):
        pending.propose(command)
    pending.propose_many([b"g"] * 5)
    expected = [(b"a", b"b", b"c"), (b"d",), (b"e" * 10,), (b"f",), (b"g",) * 5]
    assert expected == [event.commands for event in pending.gather() if isinstance(event, Proposed)]


def test_a_call_with_too_many_commands_is_the_callers_error(pending, monkeypatch):
    """Before anything is asked for."""
    monkeypatch.setattr(pending_module, "COMMANDS_MAX", 2)
    with pytest.raises(ValueError, match="limit is 2"):
        pending.propose_many([b"a", b"b", b"c"])
    assert 0 == len(pending)


async def test_results_go_to_those_who_asked(pending, settle):
    """By index, also when a run ends in the middle of a group, or of a call."""
    asked = [pending.propose(b"a"), pending.propose_many([b"b"] * 3), pending.propose(b"c")]
    outcomes = [await settle(waiter) for waiter in asked]
    event = gather_one(pending)
    pending.admit(event.tag, 10, 2)
    pending.applied(*run_of(8, 1, 1))
    pending.applied(*run_of(10, 2, 2))
    pending.applied(*run_of(12, 2))
    pending.applied(*run_of(13, 2, 2, 3))
    await wait_all_tasks_blocked()
    assert [[10], [[11, 12, 13]], [14]] == outcomes
    assert 0 == len(pending)


async def test_another_term_at_the_index_means_superseded(pending, settle):
    """The first entries of a group may have happened although the rest never does."""
    asked = [pending.propose(b"a"), pending.propose_many([b"b"] * 3), pending.propose(b"c")]
    outcomes = [await settle(waiter) for waiter in asked]
    event = gather_one(pending)
    pending.admit(event.tag, 10, 2)
    pending.applied(*run_of(10, 2, 2, 3))
    await wait_all_tasks_blocked()
    assert [10] == outcomes[0]
    assert [Indeterminate] == [type(outcome) for outcome in outcomes[1]]
    assert "the first 1 of 3" in str(outcomes[1][0])
    assert [Superseded] == [type(outcome) for outcome in outcomes[2]]
    assert 0 == len(pending)


async def test_two_lives_as_leader_do_not_mix_their_proposals(pending, settle):
    """The same index admitted twice, in two terms: the term decides which of them happened."""
    old = [await settle(pending.propose(b"a")), await settle(pending.propose(b"b"))]
    pending.admit(gather_one(pending).tag, 10, 2)
    new = await settle(pending.propose(b"c"))
    pending.admit(gather_one(pending).tag, 11, 4)
    pending.applied(*run_of(10, 2, 4))
    await wait_all_tasks_blocked()
    assert [10] == old[0]
    assert [Superseded] == [type(outcome) for outcome in old[1]]
    assert [11] == new


async def test_a_change_ends_with_the_configuration_that_is_not_joint(pending, settle):
    """Its own entry is only the beginning; an older configuration does not count."""
    outcomes = await settle(pending.change(Members(voters=("ann",)), None))
    pending.admit(gather_one(pending).tag, 10, 2)
    entries = Entries(9, (2, 2), (0, 0), bytes((Kind.MEMBERS, Kind.MEMBERS)), (b"", b""))
    pending.applied(entries, [None, None])
    pending.configured(9)
    await wait_all_tasks_blocked()
    assert [] == outcomes
    pending.configured(11)
    await wait_all_tasks_blocked()
    assert [11] == outcomes
    assert 0 == len(pending)


async def test_answers_and_refusals_reach_everybody_in_the_group(pending, settle):
    """Each gets an error of its own."""
    reads = [await settle(pending.read()) for _ in range(2)]
    pending.answer(gather_one(pending).tag, 42)
    writes = [await settle(pending.propose(b"x")) for _ in range(2)]
    pending.refuse(Refuse(gather_one(pending).tag, Refusal.NOT_LEADER, "bob"))
    await wait_all_tasks_blocked()
    assert [[42], [42]] == reads
    assert ["bob", "bob"] == [outcome.leader for (outcome,) in writes]
    assert isinstance(writes[0][0], NotLeader)
    assert writes[0][0] is not writes[1][0]
    assert 0 == len(pending)


async def test_after_a_snapshot_nobody_knows(pending, settle):
    """What lies beyond it is still open."""
    first = await settle(pending.propose(b"a"))
    pending.admit(gather_one(pending).tag, 10, 2)
    second = await settle(pending.propose(b"b"))
    pending.admit(gather_one(pending).tag, 11, 2)
    pending.skipped(10, 2)
    pending.applied(*run_of(11, 2))
    await wait_all_tasks_blocked()
    assert [Indeterminate] == [type(outcome) for outcome in first]
    assert [11] == second


async def test_a_place_that_was_cut_off_is_decided_by_a_later_term_before_it(pending, settle):
    """Terms never fall along a log: behind an entry of term 3 there is none of term 2."""
    cut = await settle(pending.propose(b"a"))
    pending.admit(gather_one(pending).tag, 10, 2)
    kept = await settle(pending.propose(b"b"))
    pending.admit(gather_one(pending).tag, 11, 3)
    pending.applied(*run_of(7, 2))
    await wait_all_tasks_blocked()
    assert [] == cut
    pending.applied(*run_of(8, 3))
    await wait_all_tasks_blocked()
    assert [Superseded] == [type(outcome) for outcome in cut]
    assert [] == kept


async def test_a_snapshot_of_a_later_term_decides_about_what_lies_behind_it(pending, settle):
    """As an applied entry of that term would."""
    cut = await settle(pending.propose(b"a"))
    pending.admit(gather_one(pending).tag, 10, 2)
    pending.skipped(9, 3)
    await wait_all_tasks_blocked()
    assert [Superseded] == [type(outcome) for outcome in cut]


async def test_a_change_that_was_begun_is_not_undone_by_a_later_term(pending, settle):
    """Its joint entry was applied: whoever leads next ends the change."""
    outcomes = await settle(pending.change(Members(voters=("ann",)), None))
    pending.admit(gather_one(pending).tag, 10, 2)
    pending.applied(*run_of(10, 2, 3))
    pending.applied(*run_of(12, 4))
    await wait_all_tasks_blocked()
    assert [] == outcomes
    pending.configured(12)
    await wait_all_tasks_blocked()
    assert [12] == outcomes


async def test_doubt_ends(pending, settle):
    """Those who doubted longest give up first; those admitted later do not."""
    first = await settle(pending.propose(b"a"))
    pending.admit(gather_one(pending).tag, 10, 2)
    pending.doubt(100.0)
    second = await settle(pending.propose(b"b"))
    pending.admit(gather_one(pending).tag, 11, 3)
    pending.doubt(102.0)
    assert 105.0 == pending.deadline
    pending.expire(105.0)
    await wait_all_tasks_blocked()
    assert ([Indeterminate], []) == ([type(outcome) for outcome in first], second)
    assert 107.0 == pending.deadline
    pending.expire(107.0)
    await wait_all_tasks_blocked()
    assert [Indeterminate] == [type(outcome) for outcome in second]
    assert float("inf") == pending.deadline


async def test_closing_answers_everybody_and_everybody_after(pending, settle):
    """By what stage they had reached."""
    admitted = await settle(pending.propose(b"a"))
    pending.admit(gather_one(pending).tag, 10, 2)
    asked = await settle(pending.propose(b"b"))
    pending.gather()
    gathered = [await settle(pending.propose(b"c")), await settle(pending.read())]
    pending.close(stopped)
    await wait_all_tasks_blocked()
    assert [Indeterminate] == [type(outcome) for outcome in admitted]
    assert [[Stopped]] * 3 == [[type(o) for o in outcomes] for outcomes in (asked, *gathered)]
    with pytest.raises(Stopped):
        pending.propose(b"d")
    assert 0 == len(pending)


async def test_answers_that_come_after_closing_find_nobody(pending):
    """A step that was under way when the server stopped may still bring them."""
    for ask in (lambda: pending.propose(b"a"), pending.read):
        ask()
        tag = gather_one(pending).tag
        pending._asked.clear()
        pending.admit(tag, 10, 2)
        pending.answer(tag, 10)
        pending.refuse(Refuse(tag, Refusal.NOT_LEADER))
    pending.applied(*run_of(10, 2))
    assert [] == pending._admitted


@pytest.mark.parametrize("wrong", ["text", bytearray(b"x"), None])
def test_a_command_is_bytes(pending, wrong):
    """Anything else would break the server later: it is turned away at the door."""
    with pytest.raises(TypeError, match="bytes"):
        pending.propose(wrong)
    with pytest.raises(TypeError, match="bytes"):
        pending.propose_many([b"x", wrong])
    assert 0 == len(pending)


async def test_a_cancelled_caller_is_skipped(pending):
    """Its place in the group stays, so that the others' results stay theirs."""
    waiter = pending.propose(b"a")
    with trio.move_on_after(0):
        await waiter.wait()
    pending.admit(gather_one(pending).tag, 10, 2)
    pending.applied(*run_of(10, 2))
    assert 0 == len(pending)


@given(
    calls=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    cuts=st.lists(st.integers(1, 5), max_size=30),
    overruled_after=st.integers(0, 60),
)
@settings(max_examples=60, deadline=None)
def test_however_runs_are_cut_every_caller_gets_what_is_its_own(calls, cuts, overruled_after):
    """Results are exact before the point where another term begins, errors after it."""
    outcomes = trio.run(decide, calls, iter(cuts), overruled_after)
    assert expected_outcomes(calls, overruled_after) == outcomes


async def decide(calls, cuts, overruled_after):
    """Propose (a number is a `propose_many`, 0 a `propose`), apply in pieces, collect."""
    pending = Pending(Config())
    outcomes: list[Any] = [None] * len(calls)

    async def wait(number, waiter):
        try:
            outcomes[number] = await waiter.wait()
        except Exception as error:  # noqa: BLE001 - compared by the test
            outcomes[number] = type(error)

    async with trio.open_nursery() as nursery:
        for number, many in enumerate(calls):
            waiter = pending.propose_many([b"x"] * many) if many else pending.propose(b"x")
            nursery.start_soon(wait, number, waiter)
        await wait_all_tasks_blocked()
        event = gather_one(pending)
        pending.admit(event.tag, 1, 5)
        first = 1
        while first <= len(event.commands):
            stop = min(first + next(cuts, 3), len(event.commands) + 1)
            terms = [5 if index <= overruled_after else 6 for index in range(first, stop)]
            pending.applied(*run_of(first, *terms))
            first = stop
    assert 0 == len(pending)
    return outcomes


def expected_outcomes(calls, overruled_after):
    """What the log says, call by call."""
    first = 1
    expected: list[Any] = []
    for many in calls:
        stop = first + (many or 1)
        results = list(range(first, min(stop, overruled_after + 1)))
        if len(results) == stop - first:
            expected.append(results if many else results[0])
        else:
            expected.append(Indeterminate if results else Superseded)
        first = stop
    return expected
