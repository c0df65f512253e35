"""Tests of quorum.trio.server: what an application may expect of a running server."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from quorum import (
    ChangeRefused,
    CommandFailed,
    Config,
    Failed,
    Indeterminate,
    MachineFailed,
    Members,
    MemoryNetwork,
    MemoryStorage,
    NotLeader,
    Overloaded,
    Role,
    Stopped,
    StorageError,
    Superseded,
    open_server,
)
from quorum.core.raft import Raft
from quorum.effects import Announce
from quorum.events import Recovered
from quorum.messages import AppendEntries
from quorum.trio.loop import Loop
from quorum.trio.memory import MemoryLink


async def outcome_of(ask, *arguments):
    """What a request comes to: its result, or its error as a value."""
    try:
        return await ask(*arguments)
    except Exception as error:  # noqa: BLE001 - compared by the caller
        return error


async def in_background(nursery, ask, *arguments):
    """Start a request; the list gets its outcome."""
    outcomes = []

    async def run():
        outcomes.append(await outcome_of(ask, *arguments))

    nursery.start_soon(run)
    await wait_all_tasks_blocked()
    return outcomes


async def test_all_servers_name_the_same_leader(autojump_clock, cluster):
    """Election Safety, as seen from outside."""
    await cluster.start()
    leader = await cluster.leader()
    assert [leader.id] * 3 == [await server.wait_leader() for server in cluster.servers.values()]
    assert [False] * 2 == [server.is_leader for server in cluster.followers(leader)]
    assert (Role.LEADER, leader.id) == (leader.role, leader.leader)


async def test_every_caller_gets_its_own_result(autojump_clock, cluster):
    """Proposals of one turn travel together; their results must not be mixed up."""
    await cluster.start()
    leader = await cluster.leader()
    results = {}

    async def propose(number):
        results[number] = await leader.propose(b"%d" % number)

    async with trio.open_nursery() as nursery:
        for number in range(300):
            nursery.start_soon(propose, number)
    commands = await cluster.agree()
    assert 300 == len(commands)
    assert {number: commands.index(b"%d" % number) + 1 for number in range(300)} == results


async def test_proposals_of_one_turn_share_a_round(autojump_clock, cluster):
    """300 callers cost a few rounds, not 300: batching is a consequence of the inbox."""
    await cluster.start()
    leader = await cluster.leader()
    link = cluster.network.link(leader.id)
    sent, send_on = [], link.send

    def send(sends):
        sent.extend(sends)
        send_on(sends)

    link.send = send
    async with trio.open_nursery() as nursery:
        for number in range(300):
            nursery.start_soon(leader.propose, b"%d" % number)
    assert len([send for send in sent if getattr(send.message, "entries", ())]) <= 4


async def test_propose_many_returns_results_in_order(autojump_clock, cluster):
    """The commands stand next to each other in the log."""
    await cluster.start()
    leader = await cluster.leader()
    results = await leader.propose_many([b"a", b"no b", b"c"])
    assert [1, Failed("ValueError: no b"), 2] == results
    assert [] == await leader.propose_many([])


async def test_a_long_run_is_applied_in_slices(autojump_clock, cluster):
    """More than SLICE_ENTRIES_MAX entries go through the applier's own task, in order."""
    await cluster.start()
    leader = await cluster.leader()
    results = await leader.propose_many([b"x"] * 5000)
    assert list(range(1, 5001)) == results
    assert 5001 == await leader.propose(b"y")


async def test_a_follower_says_who_leads(autojump_clock, cluster):
    """Nothing was written; the caller goes on there."""
    await cluster.start()
    leader = await cluster.leader()
    with pytest.raises(NotLeader) as refusal:
        await cluster.followers(leader)[0].propose(b"x")
    assert leader.id == refusal.value.leader


