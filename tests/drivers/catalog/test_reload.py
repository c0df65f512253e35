"""An agent that reads its file again, or is told to leave: as a process, by its signals."""

from __future__ import annotations

import base64
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import rumor
from catalog import connect
from catalog.housekeeping import ChangeKeys, JoinOthers, KeyAction, Leave, Reload
from catalog.server.reconcile import SERVERS

PATIENCE = 40.0
ENCRYPT = base64.b64encode(bytes(range(32))).decode()


def write(path: Path, address: str, services: str, *, more: str = "") -> None:
    """Write the file of a server alone."""
    path.write_text(
        f'name = "s1"\nserver = true\nbootstrap_expect = 1\nbind = "{address}"\n{more}\n'
        + "".join(f'[[service]]\nname = "{name}"\n' for name in services.split())
    )


def start(path: Path) -> subprocess.Popen[str]:
    """Start an agent with a file, as a process."""
    line = [sys.executable, "-m", "catalog", "agent", "--config", str(path)]
    return subprocess.Popen(line, stderr=subprocess.PIPE, text=True)


def free_address() -> str:
    """Return an address where nobody listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def test_services_follow_the_file(tmp_path, eventually):
    """At SIGHUP and by request; what needs a restart is named, what makes no sense refused."""
    path, address = tmp_path / "agent.toml", free_address()
    write(path, address, "web db")
    with start(path) as process:
        try:
            assert process.stderr is not None
            for said in process.stderr:
                if "listens on" in said:
                    break
            async with connect(address) as client:

                async def has(*names: str) -> bool:
                    return set(names) == set(await client.services()) - {SERVERS}

                await eventually(lambda: has("web", "db"))
                write(path, address, "web mail", more="hold = 3.0")
                process.send_signal(signal.SIGHUP)
                await eventually(lambda: has("web", "mail"))
                write(path, address, "web", more="hold = 4.0\nlog_level = 'debug'")
                assert (
                    "log_level is debug",
                    "needs a restart: hold",
                    "service mail is deregistered",
                ) == await client.ask(Reload())
                path.write_text("nonsense")
                with pytest.raises(ValueError, match=r"agent\.toml"):
                    await client.ask(Reload())
                assert await has("web")
                await client.ask(Leave())
            with trio.fail_after(PATIENCE):
                out, err = await trio.to_thread.run_sync(process.communicate)
        finally:
            process.kill()

    assert (0, True) == (process.returncode, out is None)
    assert "Traceback" not in err


async def test_an_agent_without_a_file_says_so(agents):
    """Reloading is for those that were started with one."""
    agent = await agents.start("s1", server=True, bootstrap_expect=1)
    with pytest.raises(ValueError, match="no configuration file"):
        await agent.ask(Reload())


async def test_two_clusters_of_agents_meet_by_request(agents, unused_address):
    """And who is not there is named."""
    first = await agents.start("s1", server=True, bootstrap_expect=1)
    client = await agents.start("c1")
    assert 1 == await client.ask(JoinOthers((first.address,)))
    assert 2 == len(await client.members())
    with pytest.raises(Exception, match="no seed answered"):
        await client.ask(JoinOthers((unused_address,)))


async def test_keys_of_gossip_are_changed_everywhere_and_kept(agents, tmp_path):
    """By one request; without keys there is nothing to change."""
    plain = await agents.start("p1", server=True, bootstrap_expect=1)
    with pytest.raises(ValueError, match="no keyring"):
        await plain.ask(ChangeKeys())
    first = await agents.start_server("s1", bootstrap_expect=1, encrypt=ENCRYPT)
    second = await agents.start("c1", join=[first.address], encrypt=ENCRYPT)
    new = rumor.Keyring.new_key()
    with trio.fail_after(PATIENCE):
        report = await second.ask(ChangeKeys(KeyAction.ROTATE, new))

    expected = (2, {rumor.Keyring.fingerprint(new): 2}, ())
    assert expected == (report.members, report.keys, report.silent)
    assert base64.b64encode(new).decode() in (tmp_path / "s1" / "keyring.json").read_text()
    with pytest.raises(ValueError, match="a key is"):
        await second.ask(ChangeKeys(KeyAction.USE, b"short"))
