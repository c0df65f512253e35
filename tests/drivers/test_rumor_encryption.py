"""Agents with keys: one suite over memory in virtual time and over loopback sockets."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random

import pytest
import trio
import trio.testing

from rumor import Agent, Config, Health, JoinFailed, Keyring, open_agent
from rumor.messages import Address, Gossip, Leave
from rumor.trio.memory import MemoryNetwork, MemoryPort
from rumor.trio.ports import OpenPort, open_sockets
from rumor.wire import MAGIC, Wire, encode

FAST = Config.local()
OLD, NEW = b"o" * 32, b"n" * 32

Clock = trio.testing.MockClock


@pytest.fixture(params=["memory", "sockets"])
def clock(request: pytest.FixtureRequest) -> Clock:
    """Over memory, time jumps to whatever is due next; over sockets it runs as usual."""
    return Clock(autojump_threshold=0) if request.param == "memory" else Clock(rate=1)


@pytest.fixture
def open_port(clock: Clock) -> OpenPort:
    """Give the network that goes with the clock."""
    return open_sockets if clock.rate else MemoryNetwork().open_port


async def eventually(condition: Callable[[], bool], within: float = 5.0) -> None:
    """Wait until a condition holds."""
    with trio.fail_after(within):
        while not condition():  # noqa: ASYNC110  # a test may poll what has no event
            await trio.sleep(0.02)


@asynccontextmanager
async def cluster(
    rings: list[Keyring], open_port: OpenPort, config: Config = FAST
) -> AsyncIterator[list[Agent]]:
    """Run an agent for each keyring, all knowing each other."""
    async with AsyncExitStack() as stack:
        agents: list[Agent] = []
        for i, keyring in enumerate(rings):
            opened = open_agent(
                f"n{i}",
                seeds=[agents[0].address] if agents else [],
                config=config,
                open_port=open_port,
                random=Random(i),
                keyring=keyring,
            )
            agents.append(await stack.enter_async_context(opened))
        await eventually(lambda: all(len(a.members) == len(rings) for a in agents))
        yield agents


def all_alive(agents: list[Agent]) -> bool:
    """Whether everybody holds everybody alive."""
    return all(m.health is Health.ALIVE for a in agents for m in a.members.values())


async def test_agents_with_the_same_key_find_each_other(clock: Clock, open_port: OpenPort) -> None:
    """By streams and datagrams, news included; nothing of it can be read on the way."""
    async with cluster([Keyring(OLD) for _ in range(3)], open_port) as agents:
        await agents[2].set_meta({"k": "v"})
        await eventually(lambda: all(dict(a.members["n2"].meta) == {"k": "v"} for a in agents))

        assert all(a.statistics().datagrams_unauthentic == 0 for a in agents)


@pytest.mark.parametrize("keyring", [None, Keyring(NEW)], ids=["no key", "another key"])
async def test_who_has_not_the_key_stays_outside(
    clock: Clock, open_port: OpenPort, keyring: Keyring | None
) -> None:
    """In neither direction does a stream or a datagram count; both sides refuse at once."""
    async with (
        open_agent("a", config=FAST, open_port=open_port, keyring=Keyring(OLD)) as a,
        open_agent("b", config=FAST, open_port=open_port, keyring=keyring) as b,
    ):
        with trio.fail_after(FAST.stream_timeout / 2):
            with pytest.raises(JoinFailed):
                await b.join([a.address])
            with pytest.raises(JoinFailed):
                await a.join([b.address])

        assert (set(a.members), set(b.members)) == ({"a"}, {"b"})


async def test_plain_datagrams_and_streams_are_refused_and_counted(
    clock: Clock, open_port: OpenPort
) -> None:
    """Well formed and of the same cluster, but not sealed: a farewell in another's name."""
    port = await open_port(("127.0.0.1", 0))
    async with cluster([Keyring(OLD), Keyring(OLD)], open_port) as (a, b):
        port.send_nowait(Wire("default").pack(Gossip(), [encode(Leave("n1", 0))]), a.address)
        async with await port.dial(a.address) as stream:
            await stream.send_all(MAGIC + b"\0\0\0\1\0")
            with trio.fail_after(1):
                # TCP says "broken" if the other end closes with our bytes unread.
                with suppress(trio.BrokenResourceError):
                    assert await stream.receive_some() == b""
        await eventually(lambda: a.statistics().datagrams_unauthentic == 1)
        await eventually(lambda: a.statistics().streams_failed == 1)

        assert a.members["n1"].health is Health.ALIVE
        assert b.members["n1"].incarnation == 0
    port.close()
    await port.listener.aclose()