async def test_a_follower_passes_proposals_on_if_it_may(autojump_clock, cluster):
    """`Config.forward`: any server will do, and the result is its own machine's."""
    cluster.config = Config(forward=True)
    await cluster.start()
    leader = await cluster.leader()
    follower, other = cluster.followers(leader)

    assert 1 == await follower.propose(b"x")
    assert [2, 3] == await other.propose_many([b"y", b"z"])
    assert [b"x", b"y", b"z"] == await cluster.agree()


async def test_a_command_that_fails_raises_its_reason(autojump_clock, cluster):
    """The machine said no, on every replica."""
    await cluster.start()
    leader = await cluster.leader()
    with pytest.raises(CommandFailed, match="no way"):
        await leader.propose(b"no way")


async def test_a_command_that_is_too_large_is_the_callers_error(autojump_clock, cluster):
    """The limit is named; nothing was written."""
    cluster.config = evolve(cluster.config, command_bytes_max=10)
    await cluster.start()
    leader = await cluster.leader()
    last = leader.statistics().last_index
    for ask, argument in [(leader.propose, b"x" * 11), (leader.propose_many, [b"x", b"x" * 11])]:
        with pytest.raises(ValueError, match="command_bytes_max"):
            await ask(argument)
    assert last == leader.statistics().last_index


async def test_a_new_leader_goes_on_when_the_old_one_is_gone(autojump_clock, cluster):
    """Leader Completeness: what was acknowledged is still there."""
    await cluster.start()
    leader = await cluster.leader()
    await leader.propose(b"before")
    await cluster.stop(leader.id)
    successor = await cluster.leader()
    assert 2 == await successor.propose(b"after")
    assert [b"before", b"after"] == await cluster.agree()


async def test_servers_come_back_with_what_they_stored(autojump_clock, cluster):
    """After a restart of all, the log brings fresh machines up to date."""
    await cluster.start()
    leader = await cluster.leader()
    await leader.propose_many([b"a", b"b"])
    for name in tuple(cluster.servers):
        await cluster.stop(name)
    await cluster.start()
    leader = await cluster.leader()
    assert 3 == await leader.propose(b"c")
    assert [b"a", b"b", b"c"] == await cluster.agree()


async def test_a_cancelled_proposal_leaves_no_trace_here(autojump_clock, cluster):
    """Its caller is gone; the command may happen, the next results are still right."""
    await cluster.start()
    leader = await cluster.leader()
    cluster.network.isolate(leader.id)
    with trio.move_on_after(0.1) as scope:
        await leader.propose(b"x")
    assert scope.cancelled_caught
    cluster.network.heal()
    assert 2 == await leader.propose(b"y")
    assert 0 == len(leader._pending)


async def test_a_proposal_cancelled_at_once_disturbs_nobody(autojump_clock, cluster):
    """Cancellation between the call and the next step of the core."""
    await cluster.start()
    leader = await cluster.leader()
    with trio.CancelScope() as scope:
        scope.cancel()
        await leader.propose(b"x")
    assert scope.cancelled_caught
    place = await leader.propose(b"y")
    assert b"y" == (await cluster.agree())[place - 1]


async def test_too_many_waiting_callers_are_turned_away(autojump_clock, cluster):
    """`pending_max` bounds the memory of a server whose majority is gone."""
    cluster.config = evolve(cluster.config, pending_max=2)
    await cluster.start()
    leader = await cluster.leader()
    cluster.network.isolate(leader.id)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            await in_background(nursery, leader.propose, b"x")
        with pytest.raises(Overloaded, match="pending_max"):
            await leader.propose(b"y")
        with pytest.raises(Overloaded, match="pending_max"):
            await leader.read_barrier()
        nursery.cancel_scope.cancel()


