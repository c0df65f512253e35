"""Keys, sessions, locks and registrations by the command, with an agent behind it."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import trio

from catalog import Agent, AgentConfig, Service, open_catalog
from catalog.cli import main

Run: TypeAlias = Callable[..., Awaitable[tuple[int, str, str]]]

LIMIT_SECONDS = 60


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    """A server alone, in memory, on a free port."""
    async with open_catalog(AgentConfig.dev(name="n1", bind="127.0.0.1:0")) as agent:
        with trio.fail_after(LIMIT_SECONDS):
            await agent.wait_leader()
        yield agent


@pytest.fixture
def run(agent: Agent, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command against the agent; return its status, output and errors."""

    async def run(*arguments: str | Path) -> tuple[int, str, str]:
        first, *rest = map(str, arguments)
        verb = rest[:1] if first in ("kv", "session", "services") else []
        line = [first, *verb, "--agent", agent.address, *rest[len(verb) :]]
        with trio.fail_after(LIMIT_SECONDS):
            status = await trio.to_thread.run_sync(main, line)
        return status, *capsys.readouterr()

    return run


async def lock(agent: Agent, *arguments: str) -> tuple[int, str, str]:
    """Run `catalog lock` as a process: it takes signals."""
    line = [sys.executable, "-m", "catalog", "lock", "--agent", agent.address, *arguments]
    with trio.fail_after(LIMIT_SECONDS):
        done = await trio.run_process(line, capture_stdout=True, capture_stderr=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def test_keys_go_to_a_file_and_come_back(run: Run, agent: Agent, tmp_path: Path) -> None:
    """In Consul's form, with their flags and whatever bytes they have."""
    await agent.put("a/1", b"\x00\xff", flags=7)
    await agent.put("a/2", b"")
    status, out, _ = await run("kv", "export", "a/")
    path = tmp_path / "keys.json"
    path.write_text(out)
    await agent.delete("a/", recurse=True)

    assert (0, "2 keys written\n", "") == (status, *(await run("kv", "import", path))[1:])
    assert {"key": "a/1", "flags": 7, "value": "AP8="} == json.loads(out)[0]
    found = await agent.items("a/")
    assert [("a/1", b"\x00\xff", 7), ("a/2", b"", 0)] == [(o.key, o.value, o.flags) for o in found]


async def test_many_large_keys_are_imported_in_parts(
    run: Run, agent: Agent, tmp_path: Path
) -> None:
    """None of the writes is larger than the servers take."""
    value = base64.b64encode(bytes(300_000)).decode()
    entries = [{"key": f"big/{number}", "value": value} for number in range(5)]
    entries += [{"key": f"small/{number}", "value": ""} for number in range(130)]
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(entries))

    assert (0, "135 keys written\n", "") == await run("kv", "import", path)
    assert 135 == len(await agent.keys())


async def test_what_is_no_export_is_not_imported(run: Run, agent: Agent, tmp_path: Path) -> None:
    """One line, status 2, and nothing is written."""
    path = tmp_path / "keys.json"
    for text in ("{}", "[1]", '[{"key": "k"}]', '[{"key": "k", "value": "?"}]', "no JSON"):
        path.write_text(text)
        if text == "{}":
            continue  # nothing to write is nothing wrong
        status, out, err = await run("kv", "import", path)
        assert (2, "", 1) == (status, out, err.count("\n"))
    assert () == await agent.keys()


