"""The Raft core alone: three servers in one thread, no I/O, commands per second by batch size.

    python benchmarks/core.py [--quick] [--json]

Each turn proposes a batch of 128-byte commands at the leader and runs the group until all three
have applied it; disks answer at once, messages are handed over as values. Logs are compacted as in
production. The reference is batch 1 in the same run: what batching buys.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import tracemalloc
from collections import defaultdict

from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import Apply, Persist, Role, Send, Snapshot
from quorum.events import Applied, Compacted, Event, Persisted, Proposed, Received, Recovered
from quorum.messages import Members, NodeId, SnapshotMark

BATCHES = (1, 16, 100, 512)
COMMAND = bytes(128)


class Group:
    """Three cores and perfect surroundings."""

    def __init__(self, config: Config) -> None:
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
                            following[name].append(Applied(effect.entries.last))
                        case Snapshot():
                            following[name].append(Compacted(effect.mark))
                        case _:
                            pass
            inbox = following

    def propose(self, commands: tuple[bytes, ...]) -> None:
        """One batch, through to all three machines."""
        self.tag += 1
        self.run({self.leader: [Proposed(self.tag, commands)]})

    def spread_commit(self) -> None:
        """Let the followers hear of the last commit."""
        self.now = self.nodes[self.leader].deadline
        self.run({self.leader: []})


def rate(batch: int, seconds: float) -> float:
    """Commands per second, committed and applied by all."""
    group = Group(Config(snapshot_entries=10_000, tail_entries=1_000))
    commands = (COMMAND,) * batch
    for _ in range(50):
        group.propose(commands)
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        group.propose(commands)
        done += batch
    group.spread_commit()
    commits = {node.statistics().applied for node in group.nodes.values()}
    assert len(commits) == 1, "all three applied everything"
    return done / elapsed


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


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that shows it works")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(argv)
    seconds, runs = (0.1, 1) if options.quick else (1.0, 3)
    samples: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    for _ in range(runs):
        for batch in BATCHES:  # in turn, so that a drift of the machine meets all alike
            samples[batch].append(rate(batch, seconds))
    medians = {batch: sorted(values)[len(values) // 2] for batch, values in samples.items()}
    memory = bytes_per_entry(2_000 if options.quick else 50_000)
    rows = [
        {"batch": batch, "per_second": round(value), "ratio": round(value / medians[1], 1)}
        for batch, value in medians.items()
    ]
    if options.json:
        print(json.dumps({"rows": rows, "bytes_per_entry": round(memory)}))
        return
    print("batch   commands/s   x batch 1")
    for row in rows:
        print(f"{row['batch']:5d} {row['per_second']:12,d} {row['ratio']:11.1f}")
    print(f"one entry of {len(COMMAND)} bytes takes {memory:.0f} bytes of memory in a server")


if __name__ == "__main__":
    main()
