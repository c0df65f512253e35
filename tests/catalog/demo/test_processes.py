"""The demo's processes: started, watched, killed, cleared away; and what the leash is for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from catalog.demo.processes import ChildDied, Household


def runs(process_id: int) -> bool:
    """Whether a process of this id exists and is no zombie."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def household() -> Iterator[Household]:
    """An empty household, closed at the end."""
    household = Household.open(None)
    yield household
    household.close()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Make a module that children can run out of a few lines."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def module(text: str) -> str:
        (tmp_path / "lines.py").write_text(textwrap.dedent(text))
        return "lines"

    return module


async def test_a_child_runs_a_module_with_its_arguments(
    household: Household, module: Callable[[str], str]
) -> None:
    """What it prints arrives line by line, the last one included."""
    name = module("import sys; print(*sys.argv[1:]); print(__name__)")
    child = household.start("one", name, "a", "b", piped=True)

    with trio.fail_after(20):
        assert [b"a b", b"__main__"] == [line async for line in child.lines()]


async def test_a_child_that_ends_by_itself_ends_the_watch(
    household: Household, module: Callable[[str], str]
) -> None:
    """The error names the child, its status and its last words."""
    name = module("import sys; sys.exit('no such luck')")
    household.start("unlucky", name)

    with trio.fail_after(20), pytest.raises(ChildDied, match=r"unlucky.*status 1.*no such luck"):
        await household.watch()


async def test_a_killed_child_does_not_end_the_watch(
    household: Household, module: Callable[[str], str]
) -> None:
    """Who was killed on purpose is not missed."""
    child = household.start("one", module("import time; time.sleep(60)"))
    child.kill()

    with trio.move_on_after(0.2) as scope:
        await household.watch()
    assert scope.cancelled_caught
    assert child.process.returncode == -signal.SIGKILL


async def test_closing_ends_every_child_and_removes_the_directory(
    household: Household, module: Callable[[str], str]
) -> None:
    """Twice is as good as once."""
    child = household.start("one", module("import time; time.sleep(60)"), piped=True)
    assert child.alive
    assert household.directory.is_dir()

    household.close()
    household.close()

    assert not runs(child.process.pid)
    assert not household.directory.exists()


def test_a_directory_to_keep_is_kept(tmp_path: Path) -> None:
    """What the caller named stays; what is not empty is refused untouched."""
    kept = tmp_path / "kept"
    household = Household.open(kept)
    (kept / "log").write_text("x")
    household.close()

    assert (kept / "log").read_text() == "x"
    with pytest.raises(ValueError, match="not empty"):
        Household.open(kept)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_child_on_the_leash_dies_with_its_parent(module: Callable[[str], str]) -> None:
    """Also when the parent is killed and can clear nothing away."""
    name = module("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, name], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent:
        child = int(parent.stdout.readline())
        assert runs(child)
        parent.kill()
        parent.stdout.read()  # ends when the last holder of the pipe ends: the child

    deadline = time.monotonic() + 20  # it closes its files a little before it is gone
    while runs(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not runs(child)


PARENT = """
import os, subprocess, sys
leash = [sys.executable, "-m", "catalog.demo.leash", str(os.getpid()), sys.argv[1]]
subprocess.Popen(leash).wait()
"""


def test_a_leash_held_by_nobody_ends_at_once(module: Callable[[str], str]) -> None:
    """If the parent died before the leash was on, there is nobody to live for."""
    name = module("print('alive')")
    leash = [sys.executable, "-m", "catalog.demo.leash", str(os.getppid()), name]

    done = subprocess.run(leash, capture_output=True, check=False)

    assert (-signal.SIGKILL, b"") == (done.returncode, done.stdout)
