"""Golden conversations: scripts of what happens to a few servers, and all that they say to it.

Each file in `traces/` is a story to read, and a test: what follows a command (a line that begins
with `>`) must be exactly what the servers do. After a change that is meant to change them:

    pytest tests/quorum/test_traces.py --rewrite      # then read the difference

Messages wait until the script delivers them, and time stands still unless it says otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field

from quorum.config import Config
from quorum.effects import (
    Admit,
    Announce,
    Answer,
    Apply,
    Effect,
    Persist,
    Refuse,
    Restore,
    Role,
    Send,
    SendSnapshot,
    Snapshot,
    Trim,
)
from quorum.events import (
    MembersProposed,
    Persisted,
    ReadRequested,
    Received,
    TransferRequested,
)
from quorum.messages import (
    AppendEntries,
    AppendReply,
    Entries,
    Forward,
    ForwardReply,
    InstallSnapshot,
    Kind,
    Members,
    Message,
    NodeId,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    SnapshotMark,
    TimeoutNow,
    VoteReply,
)
from quorum.simulation.disks import Disk

TRACES = sorted((Path(__file__).parent / "traces").glob("*.txt"))
ROUNDS_MAX = 100


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_the_conversation_is_as_recorded(path, make_group, rewrite):
    """Word by word; `--rewrite` records it anew."""
    recorded = path.read_text()

    played = Script(make_group(())).play(recorded)

    if rewrite:
        path.write_text(played)
    assert path.read_text() == played


def test_the_folder_has_its_conversations():
    """None got lost on the way to this test."""
    assert len(TRACES) >= 16


@define
class Script:
    """Plays a script on a group of cores; each verb is a method named `on_<verb>`."""

    group: Any
    lines: list[str] = field(factory=list)
    disks: dict[NodeId, Disk] = field(factory=dict)
    cut: set[NodeId] = field(factory=set)
    voters: tuple[NodeId, ...] = ()
    seen: int = 0
    """How much of the group's log has been told."""

    def play(self, text: str) -> str:
        """Keep comments and commands; replace what follows a command by what happens."""
        told: list[str] = []
        for line in text.splitlines():
            if line.startswith("#"):
                told += [""] * bool(told and not told[-1].startswith("#")) + [line]
            elif line.startswith(">"):
                told += ["", line]
                verb, *words = line[1:].split()
                getattr(self, f"on_{verb}")(*words)
                self.tell()
                told += [f"  {each}" for each in self.lines]
                self.lines.clear()
        return "\n".join(told) + "\n"

    def tell(self) -> None:
        """Put into words what was ordered since the last time, and do it to the disks."""
        for name, effect in self.group.log[self.seen :]:
            self.lines.append(f"{name}{_in_words(effect)}")
            disk = self.disks[name]
            match effect:
                case Persist() | Trim():
                    disk.queue.append(effect)
                case Snapshot(mark):
                    disk.snapshots[mark.index] = (mark, b"")
                case _:
                    pass
            if name not in self.group.slow_disks:
                disk.begin()
                disk.finish()
        self.seen = len(self.group.log)

    def state_of(self, name: NodeId) -> Any:
        """Look inside."""
        return self.group.nodes[name]._state

    # Servers

    def on_set(self, setting: str, value: str) -> None:
        """Change a setting; before servers are added."""
        kind = type(getattr(Config(), setting))
        self.group.config = evolve(
            self.group.config, **{setting: value == "yes" if kind is bool else kind(value)}
        )

    def on_add(self, *names: NodeId) -> None:
        """A new cluster of these voters."""
        self.voters = names
        for name in names:
            self._boot(name, Disk.bootstrap(Members(voters=names)))

    def on_wait_to_join(self, name: NodeId) -> None:
        """A server without a cluster."""
        self._boot(name, Disk.bootstrap(Members()))

    def on_with_log(self, name: NodeId, *terms: str) -> None:
        """Start one of the voters again with a log of entries of these terms."""
        numbers = tuple(map(int, terms))
        payloads = tuple(f"{name}{term}".encode() for term in numbers)
        count = len(terms)
        disk = Disk(
            term=max(numbers, default=0), mark=SnapshotMark(members=Members(voters=self.voters))
        )
        run = Entries(1, numbers, (0,) * count, bytes(count), payloads)
        disk.queue.append(Persist(1, disk.term, None, run))
        disk.begin()
        disk.finish()
        self._boot(name, disk)

    def on_crash(self, name: NodeId) -> None:
        """Power fails; writes under way are lost."""
        self.disks[name].crash(_Unlucky())
        self.group.writes[name].clear()
        del self.group.nodes[name]
        self.group.mail = [post for post in self.group.mail if name not in post[:2]]

    def on_restart(self, name: NodeId) -> None:
        """It comes back on its disk."""
        self._boot(name, self.disks[name])
        self.group.step(name)

    def _boot(self, name: NodeId, disk: Disk) -> None:
        self.disks[name] = disk
        self.group.add(name, Members(), disk.load())

    # Time

    def on_campaign(self, *names: NodeId) -> None:
        """Nobody hears a leader for an election timeout; these are the first to notice."""
        self.group.now += self.group.config.election_timeout
        for name, node in self.group.nodes.items():
            state = node._state
            if not state.is_leader:
                state.now = self.group.now
                state.restart_election_timer()
                if name in names:
                    state.election_deadline = self.group.now
        for name in names:
            self.group.step(name)

    def on_miss(self, name: NodeId) -> None:
        """This server alone has heard no leader for an election timeout."""
        state = self.state_of(name)
        state.heard, state.election_deadline = float("-inf"), self.group.now
        self.group.step(name)

    def on_elect(self, name: NodeId) -> None:
        """It campaigns until it leads, which is told elsewhere."""
        while not self.state_of(name).is_leader:
            if not self.group.mail:
                self.on_campaign(name)
            self.on_deliver()
        self.tell()
        self.lines.clear()

    def on_heartbeat(self, *names: NodeId) -> None:
        """A leader's heartbeat is due."""
        for name in names:
            self.state_of(name).heartbeat_deadline = self.group.now
            self.group.step(name)

    def on_wait(self, seconds: str) -> None:
        """Time passes; nobody looks at the clock yet, and nobody campaigns."""
        self.group.now += float(seconds)
        for node in self.group.nodes.values():
            if not node._state.is_leader:
                node._state.election_deadline = float("inf")

    # Network

    def on_deliver(self, *what: str) -> None:
        """Deliver what is on its way now: all, or from `a-` or to `-b` or on a link `a-b`."""
        mail, self.group.mail = self.group.mail, []
        for post in mail:
            if _selected(post, what):
                self._deliver(*post)
            else:
                self.group.mail.append(post)

    def _deliver(self, sender: NodeId, to: NodeId, message: Message) -> None:
        self.tell()
        if {sender, to} & self.cut or to not in self.group.nodes:
            self.lines.append(f"({sender} to {to} is lost: {_message(message)})")
        else:
            self.lines.append(f"{to} hears {sender}: {_message(message)}")
            self.group.step(to, Received(sender, message))

    def on_repeat(self, *what: str) -> None:
        """Deliver, and keep a copy for later."""
        copies = [post for post in self.group.mail if _selected(post, what)]
        self.on_deliver(*what)
        self.group.mail += copies

    def on_drop(self, *what: str) -> None:
        """Lose what is on its way."""
        self.group.mail = [post for post in self.group.mail if not _selected(post, what)]

    def on_settle(self, manner: str = "") -> None:
        """Deliver until nothing is on its way; `quietly` tells nothing of it."""
        for _ in range(ROUNDS_MAX):
            if not self.group.mail:
                break
            self.on_deliver()
        assert not self.group.mail, "the servers never come to rest"
        self.tell()
        if manner == "quietly":
            self.lines.clear()

    def on_cut(self, *names: NodeId) -> None:
        """Nothing reaches or leaves these servers."""
        self.cut.update(names)

    def on_heal(self) -> None:
        """All links work again."""
        self.cut.clear()

    def on_stream(self) -> None:
        """Snapshots on their way arrive."""
        for sender, order in self.group.snapshots:
            self.lines.append(f"{order.to} has the snapshot of {sender} on its disk")
            held = self.disks[sender].snapshots[order.mark.index]
            self.disks[order.to].snapshots[order.mark.index] = held
        self.group.send_snapshots()

    # Disk

    def on_slow(self, name: NodeId) -> None:
        """Writes of this server stay under way until `sync`."""
        self.group.slow_disks.add(name)

    def on_sync(self, name: NodeId) -> None:
        """The oldest write of a slow disk is durable."""
        write = self.group.writes[name].pop(0)
        self.disks[name].writing = 1
        self.disks[name].finish()
        self.group.step(name, Persisted(write.ticket))

    # Requests

    def on_propose(self, name: NodeId, *commands: str) -> None:
        """Commands, as one request."""
        self.group.propose(name, *[command.encode() for command in commands])

    def on_read(self, name: NodeId) -> None:
        """A linearizable read."""
        self._request(name, ReadRequested)

    def on_members(self, name: NodeId, *voters: NodeId) -> None:
        """A change to these voters; names that begin with `+` are learners."""
        learners = tuple(voter[1:] for voter in voters if voter.startswith("+"))
        plain = tuple(voter for voter in voters if not voter.startswith("+"))
        wanted = Members(voters=plain, learners=learners)
        self._request(name, lambda tag: MembersProposed(tag, wanted))

    def on_transfer(self, name: NodeId, to: NodeId) -> None:
        """A handing over of leadership."""
        self._request(name, lambda tag: TransferRequested(tag, to))

    def _request(self, name: NodeId, make: Callable[[int], Any]) -> None:
        self.group.tag += 1
        self.group.step(name, make(self.group.tag))

    def on_state(self, *names: NodeId) -> None:
        """What servers have become."""
        self.tell()
        for name in names or tuple(self.group.nodes):
            state = self.group.nodes[name].statistics()
            log = self.state_of(name).log
            terms = " ".join(str(log.term_at(at)) for at in range(log.first, log.last_index + 1))
            start = f" from {log.first}" if log.first > 1 else ""
            follows = f" {state.leader}" if state.role is Role.FOLLOWER and state.leader else ""
            self.lines.append(
                f"{name}: {state.role.value}{follows} in term {state.term}, "
                f"log{start} [{terms}], commit {state.commit}, applied {state.applied}"
            )

    def on_follow(self, leader: NodeId) -> None:
        """What a leader knows of its followers."""
        self.tell()
        for name, peer in self.state_of(leader).peers.items():
            self.lines.append(f"{name}: {peer.mode.value}, match {peer.match}, next {peer.next}")

    def on_configuration(self, *names: NodeId) -> None:
        """The members that servers go by."""
        self.tell()
        for name in names or tuple(self.group.nodes):
            state = self.group.nodes[name].statistics()
            self.lines.append(f"{name}: {_members(state.members)} from {state.members_index}")