async def test_too_many_uncommitted_bytes_are_refused(autojump_clock, cluster):
    """`uncommitted_bytes_max` bounds the log of a leader whose majority is gone."""
    cluster.config = evolve(cluster.config, uncommitted_bytes_max=100, command_bytes_max=100)
    await cluster.start()
    leader = await cluster.leader()
    cluster.network.isolate(leader.id)
    async with trio.open_nursery() as nursery:
        await in_background(nursery, leader.propose, b"x" * 100)
        with pytest.raises(Overloaded, match="uncommitted_bytes_max"):
            await leader.propose(b"y")
        nursery.cancel_scope.cancel()


async def test_a_server_that_stops_settles_all_requests(autojump_clock, cluster):
    """In the log: Indeterminate. Asked later: Stopped."""
    await cluster.start()
    leader = await cluster.leader()
    cluster.network.isolate(leader.id)
    async with trio.open_nursery() as nursery:
        asked = [
            await in_background(nursery, leader.propose, b"x"),
            await in_background(nursery, leader.propose_many, [b"x", b"y"]),
            await in_background(nursery, leader.read_barrier),
            await in_background(nursery, leader.wait_applied, 1000),
            await in_background(nursery, leader.wait_role_change, leader._loop.announced),
        ]
        await cluster.stop(leader.id)
    assert [Indeterminate, Indeterminate, Stopped, Stopped, Stopped] == [
        type(outcome) for (outcome,) in asked
    ]
    for ask in (leader.read_barrier, leader.wait_leader, leader.wait_role_change):
        assert Stopped is type(await outcome_of(ask))
    assert Stopped is type(await outcome_of(leader.propose, b"z"))
    assert Stopped is type(await outcome_of(leader.wait_applied, 1))


async def test_a_proposal_that_another_leader_overruled_is_superseded(autojump_clock, cluster):
    """The entry applied at its index has another term: it never happens, and the caller knows."""
    await cluster.start()
    leader = await cluster.leader()
    cluster.network.isolate(leader.id)
    async with trio.open_nursery() as nursery:
        single = await in_background(nursery, leader.propose, b"lost")
        many = await in_background(nursery, leader.propose_many, [b"lost", b"lost"])
        others = tuple(server.id for server in cluster.followers(leader))
        successor = await cluster.leader(among=others)
        for number in range(5):
            await successor.propose(b"%d" % number)
        cluster.network.heal()
    assert [Superseded, Superseded] == [type(single[0]), type(many[0])]
    assert b"lost" not in await cluster.agree()


async def test_a_proposal_survives_its_leaders_fall_when_it_was_replicated(autojump_clock, cluster):
    """The same index and term is applied here under another leader: it happened after all."""
    cluster.network.delay = 0.01
    await cluster.start()
    leader = await cluster.leader()
    others = [server.id for server in cluster.followers(leader)]
    for other in others:
        cluster.network.cut(other, leader.id)  # entries arrive, their answers do not
    async with trio.open_nursery() as nursery:
        result = await in_background(nursery, leader.propose, b"kept")
        await cluster.leader(among=tuple(others))
        cluster.network.heal()
    assert [1] == result
    assert not leader.is_leader


async def test_a_proposal_that_a_snapshot_covers_is_indeterminate(autojump_clock, cluster):
    """The log that would tell its fate is gone; the caller has to look at the state."""
    cluster.config = evolve(cluster.config, snapshot_entries=5, tail_entries=0)
    await cluster.start()
    leader = await cluster.leader()
    cluster.network.isolate(leader.id)
    async with trio.open_nursery() as nursery:
        outcome = await in_background(nursery, leader.propose, b"lost")
        others = tuple(server.id for server in cluster.followers(leader))
        successor = await cluster.leader(among=others)
        for number in range(20):
            await successor.propose(b"%d" % number)
        cluster.network.heal()
    assert Indeterminate is type(outcome[0])
    assert "snapshot" in str(outcome[0])
    assert 20 == len(await cluster.agree())


