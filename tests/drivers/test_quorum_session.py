"""Tests of quorum.trio.session: exactly once, over lost answers, new leaders and restarts."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path
from random import Random

import pytest
import trio
from attrs import evolve

from quorum import (
    ChangeRefused,
    CommandFailed,
    CommandMachine,
    Config,
    ConfigError,
    Failed,
    Indeterminate,
    Members,
    MemoryNetwork,
    MemoryStorage,
    NotLeader,
    Overloaded,
    Server,
    SessionExpired,
    Sessions,
    Stopped,
    Superseded,
    open_server,
    open_session,
)
from quorum.envelope import Request, command_request, parse

NAMES = ("ann", "bob", "cem")


class Tally(CommandMachine):
    """Counts how often each command was applied; refuses those that begin with `no`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def command(self, entry):
        """Return the command and how often it was applied, now included."""
        command = entry.payload.decode()
        self.counts[command] += 1
        return Failed(command) if command.startswith("no") else (command, self.counts[command])

    def snapshot(self):
        """A line for each command."""
        return "\n".join(f"{n} {command}" for command, n in self.counts.items()).encode()

    def restore(self, snapshot):
        """The inverse of `snapshot`."""
        pairs = (line.split(" ", 1) for line in snapshot.decode().splitlines())
        self.counts = Counter({command: int(n) for n, command in pairs})


class Cluster:
    """Servers with sessions, and a client's way to them, on which answers can be lost."""

    def __init__(self, nursery) -> None:
        self.config = Config()
        self.limits = {"sessions_max": 4, "window_max": 8, "ttl_ms": 60_000}
        self.network = MemoryNetwork()
        self.servers: dict[str, Server] = {}
        self.machines: dict[str, Sessions] = {}
        self.storages: dict[str, MemoryStorage] = {}
        self.lose = 0
        """How many answers to commands will be lost."""
        self.before: deque[Exception] = deque()
        """Errors for the next tries, that reach no server."""
        self.out_of_reach = False
        """Whether tries reach no server at all."""
        self.tries: list[bytes] = []
        """Everything that was tried."""
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}
        self._ended: dict[str, trio.Event] = {}

    async def start(self, *names):
        """Start these servers, or all; one that ran before finds what it stored."""
        for name in names or NAMES:
            self.machines[name] = Sessions(Tally(), **self.limits)
            if name not in self.storages:
                self.storages[name] = MemoryStorage(members=Members(voters=NAMES))
            self.servers[name] = await self._nursery.start(self._serve, name)

    async def _serve(self, name, *, task_status):
        self._ended[name] = trio.Event()
        with trio.CancelScope() as self._scopes[name]:
            async with open_server(
                name,
                self.machines[name],
                storage=self.storages[name],
                links=self.network.link(name),
                config=self.config,
                random=Random(name),
            ) as server:
                task_status.started(server)
                await trio.sleep_forever()
        del self.servers[name]
        self._ended[name].set()

    async def stop(self, *names):
        """Stop these servers; what is left of them is their storage."""
        for name in names:
            self._scopes[name].cancel()
            await self._ended[name].wait()

    async def leader(self):
        """Wait until a server leads and has applied its no-op."""
        while True:
            for server in self.servers.values():
                if server.is_leader and server.applied_index == server.statistics().last_index:
                    return server
            await trio.sleep(0.01)

    async def propose(self, request):
        """One try at the leader, if there is one."""
        self.tries.append(request)
        if self.before:
            raise self.before.popleft()
        if self.out_of_reach:
            raise NotLeader(None)
        for server in list(self.servers.values()):
            if server.is_leader:
                result = await server.propose(request)
                if self.lose and parse(request)[0] is Request.COMMAND:
                    self.lose -= 1
                    raise Indeterminate("the answer was lost")
                return result
        raise NotLeader(None)

    async def counts(self):
        """Wait until all servers have applied all there is; how often each command was."""
        await (await self.leader()).read_barrier()
        while len({server.applied_index for server in self.servers.values()}) > 1:  # noqa: ASYNC110
            await trio.sleep(0.01)
        first, *rest = (self.machines[name].snapshot() for name in self.servers)
        assert all(first == other for other in rest)
        machine = self.machines[next(iter(self.servers))].machine
        assert isinstance(machine, Tally)
        return dict(machine.counts)

    def numbers(self, kind=Request.COMMAND):
        """The sequence numbers of all tries of this kind, in order."""
        parsed = map(parse, self.tries)
        return [sequence for request, _, sequence, _ in parsed if request is kind]


