"""The trio driver: one suite over memory in virtual time and over loopback sockets."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest
import trio
import trio.testing

from rumor import (
    Agent,
    AgentClosed,
    AgentEvent,
    Config,
    ConfigError,
    Conflicted,
    EventsLost,
    Failed,
    Health,
    Joined,
    JoinFailed,
    Left,
    MembershipEvent,
    MetaTooLarge,
    NotFailed,
    Recovered,
    Suspected,
    Updated,
    open_agent,
)
from rumor.events import Described
from rumor.messages import Gossip, Leave, Suspect
from rumor.trio.inbox import Inbox
from rumor.trio.memory import MemoryNetwork
from rumor.trio.ports import OpenPort, open_sockets
from rumor.trio.subscription import Subscription
from rumor.wire import MAGIC, Wire, encode

FAST = Config.local()


Clock = trio.testing.MockClock


@pytest.fixture(params=["memory", "sockets"])
def clock(request: pytest.FixtureRequest) -> Clock:
    """Over memory, time jumps to whatever is due next; over sockets it runs as usual."""
    return Clock(autojump_threshold=0) if request.param == "memory" else Clock(rate=1)


@pytest.fixture
def open_port(clock: Clock) -> OpenPort:
    """Give the network that goes with the clock."""
    return open_sockets if clock.rate else MemoryNetwork().open_port


@pytest.fixture
def network() -> MemoryNetwork:
    """Give memory only, for what takes long or needs faults."""
    return MemoryNetwork(Random(1))


async def eventually(condition: Callable[[], bool], within: float = 5.0) -> None:
    """Wait until a condition holds."""
    with trio.fail_after(within):
        while not condition():  # noqa: ASYNC110  # a test may poll what has no event
            await trio.sleep(0.02)


async def until(
    events: Subscription, kind: type[Any], name: str, within: float = 60.0
) -> MembershipEvent:
    """Read events until one of that kind about that member comes."""
    with trio.fail_after(within):
        async for event in events:
            if isinstance(event, kind) and event.member.name == name:
                return event  # type: ignore[no-any-return]
    raise AssertionError("the events ended")


def healths(agents: Iterable[Agent], name: str) -> set[Health | None]:
    """What the agents believe of a member."""
    return {a.members[name].health if name in a.members else None for a in agents}


@asynccontextmanager
async def cluster(
    size: int, open_port: OpenPort, config: Config = FAST
) -> AsyncIterator[list[Agent]]:
    """Run some agents that know each other."""
    async with AsyncExitStack() as stack:
        agents: list[Agent] = []
        for i in range(size):
            seeds = [agents[0].address] if agents else []
            agent = open_agent(
                f"n{i}", seeds=seeds, config=config, open_port=open_port, random=Random(i)
            )
            agents.append(await stack.enter_async_context(agent))
        known_to_all = 4 * config.exchange_interval  # gossip leaves one out once in a while
        await eventually(lambda: all(len(a.members) == size for a in agents), known_to_all)
        yield agents


# --- over both networks -----------------------------------------------------------------------


async def test_agents_find_each_other_with_address_and_metadata(
    clock: Clock, open_port: OpenPort
) -> None:
    """One seed is enough; metadata travels with the member."""
    async with (
        open_agent("a", config=FAST, open_port=open_port) as a,
        open_agent(
            "b", seeds=[a.address], meta={"role": "db"}, config=FAST, open_port=open_port
        ) as b,
    ):
        await eventually(lambda: set(a.members) == set(b.members) == {"a", "b"})

        assert (a.members["b"].address, dict(a.members["b"].meta)) == (b.address, {"role": "db"})
        assert a.members["b"].health is Health.ALIVE
        assert (a.name, b.name) == ("a", "b")


async def test_joining_counts_the_seeds_that_answered(clock: Clock, open_port: OpenPort) -> None:
    """One answers, one does not; our own address is no seed."""
    async with (
        open_agent("a", config=FAST, open_port=open_port) as a,
        open_agent("b", config=FAST, open_port=open_port) as b,
    ):
        nobody = ("127.0.0.1", 1)

        assert await b.join([a.address, nobody]) == 1
        assert await b.join([b.address]) == 0


async def test_joining_nobody_fails_with_a_sentence_and_may_be_repeated(
    clock: Clock, open_port: OpenPort
) -> None:
    """The agent itself is none the worse."""
    async with open_agent("a", config=FAST, open_port=open_port) as a:
        with pytest.raises(JoinFailed, match=r"no seed answered \(127\.0\.0\.1:1: .*check the"):
            await a.join([("127.0.0.1", 1)])
        async with open_agent("b", config=FAST, open_port=open_port) as b:
            assert await a.join([b.address]) == 1


async def test_new_metadata_reaches_the_others(clock: Clock, open_port: OpenPort) -> None:
    """As an update, and here at once; what is too large changes nothing."""
    async with cluster(3, open_port) as (a, b, c), c.subscribe() as events:
        await b.set_meta({"version": "2"})
        assert dict(b.members["n1"].meta) == {"version": "2"}
        event = await until(events, Updated, "n1")
        with pytest.raises(MetaTooLarge):
            await b.set_meta({"version": "x" * 600})

        assert isinstance(event, Updated)
        assert dict(event.member.meta) == {"version": "2"}
        await eventually(lambda: dict(a.members["n1"].meta) == {"version": "2"})


async def test_who_leaves_has_left(clock: Clock, open_port: OpenPort) -> None:
    """The others never see it fail."""
    async with cluster(3, open_port) as (a, b, _), a.subscribe() as events:
        async with open_agent("x", seeds=[b.address], config=FAST, open_port=open_port) as x:
            await until(events, Joined, "x")
            await x.leave()
            await x.leave()
            with pytest.raises(AgentClosed):
                await x.join([a.address])
            with pytest.raises(AgentClosed):
                await x.set_meta({})
        with trio.fail_after(10):
            async for event in events:
                assert not isinstance(event, Failed)
                if isinstance(event, Left):
                    break

        assert a.members["x"].health is Health.LEFT


async def test_who_is_gone_without_a_word_is_suspected_and_then_failed(
    clock: Clock, open_port: OpenPort
) -> None:
    """Within the time of a probe and a suspicion."""
    async with cluster(2, open_port) as agents, agents[0].subscribe() as events:
        async with open_agent("x", seeds=[agents[0].address], config=FAST, open_port=open_port):
            await until(events, Joined, "x")
        await until(events, Suspected, "x", within=5)
        await until(events, Failed, "x", within=5)

        await eventually(lambda: healths(agents, "x") == {Health.DEAD})


async def test_datagrams_of_others_are_dropped_and_counted(
    clock: Clock, open_port: OpenPort
) -> None:
    """Noise, and another cluster's words, change nothing."""
    port = await open_port(("127.0.0.1", 0))
    gossip = [encode(Suspect("a", 9, "z")), encode(Leave("a", 9))]
    async with open_agent("a", config=FAST, open_port=open_port) as a:
        port.send_nowait(b"noise", a.address)
        port.send_nowait(b"", a.address)
        port.send_nowait(Wire("other").pack(Gossip(), gossip), a.address)
        await eventually(lambda: a.statistics().datagrams_received == 3)

        statistics = a.statistics()
        assert (statistics.datagrams_malformed, statistics.datagrams_foreign) == (2, 1)
        assert (a.members["a"].health, a.members["a"].incarnation) == (Health.ALIVE, 0)
    port.close()
    await port.listener.aclose()


