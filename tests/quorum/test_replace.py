"""quorum.replace: a damaged server's directory is set aside; and why it must not come back."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorum.effects import Role, Trim
from quorum.errors import CorruptJournal
from quorum.messages import Members, SnapshotMark
from quorum.replace import main
from quorum.storage.disk import RealDisk
from quorum.storage.files import JournalFiles, Layout
from quorum.storage.format import read
from quorum.storage.replay import Outline
from quorum.storage.snapshots import snapshot_name
from quorum.testing import entries, write

MARK = SnapshotMark(2, 1, 10)


def open_files(directory: Path) -> JournalFiles:
    layout = Layout(directory, "n1", "blue", segment_bytes=400)
    return JournalFiles(layout, Outline(), RealDisk())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A server's, with several segments and a snapshot in force."""
    place = tmp_path / "data"
    files = open_files(place)
    files.load()
    for index in range(1, 10):
        files.persist([write(entries(index, 1), vote="n2")])
    files.save_snapshot(MARK, (b"state",))
    files.trim(Trim(MARK, 3, 1))
    files.close()
    return place


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def flip(path: Path, position: int | None = None) -> None:
    """Damage a byte, by default one behind the first record."""
    data = bytearray(path.read_bytes())
    if position is None:
        first = read(bytes(data), 0)
        assert first is not None
        position = first.stop + 45
    data[position] ^= 1
    path.write_bytes(data)


def journals(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.name.startswith("journal"))


def test_the_error_says_where_what_and_what_to_run(directory: Path) -> None:
    """In its text, and for programs in its fields."""
    damaged = journals(directory)[-2]
    flip(damaged)
    with pytest.raises(CorruptJournal) as caught:
        open_files(directory).load()
    error = caught.value
    assert (error.file, error.offset) != ("", 0)
    assert error.intact is not None
    assert 1 < error.intact < 9
    assert f"{error.file} is damaged at byte {error.offset}: {error.what}." in str(error)
    assert f"Up to entry {error.intact} it can be read" in str(error)
    assert f"python -m quorum.replace {directory}" in str(error)


def test_nothing_is_changed_without_yes(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The dry run says what is wrong, what is lost and what to do."""
    flip(journals(directory)[-2])
    before = content(directory)
    assert main([str(directory)]) == 0
    printed = capsys.readouterr().out
    assert "Server 'n1' of cluster 'blue'." in printed
    assert "is damaged at byte" in printed
    assert "await server.replace_member('n1', 'NEW', 'HOST:PORT')" in printed
    assert "Nothing was changed" in printed
    assert before == content(directory)
    assert [directory] == list(directory.parent.iterdir())


@pytest.mark.parametrize("what", ["record", "opening", "snapshot", "missing segment"])
def test_the_directory_is_set_aside(
    directory: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is damaged; an empty one takes its place, and nothing is thrown away."""
    match what:
        case "record":
            flip(journals(directory)[-2])
        case "opening":
            flip(journals(directory)[0], 10)
        case "snapshot":
            flip(directory / snapshot_name(MARK), -1)
        case _:
            journals(directory)[1].unlink()
    before = content(directory)
    assert main([str(directory), "--yes"]) == 0
    assert "Done: " in capsys.readouterr().out
    assert before == content(directory.with_name("data.damaged"))
    assert [] == list(directory.iterdir())
    assert main([str(directory), "--yes"]) == 1
    assert "has no journal" in capsys.readouterr().out


def test_a_sound_directory_is_left_alone(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody should lose a good disk to a command typed in haste."""
    before = content(directory)
    assert main([str(directory), "--yes"]) == 1
    assert "nothing is wrong" in capsys.readouterr().out
    assert before == content(directory)


def test_a_directory_in_use_or_set_aside_before_is_refused(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The running server, and the older damage, are left as they are."""
    files = open_files(directory)
    files.load()
    assert main([str(directory), "--yes"]) == 1
    assert "a server runs on" in capsys.readouterr().out
    files.close()
    flip(journals(directory)[0], 10)
    directory.with_name("data.damaged").mkdir()
    before = content(directory)
    assert main([str(directory), "--yes"]) == 1
    assert "move it away first" in capsys.readouterr().out
    assert before == content(directory)


def test_under_its_old_name_an_empty_server_unmakes_what_was_committed(make_group):
    """Why the name is not used again: its vote elects a leader that lacks a committed entry."""
    group = group_after_a_loss(make_group, "b")
    assert "c" == group.leader()
    assert group.nodes["c"].statistics().commit >= 2
    assert b"x" in group.applied["a"]
    assert b"x" not in group.applied["c"]


def test_under_a_new_name_it_cannot(make_group):
    """Nobody counts its vote: the one that lacks the entry is not elected."""
    group = group_after_a_loss(make_group, "d")
    assert "a" == group.leader()
    assert b"x" in group.applied["c"]


def group_after_a_loss(make_group, name):
    """Entry x is committed on a and b; b's disk is lost, and an empty server starts under `name`.

    Then a is cut off for a while, and c asks for votes.
    """
    group = make_group("abc")
    group.elect("a")
    group.propose("a", b"x")
    group.settle(lambda sender, to, _: "c" not in (sender, to))
    assert b"x" in group.applied["a"]
    del group.nodes["b"]
    group.add(name, Members())
    group.pass_time(3.0, lambda sender, to, _: "a" not in (sender, to))
    if group.nodes["c"].statistics().role is not Role.LEADER:
        group.pass_time(3.0)
    return group
