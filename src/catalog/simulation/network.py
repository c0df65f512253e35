"""The network between processes in virtual time: datagrams, requests with their answers, streams.

It delays, loses and repeats datagrams; it is cut, in one direction or both; whoever stands still
gets its mail when it wakes. A request is what `catalog.rpc` makes of a connection: it reaches the
other end or not, and where no answer comes, its caller does not know which.

The bytes on the wire, TLS and the door are left out: they are fuzzed, and tried with sockets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from random import Random
from typing import Any, Protocol

import trio
from attrs import define, field

from catalog.config import Address
from catalog.requests import Request
from catalog.rpc import DIAL_SECONDS_MAX
from catalog.rpc.faults import ConnectionLost, Unreachable, fault_of, raised
from catalog.simulation.loops import Process
from quorum.effects import Send
from quorum.events import Received
from quorum.messages import InstallSnapshot
from quorum.storage import CHUNK_BYTES, StoredSnapshot
from quorum.trio.link import Receiver

__all__ = ["Connections", "Line", "Machine", "Network", "Port"]

PORT = 8300
KNOWN_CONNECTION = 0.5
"""How often a caller has a connection already, and sends into the dark when the link is cut."""


class Machine(Protocol):
    """A place where processes run, one after the other."""

    name: str
    process: Process | None
    receiver: Receiver | None
    """Its part in consensus, while there is one."""
    handler: Callable[[Request[Any], bool], Awaitable[Any]] | None
    """What answers requests, while it runs."""
    port: Port | None


@define
class Network:
    """What lies between the machines."""

    random: Random
    true: Callable[[], float]
    """The world's time."""
    after: Callable[..., None]
    """Do something after so many seconds of the world."""
    wake: Callable[[Machine], None]
    """Let a machine run, unless it stands still."""
    machines: dict[str, Machine] = field(factory=dict)
    delay: float = 0.002
    loss: float = 0.0
    repeats: float = 0.0
    cuts: dict[tuple[str, str], None] = field(factory=dict)

    def cut(self, group: Iterable[str], *, one_way: bool = False) -> None:
        """Lose everything between a group and the others; `one_way`: only what the group says."""
        inside = dict.fromkeys(group)
        for one in inside:
            for other in self.machines:
                if other not in inside:
                    self.cuts[one, other] = None
                    if not one_way:
                        self.cuts[other, one] = None

    def heal(self) -> None:
        """Let everything pass again, at its usual pace."""
        self.cuts.clear()
        self.loss = self.repeats = 0.0
        self.delay = 0.002

    def find(self, address: Address) -> str:
        """The name of the machine at an address; each has one of its own, for good."""
        return next((name for name in self.machines if address_of(name) == address), "")

    def reaches(self, source: str, target: str) -> bool:
        """Whether anything could arrive now."""
        return target in self.machines and (source == target or (source, target) not in self.cuts)

    def pause(self) -> float:
        """Draw how long something travels."""
        slow = 20 if self.random.random() < 0.01 else 1
        return self.delay * self.random.uniform(0.2, 2.0) * slow

    def deliver(self, source: str, target: str, act: Callable[[], object]) -> None:
        """Have something done at another machine, in the life that it lives now; never lost."""
        process = self.machines[target].process
        self.after(self.pause(), self._arrive, source, target, process, act)

    def in_order(self, source: str, target: str, due: float, act: Callable[[], object]) -> float:
        """Deliver after what was due before; return when, in seconds of the world."""
        due = max(due + 1e-6, self.true() + self.pause())
        process = self.machines[target].process
        self.after(due - self.true(), self._arrive, source, target, process, act)
        return due

    def datagram(self, source: str, target: str, act: Callable[[], object]) -> None:
        """The same, but it may be lost, or come twice."""
        copies = 0 if self.random.random() < self.loss else 1
        copies += self.random.random() < self.repeats
        if self.reaches(source, target):
            for _ in range(copies):
                self.deliver(source, target, act)

    def _arrive(
        self, source: str, target: str, process: Process | None, act: Callable[[], object]
    ) -> None:
        machine = self.machines[target]
        if process is not None and machine.process is process and self.reaches(source, target):
            process.post(act)
            self.wake(machine)


def address_of(name: str) -> Address:
    """Where a machine is found: a number that its name ends with is its own."""
    return f"10.0.{ord(name[0])}.{int(name[1:])}", PORT


@define(eq=False)
class _Answer:
    """What a caller waits for."""

    done: trio.Event = field(factory=trio.Event)
    value: Any = None
    error: Exception | None = None

    def settle(self, value: Any, error: Exception | None) -> None:
        self.value, self.error = value, error
        self.done.set()