@pytest.mark.parametrize(
    "data",
    [b"", b"GET / HTTP/1.1\r\n\r\n", MAGIC, MAGIC + b"\xff\xff\xff\xff", MAGIC + b"\0\0\0\1\0"],
)
async def test_streams_of_others_are_closed_and_counted(
    clock: Clock, open_port: OpenPort, data: bytes
) -> None:
    """Wrong beginning, early end, a promise of four gigabytes, noise."""
    port = await open_port(("127.0.0.1", 0))
    async with open_agent("a", config=FAST, open_port=open_port) as a:
        stream = await port.dial(a.address)
        async with stream:
            # TCP says "broken" if the other end closes with our bytes unread.
            with suppress(trio.BrokenResourceError):
                if data:
                    await stream.send_all(data)
                assert isinstance(stream, trio.abc.HalfCloseableStream)
                await stream.send_eof()
                assert await stream.receive_some() == b""
        await eventually(lambda: a.statistics().streams_failed == 1)
    port.close()
    await port.listener.aclose()


async def test_another_cluster_cannot_be_joined(clock: Clock, open_port: OpenPort) -> None:
    """It answers to its own name only."""
    async with (
        open_agent("a", config=FAST, open_port=open_port, cluster="one") as a,
        open_agent("b", config=FAST, open_port=open_port, cluster="two") as b,
    ):
        with pytest.raises(JoinFailed):
            await b.join([a.address])

        assert set(a.members) == {"a"}