async def test_a_leader_cut_off_for_long_gives_up_on_its_proposals(autojump_clock, cluster):
    """After `DOUBT_TIMEOUTS` election timeouts without a verdict: Indeterminate, not silence."""
    await cluster.start()
    leader = await cluster.leader()
    cluster.network.isolate(leader.id)
    begun = trio.current_time()
    with pytest.raises(Indeterminate, match="lost its leadership"):
        await leader.propose(b"x")
    assert 5.0 < trio.current_time() - begun < 8.0


async def test_a_read_barrier_shows_what_was_acknowledged_before(autojump_clock, cluster):
    """Reads at any server are linearizable after it, and cost no entry."""
    cluster.network.delay = 0.005
    await cluster.start()
    leader = await cluster.leader()
    for number in range(5):
        await leader.propose(b"%d" % number)
        for server in cluster.servers.values():
            index = await server.read_barrier()
            assert number + 1 == len(cluster.machines[server.id].commands)
            assert server.applied_index >= index


async def test_a_read_under_a_lease_costs_no_message(autojump_clock, cluster):
    """Time is proof enough of leadership, if the settings say so."""
    cluster.config = evolve(cluster.config, lease_drift=0.1)
    await cluster.start()
    leader = await cluster.leader()
    cluster.network.isolate(leader.id)
    assert leader.applied_index == await leader.read_barrier(lease=True)
    with pytest.raises(NotLeader):
        await leader.read_barrier()
    with pytest.raises(ValueError, match="max_age"):
        await leader.read_barrier(max_age=-1.0)


async def test_a_read_of_bounded_age_needs_nobody(autojump_clock, cluster):
    """Where a reader was answered lately, the next one gets the same without a message."""
    await cluster.start()
    leader = await cluster.leader()
    follower = cluster.followers(leader)[0]
    index = await follower.read_barrier()
    cluster.network.isolate(follower.id)
    await trio.sleep(1)
    begun = trio.current_time()
    assert index == await follower.read_barrier(max_age=2.0)
    assert begun == trio.current_time()
    with pytest.raises(NotLeader):
        await follower.read_barrier(max_age=0.5)


async def test_a_leader_of_the_past_answers_no_read(autojump_clock, cluster):
    """It is refused, or waits; it does not show an old state."""
    await cluster.start()
    leader = await cluster.leader()
    cluster.network.isolate(leader.id)
    outcome = await outcome_of(leader.read_barrier)
    assert NotLeader is type(outcome)


async def test_wait_applied_returns_when_the_machine_is_there(autojump_clock, cluster):
    """At-least-index reads: a follower shows what its caller has written elsewhere."""
    cluster.network.delay = 0.005
    await cluster.start()
    leader = await cluster.leader()
    follower = cluster.followers(leader)[0]
    await leader.propose(b"x")
    await follower.wait_applied(leader.applied_index)
    assert [b"x"] == cluster.machines[follower.id].commands
    await follower.wait_applied(leader.applied_index)


async def test_a_cancelled_wait_for_an_index_leaves_nothing_behind(autojump_clock, cluster):
    """However often a caller tries again; the others wait on."""
    await cluster.start()
    leader = await cluster.leader()
    async with trio.open_nursery() as nursery:
        waited = await in_background(nursery, leader.wait_applied, leader.applied_index + 2)
        for _ in range(10):
            with trio.move_on_after(0.01):
                await leader.wait_applied(1000)
        assert 1 == len(leader._loop.applier._watchers)
        await leader.propose_many([b"x", b"y"])
    assert [None] == waited


async def test_role_changes_are_seen_in_order_and_the_last_is_not_missed(autojump_clock, cluster):
    """A watcher sees this server become leader, then lose it."""
    await cluster.start()
    leader = await cluster.leader()
    seen = await leader.wait_role_change()
    assert (Role.LEADER, leader.id) == (seen.role, seen.leader)
    cluster.network.isolate(leader.id)
    seen = await leader.wait_role_change(seen)
    assert Role.FOLLOWER is seen.role


