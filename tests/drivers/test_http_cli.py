"""`catalog agent --dev --http --dns` as its users start it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress

import dns.message
import dns.query
import httpx
import pytest
import trio


@pytest.fixture
def ports():
    """Three ports that nobody uses, all different."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(3)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def command(bind: int, http: int, dns_port: int) -> list[str]:
    """What a user types."""
    line = [sys.executable, "-m", "catalog", "agent", "--dev", "--name", "n1"]
    line += ["--bind", f"127.0.0.1:{bind}", "--http", f"127.0.0.1:{http}"]
    return [*line, "--dns", f"127.0.0.1:{dns_port}"]


@pytest.fixture
async def child(ports):
    """An agent in a process of its own."""
    process = await trio.lowlevel.open_process(command(*ports), stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    await process.wait()


async def test_one_command_starts_both_interfaces_and_a_signal_ends_them(child, ports):
    """What goes in by HTTP comes out by DNS; the exit is clean."""
    _, http, dns_port = ports
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{http}/v1/", trust_env=False, timeout=10, verify=False
    ) as web:
        with trio.fail_after(20):
            while True:
                with suppress(httpx.HTTPError):
                    if (await web.get("status/leader")).json():
                        break
                await trio.sleep(0.05)
        body = {"name": "web", "address": "10.0.0.1"}
        assert 200 == (await web.put("agent/service/register", json=body)).status_code
    query = dns.message.make_query("web.service.consul", "A")
    reply = await trio.to_thread.run_sync(
        lambda: dns.query.udp(query, "127.0.0.1", port=dns_port, timeout=5)
    )
    assert ["10.0.0.1"] == [str(one) for one in reply.answer[0]]

    child.send_signal(signal.SIGTERM)
    with trio.fail_after(15):
        assert 0 == await child.wait()


async def test_a_port_that_is_taken_ends_the_agent_with_its_reason(ports):
    """Status 3: it could not start."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports[1]))
        other.listen()
        with trio.fail_after(20):
            done = await trio.run_process(command(*ports), check=False, capture_stderr=True)

    assert 3 == done.returncode
    assert f"http cannot listen at 127.0.0.1:{ports[1]}" in done.stderr.decode()