class Line:
    """One machine's way to have things done at others; it lives as long as a process."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._name = name

    async def call(
        self, target: str, work: Callable[[Machine], Awaitable[Any]], *, patience: float
    ) -> Any:
        """Have some work done there, and return its value or raise its error.

        Raises:
            Unreachable: it was not begun.
            ConnectionLost: that is not known.

        """
        network, answer = self._network, _Answer()
        machine = network.machines.get(target)
        life = None if machine is None else machine.process
        known = network.random.random() < KNOWN_CONNECTION
        if machine is None or life is None or not (known or network.reaches(self._name, target)):
            is_silent = machine is None or not network.reaches(self._name, target)
            await trio.sleep(DIAL_SECONDS_MAX if is_silent else network.pause())
            raise Unreachable(f"no agent was reached at {target}")
        scope = trio.CancelScope()
        mine = network.machines[self._name].process
        assert mine is not None

        async def there() -> None:
            value, error = None, None
            with scope:
                try:
                    value = await work(machine)
                except Exception as caught:  # noqa: BLE001 - whatever it is, the caller is told
                    error = caught
                if network.machines[self._name].process is mine:
                    network.deliver(target, self._name, partial(answer.settle, value, error))

        begin = partial(network.deliver, self._name, target)
        begin(lambda: life.nursery.start_soon(there))
        with trio.move_on_after(patience):
            while not answer.done.is_set():
                with trio.move_on_after(1.0):
                    await answer.done.wait()
                if machine.process is not life and network.reaches(self._name, target):
                    break  # its kernel says that there is no such connection
        if not answer.done.is_set():
            if machine.process is life:
                begin(scope.cancel)
            raise ConnectionLost(f"contact with {target} was lost before it answered")
        if answer.error is not None:
            raise answer.error
        return answer.value


class Connections:
    """What `catalog.rpc.Connections` is, over this network."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._line = Line(network, name)

    async def call(
        self, address: Address, request: Request[Any], *, direct: bool = False, patience: float
    ) -> Any:
        """See `catalog.rpc.Connections.call`."""

        async def answer(machine: Machine) -> Any:
            if machine.handler is None:
                raise Unreachable("it is only starting")
            try:
                return await machine.handler(request, direct)
            except Exception as error:
                raise raised(*fault_of(error)) from error

        return await self._line.call(self._network.find(address), answer, patience=patience)


