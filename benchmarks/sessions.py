"""What exactly-once costs a command: a machine within `Sessions` against the machine alone.

    python benchmarks/sessions.py [--quick] [--json]

The machine does nothing, so what is measured is the envelope, the table and the remembered result.
Runs of 512 commands of 128 bytes come from 100 sessions, each of which says what it has received.
Then a full table (10,000 sessions, ten results each) is written to a snapshot and restored.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from time import perf_counter

from quorum import Entries, Sessions
from quorum.envelope import command_request, open_request
from quorum.machine import snapshot_bytes

RUN = 512
CLIENTS = 100
COMMAND = bytes(128)


class Null:
    """Does nothing, in no time."""

    def apply(self, entries: Entries) -> Sequence[None]:
        """Have no result."""
        return [None] * len(entries)

    def snapshot(self) -> bytes:
        """Have no state."""
        return b""

    def restore(self, snapshot: bytes) -> None:
        """Have no state."""


def run_of(first: int, payloads: Sequence[bytes]) -> Entries:
    count = len(payloads)
    return Entries(first, (1,) * count, (1,) * count, bytes(count), tuple(payloads))


def command_costs(rounds: int) -> dict[str, float]:
    """Microseconds a command: in a session, without an envelope, and without `Sessions`."""
    machine, sessions = Null(), Sessions(Null())
    sessions.apply(run_of(1, [open_request()] * CLIENTS))
    least = dict.fromkeys(("session", "plain", "alone"), float("inf"))
    first, asked = CLIENTS + 1, 0
    for _ in range(rounds):
        requests = []
        for number in range(asked, asked + RUN):
            client, sequence = 1 + number % CLIENTS, 1 + number // CLIENTS
            requests.append(command_request(client, sequence, max(1, sequence - 2), COMMAND))
        inside, plain = run_of(first, requests), run_of(first + RUN, [COMMAND] * RUN)
        for name, apply, run in (
            ("session", sessions.apply, inside),
            ("plain", sessions.apply, plain),
            ("alone", machine.apply, plain),
        ):
            began = perf_counter()
            results = apply(run)
            least[name] = min(least[name], 1e6 * (perf_counter() - began) / RUN)
            assert results == [None] * RUN
        first, asked = first + 2 * RUN, asked + RUN
    return least


def table_costs(count: int) -> dict[str, float]:
    """Milliseconds to write and restore a table of so many sessions, and its bytes."""
    sessions = Sessions(Null(), sessions_max=count)
    sessions.apply(run_of(1, [open_request()] * count))
    for sequence in range(1, 11):
        requests = [command_request(key, sequence, 1, COMMAND) for key in range(1, count + 1)]
        sessions.apply(run_of(sequence * count + 1, requests))
    began = perf_counter()
    snapshot = snapshot_bytes(sessions)
    written = perf_counter()
    Sessions(Null(), sessions_max=count).restore(snapshot)
    restored = perf_counter()
    return {
        "sessions": count,
        "snapshot_ms": 1e3 * (written - began),
        "restore_ms": 1e3 * (restored - written),
        "bytes": len(snapshot),
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A machine in sessions against the machine alone.")
    parser.add_argument("--quick", action="store_true", help="a few rounds, to see that it runs")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(argv)
    costs = command_costs(3 if options.quick else 100)
    table = table_costs(100 if options.quick else 10_000)
    if options.json:
        print(json.dumps({"command_us": costs, "table": table}))
        return
    print(
        f"µs a command: {costs['session']:.2f} in a session, {costs['plain']:.3f} without an "
        f"envelope, {costs['alone']:.4f} by the machine alone"
    )
    print(
        f"{table['sessions']:,} sessions with ten results each: {table['bytes']:,} bytes, written "
        f"in {table['snapshot_ms']:.0f} ms, restored in {table['restore_ms']:.0f} ms"
    )


if __name__ == "__main__":
    main()