async def test_no_agent_is_suspected_while_the_key_is_changed(autojump_clock: Clock) -> None:
    """Three rounds, agent by agent, seconds apart, in a cluster that goes on probing."""
    rings = [Keyring(OLD) for _ in range(4)]
    async with cluster(rings, MemoryNetwork().open_port) as agents:
        steps: list[Callable[[Keyring], None]] = [
            lambda ring: ring.install(NEW),
            lambda ring: ring.use(NEW),
            lambda ring: ring.remove(OLD),
        ]
        for step in steps:
            for ring in rings:
                step(ring)
                await trio.sleep(3)
                assert all_alive(agents)
        for agent in agents:
            statistics = agent.statistics()
            assert statistics.datagrams_unauthentic == statistics.datagrams_replayed == 0
            assert statistics.swim.probes_failed == 0


class Recorder:
    """A memory network that keeps every datagram that was delivered."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.heard: list[tuple[bytes, Address, Address]] = []

    async def open_port(
        self, bind: Address, *, listener: trio.abc.Listener[trio.abc.Stream] | None = None
    ) -> MemoryPort:
        """Open a port that is listened to."""
        port = await self.network.open_port(bind, listener=listener)
        send = port.send_nowait

        def send_nowait(data: bytes, to: Address) -> bool:
            self.heard.append((data, port.address, to))
            return send(data, to)

        port.send_nowait = send_nowait  # type: ignore[method-assign]
        return port

    def play_to(self, to: Address) -> int:
        """Deliver all recordings for that address again."""
        port = self.network.find(("127.0.0.1", 1), to)
        assert port is not None
        heard = [record for record in self.heard if record[2] == to]
        for data, source, _ in heard:
            port.deliver(data, source)
        return len(heard)


async def test_recordings_of_a_whole_life_change_nothing(autojump_clock: Clock) -> None:
    """A member's farewell played again after its return, to those who heard it: it stays alive."""
    recorder = Recorder()
    rings = [Keyring(OLD) for _ in range(3)]
    async with cluster(rings, recorder.open_port) as agents:
        x = {"bind": ("127.0.0.1", 9_999), "seeds": [agents[0].address], "config": FAST}
        async with open_agent("x", **x, open_port=recorder.open_port, keyring=Keyring(OLD)) as life:  # type: ignore[arg-type]
            await trio.sleep(3)
            await life.leave()
        await eventually(lambda: all(a.members["x"].health is Health.LEFT for a in agents))
        recorded = len(recorder.heard)
        async with open_agent("x", **x, open_port=recorder.open_port, keyring=Keyring(OLD)) as life:  # type: ignore[arg-type]
            await eventually(lambda: all(a.members["x"].health is Health.ALIVE for a in agents), 1)
            await trio.sleep(3)
            incarnation = life.members["x"].incarnation
            del recorder.heard[recorded:]
            played = [recorder.play_to(agent.address) for agent in (*agents, life)]
            await trio.sleep(10)

            assert min(played) > 10
            assert all_alive([*agents, life])
            assert life.members["x"].incarnation == incarnation
            assert all(a.statistics().datagrams_replayed > 5 for a in agents)


async def test_a_restarted_agent_is_heard_within_a_second(autojump_clock: Clock) -> None:
    """Without leaving, without seeds: by its own datagrams, and those of whoever looks for it."""
    network = MemoryNetwork()
    address = ("127.0.0.1", 9_999)
    async with cluster([Keyring(OLD) for _ in range(3)], network.open_port) as agents:
        for life in range(3):
            x = open_agent(
                "x",
                bind=address,
                seeds=[agents[0].address],
                config=FAST,
                open_port=network.open_port,
                keyring=Keyring(OLD),
                meta={"life": str(life)},
            )
            async with x:
                expected = {"life": str(life)}
                await eventually(
                    lambda expected=expected: all(  # type: ignore[misc]
                        dict(a.members["x"].meta) == expected if "x" in a.members else False
                        for a in agents
                    ),
                    within=1,
                )
                await trio.sleep(2)

        assert all(a.statistics().swim.probes_failed <= 1 for a in agents)


async def test_datagrams_keep_to_their_size_with_everything_sealed(autojump_clock: Clock) -> None:
    """Metadata at its limit, more updates than fit: nothing is larger than the setting says."""
    recorder = Recorder()
    config = Config(datagram_bytes_max=1_232)
    async with cluster([Keyring(OLD) for _ in range(8)], recorder.open_port, config) as agents:
        for i, agent in enumerate(agents):
            await agent.set_meta({"m": str(i) * 490})
        await eventually(
            lambda: all(len(m.meta) == 1 for a in agents for m in a.members.values()), within=60
        )

        assert 1_000 < max(len(data) for data, _, _ in recorder.heard) <= 1_232


@pytest.mark.parametrize(("keyring", "lines"), [(None, 1), (Keyring(OLD), 0)])
async def test_doing_without_keys_is_said_once(
    autojump_clock: Clock,
    caplog: pytest.LogCaptureFixture,
    keyring: Keyring | None,
    lines: int,
) -> None:
    """As a warning, when the agent opens."""
    with caplog.at_level(logging.WARNING, "rumor"):
        opened = open_agent("a", open_port=MemoryNetwork().open_port, keyring=keyring)
        async with opened:
            await trio.sleep(60)

    assert caplog.text.count("neither secret nor authentic") == lines
