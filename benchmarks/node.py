"""One server of a cluster under load, driven by JSON lines on its standard input.

    python benchmarks/node.py --id 0 --peers 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 --dir D

Commands: {"cmd": "role"}, {"cmd": "load", "c": 16, "size": 128, "warm": 1, "secs": 3} (proposals in
a closed loop of c callers; "many": 100 in calls of so many), {"cmd": "lread", ...} (read barriers
likewise; "lease": true under a lease), {"cmd": "probe"} (says when proposals succeed again) and
{"cmd": "quit"}; one JSON line answers. With `--memory` nothing is written to disk, with `--lease`
the servers trust their clocks to a tenth. `python -m benchmarks` is the way to run it for figures.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import trio
from attrs import evolve

from quorum import (
    Config,
    Entries,
    JournalStorage,
    Members,
    MemoryStorage,
    QuorumError,
    Server,
    Storage,
    TcpLinks,
    open_server,
)

MEBIBYTE = 1 << 20


class Null:
    """The least state machine: it counts. It may have some mebibytes of state that never change."""

    def __init__(self, *, state: int = 0) -> None:
        self.applied = 0
        self.state = os.urandom(MEBIBYTE) if state else b""
        self.copies = state

    def apply(self, entries: Entries) -> Sequence[None]:
        """See `StateMachine.apply`."""
        self.applied += len(entries)
        return (None,) * len(entries)

    def snapshot(self) -> Iterator[bytes]:
        """See `StateMachine.snapshot`."""
        return chain([b"%020d" % self.applied], repeat(self.state, self.copies))

    def restore(self, snapshot: bytes) -> None:
        """See `StateMachine.restore`."""
        self.applied = int(snapshot[:20])


def say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


class Load:
    """A closed loop: so many callers, each with one request under way."""

    def __init__(self, request: Callable[[], Awaitable[object]], *, many: int = 1) -> None:
        self.request = request
        self.many = many  # operations in a request
        self.latencies: list[float] = []
        self.errors = 0
        self.recording = False

    async def run(self, *, c: int, warm: float, secs: float) -> None:
        """Warm up, measure, report."""
        async with trio.open_nursery() as nursery:
            for _ in range(c):
                nursery.start_soon(self.caller)
            await trio.sleep(warm)
            say(ev="begin")
            self.recording, begun = True, time.perf_counter()
            await trio.sleep(secs)
            self.recording, elapsed = False, time.perf_counter() - begun
            say(ev="end")
            nursery.cancel_scope.cancel()
        self.report(elapsed)

    async def caller(self) -> None:
        """One request after the other."""
        request, latencies, clock = self.request, self.latencies, time.perf_counter
        while True:
            begun = clock()
            try:
                await request()
            except QuorumError:
                self.errors += 1
                await trio.sleep(0.001)
                continue
            if self.recording:
                latencies.append(clock() - begun)

    def report(self, elapsed: float) -> None:
        """Say what was measured."""
        ordered = sorted(self.latencies) or [0.0]

        def quantile(q: float) -> float:
            return round(ordered[int(q * (len(ordered) - 1))] * 1e3, 4)

        operations = len(self.latencies) * self.many
        say(
            ev="result",
            ops=operations,
            secs=elapsed,
            ops_s=operations / elapsed,
            p50_ms=quantile(0.5),
            p99_ms=quantile(0.99),
            max_ms=quantile(1),
            errs=self.errors,
        )


async def probe(server: Server) -> None:
    """Say when a proposal succeeds for the first time after one that did not."""
    working = False
    while True:
        try:
            with trio.fail_after(0.1):
                await server.propose(b"x" * 128)
        except (QuorumError, trio.TooSlowError):
            working = False
        else:
            if not working:
                say(ev="ok", t=time.time())
            working = True
        await trio.sleep(0.01)


def proposals(server: Server, size: int, many: int) -> Load:
    """A load of commands, one by one or many in a call."""
    payload = os.urandom(size)
    if many == 1:
        return Load(partial(server.propose, payload))
    return Load(partial(server.propose_many, (payload,) * many), many=many)


async def obey(server: Server, machine: Null, nursery: trio.Nursery) -> None:
    """Read commands until the input ends."""
    pending = b""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
        async for data in stdin:
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                command: dict[str, Any] = json.loads(line)
                match command.pop("cmd"):
                    case "role":
                        ready = server.is_leader and server.applied_index > 0
                        term = server.statistics().term
                        say(ev="role", leader=ready, applied=machine.applied, term=term)
                    case "load":
                        load = proposals(server, command.pop("size"), command.pop("many", 1))
                        nursery.start_soon(partial(load.run, **command))
                    case "lread":
                        command.pop("size", None)
                        lease = command.pop("lease", False)
                        load = Load(partial(server.read_barrier, lease=lease))
                        nursery.start_soon(partial(load.run, **command))
                    case "probe":
                        nursery.start_soon(probe, server)
                    case "quit":
                        nursery.cancel_scope.cancel()
    nursery.cancel_scope.cancel()


async def serve(options: argparse.Namespace) -> None:
    index, peers, directory = options.id, options.peers.split(","), options.dir
    names = [f"n{number}" for number in range(len(peers))]
    members = Members(voters=tuple(names))
    name, (host, _, port) = names[index], peers[index].rpartition(":")
    storage: Storage
    if options.memory:
        storage = MemoryStorage(members=members)
    else:
        path = Path(directory) / "journal"
        path.mkdir(exist_ok=True)
        storage = JournalStorage(path, node=name, cluster="benchmark", members=members)
    addresses = {peer: at for peer, at in zip(names, peers, strict=True) if peer != name}
    links = TcpLinks(name, "benchmark", listen=(host, int(port)), addresses=addresses)
    machine = Null(state=options.state)
    config = evolve(Config.lan(), lease_drift=0.1 if options.lease else None)
    config = evolve(config, snapshot_entries=options.snapshot_entries)
    async with (
        open_server(name, machine, storage=storage, links=links, config=config) as server,
        trio.open_nursery() as nursery,
    ):
        gc.collect()
        gc.freeze()
        say(ev="ready")
        await obey(server, machine, nursery)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--id", type=int, required=True, help="which of the peers this server is")
    parser.add_argument("--peers", required=True, help="host:port of every server, comma between")
    parser.add_argument("--dir", required=True, help="where the journal goes")
    parser.add_argument("--memory", action="store_true", help="write nothing to disk")
    parser.add_argument("--lease", action="store_true", help="reads may trust a leader's lease")
    parser.add_argument("--state", type=int, default=0, help="MiB of state in every snapshot")
    parser.add_argument("--snapshot-entries", type=int, default=Config().snapshot_entries)
    trio.run(serve, parser.parse_args())


if __name__ == "__main__":
    main()