async def test_a_server_can_be_added_and_another_removed(autojump_clock, cluster):
    """Joint consensus end to end; the newcomer has all of the log."""
    await cluster.start()
    leader = await cluster.leader()
    await leader.propose(b"before")
    await cluster.start("dan", members=Members())
    gone = cluster.followers(leader)[0].id
    names = {*cluster.servers, "dan"} - {gone}
    index = await leader.change_members(Members(voters=tuple(names)), expected=0)
    assert index == leader.statistics().members_index
    assert Members(voters=tuple(names)) == leader.statistics().members
    await cluster.stop(gone)
    await leader.propose(b"after")
    assert [b"before", b"after"] == await cluster.agree()


async def test_a_leader_can_remove_itself(autojump_clock, cluster):
    """It leads until C_new is committed, tells the caller, and steps down (§6)."""
    await cluster.start()
    leader = await cluster.leader()
    others = tuple(server.id for server in cluster.followers(leader))
    await leader.change_members(Members(voters=others))
    successor = await cluster.leader(among=others)
    assert 1 == await successor.propose(b"x")
    assert not leader.is_leader


async def test_a_change_from_a_stale_view_is_refused(autojump_clock, cluster):
    """`expected` is compare and set on the configuration's index."""
    await cluster.start()
    leader = await cluster.leader()
    with pytest.raises(ChangeRefused, match="expected"):
        await leader.change_members(Members(voters=("ann",)), expected=77)


async def test_leadership_can_be_handed_over(autojump_clock, cluster):
    """The successor leads without waiting for an election timeout."""
    await cluster.start()
    leader = await cluster.leader()
    successor = cluster.followers(leader)[0]
    begun = trio.current_time()
    await leader.transfer_leadership(successor.id)
    await cluster.leader(among=(successor.id,))
    assert trio.current_time() - begun < cluster.config.election_timeout
    with pytest.raises(NotLeader):
        await leader.transfer_leadership(successor.id)


async def test_snapshots_bring_a_laggard_up_to_date(autojump_clock, cluster):
    """A server that missed more than the kept tail gets the state instead of the log."""
    cluster.config = evolve(cluster.config, snapshot_entries=10, tail_entries=2)
    await cluster.start()
    leader = await cluster.leader()
    laggard = cluster.followers(leader)[0].id
    await cluster.stop(laggard)
    for number in range(50):
        await leader.propose(b"%d" % number)
    assert leader.statistics().first_index > 1
    await cluster.start(laggard)
    assert [b"%d" % number for number in range(50)] == await cluster.agree()
    assert cluster.servers[laggard].statistics().snapshot_index > 0
    await cluster.stop(laggard)
    await cluster.start(laggard)
    assert 50 == len(await cluster.agree())


async def test_a_machine_that_breaks_stops_its_server(autojump_clock, machine):
    """Its state can no longer be trusted; callers and the opener hear why."""

    def apply(entries):
        raise KeyError("broken")

    machine.apply = apply
    outcomes = []
    with pytest.raises(MachineFailed, match="KeyError"):  # noqa: PT012 - the block is the point
        async with open_server(
            "ann",
            machine,
            storage=MemoryStorage(members=Members(voters=("ann",))),
            links=MemoryNetwork().link("ann"),
        ) as server:
            await server.wait_leader()
            outcomes.append(await outcome_of(server.propose, b"x"))
            await trio.sleep_forever()
    assert [Indeterminate] == [type(outcome) for outcome in outcomes]
    assert MachineFailed is type(await outcome_of(server.propose, b"x"))


async def test_a_machine_with_too_few_results_stops_its_server(autojump_clock, machine):
    """Results could no longer be given to the right callers."""
    machine.apply = lambda entries: []
    with pytest.raises(MachineFailed, match="0 results for 1 commands"):  # noqa: PT012 - the block is the point
        async with open_server(
            "ann",
            machine,
            storage=MemoryStorage(members=Members(voters=("ann",))),
            links=MemoryNetwork().link("ann"),
        ) as server:
            await server.wait_leader()
            await server.propose(b"x")


