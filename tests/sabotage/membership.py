"""Broken rules of configurations and of snapshots."""

from __future__ import annotations

from attrs import evolve
from tests.sabotage.mixes import CHANGES, CRASHES
from tests.sabotage.rows import Named, Orders, Seeds, broken

from quorum.core import election, membership, replication, snapshots
from quorum.core.log import Log
from quorum.core.majority import reached, won
from quorum.core.progress import Mode, Progress
from quorum.core.raft import Raft
from quorum.messages import Entries, Members

TESTS = "tests/quorum/test_membership.py::"


@broken(
    Seeds("Commit", {"faults": CHANGES}),
    Orders("Commit", 3, 12, {"changes": 1, "instant_disks": True}),
)
def one_majority_commits(patch):
    """In a joint configuration the new majority alone commits."""

    def sabotaged(members, values, absent):
        return reached(evolve(members, outgoing=()), values, absent)

    patch.setattr(replication, "reached", sabotaged)


@broken(Seeds("Election", {"faults": CHANGES}))
def one_majority_elects(patch):
    """In a joint configuration the new majority alone elects."""
    patch.setattr(election, "won", lambda members, votes: won(evolve(members, outgoing=()), votes))


@broken(Seeds("Configuration", {"faults": CHANGES}))
def joint_skipped(patch):
    """Goes straight from one set of voters to any other."""
    patch.setattr(membership, "_towards", lambda old, new: evolve(new, learners=old.learners[:0]))


@broken(Seeds("Liveness", {"faults": CHANGES}))
def joint_left_by_its_author_only(patch):
    """A joint configuration stays for ever when the leader that began it is gone."""
    leave = membership.leave_joint

    def sabotaged(state):
        if state.log.members_index >= state.term_start:
            leave(state)

    patch.setattr(membership, "leave_joint", sabotaged)


@broken(Seeds("Configuration", {"faults": CHANGES}))
def change_before_first_commit(patch):
    """A new leader changes members before it has committed an entry of its own term."""
    propose = membership.on_members_proposed

    def sabotaged(state, event):
        start, state.term_start = state.term_start, 0
        propose(state, event)
        state.term_start = start

    patch.setattr(membership, "on_members_proposed", sabotaged)


@broken(Seeds("Configuration", {"faults": CHANGES}))
def changes_overlap(patch):
    """Begins a change of members while the one before is not committed."""
    propose = membership.on_members_proposed

    def sabotaged(state, event):
        commit, state.commit = state.commit, state.log.last_index
        propose(state, event)
        state.commit = commit

    patch.setattr(membership, "on_members_proposed", sabotaged)


@broken(Seeds("Configuration", {"faults": CHANGES}))
def configuration_kept(patch):
    """Goes on by a configuration whose entry was truncated."""
    truncate = Log.truncate

    def sabotaged(log, start):
        kept = list(log._members)
        truncate(log, start)
        log._members = kept

    patch.setattr(Log, "truncate", sabotaged)


@broken(Seeds("Configuration|Commit|Election", {"faults": CHANGES}))
def in_force_when_committed(patch):
    """Goes by a configuration only when it is committed, not as soon as it is in the log."""
    states = {}
    hear = Raft._hear

    def sabotaged(raft, event):
        states[id(raft._state.log)] = raft._state
        hear(raft, event)

    def newest(log):
        state = states.get(id(log))
        commit = log.last_index if state is None else state.commit
        known = [pair for pair in log._members if pair[0] <= commit]
        return (known or log._members[:1])[-1]

    patch.setattr(Raft, "_hear", sabotaged)
    patch.setattr(Log, "members", property(lambda log: newest(log)[1]))
    patch.setattr(Log, "members_index", property(lambda log: newest(log)[0]))


@broken(Seeds("Configuration", {"faults": CHANGES}))
def removed_leader_stays(patch):
    """Leads on after its own removal is committed."""
    patch.setattr(membership, "is_removed", lambda _: False)


@broken(Named(TESTS + "test_a_removed_leader_leads_until_the_change_is_committed_then_steps_down"))
def removed_leader_goes_early(patch):
    """Steps down as soon as its removal is in its log, not when it is committed."""
    patch.setattr(membership, "is_removed", lambda state: state.id not in state.log.members.voters)


