"""Figure 2 and what stands round it, sentence by sentence: state and events in, effects out.

Each docstring quotes the sentence of the paper (or thesis) that the test is about. The server under
test is `a`, of the cluster a, b, c; its disk and its machine answer when the test says so.
"""

from __future__ import annotations

import random

import pytest
from attrs import evolve

from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import Admit, Announce, Answer, Apply, Persist, Refusal, Refuse, Role, Send
from quorum.events import Applied, Persisted, Proposed, ReadRequested, Received, Recovered
from quorum.messages import (
    AppendEntries,
    AppendReply,
    Entries,
    Kind,
    Members,
    RequestVote,
    SnapshotMark,
    VoteReply,
)

ABC = Members(voters=("a", "b", "c"))
PLAIN = Config(pre_vote=False, check_quorum=False, commit_delay=0.0)


def log(*terms, first=1):
    """Commands of these terms, each with its index as payload."""
    count = len(terms)
    payloads = tuple(b"%d" % index for index in range(first, first + count))
    return Entries(first, tuple(terms), (0,) * count, bytes(count), payloads)


class Server:
    """One core, a clock that the test moves, and a disk that syncs when told."""

    def __init__(self, *, term=0, vote=None, entries=None, config=PLAIN, members=ABC):
        recovered = Recovered(term, vote, SnapshotMark(members=members), entries or Entries(1))
        self.raft = Raft("a", recovered, config, now=0.0, random=random.Random(1))
        self.now = 0.0
        self.effects = self.raft.step([], now=0.0)

    def hear(self, *events):
        """Step without completing any write."""
        self.effects = self.raft.step(events, now=self.now)
        return self.effects

    def receive(self, sender, message):
        return self.hear(Received(sender, message))

    def sync(self):
        """Complete the writes ordered in the last step."""
        tickets = [effect.ticket for effect in self.effects if isinstance(effect, Persist)]
        return self.hear(Persisted(tickets[-1])) if tickets else []

    def time_out(self):
        self.now = self.raft.deadline
        return self.hear()

    def lead(self):
        """Campaign and win, with b's vote; return what the first step as leader orders."""
        self.time_out()
        self.sync()
        self.receive("b", VoteReply(self.term, granted=True))
        assert self.role is Role.LEADER
        return self.effects

    @property
    def term(self):
        return self.raft.statistics().term

    @property
    def role(self):
        return self.raft.statistics().role

    @property
    def commit(self):
        return self.raft.statistics().commit


def sent(effects, kind=object):
    """Who is sent what, in order."""
    return [(e.to, e.message) for e in effects if isinstance(e, Send) and type(e.message) is kind]


def append(term, previous, entries, commit=0, round_=1):
    return AppendEntries(term, previous[0], previous[1], commit, round_, entries)


# Rules for servers: all


def test_servers_start_as_followers():
    """§5.2: "When servers start up, they begin as followers"."""
    assert Server(term=7).role is Role.FOLLOWER


def test_a_term_higher_than_ours_makes_us_a_follower_of_it():
    """Figure 2.

    "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to
    follower (§5.1)".
    """
    server = Server()
    server.lead()

    effects = server.receive("c", AppendReply(9, 1, None))

    assert (9, Role.FOLLOWER) == (server.term, server.role)
    assert [Persist(3, 9, None)] == [e for e in effects if isinstance(e, Persist)]


def test_what_is_committed_is_applied_in_order():
    """Figure 2.

    "If commitIndex > lastApplied: increment lastApplied, apply log[lastApplied] to state
    machine (§5.3)".
    """
    server = Server(term=1, entries=log(1, 1, 1))

    effects = server.receive("b", append(1, (3, 1), Entries(4), commit=2))

    assert [Apply(log(1, 1))] == [e for e in effects if isinstance(e, Apply)]


# RequestVote


def test_a_vote_in_an_older_term_is_refused():
    """Figure 2: "Reply false if term < currentTerm (§5.1)"."""
    server = Server(term=5)

    effects = server.receive("b", RequestVote(4, 9, 4))

    assert [("b", VoteReply(5, granted=False))] == sent(effects, VoteReply)


@pytest.mark.parametrize(
    ("vote", "candidate", "granted"),
    [(None, "b", True), ("b", "b", True), ("c", "b", False)],
    ids=["free", "same", "taken"],
)
def test_a_vote_is_given_once_in_a_term(vote, candidate, granted):
    """Figure 2.

    "If votedFor is null or candidateId, and candidate's log is at least as up-to-date as
    receiver's log, grant vote (§5.2, §5.4)".
    """
    server = Server(term=5, vote=vote)

    effects = server.receive(candidate, RequestVote(5, 0, 0)) + server.sync()

    assert [(candidate, VoteReply(5, granted))] == sent(effects, VoteReply)


