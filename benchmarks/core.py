"""The Raft core alone: three servers in one thread, no I/O, commands per second by batch size.

    python benchmarks/core.py [--features] [--quick] [--json]

Each turn proposes a batch of 128-byte commands at the leader and runs the group until all three
have applied it; disks answer at once, messages are handed over as values. Logs are compacted as in
production. The reference is batch 1 in the same run: what batching buys.

With `--features` the reference is the same group with all that can be switched off switched off and
no limit ever met, in turns of a fraction of a second. Beside it: everything on; the machine within
`Sessions` as well, used by no command; and every command in a session, which is work for the
machine, three of them here, and not for the core.

Seconds are of processor time, so that what else runs on the machine matters less.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from attrs import evolve

from quorum import Sessions
from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import Apply, Persist, Role, Send, Snapshot
from quorum.envelope import command_request, open_request
from quorum.events import Applied, Compacted, Event, Persisted, Proposed, Received, Recovered
from quorum.machine import StateMachine
from quorum.messages import Entries, Members, NodeId, SnapshotMark

BATCHES = (1, 16, 100, 512)
COMMAND = bytes(128)
CLIENTS = 100
"""Sessions that commands take turns in."""

TURN = 1e-4
"""Seconds of the group's own time that a proposal takes."""

ON = Config(lease_drift=0.1, forward=True, snapshot_entries=10_000, tail_entries=1_000)
"""PreVote, CheckQuorum, stickiness, leases, forwarding, windows and limits by count and bytes."""

NEVER_MET = 1 << 60

OFF = evolve(
    ON,
    pre_vote=False,
    check_quorum=False,
    lease_drift=None,
    forward=False,
    entries_max=NEVER_MET,
    inflight_max=NEVER_MET,
    pending_max=NEVER_MET,
    message_bytes_max=NEVER_MET,
    inflight_bytes_max=NEVER_MET,
    uncommitted_bytes_max=NEVER_MET,
    command_bytes_max=NEVER_MET,
    snapshot_bytes=NEVER_MET,
)


class Null:
    """A machine that does nothing, in no time."""

    def apply(self, entries: Entries) -> list[None]:
        """Have no result."""
        return [None] * len(entries)

    def snapshot(self) -> bytes:
        """Have no state."""
        return b""

    def restore(self, snapshot: bytes) -> None:
        """Have no state."""


class Group:
    """Three cores and perfect surroundings."""

    def __init__(self, config: Config, machine: Callable[[], StateMachine] = Null) -> None:
        members = Members(voters=("a", "b", "c"))
        self.nodes = {
            name: Raft(
                name,
                Recovered(mark=SnapshotMark(members=members)),
                config,
                now=0.0,
                random=random.Random(name),
            )
            for name in members.voters
        }
        self.machines = {name: machine() for name in members.voters}
        self.leader = min(self.nodes, key=lambda name: self.nodes[name].deadline)
        self.now = self.nodes[self.leader].deadline
        self.run({self.leader: []})
        assert self.nodes[self.leader].statistics().role is Role.LEADER
        self.tag = 0

    def run(self, inbox: dict[NodeId, list[Event]]) -> None:
        """Step until nothing is left to do."""
        while inbox:
            following: defaultdict[NodeId, list[Event]] = defaultdict(list)
            for name, events in inbox.items():
                for effect in self.nodes[name].step(events, now=self.now):
                    match effect:
                        case Send():
                            following[effect.to].append(Received(name, effect.message))
                        case Persist():
                            following[name].append(Persisted(effect.ticket))
                        case Apply():
                            if not any(effect.entries.kinds):  # commands only
                                self.machines[name].apply(effect.entries)
                            following[name].append(Applied(effect.entries.last))
                        case Snapshot():
                            following[name].append(Compacted(effect.mark))
                        case _:
                            pass
            inbox = following

    def propose(self, commands: tuple[bytes, ...]) -> None:
        """One batch, through to all three machines."""
        self.tag += 1
        self.now += TURN
        self.run({self.leader: [Proposed(self.tag, commands)]})

    def spread_commit(self) -> None:
        """Let the followers hear of the last commit."""
        self.now = self.nodes[self.leader].deadline
        self.run({self.leader: []})


def plain(batch: int) -> Iterator[tuple[bytes, ...]]:
    """The same batch again and again."""
    commands = (COMMAND,) * batch
    while True:
        yield commands