@pytest.fixture
async def cluster(nursery):
    """Three servers, none of them started yet. Tests of it ask for `autojump_clock`, too."""
    return Cluster(nursery)


def open_at(cluster, **options):
    """A session with steady pauses."""
    return open_session(cluster.propose, random=Random(1), **options)


async def test_a_command_is_applied_and_its_result_returned(autojump_clock, cluster):
    """As without a session; the machine's refusals too."""
    await cluster.start()
    async with open_at(cluster) as session:
        assert ("a", 1) == await session.propose(b"a")
        assert ("a", 2) == await session.propose(b"a")
        with pytest.raises(CommandFailed, match="no, thanks"):
            await session.propose(b"no, thanks")
    assert {"a": 2, "no, thanks": 1} == await cluster.counts()
    assert [1, 2, 3] == [number for number in cluster.numbers() if number]


async def test_lost_answers_lead_to_retries_that_change_nothing(autojump_clock, cluster):
    """The same number each time; results and refusals alike come back in the end."""
    await cluster.start()
    async with open_at(cluster) as session:
        cluster.lose = 3
        assert ("a", 1) == await session.propose(b"a")
        with pytest.raises(CommandFailed, match="no"):
            await session.propose(b"no")
    assert {"a": 1, "no": 1} == await cluster.counts()
    assert [1, 1, 1, 1, 2] == cluster.numbers()


