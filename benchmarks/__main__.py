"""`python -m benchmarks NAME`: every benchmark by its name; its `--help` says what it takes."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = {
    "throughput": "durable operations per second by callers and size, beside peers",
    "latency": "what one caller waits, beside a bare sync and a bare round trip",
    "reads": "linearizable reads: by a round of messages, under a lease, and stale",
    "failover": "SIGKILL of the leader under load; and elections that nobody asked for",
    "growth": "what grows with the log, the cluster, the payload and the snapshot",
    "core": "the Raft core alone: three servers in one thread, no input or output",
    "wire": "messages as bytes, beside cbor2",
    "journal": "the journal, beside a bare write and sync of the same bytes",
    "sessions": "what exactly-once costs a command",
    "gossip": "agents on sockets: join, event, kill, leave, pause and rest, beside others",
    "catalog": "the registry: discovery, waiting queries, size, cache, keys beside etcd",
    "report": "all of the cluster's, written as docs/performance.md",
}


def main() -> int:
    """Hand over to the benchmark that was named."""
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        print("python -m benchmarks NAME [--quick] [--json] [--help]\n")
        for name, what in BENCHMARKS.items():
            print(f"  {name:<12}{what}")
        return 0 if len(sys.argv) < 2 or sys.argv[1] in {"-h", "--help"} else 2
    name = sys.argv[1]
    sys.argv[0] = f"python -m benchmarks {name}"
    importlib.import_module(f"benchmarks.{name}").main(sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