async def test_an_exception_in_the_body_comes_out_as_it_is(
    clock: Clock, open_port: OpenPort
) -> None:
    """Not wrapped in a group; and the address is free again."""
    with pytest.raises(KeyError, match="mine"):  # noqa: PT012  # the body is what is tested
        async with open_agent("a", config=FAST, open_port=open_port) as a:
            address = a.address
            raise KeyError("mine")
    async with open_agent("a", bind=address, config=FAST, open_port=open_port) as a:
        assert a.address == address


async def test_an_address_is_given_once(clock: Clock, open_port: OpenPort) -> None:
    """The second agent there fails to open, with the system's error."""
    async with open_agent("a", config=FAST, open_port=open_port) as a:
        with pytest.raises(OSError, match=r"(?i)in use|taken"):
            async with open_agent("b", bind=a.address, config=FAST, open_port=open_port):
                pytest.fail("two agents at one address")


# --- over memory, in virtual time ---------------------------------------------------------------


async def test_a_healed_partition_becomes_one_cluster(
    autojump_clock: Clock, network: MemoryNetwork
) -> None:
    """Both sides hold the other dead; then everybody knows everybody alive again."""
    async with cluster(6, network.open_port) as agents:
        network.cut(a.address for a in agents[:3])
        await eventually(
            lambda: all(
                healths(agents[:3], b.name) == {Health.DEAD}
                and healths(agents[3:], a.name) == {Health.DEAD}
                for a in agents[:3]
                for b in agents[3:]
            ),
            within=60,
        )
        network.heal()
        await eventually(
            lambda: all(healths(agents, a.name) == {Health.ALIVE} for a in agents), within=30
        )


async def test_a_failed_member_is_dismissed_by_any_other(
    autojump_clock: Clock, network: MemoryNetwork
) -> None:
    """All hold it to have left; one that lives, or is unknown, is not dismissed."""
    async with cluster(3, network.open_port) as agents, agents[0].subscribe() as events:
        seeds = [agents[0].address]
        async with open_agent("x", seeds=seeds, config=FAST, open_port=network.open_port):
            await until(events, Joined, "x")
        await eventually(lambda: healths(agents, "x") == {Health.DEAD}, within=30)
        await agents[1].dismiss("x")
        await eventually(lambda: healths(agents, "x") == {Health.LEFT})
        await agents[2].dismiss("x")
        for name in ("n0", "nobody"):
            with pytest.raises(NotFailed, match="nothing changed"):
                await agents[1].dismiss(name)


async def test_a_member_that_is_dismissed_and_lives_comes_back(
    autojump_clock: Clock, network: MemoryNetwork
) -> None:
    """It was cut off; when it hears what is said of it, it denies it."""
    async with cluster(4, network.open_port) as agents:
        *rest, lone = agents
        network.cut([lone.address])
        await eventually(lambda: healths(rest, lone.name) == {Health.DEAD}, within=60)
        await rest[0].dismiss(lone.name)
        await eventually(lambda: healths(rest, lone.name) == {Health.LEFT})
        network.heal()
        await eventually(
            lambda: all(healths(agents, a.name) == {Health.ALIVE} for a in agents), within=30
        )


