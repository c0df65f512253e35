"""Broken rules of replication, of the commit index and of what is applied."""

from __future__ import annotations

from attrs import evolve
from tests.sabotage.mixes import CHANGES, CRASHES, INSTANT, LOGS
from tests.sabotage.rows import CrashPoints, Named, Orders, Seeds, broken

from quorum.core import forwarding, majority, replication
from quorum.core.gate import Gate
from quorum.core.log import Log
from quorum.core.majority import reached
from quorum.core.progress import Mode, Progress
from quorum.core.raft import Raft
from quorum.core.state import State
from quorum.effects import Persist
from quorum.machine import CommandMachine, Failed
from quorum.messages import AppendReply
from quorum.simulation.disks import Disk

TESTS = "tests/quorum/test_replication.py::"


@broken(Seeds("Acknowledgement"), Orders("Acknowledgement", 2, 6))
def acknowledged_too_early(patch):
    """Acknowledges entries that are still on their way to the disk."""
    answer = State.acknowledge
    patch.setattr(
        State,
        "acknowledge",
        lambda state, to, reply, durable: answer(state, to, reply, durable=False),
    )


@broken(Seeds("Commit|" + LOGS, {"faults": CRASHES, "steps": 800}))
def stale_write_trusted(patch):
    """A write that was overtaken by a truncation still counts when it completes."""
    patch.setattr(Gate, "truncated", lambda _gate, _start: None)


@broken(Seeds("Commit"), Orders("Commit", 2, 8))
def own_disk_assumed(patch):
    """The leader counts itself for what its own disk does not have yet."""
    advance = replication.advance_commit

    def sabotaged(state):
        durable, state.gate.durable = state.gate.durable, state.log.last_index
        advance(state)
        state.gate.durable = durable

    patch.setattr(replication, "advance_commit", sabotaged)


@broken(Seeds("State Machine Safety", {"faults": CRASHES}))
def applied_too_early(patch):
    """Applies what is committed, but not on its own disk yet."""
    apply = Raft._apply

    def sabotaged(raft):
        gate = raft._state.gate
        durable, gate.durable = gate.durable, raft._state.log.last_index
        apply(raft)
        gate.durable = durable

    patch.setattr(Raft, "_apply", sabotaged)


@broken(Seeds("Commit"), Orders("Commit", 2, 16, {"timeouts": 2, "crashes": 1}))
def old_term_counted(patch):
    """Commits an entry of an older term because a majority has it (Figure 8)."""
    advance = replication.advance_commit

    def sabotaged(state):
        start, state.term_start = state.term_start, 0
        advance(state)
        state.term_start = start

    patch.setattr(replication, "advance_commit", sabotaged)


@broken(Seeds("Liveness"))
def old_term_stops_commits(patch):
    """Stops at the first entry of an older term instead of committing it with one of its own."""
    advance = replication.advance_commit

    def sabotaged(state):
        if state.log.term_at(state.commit + 1) == state.term:
            advance(state)

    patch.setattr(replication, "advance_commit", sabotaged)