@pytest.mark.parametrize(
    ("last_index", "last_term", "granted"),
    [(1, 3, True), (2, 2, True), (3, 2, True), (1, 2, False), (9, 1, False)],
)
def test_up_to_date_means_later_term_then_longer_log(last_index, last_term, granted):
    """§5.4.1.

    "If the logs have last entries with different terms, then the log with the later term is
    more up-to-date. If the logs end with the same term, then whichever log is longer is more
    up-to-date".
    """
    server = Server(term=4, entries=log(1, 2))

    effects = server.receive("b", RequestVote(4, last_index, last_term)) + server.sync()

    assert [("b", VoteReply(4, granted))] == sent(effects, VoteReply)


def test_a_vote_is_durable_before_it_is_said():
    """Figure 2: "Persistent state [...] (updated on stable storage before responding to RPCs)"."""
    server = Server()

    effects = server.receive("b", RequestVote(1, 0, 0))

    assert [Persist(1, 1, "b")] == [e for e in effects if isinstance(e, Persist)]
    assert sent(effects, VoteReply) == []
    assert [Send("b", VoteReply(1, granted=True))] == server.sync()


# Followers


def test_a_follower_that_hears_nothing_becomes_a_candidate():
    """Figure 2.

    "If election timeout elapses without receiving AppendEntries RPC from current leader or
    granting vote to candidate: convert to candidate".
    """
    server = Server()

    effects = server.time_out()

    assert Announce(Role.CANDIDATE, 1, None, "no leader was heard") in effects


def test_the_leader_and_a_granted_vote_put_the_election_off():
    """The other half of the same sentence: both restart the timer."""
    server = Server(term=1)
    first = server.raft.deadline
    server.now = first - 0.01
    server.receive("b", append(1, (0, 0), Entries(1)))
    assert server.raft.deadline >= server.now + server.raft._state.config.election_timeout

    second = server.raft.deadline
    server.now = second - 0.01
    server.receive("c", RequestVote(2, 0, 0))
    assert server.raft.deadline >= server.now + server.raft._state.config.election_timeout


def test_election_timeouts_are_random():
    """§5.2: "election timeouts are chosen randomly from a fixed interval"."""
    server = Server()
    spans = set()
    for _ in range(20):
        begin = server.now
        server.time_out()
        spans.add(round(server.now - begin, 6))

    timeout = PLAIN.election_timeout
    assert len(spans) > 10
    assert all(timeout <= span <= 2 * timeout for span in spans)


# Candidates


def test_a_candidate_increments_its_term_votes_for_itself_and_asks_all():
    """Figure 2.

    "On conversion to candidate, start election: increment currentTerm, vote for self, reset
    election timer, send RequestVote RPCs to all other servers".
    """
    server = Server(term=3, entries=log(1, 3))

    effects = server.time_out()

    assert [Persist(1, 4, "a")] == [e for e in effects if isinstance(e, Persist)]
    assert server.raft.deadline > server.now
    request = RequestVote(4, last_index=2, last_term=3)
    assert [Send("b", request), Send("c", request)] == server.sync()


def test_a_majority_of_votes_makes_a_leader():
    """Figure 2: "If votes received from majority of servers: become leader"."""
    server = Server()
    server.time_out()
    server.sync()
    assert server.role is Role.CANDIDATE

    effects = server.receive("c", VoteReply(1, granted=True))

    assert Announce(Role.LEADER, 1, "a", "elected") in effects


def test_a_vote_counts_once_however_often_it_comes():
    """§5.2: "votes from a majority of the servers in the full cluster", not that many messages."""
    server = Server(members=Members(voters=tuple("abcde")))
    server.time_out()
    server.sync()

    for _ in range(5):
        server.receive("b", VoteReply(1, granted=True))

    assert server.role is Role.CANDIDATE


def test_votes_of_another_term_do_not_count():
    """§5.2: "... in the full cluster for the same term"."""
    server = Server(term=3)
    server.time_out()
    server.sync()

    server.receive("b", VoteReply(3, granted=True))

    assert server.role is Role.CANDIDATE


def test_a_candidate_follows_a_leader_of_its_term():
    """Figure 2: "If AppendEntries RPC received from new leader: convert to follower"."""
    server = Server()
    server.time_out()

    server.receive("b", append(1, (0, 0), Entries(1)))

    assert (1, Role.FOLLOWER) == (server.term, server.role)
    assert server.raft.statistics().vote == "a"


