"""Gossip on real sockets: `rumor` beside others, in turn, on one machine's loopback.

    python -m benchmarks gossip [--agents 50] [--rounds 5] [--rest 20] [--profile lan|local]
        [--keys] [--against kinship,memberlist] [--kinship-python FILE] [--memberlist FILE]
        [--json] [--quick]

Agents run in processes of ten, each with sockets of its own; one core of a machine does not hold
fifty Python processes, and a process of fifty would hide what a neighbour's work costs. Whoever
joins, is killed, leaves or is paused has a process to itself, which is there before it is asked.
All times are of one clock (CLOCK_MONOTONIC), taken in the process where the thing happens; "half"
and "all" are the times by which half of the others and all of them have told their user. What
missed anybody within 90 s is counted as missed, and has no time.

Packets and bytes at rest are those of the loopback interface, headers included, so they say
nothing on a machine that is busy; CPU is that of all processes, by agent. kinship is its PyPI
package on its blocking interface. memberlist is measured by a program of its own (one process, one
thread pool), which prints the same by its own clock, and counts payloads only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
CROWD = 10
TIMEOUT = 90.0


class Host:
    """One process with agents in it."""

    def __init__(self, command: list[str], heard: Callable[[dict[str, Any]], None]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._heard = heard
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._heard(json.loads(line))

    def order(self, **words: Any) -> None:
        """Send one order."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Kill the process, stopped or not, and read what it has said."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


class Town:
    """All processes of one library, and all that they have said."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.hosts: list[Host] = []
        self.home: dict[str, Host] = {}
        self.addresses: dict[str, list[Any]] = {}
        self.said: list[dict[str, Any]] = []
        self.news = threading.Condition()

    def hear(self, words: dict[str, Any]) -> None:
        """Take a line of a process."""
        with self.news:
            self.said.append(words)
            self.news.notify_all()

    def host(self) -> Host:
        """Start another process."""
        host = Host(self.command, self.hear)
        self.hosts.append(host)
        return host

    def until(self, found: Callable[[], Any], timeout: float = TIMEOUT) -> Any:
        """Wait until `found` gives something, or for so long."""
        with self.news:
            self.news.wait_for(found, timeout)
            return found()

    def one(self, ev: str, since: int, **words: Any) -> dict[str, Any]:
        """Wait for one line."""

        def found() -> dict[str, Any] | None:
            for said in self.said[since:]:
                if said["ev"] == ev and all(said[key] == word for key, word in words.items()):
                    return said
            return None

        line = self.until(found)
        assert line is not None, f"nobody said {ev} {words}"
        result: dict[str, Any] = line
        return result

    def start(self, name: str, host: Host) -> float:
        """Run an agent there; return when it began."""
        since = len(self.said)
        others = list(self.addresses.values())
        seeds = [random.choice(others)] if others else []
        host.order(do="start", name=name, seeds=seeds)
        started = self.one("started", since, name=name)
        self.home[name], self.addresses[name] = host, started["address"]
        return float(started["t"])

    def forget(self, name: str) -> Host:
        """Count an agent no more; its process is returned."""
        del self.addresses[name]
        return self.home.pop(name)

    def spread(
        self, ev: str, about: str, began: float, since: int, among: list[str]
    ) -> dict[str, float | int | None]:
        """Wait until all of these have said so; return by when half and all had."""
        wanted = set(among)

        def times() -> dict[str, float]:
            found: dict[str, float] = {}
            for said in self.said[since:]:
                if said["ev"] == ev and said.get("about") == about and said["at"] in wanted:
                    found.setdefault(said["at"], said["t"] - began)
            return found

        self.until(lambda: len(times()) == len(wanted))
        ordered = sorted(times().values())
        missed = len(wanted) - len(ordered)
        return {
            "half": ordered[len(wanted) // 2] if missed <= len(wanted) // 2 else None,
            "all": None if missed else ordered[-1],
            "missed": missed,
        }

    def accusations(self, since: int, **words: str) -> int:
        """How often anybody suspected or buried anybody."""
        return sum(
            said["ev"] in ("suspected", "failed")
            and all(said[key] == word for key, word in words.items())
            for said in self.said[since:]
        )


@contextmanager
def running(command: list[str]) -> Iterator[Town]:
    """Let no process outlive the measurement."""
    town = Town(command)
    try:
        yield town
    finally:
        for host in town.hosts:
            if host.process.poll() is None:
                host.end()


def loopback() -> tuple[int, int]:
    """Packets and bytes that left through the loopback interface so far."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            fields = counts.split()
            return int(fields[9]), int(fields[8])
    return 0, 0