async def test_values_come_from_files_and_as_base64(run: Run, agent: Agent, tmp_path: Path) -> None:
    """And go out as base64, or all under a prefix at once."""
    path = tmp_path / "value"
    path.write_bytes(b"from a file")
    assert 0 == (await run("kv", "put", "a/1", f"@{path}"))[0]
    assert 0 == (await run("kv", "put", "a/2", "AP8=", "--base64"))[0]
    assert 2 == (await run("kv", "put", "a/3", "@nowhere"))[0]
    assert 2 == (await run("kv", "put", "a/3", "?", "--base64"))[0]

    assert (0, "AP8=\n", "") == await run("kv", "get", "a/2", "--base64")
    assert (0, "a/1:from a file\na/2:\0\\xff\n", "") == await run("kv", "get", "a/", "--recurse")
    assert (0, "a/\n", "") == await run("kv", "list", "--separator", "/")
    assert "a/1" in (await run("kv", "get", "a/1", "--detailed"))[1].splitlines()[1]


async def test_a_session_is_begun_listed_renewed_used_and_ended(run: Run, agent: Agent) -> None:
    """A key that it holds is nobody else's, and is free once it has ended."""
    await agent.register(Service("any"))  # by then the node is in the catalog
    first, second = [
        (await run("session", "create", "--ttl", "20", "--lock-delay", "0"))[1].strip()
        for _ in range(2)
    ]
    listed = json.loads((await run("session", "list", "--json"))[1])
    assert {first, second} == {one["id"] for one in listed}
    assert "20 s" in (await run("session", "renew", first))[1]

    assert 0 == (await run("kv", "put", "k", "v", "--acquire", first))[0]
    assert 1 == (await run("kv", "put", "k", "v", "--acquire", second))[0]
    assert 0 == (await run("session", "destroy", first))[0]
    assert 0 == (await run("kv", "put", "k", "v", "--acquire", second))[0]
    assert 0 == (await run("kv", "put", "k", "w", "--release", second))[0]
    for verb in ("info", "renew"):
        status, _, err = await run("session", verb, first)
        assert (1, True) == (status, "there is no session" in err)


async def test_a_program_runs_under_a_lock(agent: Agent) -> None:
    """It finds the token in its environment; its status is the command's; the lock is free then."""
    await agent.register(Service("any"))  # by then the node is in the catalog
    line = ("jobs/1", "sh", "-c", "echo $CATALOG_LOCK_KEY $CATALOG_LOCK_TOKEN; exit 7")

    assert (7, "jobs/1 1\n", "") == await lock(agent, *line)
    assert (7, "jobs/1 2\n", "") == await lock(agent, "--timeout", "5", *line)
    assert 128 + signal.SIGUSR1 == (await lock(agent, "jobs/1", "sh", "-c", "kill -USR1 $$"))[0]
    found = await agent.get("jobs/1")
    assert found is not None
    assert "" == found.session


async def test_a_lock_that_is_not_free_in_time_runs_nothing(agent: Agent, tmp_path: Path) -> None:
    """Status 5, and one line."""
    async with agent.lock("jobs/1"):
        status, _, err = await lock(agent, "--timeout", "0", "jobs/1", "touch", str(tmp_path / "f"))

    assert (5, 1) == (status, err.count("\n"))
    assert not (tmp_path / "f").exists()


