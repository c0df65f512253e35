"""quorum.inspect: what is in a data directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from quorum.effects import Trim
from quorum.inspect import main
from quorum.messages import Members, SnapshotMark
from quorum.storage.disk import RealDisk
from quorum.storage.files import JournalFiles, Layout
from quorum.storage.replay import Outline
from quorum.testing import entries, write

MARK = SnapshotMark(2, 1, 10, Members(("n1", "n2")))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory with a trimmed journal and a snapshot."""
    boot = SnapshotMark(members=MARK.members)
    files = JournalFiles(Layout(tmp_path, "n1", "blue"), Outline(mark=boot), RealDisk())
    files.load()
    files.persist([write(entries(1, 1, 1, 1, 2), term=2, vote="n2")])
    files.save_snapshot(MARK, (b"state",))
    files.trim(Trim(MARK, 2, 1))
    files.close()
    return tmp_path


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_sound_directory_is_described(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Segments, snapshots, hard state and the log are told, and nothing is changed."""
    before = content(directory)

    assert main([str(directory), "--records"]) == 0
    printed = capsys.readouterr().out
    assert "journal-0000000001: " in printed
    assert "records 1 to 3" in printed
    assert "entries 1 to 4, terms up to 2" in printed
    assert "trim to 2, snapshot 2 in force" in printed
    assert "server 'n1' of cluster 'blue': term 2, vote n2, log 2 to 4" in printed
    assert "snapshot-00000000000000000002-00000000000000000001: 5 bytes, voters n1, n2" in printed
    assert printed.splitlines()[-1] == "ok: 3 records, 3 entries"
    assert before == content(directory)


def test_damage_is_described(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first damage is told with its file and place, and the status says so."""
    path = directory / "journal-0000000001"
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(bytes(data))

    assert main([str(directory)]) == 1
    assert "damaged: journal-0000000001 is damaged at byte" in capsys.readouterr().out


def test_a_torn_write_is_no_damage(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was never acknowledged is told, and a server can start."""
    path = directory / "journal-0000000001"
    data = bytearray(path.read_bytes())
    end = len(data.rstrip(b"\0"))
    data[end : end + 10] = b"\x55" * 10
    path.write_bytes(bytes(data))

    assert main([str(directory)]) == 0
    assert "a torn write of 10 bytes at the end" in capsys.readouterr().out


def test_damaged_openings_and_snapshots_are_described(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever file is spoilt, it is named."""
    for path in directory.iterdir():
        path.write_bytes(path.read_bytes()[:-1][:60])

    assert main([str(directory)]) == 1
    printed = capsys.readouterr().out
    assert "journal-0000000001: 60 bytes, does not begin with a whole record" in printed
    assert "00000000000000000001: damaged: it has 60 bytes" in printed


def test_a_missing_snapshot_is_described(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A snapshot in force that is gone is damage."""
    (directory / "snapshot-00000000000000000002-00000000000000000001").unlink()

    assert main([str(directory)]) == 1
    assert "which is in force, is missing" in capsys.readouterr().out


def test_a_place_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that cannot be read gives a sentence, not a traceback."""
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "cannot be read" in capsys.readouterr().out


def test_the_command_helps() -> None:
    """`--help` says what it is for."""
    command = [sys.executable, "-m", "quorum.inspect", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "Changes nothing" in done.stdout