async def test_seeds_that_come_late_are_found(
    autojump_clock: Clock, network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    """The agent starts without them, says so, and joins when they are there."""
    seed = ("127.0.0.1", 9_999)
    with caplog.at_level(logging.WARNING, "rumor"):
        opened = open_agent("a", seeds=[seed], config=FAST, open_port=network.open_port)
        async with opened as a:
            assert "no seed answered" in caplog.text
            await trio.sleep(60)
            async with open_agent("b", bind=seed, config=FAST, open_port=network.open_port) as b:
                await eventually(lambda: set(a.members) == set(b.members) == {"a", "b"}, 3)


async def test_loss_neither_kills_nor_hides_anybody(
    autojump_clock: Clock, network: MemoryNetwork
) -> None:
    """A tenth of the datagrams is lost for two minutes; nobody fails, news arrive."""
    network.loss = 0.1
    async with cluster(10, network.open_port, Config.lan()) as agents:
        await trio.sleep(60)
        await agents[3].set_meta({"k": "v"})
        await trio.sleep(60)

        for agent in agents:
            assert {m.health for m in agent.members.values()} <= {Health.ALIVE, Health.SUSPECT}
            assert dict(agent.members["n3"].meta) == {"k": "v"}


async def test_a_join_reaches_nearly_all_of_fifty_at_once_and_the_rest_soon(
    autojump_clock: Clock,
    network: MemoryNetwork,
) -> None:
    """By gossip, which leaves one out once in a while, and by push-pull, which does not."""
    config = Config.lan()
    async with (
        cluster(50, network.open_port, config) as agents,
        open_agent("x", seeds=[agents[7].address], open_port=network.open_port, random=Random(50)),
    ):
        await eventually(lambda: sum("x" in a.members for a in agents) >= 45, within=0.45)
        await eventually(
            lambda: healths(agents, "x") == {Health.ALIVE}, within=4 * config.exchange_interval
        )


async def test_a_failed_member_that_restarts_is_back_at_once(
    autojump_clock: Clock, network: MemoryNetwork
) -> None:
    """With the same name and address, and an incarnation above the one it died with."""
    address = ("127.0.0.1", 9_999)
    async with cluster(3, network.open_port) as agents, agents[0].subscribe() as events:
        seeds = [agents[1].address]
        x = {"bind": address, "seeds": seeds, "config": FAST, "open_port": network.open_port}
        async with open_agent("x", **x):  # type: ignore[arg-type]
            await until(events, Joined, "x")
        await until(events, Failed, "x")
        async with open_agent("x", **x):  # type: ignore[arg-type]
            event = await until(events, Joined, "x", within=1)
            assert isinstance(event, Joined)
            assert event.member.incarnation == 1


async def test_a_name_used_twice_is_reported_and_nobody_flaps(
    autojump_clock: Clock, network: MemoryNetwork
) -> None:
    """Two live agents of one name: the first stays, the second is refused."""
    async with cluster(3, network.open_port) as agents:
        address = agents[2].address
        async with (
            agents[0].subscribe() as events,
            open_agent(
                "n2", seeds=[agents[0].address], config=FAST, open_port=network.open_port
            ) as rival,
        ):
            event = await until(events, Conflicted, "n2")
            await trio.sleep(20)

            assert isinstance(event, Conflicted)
            assert event.rival == rival.address
            for agent in agents:
                assert agent.members["n2"].address == address
                assert agent.members["n2"].health is Health.ALIVE


async def test_a_paused_agent_hears_its_mail_before_its_clock(
    autojump_clock: Clock,
) -> None:
    """Time jumps by five seconds with all acks waiting: nobody is suspected."""
    network = MemoryNetwork()
    async with cluster(4, network.open_port) as agents, agents[0].subscribe() as events:
        suspicions: list[MembershipEvent] = []

        async def watch() -> None:
            async for event in events:
                if isinstance(event, Suspected | Failed | Recovered):
                    suspicions.append(event)  # noqa: PERF401  # they come over time

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            for _ in range(20):
                await trio.sleep(0.37)
                autojump_clock.jump(5.0)
            await trio.sleep(10)
            nursery.cancel_scope.cancel()

        assert suspicions == []


async def test_where_only_datagrams_are_blocked_nobody_is_suspected(
    autojump_clock: Clock,
    network: MemoryNetwork,
) -> None:
    """All datagrams are lost for a minute: streams show that everybody is there."""
    async with cluster(3, network.open_port) as agents, agents[0].subscribe() as events:
        network.loss = 1.0
        await trio.sleep(60)
        healthy = [healths(agents, a.name) for a in agents]
        answered = [a.statistics().swim.probes_by_stream for a in agents]
        network.loss = 0.0
        await agents[1].leave()
        seen = [type(e) async for e in until_left(events)]

        assert healthy == [{Health.ALIVE}] * 3
        assert min(answered) > 50
        assert Suspected not in seen


async def until_left(events: Subscription) -> AsyncIterator[AgentEvent]:
    """Pass events on until somebody leaves."""
    with trio.fail_after(10):
        async for event in events:
            yield event
            if isinstance(event, Left):
                return


# --- subscriptions ------------------------------------------------------------------------------


async def test_a_subscription_begins_with_the_members_as_they_stand(
    autojump_clock: Clock,
    network: MemoryNetwork,
) -> None:
    """So that its events alone rebuild the list."""
    async with cluster(2, network.open_port) as agents:
        async with open_agent(
            "x", seeds=[agents[0].address], config=FAST, open_port=network.open_port
        ) as x:
            await eventually(lambda: healths(agents, "x") == {Health.ALIVE})
            await x.leave()
            await eventually(lambda: healths(agents, "x") == {Health.LEFT})
        async with agents[0].subscribe() as events:
            first = [await anext(events) for _ in range(4)]

        assert [(type(e), e.member.name) for e in first if not isinstance(e, EventsLost)] == [
            (Joined, "n0"),
            (Joined, "n1"),
            (Joined, "x"),
            (Left, "x"),
        ]


async def test_a_slow_reader_is_told_how_much_it_lost() -> None:
    """First what was kept, then the number, then what happens from there on."""
    events: Sequence[Any] = [f"event {i}" for i in range(7)]
    subscription = Subscription(events[:1], events_max=2)
    for event in events[1:6]:
        subscription.put_nowait(event)
    read = [await anext(subscription) for _ in range(4)]
    subscription.put_nowait(events[6])
    read.append(await anext(subscription))
    subscription.close()

    assert read == [*events[:3], EventsLost(3), events[6]]
    assert [event async for event in subscription] == []


async def test_subscriptions_end_with_the_agent(
    autojump_clock: Clock, network: MemoryNetwork
) -> None:
    """And the agent refuses everything from then on."""
    async with AsyncExitStack() as stack:
        async with open_agent("a", open_port=network.open_port) as a:
            events = await stack.enter_async_context(a.subscribe())

        assert [type(event) async for event in events] == [Joined]
        with pytest.raises(AgentClosed):
            await a.join([("127.0.0.1", 1)])
        with pytest.raises(AgentClosed):
            await a.leave()


async def test_the_inbox_wakes_its_reader() -> None:
    """Whoever takes, takes all; a bell without an event wakes too."""
    inbox = Inbox()
    with trio.fail_after(1):
        inbox.ring()
        await inbox.wait()
        assert inbox.take() == []
        inbox.put(Described(b"one"))
        inbox.put(Described(b"two"))
        await inbox.wait()
        assert inbox.take() == [Described(b"one"), Described(b"two")]


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": "a", "bind": ("0.0.0.0", 0)}, "advertise"),
        ({"name": "a", "advertise": ("example.org", 1)}, "advertise"),
        ({"name": "a", "cluster": ""}, "cluster"),
    ],
)
async def test_arguments_that_make_no_sense_are_refused(
    arguments: dict[str, Any], match: str
) -> None:
    """Before anything is opened."""
    with pytest.raises(ConfigError, match=match):
        async with open_agent(**arguments):
            pytest.fail("opened")