async def test_a_program_is_ended_when_its_lock_is_lost(agent: Agent, tmp_path: Path) -> None:
    """With all that it has started; status 6."""
    await agent.register(Service("any"))  # by then the node is in the catalog
    came, ended = tmp_path / "came", tmp_path / "ended"
    script = f"trap 'touch {ended}; exit' TERM; touch {came}; sleep 60 & wait"
    told: list[tuple[int, str, str]] = []

    async def under_lock() -> None:
        told.append(await lock(agent, "jobs/1", "sh", "-c", script))

    with trio.fail_after(LIMIT_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(under_lock)
            while not came.exists():  # noqa: ASYNC110
                await trio.sleep(0.05)
            await agent.delete("jobs/1")

    assert (6, 1) == (told[0][0], told[0][2].count("\n"))
    assert ended.exists()


async def test_a_signal_ends_the_program_and_frees_the_lock(agent: Agent, tmp_path: Path) -> None:
    """Status 143, as of any program that SIGTERM ended."""
    await agent.register(Service("any"))  # by then the node is in the catalog
    came = tmp_path / "came"
    line = [sys.executable, "-m", "catalog", "lock", "--agent", agent.address, "jobs/1"]
    line += ["sh", "-c", f"touch {came}; exec sleep 60"]
    process = await trio.lowlevel.open_process(line, stderr=subprocess.DEVNULL)
    try:
        with trio.fail_after(LIMIT_SECONDS):
            while not came.exists():  # noqa: ASYNC110
                await trio.sleep(0.05)
            process.terminate()
            assert 143 == await process.wait()
            async with agent.lock("jobs/1"):
                pass
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_services_are_registered_drained_and_removed(
    run: Run, agent: Agent, tmp_path: Path
) -> None:
    """By flags or from a file."""
    flags = ("--port", "80", "--tag", "a", "--meta", "k=v", "--ttl", "30")
    assert 0 == (await run("services", "register", "web", *flags))[0]
    (one,) = (await agent.lookup("web", healthy=False)).instances
    assert (80, ("a",), {"k": "v"}) == (one.service.port, one.service.tags, dict(one.service.meta))
    assert 0 == (await run("services", "drain", "web"))[0]
    assert (await agent.lookup("web", healthy=False)).instances[0].service.terminating
    assert 0 == (await run("services", "undrain", "web"))[0]
    assert 0 == (await run("services", "deregister", "web"))[0]
    assert 1 == (await run("services", "deregister", "web"))[0]

    path = tmp_path / "web.toml"
    path.write_text('[[service]]\nname = "api"\nport = 1\n')
    assert 0 == (await run("services", "register", "--file", path))[0]
    assert 1 == len((await agent.lookup("api")).instances)
    path.write_text('nam = "api"\n')
    assert 2 == (await run("services", "register", "--file", path))[0]
    assert 2 == (await run("services", "register"))[0]


async def test_a_node_is_taken_out_of_use_and_put_back(run: Run, agent: Agent) -> None:
    """And the command says what is out of use, and why."""
    await agent.register(Service("web"))
    assert 0 == (await run("maint", "--enable", "--reason", "new disk"))[0]
    assert () == (await agent.lookup("web")).instances
    listed = json.loads((await run("maint", "--json"))[1])
    assert [{"service": "", "reason": "new disk"}] == listed
    assert 0 == (await run("maint", "--disable"))[0]
    assert (0, "nothing is out of use\n", "") == await run("maint")
    assert 1 == len((await agent.lookup("web")).instances)


@pytest.mark.parametrize("kind", ["key", "prefix", "services", "event"])
async def test_whatever_changes_can_be_watched(run: Run, agent: Agent, kind: str) -> None:
    """The last object of the stream is the change."""
    seen: list[tuple[int, str, str]] = []
    name = {"key": ("k/1",), "prefix": ("k/",)}.get(kind, ())

    async def watch() -> None:
        seen.append(await run("watch", *name, "--type", kind, "--changes", "1", "--json"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        number = 0
        while not seen:
            number += 1
            await agent.put("k/1", b"%d" % number)
            await agent.register(Service(f"web{number}"))
            await agent.fire_event("deploy")
            await trio.sleep(0.1)

    status, out, _ = seen[0]
    last = json.loads(out.splitlines()[-1])
    assert 0 == status
    told = {"services": last.get("kind"), "event": last.get("name")}.get(kind, last.get("key"))
    assert {"services": "services", "event": "deploy"}.get(kind, "k/1") == told


async def test_a_watcher_hands_each_change_to_a_program(run: Run, tmp_path: Path) -> None:
    """As JSON on its standard input; a program that fails ends the watch."""
    told = tmp_path / "told"
    status, _, err = await run("watch", "web", "--exec", f"cat > {told}; exit 3")

    assert (1, True) == (status, "status 3" in err)
    assert "view" == json.loads(told.read_text())["kind"]