class _Unlucky(random.Random):
    """Nothing that was under way survives."""

    def randint(self, a: int, b: int) -> int:
        return a


def _selected(post: tuple[NodeId, NodeId, Message], what: tuple[str, ...]) -> bool:
    sender, to, _ = post
    return not what or bool({f"{sender}-{to}", f"{sender}-", f"-{to}"} & set(what))


def _run(entries: Entries) -> str:
    """Entries in words: index, term, contents."""
    words = []
    for entry in entries:
        match entry.kind:
            case Kind.NOOP:
                text = "no-op"
            case Kind.MEMBERS:
                text = _members(Members.from_bytes(entry.payload))
            case Kind.COMMAND:
                text = entry.payload.decode()
        words.append(f"{entry.index}:{text} (term {entry.term})")
    return ", ".join(words)


def _members(members: Members) -> str:
    text = "".join(members.voters) or "nobody"
    if members.joint:
        text = f"{''.join(members.outgoing)}->{text}"
    return text + f" and learners {''.join(members.learners)}" * bool(members.learners)


def _in_words(effect: Effect) -> str:
    match effect:
        case Send(to, message):
            return f" to {to}: {_message(message)}"
        case Persist(ticket, term, vote, entries, reset):
            text = f" writes ({ticket}): term {term}, vote {vote or '-'}"
            text += f", log starts after {reset.index}" if reset else ""
            return text + (f", {_run(entries)}" if entries else "")
        case Apply(entries):
            return f" applies {_run(entries)}"
        case Admit(tag, first, term):
            return f" admits request {tag} at {first} in term {term}"
        case Answer(tag, index):
            return f" answers request {tag} at {index}"
        case Refuse(tag, reason, leader):
            return f" refuses request {tag}: {reason.value}" + (f", ask {leader}" if leader else "")
        case Announce(role, term, leader, because):
            of = f" of {leader}" if role is Role.FOLLOWER and leader else ""
            return f" is {role.value}{of} in term {term}" + (f" ({because})" if because else "")
        case Restore(mark):
            return f" restores the snapshot up to {mark.index}"
        case Snapshot(mark):
            return f" takes a snapshot up to {mark.index}"
        case SendSnapshot(to, _, _, mark):
            return f" sends {to} the snapshot up to {mark.index}"
        case Trim(mark, first):
            return f" drops its log before {first} in favour of the snapshot up to {mark.index}"


