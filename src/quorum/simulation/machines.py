"""What runs on the simulated cluster: the default machine, and the workload that feeds it.

`Lists` keeps lists to which values are appended. Values are unique, so a list that somebody reads
tells the order of all writes before it: the best evidence a client can have (a plain register
forgets all writes but the last).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from attrs import frozen

from quorum.envelope import MAGIC, Request, parse
from quorum.machine import CommandMachine, StateMachine
from quorum.messages import Entry
from quorum.sessions import Sessions

KEY_LIFE = 24
"""Operations on one list before clients move on to a new one; bounds the linearizability search."""


class Lists(CommandMachine):
    """Named lists of numbers; the command `b"name number"` appends and returns the whole list."""

    def __init__(self) -> None:
        self.lists: dict[str, list[int]] = {}

    def command(self, entry: Entry) -> tuple[int, ...]:
        """Append; the result is the list as it then stands."""
        name, number = entry.payload.decode().split()
        values = self.lists.setdefault(name, [])
        values.append(int(number))
        return tuple(values)

    def read(self, name: str) -> tuple[int, ...]:
        """The list as it stands."""
        return tuple(self.lists.get(name, ()))

    def snapshot(self) -> bytes:
        """JSON with sorted names."""
        return json.dumps(self.lists, sort_keys=True).encode()

    def restore(self, snapshot: bytes) -> None:
        """Take over the lists of a snapshot."""
        self.lists = json.loads(snapshot)


@frozen
class Workload:
    """A state machine and the commands to try it with."""

    machine: Callable[[], StateMachine]
    """Makes an empty machine; called for every (re)start of a server."""
    command: Callable[[Random], bytes]
    """Draws a command; all chance must come from the generator that it is given."""

    def write(self, random: Random, unique: int) -> tuple[str, bytes]:
        """A command, and the name of the part of the state that it is about."""
        del unique
        return "", self.command(random)

    def read(self, machine: StateMachine, key: str) -> Any:
        """What a reader sees; None when only the freshness of reads is checked."""
        del machine, key

    def repeats(self, command: bytes, result: Any) -> bool:
        """Whether this result shows that something was done twice."""
        del command, result
        return False


class ListsWorkload(Workload):
    """The default: unique appends to a few lists at a time, and reads of them.

    Some of its clients have sessions, within these limits.
    """

    def __init__(
        self, *, sessions_max: int = 100, window_max: int = 4, ttl_ms: int = 1_000_000
    ) -> None:
        limits = {"sessions_max": sessions_max, "window_max": window_max, "ttl_ms": ttl_ms}
        super().__init__(lambda: Sessions(Lists(), **limits), lambda random: random.randbytes(1))

    @classmethod
    def draw(cls, random: Random) -> ListsWorkload:
        """One seed's limits: few sessions are remembered, and not for long, so that they end."""
        return cls(
            sessions_max=random.choice((1, 2, 100)),
            window_max=random.choice((1, 4)),
            ttl_ms=random.choice((500, 5_000, 1_000_000)),
        )

    def write(self, random: Random, unique: int) -> tuple[str, bytes]:
        """An append of this unique number to one of two lists now in use."""
        key = f"{'xy'[random.randrange(2)]}{unique // (2 * KEY_LIFE)}"
        return key, f"{key} {unique}".encode()

    def read(self, machine: StateMachine, key: str) -> tuple[int, ...]:
        """The whole list."""
        assert isinstance(machine, Sessions)
        assert isinstance(machine.machine, Lists)
        return machine.machine.read(key)

    def repeats(self, command: bytes, result: Any) -> bool:
        """Whether the list that an append returned has a value twice."""
        if command.startswith(MAGIC) and parse(command)[0] is not Request.COMMAND:
            return False
        return isinstance(result, tuple) and len(set(result)) < len(result)