def test_a_candidate_that_does_not_win_tries_again():
    """Figure 2: "If election timeout elapses: start new election"."""
    server = Server()
    server.time_out()

    server.time_out()

    assert (2, Role.CANDIDATE) == (server.term, server.role)


# AppendEntries


def test_a_leader_of_the_past_is_refused():
    """Figure 2: "Reply false if term < currentTerm (§5.1)"."""
    server = Server(term=5, entries=log(1))

    effects = server.receive("b", append(4, (1, 1), log(4, first=2)))

    assert [("b", AppendReply(5, 1, None))] == sent(effects, AppendReply)
    assert server.raft.statistics().last_index == 1


@pytest.mark.parametrize(("previous", "hint"), [((3, 2), (2, 2)), ((2, 1), (1, 1))])
def test_entries_after_a_gap_or_another_past_are_refused(previous, hint):
    """Figure 2.

    "Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm
    (§5.3)".
    """
    server = Server(term=3, entries=log(1, 2))

    effects = server.receive("b", append(3, previous, log(3, first=previous[0] + 1)))
    effects += server.sync()

    assert [("b", AppendReply(3, 1, None, *hint))] == sent(effects, AppendReply)


def test_a_conflicting_entry_and_all_that_follow_it_go():
    """Figure 2.

    "If an existing entry conflicts with a new one (same index but different terms), delete the
    existing entry and all that follow it (§5.3)".
    """
    server = Server(term=2, entries=log(1, 1, 1, 1))

    effects = server.receive("b", append(2, (1, 1), log(2, first=2)))

    assert [Persist(1, 2, None, log(2, first=2))] == [e for e in effects if isinstance(e, Persist)]
    assert server.raft.statistics().last_index == 2


def test_only_new_entries_are_appended():
    """Figure 2: "Append any new entries not already in the log"; a late one truncates nothing."""
    server = Server(term=1, entries=log(1, 1, 1))

    late = server.receive("b", append(1, (0, 0), log(1)))
    assert [e for e in late if isinstance(e, Persist)] == []
    assert server.raft.statistics().last_index == 3

    more = server.receive("b", append(1, (1, 1), log(1, 1, 1, first=2)))
    assert [Persist(1, 1, None, log(1, first=4))] == [e for e in more if isinstance(e, Persist)]


def test_the_commit_index_goes_no_further_than_what_was_compared():
    """Figure 2.

    "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new
    entry)".
    """
    server = Server(term=2, entries=log(1, 1, 1))

    server.receive("b", append(2, (1, 1), Entries(2), commit=3))

    assert server.commit == 1


def test_entries_are_acknowledged_when_they_are_durable():
    """Figure 2: "... updated on stable storage before responding to RPCs"."""
    server = Server(term=1)

    effects = server.receive("b", append(1, (0, 0), log(1, 1)))

    assert sent(effects, AppendReply) == []
    assert [("b", AppendReply(1, 1, 2))] == sent(server.sync(), AppendReply)


# Leaders


def test_a_new_leader_says_so_at_once_with_an_entry_of_its_own():
    """Figure 2.

    "Upon election: send initial empty AppendEntries RPCs (heartbeat) to each server"; §8:
    "each leader commit a blank no-op entry into the log at the start of its term".
    """
    server = Server(entries=log(1), term=1)

    effects = server.lead()

    messages = sent(effects, AppendEntries)
    assert ["b", "c"] == [to for to, _ in messages]
    for _, message in messages:
        assert (2, 1, 1) == (message.term, message.previous_index, message.previous_term)
        assert [(2, 2, Kind.NOOP)] == [(e.index, e.term, e.kind) for e in message.entries]


def test_a_leader_repeats_itself_while_idle():
    """Figure 2: "... repeat during idle periods to prevent election timeouts (§5.2)"."""
    server = Server()
    server.lead()

    server.time_out()

    assert ["b", "c"] == [to for to, _ in sent(server.effects, AppendEntries)]
    assert server.raft.deadline <= server.now + PLAIN.heartbeat


def test_a_command_is_appended_and_answered_when_applied():
    """Figure 2.

    "If command received from client: append entry to local log, respond after entry applied to
    state machine (§5.3)": here by `Admit` and, later, by the `Apply` of that index.
    """
    server = Server()
    server.lead()
    server.sync()

    effects = server.hear(Proposed(1, (b"x",)))

    assert Admit(1, 2, 1) in effects
    assert [e for e in effects if isinstance(e, Apply)] == []
    server.sync()
    effects = server.receive("b", AppendReply(1, server.raft._state.round, 2))
    (apply,) = [e for e in effects if isinstance(e, Apply)]
    assert [b"", b"x"] == list(apply.entries.payloads)


