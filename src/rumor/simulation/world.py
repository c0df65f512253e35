"""The simulated world: a queue of happenings in virtual time, and members that live in it.

Everything random comes from one generator, everything timed from one queue, so a seed decides the
whole run. The members are real cores (:class:`rumor.core.swim.Swim`) and speak the real wire
format; the world is their driver and does with each effect what a driver does. It is a driver
under which processes stop, starve, crash and come back, over a network that takes chances.

After every step the observer (:mod:`rumor.simulation.invariants`) looks at what has changed.

Nothing here costs time in proportion to the number of members, but for the look at a list that has
changed; so a thousand members run faster than real time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from itertools import cycle, islice
from math import inf
from random import Random
from typing import Any

from rumor.config import Config
from rumor.core.swim import Swim
from rumor.effects import (
    Answer,
    Collect,
    Deliver,
    Effect,
    Exchange,
    Notification,
    Refuse,
    Send,
    Settled,
)
from rumor.errors import ProtocolError
from rumor.events import Departed, Described, Event, Happened, Introduced, Received
from rumor.messages import Address, Name, Peer
from rumor.simulation.deliveries import Deliveries
from rumor.simulation.host import Host, Mode
from rumor.simulation.invariants import Invariants, Violation
from rumor.simulation.network import Network
from rumor.simulation.streams import Streams
from rumor.simulation.trace import Trace
from rumor.wire import Wire, encode

SPINS_MAX = 50
"""Steps in a row for a deadline that is not in the future before the core is said to spin."""

BUFFER_MAX = 1_000
"""What a member that does not read, or cannot send, keeps; more is dropped, as sockets do."""

AUDITS_MAX = 16
"""Members whose whole lists are looked at in a period; of more, each has its turn."""

LOAD_MAX = 100
LOAD_EACH_MAX = 10
"""Datagrams that a member may send in a protocol period, on average: so many, and so many more for
each member there is news of. At rest it is two or three, in the worst of troubles some dozens; a
storm has no end."""

Listener = Callable[[float, Host, Notification], None]


def ignore(_now: float, _host: Host, _notification: Notification) -> None:
    """Do nothing with a notification; what a world without a listener does."""


class World:
    """Members, a network, and the time they live in.

    `listen` hears every notification that a member gives to its user, with the time and the host.
    """

    def __init__(
        self,
        random: Random,
        *,
        config: Config | None = None,
        trace: Trace | None = None,
        listen: Listener = ignore,
        cluster: str = "simulated",
    ) -> None:
        self.random = random
        self.config = config if config is not None else Config.lan()
        self.network = Network(random)
        self.trace = trace if trace is not None else Trace()
        self.listen = listen
        self.wire = Wire(cluster)
        self.now = 0.0
        self.steps = self.events = 0
        self.counts: Counter[str] = Counter()
        self.hosts: dict[Name, Host] = {}
        self.observer = Invariants(self.config)
        self.deliveries = Deliveries()
        self.recent: deque[tuple[Name, bytes]] = deque(maxlen=64)
        """The latest datagrams, with their senders."""
        self._addresses: dict[Address, Host] = {}
        self.streams = Streams(self)
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = self._port = 0
        self._load = self._audited = 0
        self.after(self.config.probe_interval, self._audit)

    # --- time ---

    def after(self, delay: float, act: Callable[..., None], *arguments: Any) -> None:
        """Do this later."""
        self._sequence += 1
        heappush(self._queue, (self.now + delay, self._sequence, act, arguments))

    def run(self, seconds: float) -> None:
        """Let that much time pass."""
        until = self.now + seconds
        queue = self._queue
        while queue[0][0] <= until:
            self.now, _, act, arguments = heappop(queue)
            act(*arguments)
        self.now = until

    def run_until(self, reached: Callable[[], bool], *, within: float, look: float = 0.1) -> float:
        """Let time pass until `reached`; return when that was, or ``inf`` if not `within`."""
        start = self.now
        while not reached():
            if self.now - start >= within:
                return inf
            self.run(look)
        return self.now - start

    # --- members ---

    def start(self, name: Name, *, meta: bytes = b"", seeds: Iterable[Name] = ()) -> Host:
        """Boot a member, for the first time or again, and let it join through `seeds`."""
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = Host(name, self._new_address())
            self._addresses[host.address] = host
        assert not host.up, f"{name} runs already"
        host.meta, host.life, host.left = meta, host.life + 1, False
        host.mode, host.wake = Mode.RUNNING, inf
        host.settled.clear()
        me = Peer(name, host.address, meta=meta)
        host.core = Swim(
            me,
            self.config,
            now=self.now,
            random=Random(self.random.getrandbits(64)),
            encode=encode,
        )
        self.observer.started(me)
        self.deliveries.started(name)
        self.trace.note(self.now, name, f"starts at {host.address[1]}")
        self.join(name, seeds)
        return host

    def start_settled(self, names: Sequence[Name], *, meta: bytes = b"") -> None:
        """Boot members that have known each other for long: the join of many at once takes time."""
        for name in names:
            self.start(name, meta=meta)
        peers = [Peer(name, self.hosts[name].address, meta=meta) for name in names]
        for name in names:
            core = self.hosts[name].core
            assert core is not None
            state = core._state  # noqa: SLF001  # no event says "as it was long ago"
            for peer in peers:
                state.members.put(peer, self.now)
                state.backlog.remove(peer.name)
            self.observer.acquainted(name, core.members)

    def move(self, name: Name) -> None:
        """Give a member that is down another address for its next life."""
        host = self.hosts[name]
        assert not host.up, f"{name} runs"
        self._addresses.pop(host.address)
        host.address = self._new_address()
        self._addresses[host.address] = host

    def join(self, name: Name, seeds: Iterable[Name]) -> None:
        """Let a member join through others; its first own datagrams leave as well."""
        addresses = tuple(self.hosts[seed].address for seed in seeds if seed in self.hosts)
        self.tell(self.hosts[name], [Introduced(1, addresses)])

    def leave(self, name: Name) -> None:
        """Let a member say farewell; its process ends when the farewell is settled."""
        host = self.hosts[name]
        host.left = True
        self.trace.note(self.now, name, "leaves")
        self.tell(host, [Departed(2)])

    def describe(self, name: Name, meta: bytes) -> None:
        """Give a member new metadata."""
        host = self.hosts[name]
        if not host.left:
            host.meta = meta
            self.observer.described(host.name, host.address, meta)
        self.tell(host, [Described(meta)])

    def say(self, name: Name, text: str, payload: bytes) -> None:
        """Let a member tell all something."""
        self.tell(self.hosts[name], [Happened(3, text, payload)])

    def crash(self, name: Name) -> None:
        """Kill a member: nothing of it is left but its name and its address."""
        host = self.hosts[name]
        self.trace.note(self.now, name, "dies")
        self._end(host)

    def hold(self, name: Name, mode: Mode) -> None:
        """Block or pause a member."""
        self.trace.note(self.now, name, mode.value)
        self.hosts[name].mode = mode

    def release(self, name: Name) -> None:
        """Let a member run again: what it could not send leaves, then it reads what has come.

        All that waits is read before the clock is looked at; that is the rule for drivers.
        """
        host = self.hosts[name]
        was, host.mode = host.mode, Mode.RUNNING
        if not host.up or was is Mode.RUNNING:
            return
        self.trace.note(self.now, name, f"runs again, {len(host.inbox)} events wait")
        for act, arguments in self._take(host.outbox):
            act(*arguments)
        self._step(host, self._take(host.inbox))

    def look_at_clock(self, name: Name) -> None:
        """Let a member fire what is due, whether it can send or not."""
        self._step(self.hosts[name], ())

    def tell(self, host: Host, events: Sequence[Event]) -> None:
        """Hand events to a member, now if it reads, else when it does."""
        if host.mode is Mode.RUNNING:
            self._step(host, events)
        elif len(host.inbox) < BUFFER_MAX:
            host.inbox.extend(events)
        else:
            self.counts["dropped, the inbox is full"] += 1

    def up(self) -> list[Host]:
        """The members that run, paused ones included."""
        return [host for host in self.hosts.values() if host.up]

    def _new_address(self) -> Address:
        self._port += 1
        return f"10.0.{self._port >> 8}.{self._port & 255}", 7946

    def _end(self, host: Host) -> None:
        host.core, host.life, host.mode, host.wake = None, host.life + 1, Mode.RUNNING, inf
        host.inbox.clear()
        host.outbox.clear()
        self.observer.ended(host.name)

    # --- steps ---

    def _step(self, host: Host, events: Sequence[Event]) -> None:
        core = host.core
        if core is None:
            return
        self.steps += 1
        self.events += len(events)
        effects = core.step(events, now=self.now)
        self.observer.stepped(host, core.members, events, effects)
        for effect in effects:
            self._perform(host, effect)
        if host.core is core:
            self._set_alarm(host, core)

    def _set_alarm(self, host: Host, core: Swim) -> None:
        at = core.deadline
        host.spins = host.spins + 1 if at <= self.now else 0
        if host.spins > SPINS_MAX:
            raise Violation("Deadline", f"{host.name} stays past its deadline, step after step")
        if at < host.wake:
            host.wake = at
            self.after(max(0.0, at - self.now), self._alarm, host, host.life, at)

    def _alarm(self, host: Host, life: int, at: float) -> None:
        core = host.core
        if core is None or host.life != life or host.wake != at:
            return  # meant for an earlier life, or an earlier alarm was set after this one
        host.wake = inf
        if host.mode is Mode.PAUSED:
            return
        if core.deadline <= self.now + 1e-9:
            self.now = max(self.now, core.deadline)  # not a rounding error before it
            self._step(host, ())
        else:
            self._set_alarm(host, core)

    def _audit(self) -> None:
        """Look, once in a period, at the sizes of what some of the members keep, in turn."""
        self._load = 0
        audited = min(AUDITS_MAX, len(self.hosts))
        for name in islice(cycle(self.hosts), self._audited, self._audited + audited):
            host = self.hosts[name]
            if host.core is not None:
                self.observer.audited(host, host.core.members, host.core.statistics())
        self._audited = (self._audited + audited) % max(1, len(self.hosts))
        self.after(self.config.probe_interval, self._audit)

    # --- effects ---

    def _perform(self, host: Host, effect: Effect) -> None:
        match effect:
            case Send(to, message, gossip):
                data = self.wire.pack(message, gossip)
                self.observer.sent(host.name, data)
                host.packets += 1
                host.bytes += len(data)
                self._emit(host, self._send, host, to, data)
            case Exchange(ticket, to, request):
                data = self.wire.pack_frame(request)
                self._emit(host, self.streams.dial, host, ticket, self._addresses.get(to), data)
            case Answer(call, reply):
                self._emit(host, self.streams.reply, host, call, self.wire.pack_frame(reply))
            case Deliver(told):
                self.counts["user events"] += 1
                self.deliveries.delivered(self.now, host.name, told)
            case Collect() | Refuse():
                pass  # nobody here asks
            case Settled(tag, count):
                host.settled[tag] = count
                if tag == 2:
                    self.trace.note(self.now, host.name, f"has left, {count} heard it")
                    self._end(host)
            case _:
                self.counts[type(effect).__name__.lower()] += 1
                text = f"{type(effect).__name__} {effect.member.name}@{effect.member.incarnation}"
                self.trace.note(self.now, host.name, text)
                self.listen(self.now, host, effect)

    def _emit(self, host: Host, act: Callable[..., None], *arguments: Any) -> None:
        """Let bytes out, or keep them as long as the member is blocked."""
        if host.mode is Mode.RUNNING:
            act(*arguments)
        elif len(host.outbox) < BUFFER_MAX:
            host.outbox.append((act, arguments))
        else:
            self.counts["dropped, the outbox is full"] += 1

    def _take(self, box: list[Any]) -> list[Any]:
        taken = box[:]
        box.clear()
        return taken

    # --- datagrams ---

    def _send(self, host: Host, to: Address, data: bytes) -> None:
        self.trace.sent(self.now, host.name, data)
        self.counts["datagrams"] += 1
        self.recent.append((host.name, data))
        self._load += 1
        members = len(self.hosts)
        if self._load > members * (LOAD_MAX + LOAD_EACH_MAX * members):
            raise Violation("Storm", f"{self._load} datagrams in less than a period")
        target = self._addresses.get(to)
        if target is None:
            return
        delays = self.network.copies(host.name, target.name)
        self.counts["datagrams lost"] += not delays
        self.counts["datagrams repeated"] += len(delays) > 1
        for delay in delays:
            self.after(delay, self._deliver, target, to, host.address, data)

    def _deliver(self, host: Host, to: Address, source: Address, data: bytes) -> None:
        if host.core is None or host.address != to:
            return
        if lag := host.lag(self.random):
            self.after(lag, self._read, host, source, data)
        else:
            self._read(host, source, data)

    def _read(self, host: Host, source: Address, data: bytes) -> None:
        if host.core is None:
            return
        try:
            message, updates = self.wire.unpack(data)
        except ProtocolError:
            self.counts["datagrams refused"] += 1
            return
        self.tell(host, [Received(source, message, updates)])

    def inject(self, to: Name, source: Address, data: bytes) -> None:
        """Let arbitrary bytes arrive at a member as a datagram."""
        self._read(self.hosts[to], source, data)
