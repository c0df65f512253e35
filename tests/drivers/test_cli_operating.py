"""The commands of those who run the cluster, with an agent behind them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import trio
import trustme

from catalog import Agent, AgentConfig, open_catalog
from catalog.cli import main
from catalog.events import Events
from catalog.server.autopilot import Rules

Run: TypeAlias = Callable[..., Awaitable[tuple[int, str, str]]]

LIMIT_SECONDS = 60
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(2)]


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    """A server alone, in memory, on a free port, with keys of gossip."""
    config = AgentConfig(
        "n1",
        server=True,
        bootstrap_expect=1,
        bind="127.0.0.1:0",
        encrypt=KEYS[0],
        autopilot=Rules(interval=0.05),
    )
    async with open_catalog(config) as agent:
        with trio.fail_after(LIMIT_SECONDS):
            await agent.wait_leader()
        yield agent


@pytest.fixture
def run(agent: Agent, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command against the agent; return its status, output and errors."""

    async def run(*arguments: str | Path) -> tuple[int, str, str]:
        line = [*map(str, arguments), "--agent", agent.address]
        with trio.fail_after(LIMIT_SECONDS):
            status = await trio.to_thread.run_sync(main, line)
        return status, *capsys.readouterr()

    return run


async def test_servers_are_listed_and_judged(run: Run, agent: Agent) -> None:
    """As tables and as JSON; the status says whether all is well."""
    row = (await run("operator", "peers"))[1].splitlines()[1]
    assert ["n1", agent.address, "voter", "yes"] == row.split()
    status, out, _ = await run("operator", "health")
    assert (0, ["n1", "alive", "leader", "yes"]) == (status, out.splitlines()[1].split()[:4])
    assert out.splitlines()[-1] == "0 more voters may fail"
    report = json.loads((await run("operator", "health", "--json"))[1])
    assert (True, 0, "n1") == (
        report["healthy"],
        report["failure_tolerance"],
        report["servers"][0]["name"],
    )


async def test_what_cannot_be_done_is_told_in_one_line(run: Run) -> None:
    """With status 1, and what there is instead."""
    for line, says in (
        (("operator", "remove", "n9"), "there are: n1"),
        (("operator", "remove", "n1"), "the only voter"),
        (("operator", "transfer"), "no other voter"),
        (("reload",), "no configuration file"),
        (("join", "127.0.0.1:1"), "no seed answered"),
        (("keyring", "use", KEYS[1]), "install it first"),
    ):
        status, out, err = await run(*line)
        assert (1, "", 1) == (status, out, err.count("\n"))
        assert says in err


async def test_a_snapshot_is_saved_looked_at_and_restored(
    run: Run, agent: Agent, tmp_path: Path
) -> None:
    """What was written after it is gone; a damaged file changes nothing."""
    path = tmp_path / "saved"
    await agent.put("before", b"1")
    assert (await run("snapshot", "save", path))[0] == 0
    await agent.put("after", b"2")
    facts = json.loads((await run("snapshot", "inspect", path, "--json"))[1])
    assert ("default", "0.1.0") == (facts["cluster"], facts["version"])
    assert (await run("snapshot", "restore", path))[0] == 0
    assert ("before",) == await agent.keys()
    path.write_bytes(path.read_bytes()[:-1])
    for verb in ("inspect", "restore"):
        status, _, err = await run("snapshot", verb, path)
        assert (1, True) == (status, "should have" in err)
    assert ("before",) == await agent.keys()


async def test_events_are_fired_and_listed(run: Run, agent: Agent) -> None:
    """With their payloads."""
    assert (0, "no events\n", "") == await run("event", "list")
    fired = json.loads((await run("event", "fire", "deploy", "v2", "--json"))[1])
    await agent.ask(Events(after=0, wait=LIMIT_SECONDS))  # which may be over already
    found = json.loads((await run("event", "list", "--json"))[1])
    assert [(fired["id"], "deploy", "v2")] == [
        (one["id"], one["name"], one["payload"]) for one in found
    ]


async def test_keys_are_rotated(run: Run) -> None:
    """One key is held and used before, another after."""
    before = json.loads((await run("keyring", "list", "--json"))[1])
    assert 0 == (await run("keyring", "rotate", KEYS[1]))[0]
    after = json.loads((await run("keyring", "list", "--json"))[1])
    assert [1] == list(before["keys"].values()) == list(after["keys"].values())
    assert before["keys"] != after["keys"]
    assert 2 == (await run("keyring", "install", "no key!"))[0]


async def test_who_has_left_may_be_made_to_leave_and_who_lives_may_not(
    run: Run, agent: Agent
) -> None:
    """To ask twice does no harm."""
    async with open_catalog(
        AgentConfig("c1", bind="127.0.0.1:0", join=[agent.address], encrypt=KEYS[0])
    ) as other:
        status, out, err = await run("force-leave", "c1")
        assert (1, "") == (status, out)
        assert "'c1' has not failed, as n1 sees it; nothing changed" in err
        await other.leave()
        assert (0, "c1 counts as one that has left\n", "") == await run("force-leave", "c1")


async def test_an_agent_is_told_to_leave(run: Run, agent: Agent) -> None:
    """And does, after it has said so."""
    assert 0 == (await run("leave"))[0]
    with trio.fail_after(LIMIT_SECONDS):
        await agent.left.wait()


async def test_questions_go_by_tls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With files named by flags or by the environment; some of them are not enough."""
    authority = trustme.CA()
    issued = authority.issue_cert("n1", "server.dc1.catalog")
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(files["ca"])
    issued.private_key_pem.write_to_path(files["key"])
    files["cert"].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    config = AgentConfig(
        "n1",
        server=True,
        bootstrap_expect=1,
        bind="127.0.0.1:0",
        tls_ca=files["ca"],
        tls_cert=files["cert"],
        tls_key=files["key"],
    )
    flags = [part for name in files for part in (f"--tls-{name}", str(files[name]))]
    async with open_catalog(config) as agent:
        line = ["members", "--agent", agent.address]
        assert 0 == await trio.to_thread.run_sync(main, [*line, *flags])
        assert "n1" in capsys.readouterr().out
        assert 4 == await trio.to_thread.run_sync(main, line)
        assert 4 == await trio.to_thread.run_sync(main, [*line, *flags[:2]])
        assert "belong together" in capsys.readouterr().err
        for name, path in files.items():
            monkeypatch.setenv(f"CATALOG_TLS_{name.upper()}", str(path))
        assert 0 == await trio.to_thread.run_sync(main, line)
