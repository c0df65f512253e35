"""A real process is stopped while acks are on their way to it: it hears them before its clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack

import trio

from rumor import Config, Failed, Health, Suspected, open_agent
from rumor.messages import Address, Ping, PingRequest
from rumor.trio.ports import SocketPort, open_sockets
from rumor.wire import Wire

SETTINGS = {
    "probe_interval": 0.4,
    "probe_timeout": 0.2,
    "suspicion_multiplier": 60.0,  # whoever accuses the sleeper is patient
    "stream_probe": False,
}

SLEEPER = """
import sys
import trio
from rumor import Config, Failed, Suspected, open_agent

async def main():
    config = Config(**{settings})
    async with open_agent("sleeper", seeds=[("127.0.0.1", {port})], config=config) as agent:
        async with agent.subscribe() as events, trio.open_nursery() as nursery:
            async def watch():
                async for event in events:
                    if isinstance(event, Suspected | Failed):
                        print("accuses", event.member.name, flush=True)
            nursery.start_soon(watch)
            print("ready", flush=True)
            await trio.to_thread.run_sync(sys.stdin.readline)
            print("failed", agent.statistics().swim.probes_failed, flush=True)
            nursery.cancel_scope.cancel()

trio.run(main)
"""


class Trap:
    """Stops a process at the moment in which its ping has arrived here, before it is answered."""

    def __init__(self) -> None:
        self.victim: int | None = None
        self.sprung = trio.Event()
        self.requests = 0
        """How often the victim has asked somebody else to ping for it."""

    async def open_port(
        self, bind: Address, *, listener: trio.abc.Listener[trio.abc.Stream] | None = None
    ) -> TrappedPort:
        """Open sockets."""
        port = await open_sockets(bind, listener=listener)
        return TrappedPort(self, port)


class TrappedPort:
    """Sockets, with the trap where datagrams come in."""

    def __init__(self, trap: Trap, port: SocketPort) -> None:
        self.address, self.listener = port.address, port.listener
        self.send_nowait, self.wait_readable = port.send_nowait, port.wait_readable
        self.dial, self.close = port.dial, port.close
        self._trap, self._port = trap, port

    def receive_nowait(self) -> tuple[bytes, Address]:
        """Take a datagram; if it is the ping that the trap waits for, stop its sender first."""
        data, source = self._port.receive_nowait()
        trap = self._trap
        message, _ = Wire("default").unpack(data)
        trap.requests += isinstance(message, PingRequest) and message.source == "sleeper"
        if trap.victim is not None and isinstance(message, Ping) and message.source == "sleeper":
            os.kill(trap.victim, signal.SIGSTOP)
            trap.victim = None
            trap.sprung.set()
        return data, source


async def test_five_seconds_of_sigstop_with_an_ack_waiting_raise_no_suspicion() -> None:
    """It accuses nobody when it wakes up, counts no failed probe, and does not even ask helpers."""
    trap, config = Trap(), Config(**SETTINGS)  # type: ignore[arg-type]
    with ExitStack() as stack:
        async with (
            open_agent("a", config=config, open_port=trap.open_port) as a,
            open_agent("b", seeds=[a.address], config=config, open_port=trap.open_port) as b,
        ):
            program = SLEEPER.replace("{settings}", repr(SETTINGS))
            sleeper = stack.enter_context(
                subprocess.Popen(  # noqa: ASYNC220  # it only starts it
                    [sys.executable, "-c", program.replace("{port}", str(a.address[1]))],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(sleeper.kill)
            assert sleeper.stdout is not None
            with trio.fail_after(20):
                assert await trio.to_thread.run_sync(sleeper.stdout.readline) == "ready\n"
                while len(b.members) < 3:  # noqa: ASYNC110
                    await trio.sleep(0.05)
                trap.victim = sleeper.pid
                await trap.sprung.wait()
            await trio.sleep(5)
            sleeper.send_signal(signal.SIGCONT)
            await trio.sleep(1)
            words = await trio.to_thread.run_sync(sleeper.communicate, "end\n")

            assert words[0].splitlines() == ["failed 0"]
            assert trap.requests == 0
            assert {m.health for m in a.members.values()} <= {Health.ALIVE, Health.SUSPECT}


def test_what_the_sleeper_tells_would_be_seen() -> None:
    """The words that the test looks for are those of the events."""
    assert all(kind.__name__ in SLEEPER for kind in (Suspected, Failed))