def measure(command: list[str], arguments: argparse.Namespace) -> dict[str, list[Any]]:
    """Measure one library: name of each row, and its values."""
    rows: dict[str, list[Any]] = {}
    names = [f"n{i}" for i in range(arguments.agents)]
    with running(command) as town:
        began = time.monotonic()
        for i, name in enumerate(names):
            town.start(name, town.hosts[-1] if i % CROWD else town.host())
        rows["boot, all know all, s"] = [boot(town, names, began)]
        time.sleep(arguments.settle)
        rows |= rest(town, names, arguments.rest)
        for number in range(arguments.rounds):
            if number:
                time.sleep(arguments.settle)  # what was paused and ended is forgotten by then
            for row, value in trial(town, names, number, arguments.pause).items():
                rows.setdefault(row, []).append(value)
    return rows


def boot(town: Town, names: list[str], began: float) -> float | None:
    """Wait until all know all."""

    def latest() -> float | None:
        known = {(s["at"], s["about"]): s["t"] for s in town.said if s["ev"] == "joined"}
        pairs = [known.get((at, about)) for at in names for about in names if at != about]
        return None if None in pairs else max(t for t in pairs if t is not None) - began

    result: float | None = town.until(latest)
    return result


def rest(town: Town, names: list[str], seconds: float) -> dict[str, list[Any]]:
    """Watch the cluster while nothing happens."""
    since = len(town.said)
    cpu = sum(host.cpu() for host in town.hosts)
    packets, octets = loopback()
    began = time.monotonic()
    time.sleep(seconds)
    agent_seconds = (time.monotonic() - began) * len(names)
    packets_after, octets_after = loopback()
    used = sum(host.cpu() for host in town.hosts) - cpu
    return {
        "at rest, packets /s/agent": [(packets_after - packets) / agent_seconds],
        "at rest, bytes /s/agent": [(octets_after - octets) / agent_seconds],
        "at rest, % of a core/agent": [100 * used / agent_seconds],
        "at rest, accusations": [town.accusations(since)],
    }


def trial(town: Town, names: list[str], number: int, pause: float) -> dict[str, Any]:
    """Let one agent join and die, another join and leave, a third be paused; and say something."""
    row: dict[str, Any] = {}

    def note(what: str, spread: dict[str, float | int | None]) -> None:
        row[f"{what}, half, s"], row[f"{what}, all, s"] = spread["half"], spread["all"]
        row[f"{what}, missed"] = spread["missed"]

    def join(name: str) -> None:
        host = town.host()
        time.sleep(0.5)  # a process is there before it is asked
        since = len(town.said)
        note("join", town.spread("joined", name, town.start(name, host), since, names))

    join(f"killed{number}")
    since, payload = len(town.said), f"{number}".rjust(128, ".")
    teller = random.choice(names)
    town.home[teller].order(do="broadcast", name=teller, payload=payload)
    began = town.one("said", since)["t"]
    note("event", town.spread("user", payload, began, since, names))

    since, began = len(town.said), time.monotonic()
    town.forget(f"killed{number}").end()
    note("killed, failed", town.spread("failed", f"killed{number}", began, since, names))

    join(f"left{number}")
    since = len(town.said)
    leaver = town.forget(f"left{number}")
    leaver.order(do="leave", name=f"left{number}")
    began = town.one("leaving", since)["t"]
    note("leave", town.spread("left", f"left{number}", began, since, names))
    row["leave, called a failure"] = town.accusations(since, about=f"left{number}")
    leaver.end()

    join(f"paused{number}")
    time.sleep(min(2.0, pause))
    since, paused = len(town.said), town.forget(f"paused{number}")
    os.kill(paused.process.pid, signal.SIGSTOP)
    time.sleep(pause)
    os.kill(paused.process.pid, signal.SIGCONT)
    time.sleep(min(3.0, pause))
    row["pause, accusations by the paused"] = town.accusations(since, at=f"paused{number}")
    row["pause, accusations of the paused"] = town.accusations(since, about=f"paused{number}")
    paused.end()
    return row