async def test_a_wildcard_may_be_bound_if_something_else_is_advertised() -> None:
    """The others hear of the advertised address."""
    async with open_agent("a", bind=("0.0.0.0", 0), advertise=("127.0.0.1", 9_999)) as a:
        assert a.address == ("127.0.0.1", 9_999)


# --- sockets ------------------------------------------------------------------------------------


async def test_udp_and_tcp_share_one_port_number() -> None:
    """Both are taken at the agent's address."""
    async with open_agent("a", config=FAST) as a:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(socket.AF_INET, kind) as other, pytest.raises(OSError):
                other.bind(a.address)


async def test_a_listener_of_somebody_else_brings_the_streams() -> None:
    """The agent takes UDP at the listener's address, and reads the magic bytes itself."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = ("127.0.0.1", listener.socket.getsockname()[1])
    async with (
        open_agent("a", bind=address, listener=listener, config=FAST) as a,
        open_agent("b", seeds=[address], config=FAST) as b,
    ):
        assert a.address == address
        await eventually(lambda: set(a.members) == set(b.members) == {"a", "b"})


async def test_too_many_streams_at_a_time_are_refused() -> None:
    """Idle connections cannot pile up; each is closed, and counted."""
    config = Config(exchanges_max=2, stream_timeout=0.3)
    async with open_agent("a", config=config) as a, AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(await trio.open_tcp_stream(*a.address))
        await eventually(lambda: a.statistics().streams_refused == 3)
        await eventually(lambda: a.statistics().streams_failed == 2)