@broken(Named(TESTS + "test_a_demoted_voter_that_alone_has_the_demotion_may_still_be_elected"))
def demoted_server_gives_up(patch):
    """Does not stand for election although its demotion is in its own log only."""
    patch.setattr(membership, "may_lead", lambda state: state.log.members.is_voter(state.id))


@broken(Named(TESTS + "test_a_learner_that_is_too_slow_stays_one"))
def slow_learner_promoted(patch):
    """Makes a voter of a learner that has not caught up."""
    watch = membership.watch_learner

    def sabotaged(state, name, peer):
        watch(state, name, peer)
        peer.caught_up = True

    patch.setattr(membership, "watch_learner", sabotaged)


@broken(Named(TESTS + "test_compare_and_set_on_the_configuration"))
def expectation_ignored(patch):
    """Changes members although they are not those that the operator decided about."""
    propose = membership.on_members_proposed
    patch.setattr(
        membership,
        "on_members_proposed",
        lambda state, event: propose(state, evolve(event, expected=None)),
    )


@broken(Seeds("Configuration|Snapshot|Commit|Liveness", {"faults": CHANGES}))
def configuration_lost_in_snapshot(patch):
    """Leaves the members out of its snapshots."""
    mark_at = Log.mark_at
    patch.setattr(Log, "mark_at", lambda log, index: evolve(mark_at(log, index), members=Members()))


@broken(Named("tests/quorum/test_snapshots.py::test_a_snapshot_replaces_a_log_that_diverged"))
def newer_configuration_survives_snapshot(patch):
    """Keeps an uncommitted configuration when a snapshot replaces the log that it was in."""
    reset = Log.reset

    def sabotaged(log, mark):
        kept = [pair for pair in log._members if pair[0] > mark.members_index]
        reset(log, mark)
        log._members += kept

    patch.setattr(Log, "reset", sabotaged)


@broken(
    Named("tests/quorum/test_snapshots.py::test_a_longer_log_goes_too_when_a_snapshot_disagrees")
)
def log_kept_under_a_snapshot(patch):
    """Keeps the entries behind a snapshot that its log disagrees with."""

    def sabotaged(log, mark):
        stop = log.last_index + 1
        tail = log.slice(mark.index + 1, stop) if mark.index + 1 < stop else None
        log.__init__(mark, tail or Entries(mark.index + 1), mark.term)

    patch.setattr(Log, "reset", sabotaged)


@broken(Seeds("Term durability|No exception|Vote durability", {"faults": CRASHES, "steps": 800}))
def term_of_the_snapshot(patch):
    """Takes over the term of a snapshot's last entry as its own."""
    install = snapshots._install

    def sabotaged(state, mark):
        install(state, mark)
        state.hard_changed = state.hard_changed or state.term != mark.term
        state.term = mark.term

    patch.setattr(snapshots, "_install", sabotaged)


@broken(Seeds("Liveness"))
def nothing_sent_when_compacted(patch):
    """Has nothing to send to a follower that needs entries which a snapshot has replaced."""
    patch.setattr(replication, "_send_snapshot", lambda *_: None)


@broken(Seeds("Liveness"))
def lost_snapshot_awaited(patch):
    """Waits for ever for a snapshot that was lost on its way."""
    handle = snapshots.on_snapshot_sent

    def sabotaged(state, event):
        if event.ok:
            handle(state, event)

    patch.setattr(snapshots, "on_snapshot_sent", sabotaged)


@broken(
    Named(
        "tests/quorum/test_progress.py::test_a_snapshot_that_arrived_is_known_by_any_answer_that_shows_it"
    )
)
def only_the_report_ends_a_snapshot(patch):
    """Goes on to wait for the word that a snapshot has arrived, although an answer shows it."""
    handle = Progress.matched

    def sabotaged(peer, match):
        mode = peer.mode
        news = handle(peer, match)
        if mode is Mode.SNAPSHOT:
            peer.mode = mode
        return news

    patch.setattr(Progress, "matched", sabotaged)


@broken(Seeds("Snapshot|State Machine Safety|No exception"))
def snapshot_of_what_is_not_applied(patch):
    """Marks a snapshot with the commit index, not with what its machine had applied by then."""
    mark_at = Log.mark_at

    def sabotaged(log, index):
        return mark_at(log, min(index + 1, log.last_index))

    patch.setattr(Log, "mark_at", sabotaged)
