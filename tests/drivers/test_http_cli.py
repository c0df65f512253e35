"""`catalog agent --dev --http --dns` as its users start it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import dns.message
import dns.query
import httpx
import pytest
import trio


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def process():
    """An agent of its own, with the ports of both interfaces."""
    bind, http, dns_port = (free_port() for _ in range(3))
    line = [sys.executable, "-m", "catalog", "agent", "--dev", "--name", "n1"]
    line += ["--bind", f"127.0.0.1:{bind}", "--http", f"127.0.0.1:{http}"]
    line += ["--dns", f"127.0.0.1:{dns_port}"]
    child = await trio.lowlevel.open_process(line, stderr=subprocess.DEVNULL)
    yield child, http, dns_port
    child.kill()
    await child.wait()


async def test_one_command_starts_both_interfaces_and_a_signal_ends_them(process):
    """What goes in by HTTP comes out by DNS; the exit is clean."""
    child, http, dns_port = process
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{http}/v1/", trust_env=False, timeout=10
    ) as web:
        with trio.fail_after(20):
            while True:
                try:
                    if (await web.get("status/leader")).json():
                        break
                except httpx.HTTPError:
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


async def test_a_port_that_is_taken_ends_the_agent_with_its_reason(process):
    """Status 3: it could not start."""
    _, http, _ = process
    async with httpx.AsyncClient(trust_env=False) as web:
        with trio.fail_after(20):
            while True:
                try:
                    await web.get(f"http://127.0.0.1:{http}/")
                    break
                except httpx.HTTPError:
                    await trio.sleep(0.05)
    line = [sys.executable, "-m", "catalog", "agent", "--dev", "--bind", "127.0.0.1:0"]
    line += ["--name", "n2", "--http", f"127.0.0.1:{http}"]
    with trio.fail_after(20):
        done = await trio.run_process(line, check=False, capture_stderr=True)

    assert 3 == done.returncode
    assert f"http cannot listen at 127.0.0.1:{http}" in done.stderr.decode()
