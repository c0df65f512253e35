"""The command line with an agent behind it: answers, and every documented way to fail."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
import trio

from catalog import Agent, AgentConfig, Service, TtlCheck, open_catalog
from catalog.cli import main
from catalog.server.reconcile import SERVERS

Capture: TypeAlias = pytest.CaptureFixture[str]
Run: TypeAlias = Callable[..., Awaitable[tuple[int, str, str]]]

LIMIT_SECONDS = 60
HOST = "127.0.0.1"


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    """A server alone, in memory, on a free port."""
    async with open_catalog(AgentConfig.dev(name="n1", bind=f"{HOST}:0")) as agent:
        with trio.fail_after(LIMIT_SECONDS):
            await agent.wait_leader()
        yield agent


@pytest.fixture
def run(agent: Agent, capsys: Capture) -> Run:
    """Run the command against the agent; return its status, output and errors."""

    async def run(*arguments: str) -> tuple[int, str, str]:
        line = [*arguments, "--agent", agent.address]
        with trio.fail_after(LIMIT_SECONDS):
            status = await trio.to_thread.run_sync(main, line)
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def taken() -> Iterator[str]:
    """An address where somebody listens already."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield f"{HOST}:{listener.getsockname()[1]}"


def free() -> str:
    """Return an address where nobody listens at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return f"{HOST}:{probe.getsockname()[1]}"


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start `catalog agent` as a process."""
    line = [sys.executable, "-m", "catalog", "agent", *map(str, arguments)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def refusal(*arguments: str | Path) -> tuple[int, str]:
    """Run an agent that must not start; return its status and its last line of standard error."""
    with start(*arguments) as process:
        try:
            out, err = process.communicate(timeout=LIMIT_SECONDS)
        finally:
            process.kill()
    assert (out, "Traceback" in err) == ("", False), err
    return process.returncode, err.splitlines()[-1]


# Answers.


async def test_a_key_is_written_read_listed_and_deleted(run: Run) -> None:
    """The value comes back byte for byte, without a line end that was not in it."""
    assert (await run("kv", "put", "colour", "blue"))[0] == 0
    assert (0, "blue", "") == await run("kv", "get", "colour")
    assert (0, "blue", "") == await run("kv", "get", "colour", "--stale")
    assert (0, "colour\n", "") == await run("kv", "list", "col")
    assert (0, '[\n  "colour"\n]\n', "") == await run("kv", "list", "--json")
    assert (await run("kv", "delete", "colour"))[0] == 0
    assert (0, "", "") == await run("kv", "list")


async def test_a_key_as_json_has_its_indexes(run: Run) -> None:
    """They are what `--cas` compares with."""
    written = json.loads((await run("kv", "put", "k", "v", "--json"))[1])
    found = json.loads((await run("kv", "get", "k", "--json"))[1])

    assert {"key": "k", "value": "v", "flags": 0} == {
        name: found[name] for name in ("key", "value", "flags")
    }
    assert found["modify_index"] == written["index"]
    assert (await run("kv", "put", "k", "w", "--cas", str(written["index"])))[0] == 0


async def test_a_comparison_that_fails_writes_nothing(run: Run) -> None:
    """One line says what stood in the way, with status 1."""
    await run("kv", "put", "k", "first")
    status, out, err = await run("kv", "put", "k", "second", "--cas", "0")

    assert (1, "") == (status, out)
    assert err.startswith("catalog: kv put: ")
    assert err.count("\n") == 1
    assert (0, "first", "") == await run("kv", "get", "k")


async def test_a_missing_key_is_a_failure(run: Run) -> None:
    """A script can tell it from an empty value."""
    assert (1, "", "catalog: kv get: there is no key 'k'\n") == await run("kv", "get", "k")


async def test_services_are_listed_and_looked_up(run: Run, agent: Agent) -> None:
    """As a table for people and as JSON for scripts."""
    await agent.register(Service("web", port=8080, tags=("blue",)))
    await agent.register(Service("sick", checks=(TtlCheck(60),)))

    words = (await run("services"))[1].split()
    assert [one for one in words if one != SERVERS] == ["SERVICE", "TAGS", "sick", "web", "blue"]
    found = json.loads((await run("services", "--json"))[1])
    found.pop(SERVERS, None)  # the leader writes it when it gets round to it
    assert found == {"sick": [], "web": ["blue"]}
    row = (await run("lookup", "web"))[1].splitlines()[1]
    assert row.split() == ["web", "n1", f"{HOST}:8080", "passing", "blue"]
    assert (0, "no healthy instance of sick\n", "") == await run("lookup", "sick")
    found = json.loads((await run("lookup", "sick", "--all", "--json"))[1])
    assert [one["status"] for one in found["instances"]] == ["critical"]


async def test_agents_and_nodes_are_listed(run: Run, agent: Agent) -> None:
    """Both know the one that there is."""
    row = (await run("members"))[1].splitlines()[1]
    assert row.split() == ["n1", agent.address, "server", "dc1", "alive"]
    await agent.register(Service("web"))  # by then the node is there too
    assert "n1" in (await run("nodes"))[1]
    [node] = json.loads((await run("nodes", "--json"))[1])
    assert (node["name"], node["health"]["status"]) == ("n1", "passing")


async def test_info_says_who_leads(run: Run, agent: Agent) -> None:
    """The same facts as a list and as JSON."""
    info = json.loads((await run("info", "--json"))[1])

    assert (info["name"], info["role"], info["leader"]) == ("n1", "leader", "n1")
    text = (await run("info"))[1]
    assert any(line.split() == ["role", "leader"] for line in text.splitlines())
    assert any(line.split() == ["address", agent.address] for line in text.splitlines())


async def test_a_watcher_sees_what_comes(run: Run, agent: Agent) -> None:
    """First what there is, then the change, and after so many changes the end."""
    seen: list[tuple[int, str, str]] = []

    async def watch() -> None:
        seen.append(await run("watch", "web", "--changes", "2", "--json"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        while not seen:
            await agent.register(Service("web", port=8080))
            await trio.sleep(0.02)
            await agent.deregister("web")
            await trio.sleep(0.02)
    status, out, err = seen[0]
    first, *changes = [json.loads(line) for line in out.splitlines()]

    assert (0, "") == (status, err)
    assert first["kind"] == "view"
    assert len(changes) == 2
    assert {one["kind"] for one in changes} <= {"added", "removed"}
    assert first["index"] < changes[0]["index"] < changes[1]["index"]


# Failures.


def test_an_agent_that_does_not_answer_is_told_in_one_line(capsys: Capture) -> None:
    """Status 4, and what to do."""
    address = free()

    status = main(["members", "--agent", address])

    out, err = capsys.readouterr()
    assert (4, "") == (status, out)
    assert err.startswith(f"catalog: members: no agent answers at {address}")
    assert "--agent" in err
    assert err.count("\n") == 1


def test_a_taken_port_is_told_in_one_line(taken: str) -> None:
    """Status 3, and which address it was."""
    status, line = refusal("--dev", "--bind", taken)

    assert status == 3
    assert line.startswith("catalog: agent: ")
    assert taken in line


@pytest.mark.parametrize(
    ("name", "cluster"), [("n2", "mine"), ("n1", "theirs")], ids=["server", "cluster"]
)
async def test_a_directory_of_another_is_told_in_one_line(
    name: str, cluster: str, tmp_path: Path
) -> None:
    """Status 3; the directory is as it was, and its owner starts on it again."""
    config = AgentConfig(
        "n1",
        server=True,
        bind=f"{HOST}:0",
        data_dir=tmp_path,
        bootstrap_expect=1,
        cluster="mine",
    )
    for value in (b"first", b"second"):
        with trio.fail_after(LIMIT_SECONDS):
            async with open_catalog(config) as agent:
                await agent.wait_leader()
                await agent.put("k", value)
        flags = ("--server", "--bind", free(), "--data-dir", tmp_path, "--cluster", cluster)
        status, line = await trio.to_thread.run_sync(refusal, *flags, "--name", name)
        assert status == 3
        assert line.startswith("catalog: agent: ")
        assert str(tmp_path) in line


def test_addresses_to_join_at_which_nobody_answers_are_told_in_one_line() -> None:
    """Status 3, after the time that was given, and the addresses."""
    nobody = free()

    status, line = refusal("--bind", free(), "--join", nobody, "--join-timeout", "0.5")

    assert status == 3
    assert line.startswith("catalog: agent: ")
    assert nobody in line


async def test_servers_that_start_together_find_each_other(tmp_path: Path, capsys: Capture) -> None:
    """Each names only the next one, in a ring: nobody has to be first."""
    names = ("n1", "n2", "n3")
    ports = {name: free() for name in names}
    agents = [
        start(
            *("--server", "--bootstrap-expect", "3", "--name", name, "--bind", ports[name]),
            *("--data-dir", tmp_path / name, "--join", ports[after]),
        )
        for name, after in zip(names, (*names[1:], names[0]), strict=True)
    ]
    try:
        with trio.fail_after(LIMIT_SECONDS):
            leader = None
            while leader is None:
                await trio.sleep(0.2)
                line = ["info", "--json", "--agent", ports["n1"]]
                if await trio.to_thread.run_sync(main, line) == 0:
                    leader = json.loads(capsys.readouterr().out)["leader"]
    finally:
        for process in agents:
            process.kill()
            process.communicate()

    assert leader in names


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_agent_leaves_at_a_signal(number: signal.Signals) -> None:
    """It says where it listens, and that it stops; status 0, for that is what it was told."""
    address = free()
    with start("--dev", "--bind", address) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if f"listens on {address}" in line:
                    break
            process.send_signal(number)
            out, err = process.communicate(timeout=LIMIT_SECONDS)
        finally:
            process.kill()

    assert (0, "") == (process.returncode, out)
    assert "stopping" in err
    assert "Traceback" not in err