def test_a_follower_that_lacks_entries_is_sent_them():
    """Figure 2.

    "If last log index >= nextIndex for a follower: send AppendEntries RPC with log entries
    starting at nextIndex".
    """
    server = Server()
    server.lead()
    server.receive("c", AppendReply(1, server.raft._state.round, 1))

    effects = server.hear(Proposed(1, (b"x",)))

    (message,) = [message for to, message in sent(effects, AppendEntries) if to == "c"]
    assert [b"x"] == list(message.entries.payloads)
    assert message.entries.first == 2


def test_a_refusal_takes_the_leader_back():
    """Figure 2.

    "If AppendEntries fails because of log inconsistency: decrement nextIndex and retry
    (§5.3)"; by whole terms, as the same section allows.
    """
    server = Server(term=3, entries=log(1, 1, 2, 3))
    server.lead()

    round_ = server.raft._state.round
    effects = server.receive("c", AppendReply(4, round_, None, hint_index=2, hint_term=1))

    (message,) = [message for to, message in sent(effects, AppendEntries) if to == "c"]
    assert (2, 1) == (message.previous_index, message.previous_term)
    assert message.entries.first == 3


def test_a_majority_commits_an_entry_of_the_current_term():
    """Figure 2.

    "If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and
    log[N].term == currentTerm: set commitIndex = N (§5.3, §5.4)"; our own log counts as far as
    it is durable.
    """
    server = Server()
    server.lead()
    server.receive("b", AppendReply(1, server.raft._state.round, 1))
    assert server.commit == 0

    server.effects = [Persist(2, 1, "a")]
    server.sync()

    assert server.commit == 1


def test_an_entry_of_an_older_term_is_not_committed_by_counting():
    """§5.4.2, Figure 8.

    "Only log entries from the leader's current term are committed by counting replicas", and
    then "all prior entries are committed indirectly".
    """
    server = Server(term=2, entries=log(1, 2))
    server.lead()
    server.sync()
    round_ = server.raft._state.round

    server.receive("b", AppendReply(3, round_, 2))
    assert server.commit == 0

    server.receive("b", AppendReply(3, round_, 3))
    assert server.commit == 3


# §8 and the thesis


def test_a_new_leader_answers_reads_after_it_has_committed_in_its_term():
    """§8.

    A leader "must have the latest information on which entries are committed", and "exchange
    heartbeat messages with a majority of the cluster before responding to read-only requests".
    """
    server = Server()
    server.lead()
    server.sync()
    early = server.hear(ReadRequested(7))
    assert [e for e in early if isinstance(e, Answer)] == []

    server.receive("b", AppendReply(1, server.raft._state.round, 1))
    server.hear(Applied(1))
    effects = server.receive("b", AppendReply(1, server.raft._state.round, 1))

    assert [Answer(7, 1)] == [e for e in effects if isinstance(e, Answer)]


def test_who_does_not_lead_sends_the_client_to_who_does():
    """§8.

    "that server will reject the client's request and supply information about the most recent
    leader it has heard from".
    """
    server = Server(term=1)
    server.receive("b", append(1, (0, 0), Entries(1)))

    assert [Refuse(1, Refusal.NOT_LEADER, "b")] == server.hear(Proposed(1, (b"x",)))


def test_a_candidate_asks_before_it_increments_its_term():
    """Thesis 9.6.

    "a candidate only increments its term if it first learns from a majority of the cluster
    that they would be willing to grant the candidate their votes".
    """
    server = Server(term=4, config=evolve(PLAIN, pre_vote=True, check_quorum=True))

    effects = server.time_out()

    assert server.term == 4
    question = RequestVote(5, 0, 0, pre_vote=True)
    assert [("b", question), ("c", question)] == sent(effects, RequestVote)
    server.receive("b", VoteReply(4, granted=True, pre_vote=True))
    assert (5, Role.CANDIDATE) == (server.term, server.role)


def test_who_hears_a_leader_ignores_candidates():
    """§6.

    "if a server receives a RequestVote RPC within the minimum election timeout of hearing from
    a current leader, it does not update its term or grant its vote".
    """
    server = Server(term=1, config=evolve(PLAIN, pre_vote=True, check_quorum=True))
    server.receive("b", append(1, (0, 0), Entries(1)))

    assert server.receive("c", RequestVote(9, 5, 5)) == []
    assert server.term == 1
