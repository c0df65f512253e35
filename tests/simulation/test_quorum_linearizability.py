"""The checker itself: what it must accept, what it must refuse."""

from __future__ import annotations

import random
from itertools import permutations

import hypothesis.strategies as st
from hypothesis import given, settings

from quorum.simulation.linearizability import Operation, linearizable, unexplained

NEVER = float("inf")


def append(value, begin, end, *seen, key="k"):
    return Operation(key, begin, end, value, seen if end < NEVER else None)


def read(begin, end, *seen, key="k"):
    return Operation(key, begin, end, None, seen)


def test_an_empty_history_is_linearizable():
    """Nothing needs no explanation."""
    assert linearizable([])


def test_a_read_must_see_what_was_acknowledged_before_it():
    """The stale read: the append had returned before the read was called."""
    assert not linearizable([append(1, 0, 1, 1), read(2, 3)])
    assert linearizable([append(1, 0, 1, 1), read(2, 3, 1)])


def test_a_read_may_or_may_not_see_what_happens_meanwhile():
    """Both orders explain it."""
    assert linearizable([append(1, 0, 5, 1), read(1, 2)])
    assert linearizable([append(1, 0, 5, 1), read(1, 2, 1)])


def test_nobody_sees_the_past_again():
    """Two reads one after the other: what the first saw the second sees too."""
    assert not linearizable([append(1, 0, 9, 1), read(1, 2, 1), read(3, 4)])


def test_an_unknown_append_may_have_happened_or_not_but_not_both():
    """It may also happen long after the client gave up, but only once."""
    unknown = append(1, 0, NEVER)
    assert linearizable([unknown, read(1, 2), read(3, 4)])
    assert linearizable([unknown, read(1, 2), read(3, 4, 1)])
    assert not linearizable([unknown, read(1, 2, 1), read(3, 4)])
    assert not linearizable([unknown, read(1, 2, 1, 1)])


def test_a_value_that_failed_for_certain_must_never_be_seen():
    """Failed calls are not in the history; a read that saw one has no explanation."""
    assert not linearizable([read(0, 1, 7)])


def test_different_lists_are_judged_apart():
    """And the one that nothing explains is named."""
    history = [append(1, 0, 1, 1, key="fine"), append(2, 0, 1, 2, key="broken")]

    assert unexplained(history) is None
    assert unexplained([*history, read(2, 3, key="broken")]) == "broken"


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_search_agrees_with_trying_every_order(chance: random.Random):
    """Against the definition, on small histories of every kind."""
    history = []
    for value in range(1, chance.randint(2, 5)):
        begin = chance.randint(0, 6)
        end = begin + chance.randint(1, 6)
        seen = tuple(chance.sample(range(1, 5), chance.randint(0, 2)))
        if chance.random() < 0.4:
            history.append(read(begin, end, *seen))
        elif chance.random() < 0.3:
            history.append(append(value, begin, NEVER))
        else:
            history.append(append(value, begin, end, *seen, value))

    assert by_definition(history) == linearizable(history)


def by_definition(history):
    unknown = [op for op in history if op.seen is None]
    known = [op for op in history if op.seen is not None]
    for bits in range(1 << len(unknown)):
        chosen = known + [op for k, op in enumerate(unknown) if bits >> k & 1]
        if any(explains(order) for order in permutations(chosen)):
            return True
    return False


def explains(order):
    state: tuple[int, ...] = ()
    for place, op in enumerate(order):
        if any(later.returned < op.invoked for later in order[place + 1 :]):
            return False
        if op.value is not None:
            state = (*state, op.value)
        if op.seen is not None and op.seen != state:
            return False
    return True
