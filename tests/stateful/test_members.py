"""The member list against a model: for each name, the greatest statement ever heard."""

from __future__ import annotations

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rumor.config import Config
from rumor.core.swim import Swim
from rumor.effects import Effect, Failed, Joined, Left, Notification, Reaped, Recovered, Suspected
from rumor.events import Received
from rumor.messages import Alive, Dead, Gossip, Health, Leave, Name, Peer, Suspect, Update
from rumor.testing import address_of, notifications
from rumor.wire import encode

A, S, D, L = Health.ALIVE, Health.SUSPECT, Health.DEAD, Health.LEFT
QUIET = Config(
    probe_interval=1e9,
    probe_timeout=1.0,
    suspicion_multiplier=1e-6,  # a suspicion lasts 6,000 s at most, a probe starts after years
    exchange_interval=1e9,
    reconnect_interval=1e9,
    tombstone_time=1e12,
)

names = st.sampled_from("abcd")
numbers = st.integers(0, 5)
metas = st.sampled_from([b"", b"m"])

ENDS: dict[type[Notification], Health | None] = {
    Joined: A,
    Suspected: S,
    Recovered: A,
    Failed: D,
    Left: L,
    Reaped: None,
}
STEPS: dict[Health | None, set[type[Notification]]] = {
    None: {Joined},
    A: {Suspected, Failed, Left},
    S: {Recovered, Failed, Left},
    D: {Joined, Left, Reaped},
    L: {Joined, Reaped},
}


class MembersMachine(RuleBasedStateMachine):
    """Rumours in any order; the list keeps the greatest, and the events rebuild the list."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        me = Peer("me", address_of("me"))
        self.swim = Swim(me, QUIET, now=0.0, random=Random(1), encode=encode)
        self.model: dict[Name, tuple[int, Health]] = {}
        self.told: dict[Name, Health | None] = {}
        self.mine = 0

    def hear(self, update: Update, statement: tuple[int, Health]) -> None:
        """Give one rumour to the list and to the model."""
        held = self.model.get(update.name)
        if (held is None and statement[1] is A) or (held is not None and statement > held):
            self.model[update.name] = statement
        self.follow(self.swim.step([Received(("10.0.0.1", 1), Gossip(), (update,))], now=self.now))

    def follow(self, effects: list[Effect]) -> None:
        """Walk along with the notifications; each must be a step of the diagram."""
        for notification in notifications(effects):
            name = notification.member.name
            if type(notification) in ENDS:
                assert type(notification) in STEPS[self.told.get(name)]
                self.told[name] = ENDS[type(notification)]

    @rule(name=names, number=numbers, meta=metas)
    def alive(self, name: Name, number: int, meta: bytes) -> None:
        """A member announces itself."""
        self.hear(Alive(name, address_of(name), number, meta), (number, A))

    @rule(name=names, number=numbers, accuser=st.sampled_from("xyz"))
    def suspect(self, name: Name, number: int, accuser: Name) -> None:
        """A member is accused."""
        self.hear(Suspect(name, number, accuser), (number, S))

    @rule(name=names, number=numbers)
    def dead(self, name: Name, number: int) -> None:
        """A member is declared dead."""
        self.hear(Dead(name, number, "z"), (number, D))

    @rule(name=names, number=numbers)
    def leave(self, name: Name, number: int) -> None:
        """A member says farewell."""
        self.hear(Leave(name, number), (number, L))

    @rule(number=numbers)
    def accuse_me(self, number: int) -> None:
        """We are accused, and raise our number above the accusation if it is not."""
        self.mine = max(self.mine, number + 1)
        self.swim.step([Received(("10.0.0.1", 1), Gossip(), (Dead("me", number, "z"),))],
                       now=self.now)  # fmt: skip

    @precondition(lambda self: S in {health for _, health in self.model.values()})
    @rule()
    def let_suspicions_expire(self) -> None:
        """All suspects die of old age."""
        self.now += 10_000
        for name, (number, health) in self.model.items():
            if health is S:
                self.model[name] = (number, D)
        self.follow(self.swim.step([], now=self.now))

    @invariant()
    def list_is_the_model(self) -> None:
        """For each name the greatest statement, whatever the order they came in."""
        held = {n: (p.incarnation, p.health) for n, p in self.swim.members.items() if n != "me"}

        assert held == self.model

    @invariant()
    def events_rebuild_the_list(self) -> None:
        """Whoever followed the notifications believes what the list says."""
        assert self.told == {name: health for name, (_, health) in self.model.items()}

    @invariant()
    def we_are_alive(self) -> None:
        """Nobody talks us into anything else; only accusations raise our number."""
        me = self.swim.members["me"]

        assert (me.health, me.incarnation) == (A, self.mine)


MembersMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMembers = MembersMachine.TestCase
