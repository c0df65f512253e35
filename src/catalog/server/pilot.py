"""The autopilot at work: measure, decide, change, while this server leads.

What to change is decided in `catalog.server.autopilot`; here is how each server is measured, and
when: every `Rules.interval`, on becoming leader, and on gossip's news. What people ask for (remove
this one, let that one lead) takes the same door, so that two changes never cross.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import trio

import quorum
from catalog.config import format_address
from catalog.errors import Unavailable
from catalog.model import Role
from catalog.node.presence import Known
from catalog.node.roster import Roster
from catalog.operations import Admission, HealthReport, Join, Peer, PeersReport, ServerHealth
from catalog.requests import MemberHealth
from catalog.server.autopilot import Record, Rules, Seen, Standing, Vital, decide, without
from catalog.server.bootstrap import Founding
from catalog.server.rounds import GRACE_SECONDS, Rounds
from quorum import Members

__all__ = ["Pilot"]

log = logging.getLogger("catalog")

CHANGE_SECONDS_MAX = 10.0
"""How long a change of members may take before its caller hears that it is not known."""
TRANSFER_SECONDS_MAX = 5.0


class Pilot:
    """Keeps Raft's configuration true to the servers there are."""

    def __init__(
        self,
        server: quorum.Server,
        roster: Roster,
        founding: Founding,
        *,
        rules: Rules,
        datacenter: str,
    ) -> None:
        self._server = server
        self._roster = roster
        self._digest = founding.digest
        self._size = founding.size
        self._rules = rules
        self._datacenter = datacenter
        self._record = Record(rules)
        self._term = 0
        self._begun = trio.current_time()
        self._turn = trio.Lock()

    async def run(self) -> None:
        """Keep the configuration true, for ever."""
        rounds = Rounds(self._server, self._roster, interval=self._rules.interval)
        await rounds.run(self._steer)

    # What people and servers ask for; only of the leader.

    async def admit(self, request: Join) -> Admission:
        """Give a newcomer a learner's place.

        Raises:
            Unavailable: a voter has its name.

        """
        self._check_leader()
        name = request.name
        if request.digest != self._digest:
            raise ValueError(f"{name} asks for cluster {request.digest}, this is {self._digest}")
        async with self._turn:
            members = self._members
            if members.is_voter(name):
                raise Unavailable(
                    f"a voter is called {name!r}; if its disk is lost it is removed as soon as a "
                    f"majority of the others is healthy, and {name} is let in then"
                )
            if name in members.learners:  # a former life of it, which got another log
                await self._change(without(members, name))
            members = self._members
            log.info("%s lets %s in as a learner", self._server.id, name)
            await self._change(_with_learner(members, name))
        return Admission(self._digest, self._size)

    async def remove(self, name: str) -> int:
        """Remove a server; return the index of the new configuration."""
        self._check_leader()
        async with self._turn:
            members = self._members
            if name not in members.everyone:
                raise ValueError(
                    f"no server in Raft's configuration is called {name!r}; there are: "
                    f"{', '.join(members.everyone)}"
                )
            rest = without(members, name)
            if not rest.voters:
                raise ValueError(f"{name} is the only voter: a cluster has at least one")
            log.warning("%s removes %s, as it was told to", self._server.id, name)
            return await self._change(rest)

    async def transfer(self, to: str | None) -> str:
        """Have another voter lead; return its name."""
        self._check_leader()
        heir = self.heir() if to is None else to
        if heir is None:
            raise Unavailable("no other voter is alive that could lead; leadership stays")
        if heir not in self._members.voters:
            raise ValueError(f"{heir!r} is no voter; there are: {', '.join(self._members.voters)}")
        try:
            with trio.fail_after(TRANSFER_SECONDS_MAX):
                await self._server.transfer_leadership(heir)
        except (quorum.ChangeRefused, trio.TooSlowError) as error:
            raise Unavailable(f"leadership was not handed to {heir}: {error}") from error
        return heir

    def heir(self) -> str | None:
        """Return the voter to lead next: alive, and with most of the log."""
        statistics = self._server.statistics()
        voters = statistics.members.voters
        heirs = [
            (index, name)
            for name, index in statistics.match
            if name in voters and name in self._roster.servers
        ]
        return max(heirs)[1] if heirs else None

    # What they can look at.

    def peers(self) -> PeersReport:
        """Return the configuration in force here."""
        statistics = self._server.statistics()
        members = statistics.members
        peers = tuple(
            Peer(name, self._address(name), members.is_voter(name), name == statistics.leader)
            for name in members.everyone
        )
        return PeersReport(statistics.members_index, peers)

    def report(self) -> HealthReport:
        """Return how the servers fare, as the leader sees it."""
        self._check_leader()
        self._note()
        now, statistics = trio.current_time(), self._server.statistics()
        members, record = statistics.members, self._record
        match = {**dict(statistics.match), self._server.id: statistics.last_index}
        servers = []
        for name, vital in self._vitals().items():
            since = record.since(name)
            servers.append(
                ServerHealth(
                    name=name,
                    address=self._address(name),
                    standing=vital.standing.value,
                    leader=name == self._server.id,
                    voter=members.is_voter(name),
                    learner=name in members.learners,
                    healthy=record.healthy(name),
                    stable=0.0 if since is None else now - since,
                    contact=vital.contact,
                    last_index=match.get(name),
                    term=statistics.term if match.get(name) else None,
                )
            )
        voters = [one for one in servers if one.voter]
        majority = len(voters) // 2 + 1
        return HealthReport(
            healthy=all(one.healthy for one in servers if one.name in members.everyone),
            failure_tolerance=sum(one.healthy for one in voters) - majority,
            servers=tuple(servers),
        )

    # Steering.

    async def _steer(self) -> None:
        """Look, and change one thing after the other until nothing is to be changed."""
        while self._server.is_leader:
            self._note()
            async with self._turn:
                decision = decide(
                    self._members,
                    self._seen(),
                    self._rules,
                    leader=self._server.id,
                    size=self._size,
                )
                if decision is None:
                    return
                members, why = decision
                log.warning("autopilot: %s", why)
                await self._change(members)

    def _note(self) -> None:
        if self._server.term != self._term:  # a new leader measures anew
            self._term = self._server.term
            self._record = Record(self._rules)
        self._record.note(self._vitals(), now=trio.current_time())

    def _vitals(self) -> dict[str, Vital]:
        """Measure the servers of this data centre, and all in the configuration, by name."""
        statistics = self._server.statistics()
        now = trio.current_time()
        contacts, match = dict(statistics.contacts), dict(statistics.match)
        vitals = {}
        for name in sorted({*statistics.members.everyone, *self._servers}):
            if name == self._server.id:
                vitals[name] = Vital(Standing.ALIVE, 0.0, 0)
                continue
            contact = contacts.get(name)
            vitals[name] = Vital(
                self._standing(name),
                # At first the moment at which this leader began to talk to it stands there.
                None if contact is None or not match.get(name) else now - contact,
                statistics.last_index - match[name] if name in match else None,
            )
        return vitals

    def _seen(self) -> dict[str, Seen]:
        now, record = trio.current_time(), self._record
        return {
            name: Seen(
                vital.standing,
                healthy=record.healthy(name),
                stable=record.stable(name, now=now),
                replaced=vital.standing is Standing.LOST and self._is_alive(name),
            )
            for name, vital in self._vitals().items()
        }

    @property
    def _servers(self) -> Mapping[str, Known]:
        """The servers of this data centre, whatever their health."""
        return {
            name: known
            for name, known in self._roster.known.items()
            if known.presence.role is Role.SERVER and known.presence.datacenter == self._datacenter
        }

    def _standing(self, name: str) -> Standing:
        known = self._servers.get(name)
        if known is None:
            old = trio.current_time() - self._begun >= GRACE_SECONDS
            return Standing.LOST if old else Standing.UNKNOWN
        if known.health is MemberHealth.LEFT:
            return Standing.LEFT
        ours = known.presence.agreed and known.presence.digest == self._digest
        return Standing.ALIVE if known.alive and ours else Standing.LOST

    def _is_alive(self, name: str) -> bool:
        return name in self._servers and self._servers[name].alive

    def _address(self, name: str) -> str:
        known = self._roster.known.get(name)
        return "" if known is None else format_address(known.address)

    # Changing.

    @property
    def _members(self) -> Members:
        return self._server.statistics().members

    def _check_leader(self) -> None:
        if not self._server.is_leader:
            raise quorum.NotLeader(self._server.leader)

    async def _change(self, members: Members) -> int:
        """Change the configuration; whatever stands in the way of it passes."""
        expected = self._server.statistics().members_index
        try:
            with trio.fail_after(CHANGE_SECONDS_MAX):
                return await self._server.change_members(members, expected=expected)
        except quorum.ChangeRefused as error:
            raise Unavailable(f"the servers were not changed: {error}; try again") from error
        except trio.TooSlowError:
            raise quorum.Indeterminate(
                f"the change of servers was not confirmed within {CHANGE_SECONDS_MAX:g} s; it may "
                f"be yet: see who is a peer before a retry"
            ) from None


def _with_learner(members: Members, name: str) -> Members:
    return Members(voters=members.voters, learners=(*members.learners, name))