@pytest.mark.parametrize("method", ["snapshot", "restore"])
async def test_a_machine_that_cannot_take_or_load_snapshots_stops_its_server(
    autojump_clock, machine, method
):
    """Its log could grow without limit, or its state would not be the cluster's."""
    storage = MemoryStorage(members=Members(voters=("ann",)))
    config = Config(snapshot_entries=2)

    async def run(machine):
        links = MemoryNetwork().link("ann")
        async with open_server(
            "ann", machine, storage=storage, links=links, config=config
        ) as server:
            await server.wait_leader()
            for _ in range(5):
                await server.propose(b"x")
            await trio.sleep(1)

    def fail(*_):
        raise KeyError("broken")

    if method == "restore":
        await run(type(machine)())
    setattr(machine, method, fail)
    with pytest.raises(MachineFailed, match=method.removesuffix("e")):
        await run(machine)


async def test_a_link_that_fails_stops_its_server(autojump_clock, machine):
    """Whatever it raises comes out of `open_server`; callers hear that the server is gone."""

    class Cut(Exception):
        pass

    class Short(MemoryLink):
        async def run(self, receiver, *, task_status=trio.TASK_STATUS_IGNORED):
            task_status.started()
            await trio.sleep(1)
            raise Cut

    link = Short(MemoryNetwork(), "ann")
    with pytest.raises(Cut):
        async with open_server("ann", machine, storage=MemoryStorage(), links=link) as server:
            await trio.sleep_forever()
    with pytest.raises(Stopped, match="Cut"):
        await server.propose(b"x")


async def test_a_snapshot_that_does_not_arrive_is_sent_again(autojump_clock, cluster, caplog):
    """The leader is told, and tries until it does."""
    cluster.config = evolve(cluster.config, snapshot_entries=5, tail_entries=0)
    await cluster.start()
    leader = await cluster.leader()
    laggard = cluster.followers(leader)[0].id
    await cluster.stop(laggard)
    await leader.propose_many([b"x"] * 20)
    link = cluster.network.link(leader.id)
    send_snapshot, attempts = link.send_snapshot, []

    async def fail_once(to, message, snapshot):
        attempts.append(to)
        if len(attempts) == 1:
            raise ConnectionError("cut")
        await send_snapshot(to, message, snapshot)

    link.send_snapshot = fail_once
    await cluster.start(laggard)
    assert 20 == len(await cluster.agree())
    assert [laggard, laggard] == attempts
    assert "will be tried again: cut" in caplog.text


@pytest.mark.parametrize("inline", [True, False])
async def test_a_storage_that_fails_stops_its_server(autojump_clock, machine, inline):
    """Nothing is acknowledged after a failed write, and the block is cancelled with the reason."""

    class Failing(MemoryStorage):
        broken = False

        async def persist(self, batch):
            if self.broken:
                raise StorageError("the disk is gone")
            await super().persist(batch)

    storage = Failing(members=Members(voters=("ann",)))
    storage.inline = inline
    outcomes = []
    with pytest.raises(StorageError, match="the disk is gone"):  # noqa: PT012 - the block is the point
        async with open_server(
            "ann", machine, storage=storage, links=MemoryNetwork().link("ann")
        ) as server:
            await server.wait_applied(1)
            storage.broken = True
            outcomes.append(await outcome_of(server.propose, b"x"))
            await trio.sleep_forever()
    assert [Indeterminate] == [type(outcome) for outcome in outcomes]


