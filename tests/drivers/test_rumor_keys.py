"""The keys of a whole cluster, changed by one call while everybody goes on talking."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest
import trio
import trio.testing

from rumor import (
    Agent,
    Config,
    ConfigError,
    Failed,
    KeyReport,
    Keyring,
    KeysIncomplete,
    ProtocolError,
    QueryInvalid,
    Suspected,
    UserEvent,
    open_agent,
)
from rumor.keyring import KEYS_MAX
from rumor.messages import Query
from rumor.trio.keys import ERROR_BYTES_MAX, KEYS_QUERY, ClusterKeys, Held, parse_answer
from rumor.trio.memory import MemoryNetwork
from rumor.trio.ports import OpenPort, open_sockets

Clock = trio.testing.MockClock
OLD, NEW = b"o" * 32, b"n" * 32
fingerprint = Keyring.fingerprint


@asynccontextmanager
async def cluster(
    rings: list[Keyring], open_port: OpenPort, config: Config | None = None
) -> AsyncIterator[list[Agent]]:
    """Run an agent for each keyring, all knowing each other."""
    async with AsyncExitStack() as stack:
        agents: list[Agent] = []
        for i, keyring in enumerate(rings):
            opened = open_agent(
                f"n{i}",
                seeds=[agents[0].address] if agents else [],
                open_port=open_port,
                config=config,
                random=Random(i),
                keyring=keyring,
            )
            agents.append(await stack.enter_async_context(opened))
        with trio.fail_after(30):
            while any(len(agent.members) < len(rings) for agent in agents):  # noqa: ASYNC110
                await trio.sleep(0.02)
        yield agents


async def rotate_under_load(agents: list[Agent], pause: float) -> tuple[list[list[bytes]], int]:
    """Rotate while each agent tells the others something again and again; return what they heard.

    And how many accusations anybody heard of meanwhile.
    """
    heard: list[list[bytes]] = [[] for _ in agents]
    accusations = 0
    done = trio.Event()

    async def listen(i: int) -> None:
        nonlocal accusations
        async with agents[i].subscribe() as events:
            async for event in events:
                if isinstance(event, UserEvent):
                    heard[i].append(event.payload)
                accusations += isinstance(event, Suspected | Failed)

    async def talk(i: int) -> None:
        number = 0
        while not done.is_set():
            await agents[i].broadcast("news", f"{i}/{number}".encode())
            number += 1
            await trio.sleep(pause)

    async with trio.open_nursery() as nursery:
        for i in range(len(agents)):
            nursery.start_soon(listen, i)
            nursery.start_soon(talk, i)
        report = await agents[1].keys.rotate(NEW)
        assert report.is_complete
        await trio.sleep(10 * pause)
        done.set()
        with trio.fail_after(30):  # what gossip leaves out, exchanges bring
            while len({frozenset(each) for each in heard}) > 1:  # noqa: ASYNC110
                await trio.sleep(pause)
        nursery.cancel_scope.cancel()
    return heard, accusations


@pytest.fixture(params=["memory", "sockets"])
def clock(request: pytest.FixtureRequest) -> Clock:
    """Over memory, time jumps to whatever is due next; over sockets it runs as usual."""
    return Clock(autojump_threshold=0) if request.param == "memory" else Clock(rate=1)


async def test_the_key_is_changed_everywhere_and_nobody_notices(clock: Clock) -> None:
    """All hold the new key only; every event got through; nobody was suspected."""
    rings = [Keyring(OLD) for _ in range(5)]
    open_port = open_sockets if clock.rate else MemoryNetwork().open_port
    async with cluster(rings, open_port, Config.local()) as agents:
        heard, accusations = await rotate_under_load(agents, 0.05)

        assert [(ring.primary, ring.keys) for ring in rings] == [(NEW, (NEW,))] * 5
        assert accusations == 0
        assert len(heard[0]) > 20
        assert [len(each) for each in heard] == [len(set(each)) for each in heard]
        for agent in agents:
            statistics = agent.statistics()
            assert statistics.datagrams_unauthentic == statistics.swim.probes_failed == 0


async def test_the_list_counts_who_holds_what(autojump_clock: Clock) -> None:
    """By fingerprints: no key is ever in a report."""
    rings = [Keyring(OLD), Keyring(OLD, NEW), Keyring(OLD)]
    async with cluster(rings, MemoryNetwork().open_port) as agents:
        report = await agents[2].keys.list()

        assert report.keys == {fingerprint(OLD): 3, fingerprint(NEW): 1}
        assert report.primary == {fingerprint(OLD): 3}
        assert report.held["n1"] == Held((fingerprint(OLD), fingerprint(NEW)))
        assert OLD.decode() not in repr(report)


async def test_whoever_would_be_cut_off_stops_the_order(autojump_clock: Clock) -> None:
    """To use what not all hold, or to remove what somebody uses: nothing is changed."""
    rings = [Keyring(OLD), Keyring(OLD, NEW), Keyring(OLD, NEW)]
    async with cluster(rings, MemoryNetwork().open_port) as agents:
        with pytest.raises(KeysIncomplete, match=r"n0 would be cut off.*nothing was changed"):
            await agents[1].keys.use(NEW)
        rings[0].install(NEW)
        rings[2].use(NEW)
        with pytest.raises(KeysIncomplete, match=r"n2 would be cut off.*nothing was changed"):
            await agents[1].keys.remove(NEW)

        assert [ring.primary for ring in rings] == [OLD, OLD, NEW]
        assert [len(ring.keys) for ring in rings] == [2, 2, 2]


async def test_a_member_that_cannot_obey_is_named_with_its_reason(autojump_clock: Clock) -> None:
    """A full keyring: the rotation stops at its first step, and may be repeated."""
    full = Keyring(OLD, *[bytes([i]) * 16 for i in range(KEYS_MAX - 1)])
    rings = [Keyring(OLD), full, Keyring(OLD)]
    async with cluster(rings, MemoryNetwork().open_port) as agents:
        with pytest.raises(
            KeysIncomplete, match=r"install: 2 of 3 .*n1 could not: there"
        ) as caught:
            await agents[0].keys.rotate(NEW)
        report = caught.value.report
        assert isinstance(report, KeyReport)
        assert set(report.failed) == {"n1"}
        assert [ring.primary for ring in rings] == [OLD] * 3

        full.remove(full.keys[-1])
        await agents[0].keys.rotate(NEW)
        assert {ring.primary for ring in rings} == {NEW}
        assert rings[0].keys == (NEW,)


async def test_a_silent_member_is_named_and_the_cluster_goes_on(autojump_clock: Clock) -> None:
    """Cut off, not yet held to be dead: the rotation waits for it, and succeeds after the heal."""
    rings = [Keyring(OLD) for _ in range(4)]
    network = MemoryNetwork()
    config = Config(suspicion_multiplier=1_000)
    async with cluster(rings, network.open_port, config) as agents:
        network.cut([agents[3].address])
        with pytest.raises(KeysIncomplete, match="no answer from n3"):
            await agents[0].keys.rotate(NEW)
        assert {ring.primary for ring in rings} == {OLD}
        network.heal()
        await trio.sleep(30)
        await agents[0].keys.rotate(NEW)

        assert [ring.keys for ring in rings] == [(NEW,)] * 4


async def test_loss_delays_a_rotation_and_does_not_stop_it(autojump_clock: Clock) -> None:
    """A tenth of the datagrams is lost: the silent are asked again."""
    rings = [Keyring(OLD) for _ in range(8)]
    network = MemoryNetwork(Random(2), loss=0.1)
    async with cluster(rings, network.open_port) as agents:
        report = await agents[5].keys.rotate(NEW)

        assert report.is_complete
        assert [ring.keys for ring in rings] == [(NEW,)] * 8


async def test_orders_need_a_keyring_and_a_key(autojump_clock: Clock) -> None:
    """An agent without keys says so; nonsense is refused at home; users cannot forge an order."""
    port = MemoryNetwork().open_port
    async with open_agent("plain", open_port=port) as plain:
        with pytest.raises(ConfigError, match="no keyring"):
            _ = plain.keys
        with pytest.raises(QueryInvalid, match="agents among themselves"):
            async with plain.query(KEYS_QUERY, b"i" + NEW):
                pass
    async with open_agent("sealed", open_port=port, keyring=Keyring(OLD)) as sealed:
        with pytest.raises(ConfigError, match="16, 24 or 32"):
            await sealed.keys.install(b"short")


def order(clock: int, payload: bytes) -> Query:
    """An order as it comes."""
    address = ("10.0.0.1", 1)
    return Query(clock, "z", 0, 1, KEYS_QUERY, payload, address, 1, acks=False, relays=0)


def nobody_asks() -> Callable[..., trio.abc.AsyncResource]:
    """A way to ask that is never taken."""
    raise AssertionError


def test_an_older_order_that_comes_late_is_not_obeyed() -> None:
    """Else a member that missed `use` could fall back to the old key, after the others."""
    ring = Keyring(OLD, NEW)
    keys = ClusterKeys(ring, lambda *_: nobody_asks(), list)  # type: ignore[arg-type]
    obeyed = parse_answer(keys.obey(order(5, b"u" + NEW)))
    late = parse_answer(keys.obey(order(4, b"u" + OLD)))

    assert obeyed == Held((fingerprint(NEW), fingerprint(OLD)))
    assert late == Held(obeyed.fingerprints, "a later order came first; nothing was changed")
    assert ring.primary == NEW


@pytest.mark.parametrize("payload", [b"", b"?", b"i", b"ishort", b"u" + b"x" * 32, b"r" + OLD])
def test_an_order_that_makes_no_sense_changes_nothing(payload: bytes) -> None:
    """And is answered with the reason, cut to a length that fits."""
    ring = Keyring(OLD)
    keys = ClusterKeys(ring, lambda *_: nobody_asks(), list)  # type: ignore[arg-type]
    answer = keys.obey(order(1, payload))

    assert parse_answer(answer).error
    assert len(answer) <= 1 + 8 + ERROR_BYTES_MAX
    assert ring.keys == (OLD,)


@pytest.mark.parametrize("payload", [b"", b"\0", b"\1short", b"\xff" + b"x" * 100])
def test_an_answer_that_cannot_be_read_is_a_protocol_error(payload: bytes) -> None:
    """Never an IndexError."""
    with pytest.raises(ProtocolError):
        parse_answer(payload)