def _message(message: Message) -> str:
    term = f"term {message.term}"
    match message:
        case RequestVote(_, index, last, pre_vote, disrupt):
            kind = "PreVote" if pre_vote else "RequestVote"
            ordered = ", by order of the leader" if disrupt else ""
            return f"{kind} {term}, my log ends at {index} (term {last}){ordered}"
        case VoteReply(granted=granted, pre_vote=pre_vote):
            return f"{'PreVote' if pre_vote else 'Vote'} {'yes' if granted else 'no'}, {term}"
        case AppendEntries(_, index, previous, commit, _, entries):
            what = _run(entries) if entries else "nothing"
            return f"Append {term}, after {index} (term {previous}): {what}; commit {commit}"
        case AppendReply(match=None):
            return f"Append no, {term}, try after {message.hint_index} (term {message.hint_term})"
        case AppendReply():
            return f"Append yes, {term}, the same up to {message.match}"
        case InstallSnapshot(mark=mark):
            return f"InstallSnapshot {term}, up to {mark.index}"
        case TimeoutNow():
            return f"TimeoutNow {term}"
        case ReadIndex(_, context):
            return f"ReadIndex {term}, question {context}"
        case ReadIndexReply(_, context, index):
            return f"ReadIndex {term}, question {context}: " + (
                "no" if index is None else f"{index}"
            )
        case Forward() | ForwardReply():
            return str(message)