async def test_a_failure_is_not_lost_when_the_caller_is_cancelled_meanwhile(
    autojump_clock, machine
):
    """The caller may give up at the very moment at which the disk fails: it hears of the disk."""

    class Failing(MemoryStorage):
        scope = trio.CancelScope()
        broken = False

        async def persist(self, batch):
            if self.broken:
                self.scope.cancel()
                raise StorageError("the disk is gone")
            await super().persist(batch)

    storage = Failing(members=Members(voters=("ann",)))
    with pytest.raises(StorageError, match="the disk is gone"), storage.scope:  # noqa: PT012 - the block is the point
        async with open_server(
            "ann", machine, storage=storage, links=MemoryNetwork().link("ann")
        ) as server:
            await server.wait_applied(1)
            storage.broken = True
            await outcome_of(server.propose, b"x")
            await trio.sleep_forever()


async def test_callers_of_a_server_that_was_removed_get_an_answer(autojump_clock, cluster):
    """Its log will not grow any more: neither its writes nor its reads may wait for that."""
    cluster.config = evolve(cluster.config, forward=True)
    await cluster.start()
    leader = await cluster.leader()
    removed = cluster.followers(leader)[0]
    others = tuple(name for name in cluster.servers if name != removed.id)
    await leader.propose(b"before")
    deaf = cluster.network.link(removed.id)
    deliver = deaf.deliver

    def without_entries(events):
        deliver([event for event in events if not isinstance(event.message, AppendEntries)])

    deaf.deliver = without_entries
    async with trio.open_nursery() as nursery:
        write = await in_background(nursery, removed.propose, b"x")
        read = await in_background(nursery, removed.read_barrier)
        await leader.change_members(Members(voters=others))
        deaf.deliver = deliver
    assert [Indeterminate] == [type(outcome) for outcome in write]
    assert [NotLeader] == [type(outcome) for outcome in read]
    assert 3 == await leader.propose(b"after")


async def test_a_leader_that_is_elected_again_is_a_new_one_to_those_who_wait(
    autojump_clock, machine
):
    """In its new term it may lack what a follower passed on in the old one."""
    core = Raft("ann", Recovered(), Config(), now=0.0, random=Random(1))
    links, storage = MemoryNetwork().link("ann"), MemoryStorage()
    loop = Loop(core, machine, storage=storage, links=links, config=Config())
    for term, doubtful in ((3, False), (3, False), (5, True)):
        loop._announce(Announce(Role.FOLLOWER, term, "bob"))
        assert doubtful == (loop.pending.deadline < inf)
        if not doubtful:
            loop.pending.propose(b"x")
            (event,) = loop.pending.gather()
            loop.pending.admit(event.tag, 10 + event.tag, term)


async def test_writes_gather_while_a_slow_disk_works(autojump_clock, cluster):
    """Group commit: what comes in during a write is written together."""
    batches = []

    class Slow(MemoryStorage):
        inline = False

        async def persist(self, batch):
            await trio.sleep(0.01)
            batches.append(len(batch))
            await super().persist(batch)

    cluster.make_storage = lambda name: Slow(members=cluster.members)
    await cluster.start()
    leader = await cluster.leader()
    batches.clear()

    async def propose():
        for _ in range(10):
            await leader.propose(b"x")
            await trio.sleep(0.001)

    async with trio.open_nursery() as proposers:
        for number in range(20):
            await trio.sleep(0.0007 * number)
            proposers.start_soon(propose)
    assert max(batches) > 1
    assert 200 == len(await cluster.agree())


async def test_the_blocks_own_error_comes_out_as_it_is(autojump_clock, machine):
    """That there are nurseries inside is nobody's business."""
    with pytest.raises(LookupError, match="mine"):
        async with open_server(
            "ann", machine, storage=MemoryStorage(), links=MemoryNetwork().link("ann")
        ):
            raise LookupError("mine")


async def test_a_server_without_a_configuration_waits_to_be_added(autojump_clock, cluster):
    """It never campaigns."""
    await cluster.start("dan", members=Members())
    await trio.sleep(60)
    assert (Role.FOLLOWER, 0) == (cluster.servers["dan"].role, cluster.servers["dan"].term)