def in_sessions(batch: int) -> Iterator[tuple[bytes, ...]]:
    """Every command in a session, with a number of its own; first the sessions are opened.

    Their ids are the indices of these entries, and the first entry of the log is the no-op.
    """
    yield (open_request(),) * CLIENTS
    number = 0
    while True:
        requests = []
        for each in range(number, number + batch):
            client, sequence = 2 + each % CLIENTS, 1 + each // CLIENTS
            requests.append(command_request(client, sequence, max(1, sequence - 8), COMMAND))
        yield tuple(requests)
        number += batch


class Load:
    """A group under load, measured a while at a time."""

    def __init__(self, group: Group, batches: Iterator[tuple[bytes, ...]], batch: int) -> None:
        self.group, self.batches, self.batch = group, batches, batch
        for _ in range(50):
            group.propose(next(batches))

    def rate(self, seconds: float) -> float:
        """Commands per second, committed and applied by all."""
        done, spent = 0, 0.0
        while spent < seconds:
            commands = [next(self.batches) for _ in range(20)]  # what clients do is not counted
            start = time.process_time()
            for each in commands:
                self.group.propose(each)
            spent += time.process_time() - start
            done += 20 * self.batch
        self.group.spread_commit()
        commits = {node.statistics().applied for node in self.group.nodes.values()}
        assert len(commits) == 1, "all three applied everything"
        return done / spent


def bytes_per_entry(entries: int) -> float:
    """Memory that one entry of 128 bytes costs one server, its payload included."""
    group = Group(Config(snapshot_entries=10 * entries))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for k in range(entries // 100):
        group.propose(tuple(b"%0128d" % (k * 100 + j) for j in range(100)))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The payload bytes are shared by the three cores of this process; their columns are not.
    columns = (after - before - entries * sys.getsizeof(COMMAND)) / 3
    return columns / entries + sys.getsizeof(COMMAND)


def by_batch(*, quick: bool) -> tuple[list[dict[str, float]], float]:
    """The table of batch sizes, and the bytes that an entry takes."""
    seconds, runs = (0.1, 1) if quick else (1.0, 3)
    samples: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    for _ in range(runs):
        for batch in BATCHES:  # in turn, so that a drift of the machine meets all alike
            samples[batch].append(Load(Group(ON), plain(batch), batch).rate(seconds))
    medians = {batch: median(values) for batch, values in samples.items()}
    rows = [
        {"batch": batch, "per_second": round(value), "ratio": round(value / medians[1], 1)}
        for batch, value in medians.items()
    ]
    return rows, bytes_per_entry(2_000 if quick else 50_000)


def by_feature(*, quick: bool) -> list[dict[str, Any]]:
    """Commands per second with everything off, everything on, and every command in a session."""
    seconds, turns = (0.02, 1) if quick else (0.2, 15)
    rows = []
    for batch in BATCHES:
        loads = {
            "off": Load(Group(OFF), plain(batch), batch),
            "on": Load(Group(ON), plain(batch), batch),
            "around": Load(Group(ON, lambda: Sessions(Null())), plain(batch), batch),
            "sessions": Load(Group(ON, lambda: Sessions(Null())), in_sessions(batch), batch),
        }
        samples: dict[str, list[float]] = {name: [] for name in loads}
        for _ in range(turns):
            for name, load in loads.items():
                samples[name].append(load.rate(seconds))
        row: dict[str, Any] = {"batch": batch}
        for name, values in samples.items():
            row[name] = round(median(values))
            ratios = [one / off for one, off in zip(values, samples["off"], strict=True)]
            row[f"{name}_ratio"] = round(median(ratios), 3)
        rows.append(row)
    return rows


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--features", action="store_true", help="what the features cost")
    parser.add_argument("--quick", action="store_true", help="a short run that shows it works")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(argv)
    if options.features:
        features = by_feature(quick=options.quick)
        if options.json:
            print(json.dumps({"rows": features}))
            return
        print("batch  all off/s   all on/s ratio   Sessions/s ratio   in sessions/s ratio")
        for row in features:
            print(
                f"{row['batch']:5d} {row['off']:10,d} {row['on']:10,d} {row['on_ratio']:5.2f} "
                f"{row['around']:12,d} {row['around_ratio']:5.2f} "
                f"{row['sessions']:15,d} {row['sessions_ratio']:5.2f}"
            )
        return
    rows, memory = by_batch(quick=options.quick)
    if options.json:
        print(json.dumps({"rows": rows, "bytes_per_entry": round(memory)}))
        return
    print("batch   commands/s   x batch 1")
    for row in rows:
        print(f"{row['batch']:5d} {row['per_second']:12,d} {row['ratio']:11.1f}")
    print(f"one entry of {len(COMMAND)} bytes takes {memory:.0f} bytes of memory in a server")


if __name__ == "__main__":
    main()