@pytest.mark.parametrize(
    "error",
    [
        NotLeader("bob"),
        Overloaded("full"),
        Superseded("gone"),
        Indeterminate("who knows"),
        Stopped("bye"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_errors_that_a_retry_can_mend_are_not_the_callers_business(
    autojump_clock, cluster, error
):
    """Neither when the session is opened nor later."""
    await cluster.start()
    await cluster.leader()
    cluster.before.append(error)
    async with open_at(cluster) as session:
        cluster.before.extend([error, error])
        assert ("a", 1) == await session.propose(b"a")
        assert [1, 1, 1] == cluster.numbers()


async def test_other_errors_are_the_callers_business(autojump_clock, cluster):
    """They come out as they are; the number is given up, and the session goes on."""
    await cluster.start()
    async with open_at(cluster) as session:
        cluster.before.append(ChangeRefused("out of the blue"))
        with pytest.raises(ChangeRefused, match="out of the blue"):
            await session.propose(b"a")
        assert ("b", 1) == await session.propose(b"b")
    assert [1, 2] == cluster.numbers()
    assert {"b": 1} == await cluster.counts()


async def test_a_command_committed_by_a_leader_that_dies_is_applied_once(autojump_clock, cluster):
    """The followers have it, the leader dies before it hears so, and the client asks again."""
    await cluster.start()
    old = await cluster.leader()
    async with open_at(cluster) as session:
        for other in NAMES:
            cluster.network.cut(other, old.id)  # answers are lost, entries arrive
        results = []

        async def propose():
            results.append(await session.propose(b"a"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(propose)
            await trio.sleep(0.1)
            await cluster.stop(old.id)
            cluster.network.heal()
            new = await cluster.leader()
        assert old.id != new.id
        assert [("a", 1)] == results
        assert [1, 1] == cluster.numbers()[:2]
        await cluster.start(old.id)
        assert {"a": 1} == await cluster.counts()


async def test_a_command_is_applied_once_over_a_change_of_leaders_and_a_snapshot(
    autojump_clock, cluster
):
    """A server that knows the session from a snapshot only gives the same result."""
    cluster.config = evolve(cluster.config, snapshot_entries=10, tail_entries=0)
    await cluster.start()
    leader = await cluster.leader()
    behind = next(name for name in NAMES if name != leader.id)
    await cluster.stop(behind)
    async with open_at(cluster) as session:
        assert ("a", 1) == await session.propose(b"a")
        for number in range(20):
            await leader.propose(b"%d" % number)
        await cluster.start(behind)
        await cluster.servers[behind].wait_applied(leader.applied_index)
        assert cluster.servers[behind].statistics().first_index > session.id
        await leader.transfer_leadership(behind)
        await cluster.servers[behind].read_barrier()
        again = command_request(session.id, 1, 1, b"a")
        assert ("a", 1) == await cluster.servers[behind].propose(again)
    counts = await cluster.counts()
    assert 1 == counts["a"]


async def test_a_command_is_applied_once_over_a_restart_of_all(autojump_clock, cluster):
    """Sessions and results are on the disks, as everything else; the same session goes on."""
    cluster.config = evolve(cluster.config, snapshot_entries=5, tail_entries=2)
    await cluster.start()
    async with open_at(cluster) as session:
        for number in range(8):
            cluster.lose = number % 2
            assert (f"{number}", 1) == await session.propose(b"%d" % number)
            await cluster.stop(*cluster.servers)
            await cluster.start()
    assert {f"{number}": 1 for number in range(8)} == await cluster.counts()


async def test_commands_of_many_tasks_are_applied_once_each_whatever_gets_lost(
    autojump_clock, cluster
):
    """More of them than the window holds; leaders come and go."""
    await cluster.start()
    chance = Random(7)
    async with open_at(cluster) as session:
        results = {}

        async def propose(number):
            await trio.sleep(number / 20)
            results[number] = await session.propose(b"%d" % number)

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(propose, number)
            for _ in range(5):
                cluster.lose += chance.randint(0, 9)
                await trio.sleep(chance.random())
                leader = await cluster.leader()
                await cluster.stop(leader.id)
                await trio.sleep(chance.random())
                await cluster.start(leader.id)
        assert {number: (f"{number}", 1) for number in range(100)} == results
        assert len(cluster.numbers()) > 100
    assert {f"{number}": 1 for number in range(100)} == await cluster.counts()


async def test_no_more_numbers_are_under_way_than_the_window_holds(autojump_clock, cluster):
    """Further callers wait for room, and get it; a slow first command holds them up."""
    await cluster.start()
    async with open_at(cluster) as session:
        leader = await cluster.leader()
        cluster.network.isolate(leader.id)
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(session.propose, b"%d" % number)
            await trio.sleep(0.1)
            assert 8 == max(cluster.numbers())
            cluster.network.heal()
    assert 20 == max(cluster.numbers())
    assert {f"{number}": 1 for number in range(20)} == await cluster.counts()


async def test_a_cancelled_caller_leaves_no_trace_in_the_session(autojump_clock, cluster):
    """Its number is given up, so it does not hold the window; it happened once or never."""
    await cluster.start()
    async with open_at(cluster) as session:
        leader = await cluster.leader()
        cluster.network.isolate(leader.id)
        for _ in range(20):
            with trio.move_on_after(0.01) as scope:
                await session.propose(b"lost")
            assert scope.cancelled_caught
        cluster.network.heal()
        assert ("a", 1) == await session.propose(b"a")
    counts = await cluster.counts()
    assert 1 == counts.pop("a")
    assert counts.get("lost", 0) <= 20


async def test_an_idle_session_is_kept_alive_and_a_busy_one_needs_nothing(autojump_clock, cluster):
    """A word for each third of its time to live without one."""
    await cluster.start()
    async with open_at(cluster, ttl=3.0) as session:
        assert 3.0 == session.ttl
        for _ in range(20):
            await trio.sleep(0.5)
            await session.propose(b"busy")
        assert [] == cluster.numbers(Request.KEEP_ALIVE)
        await trio.sleep(30)
        assert 25 <= len(cluster.numbers(Request.KEEP_ALIVE)) <= 31
        assert ("a", 1) == await session.propose(b"a")


async def test_a_try_that_hangs_does_not_end_an_idle_session(autojump_clock, cluster):
    """Another one is made in time: a server that is cut off may be silent for long."""
    await cluster.start()
    hangs = [True]

    async def propose(request):
        if parse(request)[0] is Request.KEEP_ALIVE and hangs:
            hangs.clear()
            await trio.sleep_forever()
        return await cluster.propose(request)

    async with open_session(propose, ttl=3.0) as session:
        await trio.sleep(10)
        assert [] == hangs
        assert ("a", 1) == await session.propose(b"a")


async def test_a_session_survives_a_time_without_servers(autojump_clock, cluster):
    """Cluster time stands still while nobody leads."""
    await cluster.start()
    async with open_at(cluster, ttl=3.0) as session:
        await session.propose(b"a")
        await cluster.stop(*NAMES)
        await trio.sleep(60)
        await cluster.start()
        assert ("b", 1) == await session.propose(b"b")


async def expire(cluster, session):
    """Let the cluster forget a session whose client cannot reach it for a while."""
    cluster.out_of_reach = True
    await trio.sleep(session.ttl + 1)
    await (await cluster.leader()).propose(b"time goes on")
    cluster.out_of_reach = False


async def test_a_command_tried_after_the_end_of_the_session_never_happened(autojump_clock, cluster):
    """And the error says so; so do all that follow."""
    await cluster.start()
    async with open_at(cluster, ttl=2.0) as session:
        await expire(cluster, session)
        for _ in range(2):
            with pytest.raises(SessionExpired, match="it never happened, and will not") as caught:
                await session.propose(b"a")
            assert caught.value.never_happened
        assert session.expired
        tried = len(cluster.tries)
        with pytest.raises(SessionExpired):
            await session.propose(b"a")
    assert tried == len(cluster.tries), "nothing is asked of a session that has ended"
    assert {"time goes on": 1} == await cluster.counts()


async def test_a_command_in_doubt_when_the_session_ends_may_have_happened(autojump_clock, cluster):
    """Here it has; the error does not pretend to know."""
    await cluster.start()
    async with open_at(cluster, ttl=2.0) as session:
        caught = []

        async def propose():
            try:
                await session.propose(b"a")
            except SessionExpired as error:
                caught.append(error)

        cluster.lose = 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(propose)
            await trio.sleep(0.005)
            await expire(cluster, session)
        assert "it may have happened before that, and will not any more" in str(caught[0])
        assert not caught[0].never_happened
    assert {"a": 1, "time goes on": 1} == await cluster.counts()


async def test_sessions_of_too_many_clients_end_the_one_silent_for_longest(autojump_clock, cluster):
    """Its client is told at its next command."""
    cluster.limits["sessions_max"] = 2
    await cluster.start()
    async with open_at(cluster) as first, open_at(cluster) as second:
        await first.propose(b"a")
        async with open_at(cluster):
            assert ("a", 2) == await first.propose(b"a")
            with pytest.raises(SessionExpired):
                await second.propose(b"b")


async def test_leaving_the_block_closes_the_session(autojump_clock, cluster):
    """Also by an error, which comes out as it is."""
    await cluster.start()
    with pytest.raises(KeyError, match="mine"):
        async with open_at(cluster) as session:
            raise KeyError("mine")
    assert [0] == cluster.numbers(Request.CLOSE)
    assert {} == await cluster.counts()
    assert 0 == len(cluster.machines["ann"])
    with pytest.raises(SessionExpired):
        await session.propose(b"late")


async def test_a_cancelled_block_closes_its_session(autojump_clock, cluster):
    """It takes its moment although the task has been told to stop."""
    await cluster.start()
    with trio.move_on_after(5):
        async with open_at(cluster):
            await trio.sleep_forever()
    assert [0] == cluster.numbers(Request.CLOSE)
    await cluster.counts()
    assert 0 == len(cluster.machines["ann"])


async def test_leaving_takes_a_second_at_most_when_nobody_answers(autojump_clock, cluster):
    """The session will expire; a cancelled block ends as quickly."""
    await cluster.start()
    for patience in (60.0, 0.1):
        with trio.move_on_after(patience) as scope:
            async with open_at(cluster):
                cluster.network.isolate(*NAMES)
                cluster.network.isolate((await cluster.leader()).id)
                began = trio.current_time()
                if patience < 1:
                    await trio.sleep_forever()
        assert trio.current_time() - began <= 1.2
        assert scope.cancelled_caught == (patience < 1)
        cluster.network.heal()


async def test_a_machine_without_sessions_is_found_out(autojump_clock, cluster):
    """It would apply commands with their envelopes on."""
    answers = [7, ("x", 1, 1), (1, 2), Failed("what is this?")]

    async def propose(_request):
        return answers.pop(0)

    for _ in range(3):
        with pytest.raises(ConfigError, match="must be wrapped in"):
            async with open_session(propose):
                pass
    with pytest.raises(CommandFailed, match="what is this"):
        async with open_session(propose):
            pass


@pytest.mark.parametrize("ttl", [0.0, -1.0, float("nan"), float("inf")])
async def test_a_time_to_live_that_makes_no_sense_is_refused(autojump_clock, cluster, ttl):
    """Before anything is tried."""
    with pytest.raises(ConfigError, match="ttl is"):
        async with open_at(cluster, ttl=ttl):
            pass
    assert [] == cluster.tries


def test_the_example_in_the_documentation_runs_as_written(capsys):
    """What a reader copies first must work."""
    page = Path(__file__).parents[2] / "docs" / "sessions.md"
    example = page.read_text().split("```python\n")[1].split("```")[0]
    exec(compile(example, "example", "exec"), {"__name__": "example"})
    assert "once: 40 42\n" == capsys.readouterr().out
