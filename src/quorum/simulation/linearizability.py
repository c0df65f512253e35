"""Whether some order of the operations explains what every client saw.

The question is Herlihy and Wing's: each operation must seem to happen at one moment between its
call and its return. The search is Wing and Gong's with Lowe's memory: pick an operation that no
pending one must precede, apply it to the model, go on; remember every (set of operations done,
state) that led nowhere. An operation whose outcome is unknown may happen at any time after its
call, or never.

The histories are of lists to which unique values are appended (`quorum.simulation.machines.Lists`);
different lists are independent, so each is searched by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from attrs import define, frozen

Values: TypeAlias = tuple[int, ...]

STATES_MAX = 100_000
"""States looked at before the search gives up; a sane history needs about one an operation."""


class TooHard(Exception):
    """The search gave up: neither a proof nor a refutation."""


@frozen
class Operation:
    """An append (`value` is given) or a read of one list."""

    key: str
    invoked: float
    returned: float
    """Infinite when the outcome is unknown."""
    value: int | None
    seen: Values | None
    """The list as the client saw it; None when it saw nothing."""


@define
class _Call:
    """A node in the list of calls and returns, in the order of time."""

    operation: Operation
    bit: int
    match: _Call | None = None
    """A call's return; None in a return."""
    before: _Call | None = None
    after: _Call | None = None


def unexplained(history: Iterable[Operation]) -> str | None:
    """The name of a list whose history nothing explains; None if all is linearizable.

    Raise `TooHard` if a history has too much concurrency to decide.
    """
    lists: dict[str, list[Operation]] = {}
    for operation in history:
        lists.setdefault(operation.key, []).append(operation)
    return next((key for key, part in lists.items() if not linearizable(part)), None)


def linearizable(history: Iterable[Operation]) -> bool:
    """Whether some order explains the operations on one list."""
    everything = list(history)
    # An append of unknown outcome that nobody ever saw need not have happened.
    visible = {value for each in everything for value in each.seen or ()}
    operations = [each for each in everything if each.seen is not None or each.value in visible]
    known = sum(1 << place for place, each in enumerate(operations) if each.seen is not None)
    head = _timeline(operations)
    state: Values = ()
    done = 0
    refuted: set[tuple[int, Values]] = set()
    path: list[tuple[_Call, Values]] = []
    entry = head.after
    while known & ~done:
        if entry is not None and entry.match is not None:
            after = _apply(entry.operation, state)
            if after is not None and (done | entry.bit, after) not in refuted:
                if len(refuted) >= STATES_MAX:
                    raise TooHard(f"over {STATES_MAX} states for {len(operations)} operations")
                refuted.add((done | entry.bit, after))  # unless the search succeeds from there
                path.append((entry, state))
                done, state = done | entry.bit, after
                _lift(entry)
                entry = head.after
            else:
                entry = entry.after
        else:
            # A return whose call has not been placed: everything placed so far was too early.
            if not path:
                return False
            entry, state = path.pop()
            done &= ~entry.bit
            _unlift(entry)
            entry = entry.after
    return True


def _apply(operation: Operation, state: Values) -> Values | None:
    """The list after the operation; None if the operation saw something else."""
    after = state if operation.value is None else (*state, operation.value)
    return after if operation.seen is None or operation.seen == after else None


def _timeline(operations: list[Operation]) -> _Call:
    """Calls and returns as a linked list; at the same moment, calls come first."""
    moments: list[tuple[float, int, int, _Call]] = []
    for place, operation in enumerate(operations):
        back = _Call(operation, 1 << place)
        call = _Call(operation, 1 << place, match=back)
        moments.append((operation.invoked, 0, place, call))
        moments.append((operation.returned, 1, place, back))
    moments.sort(key=lambda moment: moment[:3])
    head = last = _Call(Operation("", 0, 0, None, None), 0)
    for *_, call in moments:
        last.after, call.before = call, last
        last = call
    return head


def _lift(call: _Call) -> None:
    """Take a call and its return out of the timeline."""
    for each in (call, call.match):
        assert each is not None
        assert each.before is not None
        each.before.after = each.after
        if each.after is not None:
            each.after.before = each.before


def _unlift(call: _Call) -> None:
    """Put them back where they were."""
    for each in (call.match, call):
        assert each is not None
        assert each.before is not None
        each.before.after = each
        if each.after is not None:
            each.after.before = each
