"""What an application hands to `quorum`: a state machine, and what it must promise.

The log decides; the machine computes. Given the same commands in the same order every replica must
reach the same state and give the same results, so a machine reads no clock, no random source and no
file: the time it may use is in the run (`Entries.stamps`), and so is each command's index.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from attrs import frozen

from quorum.errors import MachineTooOld
from quorum.messages import Entries, Entry, Index

SnapshotData: TypeAlias = bytes | Iterable[bytes]
"""A state as bytes: whole, or in chunks (best of up to 1 MiB) that are made one by one."""


class StateMachine(Protocol):
    """A replicated state machine, fed in runs."""

    def apply(self, entries: Entries) -> Sequence[Any]:
        """Apply a run of commands, in order; return one result for each.

        A result that is a `Failed` is raised as `CommandFailed` to whoever proposed the command.
        Raising from here means that the machine itself is broken: the server stops.
        Runs are cut differently on different replicas, so a result may depend on the commands and
        their order only, never on where a run begins.
        """
        ...

    def snapshot(self) -> SnapshotData:
        """The whole state, such that `restore` on an empty machine makes an equal one.

        Nothing is applied until this returns, so it should be quick. A large state is returned as
        an iterator of chunks, a generator for instance, which is consumed in a worker thread while
        `apply` and `restore` go on. It must not see what they do: let it hold copies, or references
        to what never changes once it is made (copy on write). Where the chunks are cut means
        nothing. An error in it stops the server, as one from here does.
        """
        ...

    def restore(self, snapshot: bytes) -> None:
        """Replace the state by a snapshot that some replica took."""
        ...


@runtime_checkable
class RestoresInChunks(Protocol):
    """What a `StateMachine` has, too, if it need not see a large snapshot in one piece."""

    def restore_chunks(self, chunks: Iterator[bytes]) -> Callable[[], None]:
        """Read a snapshot, make a new state of it, and return what puts that in place.

        This is called instead of `restore`, in a worker thread, while readers look at the machine:
        it must not touch the present state. What it returns is called in the server's own thread.
        Chunks are cut otherwise than they were made.
        """
        ...


@runtime_checkable
class Versioned(Protocol):
    """What a `StateMachine` has, too, if what commands mean changes from release to release.

    A machine without it is at version 1. See `Server.upgrade` for how a cluster goes on.
    """

    @property
    def version(self) -> int:
        """The highest version of commands that it understands; it understands all before it."""
        ...

    def upgrade(self, version: int) -> None:
        """Go by the rules of this version from now on; a fresh machine goes by those of 1.

        Called at the same entry on every replica, and before `restore` with the version at which
        the snapshot was taken; possibly with the version that is in force already. It may change
        the state, as a command would: alike everywhere.
        """
        ...


def machine_version(machine: StateMachine) -> int:
    """The highest version of commands that a machine understands."""
    return machine.version if isinstance(machine, Versioned) else 1


def go_by(machine: StateMachine, version: int, index: Index) -> None:
    """Have a machine go by a version from the entry at `index` on, or raise `MachineTooOld`."""
    understood = machine_version(machine)
    if version > understood:
        raise MachineTooOld(
            f"from entry {index} on the cluster goes by version {version} of the machine's "
            f"commands, the machine here understands version {understood}: this server stops, "
            f"nothing was applied by wrong rules; install the newer release, then restart it"
        )
    if isinstance(machine, Versioned):
        machine.upgrade(version)


@frozen
class Failed:
    """A command's result that says: it was applied, and what it asked for was refused."""

    reason: str


class CommandMachine(ABC):
    """A state machine fed command by command: simpler to write, a little slower.

    An exception from `command` becomes a `Failed` result, the same on every replica, and stops
    nobody; a command that raises must have changed nothing.
    """

    @abstractmethod
    def command(self, entry: Entry) -> Any:
        """Apply one command (`entry.payload`) and return its result."""

    @abstractmethod
    def snapshot(self) -> SnapshotData:
        """See `StateMachine.snapshot`."""

    @abstractmethod
    def restore(self, snapshot: bytes) -> None:
        """See `StateMachine.restore`."""

    def apply(self, entries: Entries) -> Sequence[Any]:
        """See `StateMachine.apply`."""
        return [self._attempt(entry) for entry in entries]

    def _attempt(self, entry: Entry) -> Any:
        try:
            return self.command(entry)
        except Exception as error:  # noqa: BLE001 - whatever a command raises is its result
            return Failed(f"{type(error).__name__}: {error}")


def restore_bytes(machine: StateMachine, snapshot: bytes) -> None:
    """Restore a machine in the way that it likes best."""
    if isinstance(machine, RestoresInChunks):
        pieces = (snapshot[at : at + 1000] for at in range(0, len(snapshot), 1000))
        machine.restore_chunks(pieces)()
    else:
        machine.restore(snapshot)


def snapshot_bytes(machine: StateMachine) -> bytes:
    """The snapshot of a machine in one piece."""
    data = machine.snapshot()
    return data if isinstance(data, bytes) else b"".join(data)
