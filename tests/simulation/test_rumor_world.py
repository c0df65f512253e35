"""What a cluster does about one trouble at a time."""

from __future__ import annotations

from collections import Counter
from math import inf
from random import Random

import pytest

from rumor.config import Config
from rumor.effects import Failed, Left, Notification, Reaped, Suspected
from rumor.messages import Health
from rumor.simulation import Host, Mode, World
from rumor.simulation.chaos import detection_max


class Cluster:
    """Members named a0, a1, …, all joined and settled, and what they have told their users."""

    def __init__(self, size: int, *, seed: int = 1, config: Config | None = None) -> None:
        self.told: Counter[tuple[type, str]] = Counter()
        self.world = World(Random(seed), config=config, listen=self._listen)
        self.names = [f"a{number}" for number in range(size)]
        for name in self.names:
            self.world.start(name, meta=name.encode(), seeds=["a0"] if name != "a0" else [])
        assert self.world.run_until(self.agree, within=30) < inf
        self.world.run(5)
        self.told.clear()

    def _listen(self, _now: float, _host: Host, told: Notification) -> None:
        self.told[type(told), told.member.name] += 1

    def held(self, observer: str, name: str) -> Health | None:
        """What one member holds another for."""
        core = self.world.hosts[observer].core
        assert core is not None
        peer = core.members.get(name)
        return peer.health if peer is not None else None

    def all_hold(self, name: str, *healths: Health | None) -> bool:
        """Whether all members that run hold `name` for one of these."""
        return all(self.held(host.name, name) in healths for host in self.world.up())

    def agree(self) -> bool:
        """Whether everybody who runs is held alive by everybody."""
        return all(self.all_hold(host.name, Health.ALIVE) for host in self.world.up())


@pytest.mark.parametrize("size", [2, 5, 30])
def test_nobody_is_accused_without_a_fault(size: int) -> None:
    """Ten minutes at rest: no suspicion, and two to three datagrams a member and second."""
    cluster = Cluster(size)
    before = sum(host.packets for host in cluster.world.up())
    cluster.world.run(600)
    sent = sum(host.packets for host in cluster.world.up()) - before

    assert not cluster.told
    assert 1.9 < sent / size / 600 < 2.2


def test_loss_alone_kills_nobody() -> None:
    """At 5 % loss there are suspicions in ten minutes of 30 members, and no death."""
    cluster = Cluster(30)
    cluster.world.network.loss = 0.05
    cluster.world.run(600)

    assert 0 == sum(count for (kind, _), count in cluster.told.items() if kind is Failed)
    assert cluster.agree()


@pytest.mark.parametrize("size", [2, 3, 10, 40])
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_crash_is_known_to_all_in_time(size: int, loss: float) -> None:
    """Within two rounds of probes, one suspicion, and the time that news take."""
    cluster = Cluster(size)
    cluster.world.network.loss = loss
    cluster.world.crash("a1")
    bound = detection_max(cluster.world.config, size) * (1 + 4 * loss)

    took = cluster.world.run_until(lambda: cluster.all_hold("a1", Health.DEAD), within=bound)
    assert took < inf


def test_a_short_pause_is_forgiven() -> None:
    """Who was stopped for three seconds reads its mail before it looks at the clock."""
    for seed in range(5):
        cluster = Cluster(8, seed=seed)
        cluster.world.hold("a3", Mode.PAUSED)
        cluster.world.run(3)
        cluster.world.release("a3")
        cluster.world.run(60)

        accused = {name for kind, name in cluster.told if kind in (Suspected, Failed)}
        assert accused <= {"a3"}
        assert 0 == cluster.told[Failed, "a3"]
        assert cluster.agree()


def test_who_leaves_has_not_failed() -> None:
    """At 5 % loss, among 30 members, everybody reports a farewell and nobody a failure."""
    for seed in range(4):
        cluster = Cluster(30, seed=seed)
        cluster.world.network.loss = 0.05
        cluster.world.leave("a7")
        cluster.world.run(60)

        assert not cluster.world.hosts["a7"].up
        assert 0 == cluster.told[Failed, "a7"]
        assert 30 == cluster.told[Left, "a7"]


def test_a_partition_heals_after_both_sides_have_buried_each_other() -> None:
    """One cluster again within two rounds of attempts, once the network is."""
    cluster = Cluster(12)
    cluster.world.network.sides = {f"a{number}": 1 for number in range(5)}
    cluster.world.run(300)
    assert cluster.held("a0", "a11") is Health.DEAD
    assert cluster.held("a11", "a0") is Health.DEAD

    cluster.world.network.heal()
    took = cluster.world.run_until(cluster.agree, within=60)
    assert took < 4 * cluster.world.config.reconnect_interval


def test_a_partition_longer_than_tombstones_heals_by_seeds() -> None:
    """Who has forgotten everybody still knows its seeds."""
    config = Config(tombstone_time=60)
    cluster = Cluster(6, config=config)
    cluster.world.network.sides = {"a4": 1, "a5": 1}
    cluster.world.run(300)
    assert cluster.held("a0", "a5") is None
    assert cluster.told[Reaped, "a5"] == 4

    cluster.world.network.heal()
    assert cluster.world.run_until(cluster.agree, within=60) < inf


def test_who_cannot_reach_each_other_but_through_others_stay_members() -> None:
    """A link cut both ways for a quarter of an hour: helpers vouch, and nobody is buried."""
    cluster = Cluster(8)
    cluster.world.network.cuts |= {("a1", "a2"), ("a2", "a1")}
    cluster.world.run(900)

    assert 0 == sum(count for (kind, _), count in cluster.told.items() if kind is Failed)


def test_a_restart_under_the_same_name_is_the_same_member() -> None:
    """A quick one goes by without a funeral; all hold the new life's metadata."""
    cluster = Cluster(8)
    cluster.world.crash("a2")
    cluster.world.run(0.5)
    cluster.world.start("a2", meta=b"new", seeds=["a0"])
    assert cluster.world.run_until(cluster.agree, within=30) < inf

    for host in cluster.world.up():
        assert host.core is not None
        assert b"new" == host.core.members["a2"].meta


def test_a_member_blocked_for_long_is_buried_and_returns() -> None:
    """It is declared dead while it does not answer, and refutes when it does."""
    cluster = Cluster(10)
    cluster.world.hold("a4", Mode.BLOCKED)
    others = [name for name in cluster.names if name != "a4"]
    buried = cluster.world.run_until(
        lambda: all(cluster.held(name, "a4") is Health.DEAD for name in others), within=90
    )
    assert buried < inf
    cluster.world.release("a4")

    assert cluster.world.run_until(cluster.agree, within=90) < inf


def test_a_full_inbox_drops_and_counts() -> None:
    """What arrives at a stopped process is bounded, as a socket's buffer is."""
    cluster = Cluster(3)
    cluster.world.hold("a1", Mode.PAUSED)
    datagram = cluster.world.recent[-1][1]
    for _ in range(2_000):
        cluster.world.inject("a1", ("10.9.9.9", 1), datagram)

    assert 1_000 == len(cluster.world.hosts["a1"].inbox)
    assert 1_000 == cluster.world.counts["dropped, the inbox is full"]
