"""Three node programs on loopback, driven by JSON lines: how every cluster here is measured.

A node program takes `--id I --peers host:port,... --dir D` and answers commands as
`benchmarks/node.py` does; so whatever can be written as one, in any language, can be measured
beside us, in turn and in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field, frozen

HERE = Path(__file__).parent
READY_SECONDS_MAX = 30.0
"""A cluster that has no leader by then does not work."""


@frozen
class Program:
    """How one kind of node is started."""

    name: str
    argv: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Program:
        """Read `pysyncobj`, or `NAME=COMMAND` for a node program of your own."""
        name, equals, command = text.partition("=")
        if equals and name and command:
            return cls(name, tuple(shlex.split(command)))
        if text not in PEERS:
            known = ", ".join(sorted(PEERS))
            raise argparse.ArgumentTypeError(f"write NAME=COMMAND, or one of: {known}")
        program, *flags = PEERS[text]
        return cls(text, (sys.executable, str(HERE / "peers" / program), *flags))


def add_against(parser: argparse.ArgumentParser) -> None:
    """Add the option that names peers."""
    parser.add_argument(
        "--against",
        type=Program.parse,
        action="append",
        default=[],
        metavar="PEER",
        help="pysyncobj, pysyncobj-single, or NAME=COMMAND of any node program; may be repeated",
    )


OURS = Program("quorum", (sys.executable, str(HERE / "node.py")))
PEERS = {
    "pysyncobj": ("pysyncobj_node.py",),
    "pysyncobj-single": ("pysyncobj_node.py", "--single"),
}


@define(eq=False)
class Node:
    """One process, and the lines that it wrote and nobody has read yet."""

    process: trio.Process
    argv: Sequence[str]
    _pending: bytes = field(init=False, default=b"")

    async def tell(self, **command: object) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(json.dumps(command).encode() + b"\n")

    async def hear(self, *events: str) -> dict[str, Any]:
        """Return the next message that is one of these, and drop what comes before it."""
        assert self.process.stdout is not None
        while True:
            while b"\n" in self._pending:
                line, _, self._pending = self._pending.partition(b"\n")
                message: dict[str, Any] = json.loads(line)
                if message["ev"] in events:
                    return message
            data = await self.process.stdout.receive_some()
            if not data:
                raise SystemExit("a node ended before it answered; run it alone to see why")
            self._pending += data

    def drop(self) -> None:
        """Forget the lines of an earlier life."""
        self._pending = b""

    def cpu(self) -> float:
        """Seconds of processor time that it has used, in its own code and the kernel's."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@define(eq=False)
class Cluster:
    """Nodes that have a leader."""

    nodes: list[Node]
    leader: Node
    _nursery: trio.Nursery

    async def find_leader(self) -> None:
        """Ask round until one of those alive leads and has applied something."""
        while True:
            for node in self.nodes:
                await node.tell(cmd="role")
                if (await node.hear("role"))["leader"]:
                    self.leader = node
                    return
            await trio.sleep(0.05)

    async def restart(self, node: Node) -> None:
        """Start a node again that was killed, in its old directory."""
        node.process = await self._nursery.start(run_node, node.argv)
        node.drop()
        await node.hear("ready")

    async def applied(self, node: Node) -> int:
        """How many commands a node has applied."""
        await node.tell(cmd="role")
        return int((await node.hear("role"))["applied"])

    async def measure(self, command: str, **arguments: object) -> dict[str, Any]:
        """Run a closed loop at the leader; the result, with the processors' time of all nodes."""
        await self.leader.tell(cmd=command, **arguments)
        await self.leader.hear("begin")
        before = sum(node.cpu() for node in self.nodes)
        await self.leader.hear("end")
        used = sum(node.cpu() for node in self.nodes) - before
        result = await self.leader.hear("result")
        return {**result, "cpu_ms_per_op": used * 1e3 / max(1, result["ops"])}


@asynccontextmanager
async def open_cluster(
    program: Program, *, nodes: int = 3, options: Sequence[str] = ()
) -> AsyncIterator[Cluster]:
    """Start a fresh cluster in fresh directories; on exit it is killed and cleared away."""
    addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(nodes))
    with tempfile.TemporaryDirectory(prefix="quorum-benchmark-") as directory:
        async with trio.open_nursery() as nursery:
            started: list[Node] = []
            for index in range(nodes):
                home = Path(directory) / str(index)
                home.mkdir()
                argv = [*program.argv, "--id", str(index), "--peers", addresses]
                argv += ["--dir", str(home), *options]
                started.append(Node(await nursery.start(run_node, argv), argv))
            with trio.fail_after(READY_SECONDS_MAX):
                for node in started:
                    await node.hear("ready")
                cluster = Cluster(started, started[0], nursery)
                await cluster.find_leader()
            await trio.sleep(0.3)  # the other two have heard of it
            yield cluster
            nursery.cancel_scope.cancel()


async def run_node(
    argv: Sequence[str], task_status: trio.TaskStatus[trio.Process] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run one process until cancelled; a node that is killed on purpose is no error."""
    await trio.run_process(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
        deliver_cancel=_kill,
        task_status=task_status,
    )


async def _kill(process: trio.Process) -> None:
    process.kill()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are held until all are known."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