@broken(Seeds("Commit"))
def median_of_the_unsorted(patch):
    """Takes the middle one of the followers' match indexes without sorting them."""

    def sabotaged(voters, values, absent):
        return [values.get(voter, absent) for voter in voters][len(voters) // 2]

    patch.setattr(majority, "_reached", sabotaged)


@broken(Seeds("Commit", {"faults": CHANGES}))
def learners_commit(patch):
    """Learners count for commits."""

    def sabotaged(members, values, absent):
        voters = (*members.voters, *members.learners)
        return reached(evolve(members, voters=voters), values, absent)

    patch.setattr(replication, "reached", sabotaged)


@broken(Seeds("Log Matching"), Orders("Log Matching", 2, 11, {"requests": 1, "repeats": 1}))
def matching_truncated(patch):
    """Truncates whatever follows, although the entries are the same."""
    patch.setattr(Log, "agreement", lambda _log, entries: entries.first - 1)


@broken(
    Seeds(LOGS, {"faults": CRASHES, "steps": 800}),
    Orders("Acknowledgement", 3, 7, {**INSTANT, "crashes": 1}),
)
def conflict_kept(patch):
    """Appends only beyond its log's end, and never looks whether what it has agrees."""
    patch.setattr(Log, "agreement", lambda log, entries: min(entries.last, log.last_index))


@broken(Seeds(LOGS + "|Liveness|Cluster clock", {"faults": CRASHES, "steps": 800}))
def consistency_unchecked(patch):
    """Accepts entries whatever comes before them."""
    handle = replication.on_append_entries

    def sabotaged(state, sender, message):
        term = state.log.term_at(message.previous_index)
        handle(state, sender, message if term is None else evolve(message, previous_term=term))

    patch.setattr(replication, "on_append_entries", sabotaged)


@broken(Seeds(LOGS + "|No exception|Persistence"))
def unknown_past_trusted(patch):
    """Takes entries for the continuation of its log when it has nothing to compare them with."""
    handle = replication.on_append_entries

    def sabotaged(state, sender, message):
        log, entries = state.log, message.entries
        if log.term_at(message.previous_index) is None and entries:
            moved = evolve(entries, first=log.last_index + 1)
            message = evolve(
                message,
                previous_index=log.last_index,
                previous_term=log.last_term,
                entries=moved,
            )
        handle(state, sender, message)

    patch.setattr(replication, "on_append_entries", sabotaged)


@broken(Seeds("Commit|State Machine Safety", {"faults": CRASHES, "steps": 800}))
def last_index_committed(patch):
    """Takes min(leaderCommit, last entry of its log) for the commit index."""
    handle = replication.on_append_entries

    def sabotaged(state, sender, message):
        handle(state, sender, message)
        state.commit = max(state.commit, min(message.commit, state.log.last_index))

    patch.setattr(replication, "on_append_entries", sabotaged)


@broken(Seeds("Commit|State Machine Safety|No exception"))
def commit_falls(patch):
    """Takes over the leader's commit index, also from a message that was overtaken."""
    handle = replication.on_append_entries

    def sabotaged(state, sender, message):
        handle(state, sender, message)
        state.commit = min(message.commit, state.commit)

    patch.setattr(replication, "on_append_entries", sabotaged)


@broken(Seeds("Match"), Orders("Match", 2, 15, {"requests": 1, "heartbeats": 1}))
def match_falls(patch):
    """Believes an answer that was overtaken by a better one."""
    handle = Progress.matched

    def sabotaged(peer, match):
        peer.match = min(peer.match, match)
        return handle(peer, match)

    patch.setattr(Progress, "matched", sabotaged)


@broken(Named(TESTS + "test_replies_of_other_terms"))
def stale_replies_counted(patch):
    """Counts the answer of a follower to an earlier term of the same leader."""
    receive = Raft._receive

    def sabotaged(raft, sender, message):
        if isinstance(message, AppendReply):
            message = evolve(message, term=max(message.term, raft._state.term))
        receive(raft, sender, message)

    patch.setattr(Raft, "_receive", sabotaged)


@broken(Named(TESTS + "test_replies_of_other_terms"))
def higher_term_in_a_reply_ignored(patch):
    """Goes on leading although an answer shows that there is a newer term."""
    notice = Raft._notice_term

    def sabotaged(raft, sender, term):
        if not raft._state.is_leader:
            notice(raft, sender, term)

    patch.setattr(Raft, "_notice_term", sabotaged)


@broken(Named(TESTS + "test_an_answer_from_before_a_peer_was_added_counts_for_nothing"))
def former_life_trusted(patch):
    """Counts what a server acknowledged before it was removed and added again."""
    patch.setattr(Progress, "since", property(lambda _: -1, lambda _, __: None))


@broken(Seeds("Liveness"))
def refusals_ignored(patch):
    """Never goes back when a follower refuses: safe, and stuck."""
    handle = replication.on_append_reply

    def sabotaged(state, sender, reply):
        if reply.match is not None:
            handle(state, sender, reply)

    patch.setattr(replication, "on_append_reply", sabotaged)


@broken(Named(TESTS + "test_a_divergence_of_many_terms_heals_in_as_many_round_trips"))
def one_step_back(patch):
    """Goes back one entry for each refusal: a long divergence takes for ever to heal."""
    patch.setattr(Log, "last_within", lambda _log, index, _term: index)


@broken(Named(TESTS + "test_a_leader_without_a_majority_refuses_once_its_limit_is_reached"))
def never_overloaded(patch):
    """Takes proposals without a bound while no majority acknowledges them."""
    patch.setattr(State, "overloaded", property(lambda _: False))


@broken(Named(TESTS + "test_the_window_bounds_what_is_on_its_way"))
def no_window(patch):
    """Sends ahead without a bound to a follower that does not answer."""
    ready = Progress.ready

    def sabotaged(peer, *window):
        return peer.mode is Mode.REPLICATE or ready(peer, *window)

    patch.setattr(Progress, "ready", sabotaged)


@broken(Seeds("Exactly once|Linearizability"))
def forwarded_twice(patch):
    """Appends what a follower passes on once more when the message comes twice."""
    handle = forwarding.on_forward

    def sabotaged(state, sender, message):
        state.taken_up.clear()
        handle(state, sender, message)

    patch.setattr(forwarding, "on_forward", sabotaged)


@broken(Seeds("Log Matching|No exception|Persistence|Acknowledgement|Leader", {"faults": CRASHES}))
def old_tail_kept_on_disk(patch):
    """Overwrites entries on disk without cutting off what came behind the ones replaced."""

    def sabotaged(disk, entries):
        start = entries.first - disk.first
        stop = start + len(entries)
        disk._terms[start:stop] = entries.terms
        disk._stamps[start:stop] = entries.stamps
        disk._kinds[start:stop] = entries.kinds
        disk._payloads[start:stop] = entries.payloads

    patch.setattr(Disk, "_write", sabotaged)


@broken(CrashPoints())
def tail_forgotten(patch):
    """Restarts without the last entry of its log: a write was reported before it was synced."""
    load = Disk.load

    def sabotaged(disk):
        recovered = load(disk)
        entries = recovered.entries
        if len(entries) == 0 or entries.last == recovered.mark.index:
            return recovered
        return evolve(recovered, entries=entries.slice(entries.first, entries.last))

    patch.setattr(Disk, "load", sabotaged)


@broken(Seeds("Acknowledgement|Commit|Leader Completeness|State Machine", {"faults": CRASHES}))
def disk_loses_writes(patch):
    """Takes the entries of one write in ten for written although they are not."""
    carry_out, calls = Disk._carry_out, [0]

    def sabotaged(disk, order):
        calls[0] += 1
        if isinstance(order, Persist) and calls[0] % 10 == 0:
            order = evolve(order, entries=None)
        carry_out(disk, order)

    patch.setattr(Disk, "_carry_out", sabotaged)


class Moody(CommandMachine):
    """Refuses some commands, by raising."""

    def __init__(self):
        self.count = 0

    def command(self, entry):
        if entry.payload == b"bad":
            raise ValueError("bad")
        self.count += 1
        return self.count

    def snapshot(self):
        return b"%d" % self.count

    def restore(self, snapshot):
        self.count = int(snapshot)


@broken(
    Seeds(
        "State Machine Safety",
        {"machine": Moody, "command": lambda chance: chance.choice((b"good", b"good", b"bad"))},
    )
)
def raising_command_ends_the_run(patch):
    """A command that raises takes down those that came with it, differently on every replica."""

    def sabotaged(machine, entries):
        results, raised = [], False
        for entry in entries:
            result = Failed("skipped") if raised else machine._attempt(entry)
            raised = raised or isinstance(result, Failed)
            results.append(result)
        return results

    patch.setattr(CommandMachine, "apply", sabotaged)
