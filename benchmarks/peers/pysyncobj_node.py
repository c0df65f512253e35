"""PySyncObj as a node program: `pip install pysyncobj`.

Its batches (the default here) are faster for many callers, single entries (`--single`) for one.
It keeps a journal, and does not sync it: what it acknowledges is not durable. That is how it is
shipped, so that is how it is measured; the table says so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pysyncobj import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
    SyncObj,
    SyncObjConf,
    replicated,
)


class Counter(SyncObj):  # type: ignore[misc,unused-ignore]
    """The least replicated object: it counts."""

    def __init__(self, me: str, others: list[str], conf: Any) -> None:
        self.applied = 0
        super().__init__(me, others, conf)

    @replicated  # type: ignore[untyped-decorator,unused-ignore]
    def put(self, _data: bytes) -> None:
        """Count one."""
        self.applied += 1


LOCK = threading.Lock()


def say(**fields: object) -> None:
    with LOCK:
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()


class Load:
    """A closed loop by callbacks: each answer sends the next."""

    def __init__(self, counter: Counter, data: bytes) -> None:
        self.counter = counter
        self.data = data
        self.latencies: list[float] = []
        self.errors = 0
        self.recording = self.stopped = False

    def issue(self) -> None:
        """Send one, and the next when it is answered."""
        begun = time.perf_counter()

        def answered(_result: object, error: int) -> None:
            if error:
                self.errors += 1
            elif self.recording:
                self.latencies.append(time.perf_counter() - begun)
            if not self.stopped:
                self.issue()

        self.counter.put(self.data, callback=answered)

    def run(self, *, c: int, warm: float, secs: float) -> None:
        """Warm up, measure, report."""
        for _ in range(c):
            self.issue()
        time.sleep(warm)
        say(ev="begin")
        self.recording, begun = True, time.perf_counter()
        time.sleep(secs)
        self.recording, elapsed = False, time.perf_counter() - begun
        say(ev="end")
        self.stopped = True
        ordered = sorted(self.latencies) or [0.0]
        quantiles = {
            name: round(ordered[int(q * (len(ordered) - 1))] * 1e3, 4)
            for name, q in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0))
        }
        count = len(ordered)
        say(
            ev="result",
            ops=count,
            secs=elapsed,
            ops_s=count / elapsed,
            errs=self.errors,
            **quantiles,
        )


def probe(counter: Counter) -> None:
    """Say when a proposal succeeds for the first time after one that did not."""
    working = False

    def answered(_result: object, error: int) -> None:
        nonlocal working
        if not error and not working:
            say(ev="ok", t=time.time())
        working = not error

    while True:
        counter.put(b"x" * 128, callback=answered)
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--id", type=int, required=True)
    parser.add_argument("--peers", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--single", action="store_true", help="one entry in a message")
    options = parser.parse_args()
    peers = options.peers.split(",")
    conf: dict[str, Any] = {"appendEntriesUseBatch": not options.single}
    if not options.memory:
        conf["journalFile"] = str(Path(options.dir) / "journal")
    me = peers.pop(options.id)
    counter = Counter(me, peers, SyncObjConf(**conf))
    say(ev="ready")
    for line in sys.stdin:
        command: dict[str, Any] = json.loads(line)
        match command.pop("cmd"):
            case "role":
                leads = counter._isLeader() and counter.isReady()  # noqa: SLF001 - no public way
                say(ev="role", leader=bool(leads), applied=counter.applied)
            case "load":
                load = Load(counter, os.urandom(command.pop("size")))
                threading.Thread(target=load.run, kwargs=command, daemon=True).start()
            case "probe":
                threading.Thread(target=probe, args=(counter,), daemon=True).start()
            case "quit":
                os._exit(0)


if __name__ == "__main__":
    main()