MEMBERLIST_ROWS = {
    "boot one after the other until all know all, secs": "boot, all know all, s",
    "at rest, per node, udp_packets_s": "at rest, packets /s/agent",
    "at rest, per node, udp_bytes_s": "at rest, UDP payload bytes /s/agent",
    "at rest, per node, tcp_bytes_s": "at rest, TCP payload bytes /s/agent",
    "at rest, per node, cpu_pct": "at rest, % of a core/agent",
    "join known, p50_s": "join, half, s",
    "join known, all_s": "join, all, s",
    "killed, marked dead, p50_s": "killed, failed, half, s",
    "killed, marked dead, all_s": "killed, failed, all, s",
    "serf user event, p50_s": "event, half, s",
    "serf user event, all_s": "event, all, s",
}
"""What its program says, and our name for it."""


def memberlist(arguments: argparse.Namespace) -> dict[str, list[Any]]:
    """Run the harness's program for memberlist, and for serf's events."""
    rows: dict[str, list[Any]] = {}
    counts = ["-joins", str(arguments.rounds), "-kills", str(arguments.rounds)]
    for more in ([*counts, "-rest", str(arguments.rest)], ["-serf"]):
        command = [str(arguments.memberlist), "-n", str(arguments.agents), *more]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            said = json.loads(line)
            for key, value in said.items():
                if row := MEMBERLIST_ROWS.get(f"{said['what']}, {key}"):
                    rows.setdefault(row, []).append(value)
    return rows


def table(results: dict[str, dict[str, list[Any]]]) -> str:
    """One line a row: median [min-max] for each library that has it."""
    rows = dict.fromkeys(row for result in results.values() for row in result)
    lines = [f"{'':36}" + "".join(f"{name:>28}" for name in results)]
    for row in rows:
        cells = []
        for result in results.values():
            values = [value for value in result.get(row, []) if value is not None]
            cell = "-"
            if values:
                cell = f"{median(values):.4g} [{min(values):.4g}-{max(values):.4g}]"
            cells.append(f"{cell:>28}")
        lines.append(f"{row:36}" + "".join(cells))
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rest", type=float, default=20.0, help="seconds watched at rest")
    parser.add_argument("--settle", type=float, default=10.0, help="seconds before that")
    parser.add_argument("--pause", type=float, default=5.0, help="seconds of SIGSTOP")
    parser.add_argument("--profile", choices=["lan", "local"], default="lan")
    parser.add_argument("--keys", action="store_true", help="seal everything")
    parser.add_argument("--against", default="", help="kinship, memberlist, or both")
    parser.add_argument("--kinship-python", default=sys.executable)
    parser.add_argument("--memberlist", type=Path, help="the harness's program `gossip`")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a few agents, once; no figures")
    arguments = parser.parse_args(words)
    if arguments.quick:
        arguments.agents, arguments.rounds, arguments.profile = 4, 1, "local"
        arguments.rest, arguments.settle, arguments.pause = 0.5, 0.5, 1.0
    options = ["--profile", arguments.profile]
    if arguments.keys:
        options += ["--key", os.urandom(32).hex()]
    against = arguments.against.split(",")
    results = {
        "rumor": measure(
            [sys.executable, str(HERE / "peers" / "rumor_host.py"), *options], arguments
        )
    }
    if "kinship" in against:
        program = str(HERE / "peers" / "kinship_host.py")
        results["kinship"] = measure([arguments.kinship_python, program, *options], arguments)
    if "memberlist" in against:
        results["memberlist, serf"] = memberlist(arguments)
    sys.stdout.write((json.dumps(results) if arguments.json else table(results)) + "\n")


if __name__ == "__main__":
    main()