class Link:
    """One server's end of the network, for Raft; see `quorum.trio.link.Link`."""

    def __init__(self, network: Network, machine: Machine) -> None:
        self._network = network
        self._machine = machine
        self._line = Line(network, machine.name)

    async def run(
        self,
        receiver: Receiver,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Carry messages until cancelled."""
        self._machine.receiver = receiver
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self._machine.receiver = None

    def send(self, sends: Sequence[Send]) -> None:
        """Send these; the network may lose them."""
        for send in sends:
            event = Received(self._machine.name, send.message)
            self._network.datagram(
                self._machine.name, send.to, partial(self._receive, send.to, event)
            )

    def _receive(self, to: str, event: Received) -> None:
        receiver = self._network.machines[to].receiver
        if receiver is not None:
            receiver.received((event,))

    async def send_snapshot(
        self, to: str, message: InstallSnapshot, snapshot: StoredSnapshot
    ) -> None:
        """Deliver a snapshot; raise `OSError` if it may not have arrived."""
        chunks = [
            await snapshot.read(offset, CHUNK_BYTES)
            for offset in range(0, snapshot.size, CHUNK_BYTES)
        ]

        async def take(machine: Machine) -> None:
            receiver = machine.receiver
            if receiver is None:
                raise ConnectionError("it is only starting")
            incoming = await receiver.receive_snapshot(message.mark)
            try:
                for chunk in chunks:
                    await incoming.write(chunk)
                await receiver.snapshot_received(self._machine.name, message, incoming)
            finally:
                incoming.discard()

        try:
            await self._line.call(to, take, patience=10.0)
        except (Unreachable, ConnectionLost) as error:
            raise ConnectionError(str(error)) from error

    def learn(self, peer: str, address: str) -> None:
        """Addresses mean nothing here: names do."""


class Port:
    """One agent's place in the network, for gossip; see `rumor.trio.ports.Port`."""

    def __init__(self, network: Network, machine: Machine) -> None:
        self.address = address_of(machine.name)
        self.listener: trio.abc.Listener[trio.abc.Stream] = Accepting()
        self._network = network
        self._machine = machine
        self._datagrams: deque[tuple[bytes, Address]] = deque()
        self._readable = trio.Event()

    async def opened(
        self, bind: Address, *, listener: trio.abc.Listener[trio.abc.Stream] | None = None
    ) -> Port:
        """Be what opens ports; see `rumor.trio.ports.OpenPort`."""
        assert bind == self.address
        assert listener is None
        await trio.lowlevel.checkpoint()
        self._machine.port = self
        return self

    def send_nowait(self, data: bytes, to: Address) -> bool:
        """Send a datagram."""
        name, target = self._machine.name, self._network.find(to)
        if target:
            self._network.datagram(name, target, partial(self._deliver, target, data))
        return True

    def _deliver(self, target: str, data: bytes) -> None:
        port = self._network.machines[target].port
        if port is not None:
            port.take(data, self.address)

    def take(self, data: bytes, source: Address) -> None:
        """Take a datagram in."""
        self._datagrams.append((data, source))
        self._readable.set()

    def receive_nowait(self) -> tuple[bytes, Address]:
        """Take a datagram that is there, or raise `trio.WouldBlock`."""
        if not self._datagrams:
            if self._readable.is_set():
                self._readable = trio.Event()
            raise trio.WouldBlock
        return self._datagrams.popleft()

    async def wait_readable(self) -> None:
        """Wait until a datagram is there."""
        await self._readable.wait()

    async def dial(self, to: Address) -> trio.abc.Stream:
        """Open a stream, or raise `OSError`."""
        name, target = self._machine.name, self._network.find(to)
        machine = self._network.machines.get(target)
        if machine is None or machine.process is None:
            await trio.sleep(self._network.pause())
            raise ConnectionRefusedError(f"nobody at {to[0]}:{to[1]}")
        near = Pipe(self._network, name, target)
        far = Pipe(self._network, target, name)
        near.far, far.far = far, near

        def accept() -> None:
            if machine.port is not None and isinstance(machine.port.listener, Accepting):
                far.open()
                machine.port.listener.take(far)

        near.open()
        self._network.deliver(name, target, accept)
        await trio.lowlevel.checkpoint()
        return near

    def close(self) -> None:
        """Give the address back."""
        self._machine.port = None


class Accepting(trio.abc.Listener[trio.abc.Stream]):
    """Streams that others opened."""

    def __init__(self) -> None:
        self._streams: deque[trio.abc.Stream] = deque()
        self._bell = trio.Event()

    def take(self, stream: trio.abc.Stream) -> None:
        """Let a stream wait to be accepted."""
        self._streams.append(stream)
        self._bell.set()

    async def accept(self) -> trio.abc.Stream:
        """Wait for a stream."""
        while not self._streams:
            self._bell = trio.Event()
            await self._bell.wait()
        await trio.lowlevel.checkpoint()
        return self._streams.popleft()

    async def aclose(self) -> None:
        """Accept no more."""
        await trio.lowlevel.checkpoint()


class Pipe(trio.abc.Stream):
    """One end of a stream; what is sent while the network is cut is lost, and so is the rest."""

    def __init__(self, network: Network, name: str, peer: str) -> None:
        self.far: Pipe | None = None
        self._network, self._name, self._peer = network, name, peer
        self._data = bytearray()
        self._ended = self._closed = False
        self._due = 0.0
        self._bell: trio.Event | None = None

    def open(self) -> None:
        """Be ready, in the process that this end is in."""
        self._bell = trio.Event()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes."""
        await trio.lowlevel.checkpoint()
        self._carry(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        """There is always room."""
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what has come; nothing at the end."""
        await trio.lowlevel.checkpoint()
        while not self._data and not self._ended:
            self._bell = trio.Event()
            await self._bell.wait()
        size = len(self._data) if max_bytes is None else max_bytes
        data = bytes(self._data[:size])
        del self._data[:size]
        return data

    async def aclose(self) -> None:
        """End this direction."""
        if not self._closed:
            self._closed = True
            self._carry(None)
        await trio.lowlevel.checkpoint()

    def _carry(self, data: bytes | None) -> None:
        assert self.far is not None
        if self._network.machines[self._peer].process is not None:
            act = partial(self.far.take, data)
            self._due = self._network.in_order(self._name, self._peer, self._due, act)

    def take(self, data: bytes | None) -> None:
        """Take bytes in, or the end of the stream."""
        if data is None:
            self._ended = True
        else:
            self._data += data
        if self._bell is not None:
            self._bell.set()
