"""quorum.recover: the directory of a survivor before and after."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorum.effects import Trim
from quorum.inspect import main as inspect
from quorum.messages import Entries, Kind, Members, SnapshotMark
from quorum.recover import TERM_LEAP, main
from quorum.storage.disk import RealDisk
from quorum.storage.files import JournalFiles, Layout
from quorum.storage.replay import Outline
from quorum.testing import entries, write

OLD = Members(("n1", "n2", "n3"), addresses=(("n1", "h1:1"), ("n2", "h2:2")))


def open_files(directory: Path) -> JournalFiles:
    return JournalFiles(
        Layout(directory, "n1", "blue"), Outline(mark=SnapshotMark(members=OLD)), RealDisk()
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A survivor's: entries 1 to 4, of which nobody knows which were committed."""
    place = tmp_path / "data"
    files = open_files(place)
    files.load()
    files.persist([write(entries(1, 1, 1, 1, 2), term=3, vote="n2")])
    files.close()
    return place


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_nothing_is_changed_without_yes(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The dry run says what is kept, what is lost, and who must never come back."""
    before = content(directory)

    assert main([str(directory), "--members", "n1"]) == 0
    printed = capsys.readouterr().out
    assert "server 'n1' of cluster 'blue': term 3, last entry 4 of term 2" in printed
    assert "configuration in force, of entry 0: voters n1 at h1:1, n2 at h2:2, n3" in printed
    assert f"at entry 5 of term {3 + TERM_LEAP}: voters n1 at h1:1\n" in printed
    assert "Kept: everything up to entry 4" in printed
    assert "Never start again on their old disks: n2, n3." in printed
    assert "Nothing was changed" in printed
    assert before == content(directory)
    assert [directory] == list(directory.parent.iterdir())


def test_the_new_configuration_is_the_last_entry(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that was there is there, the hard state allows no other vote, and a copy is kept."""
    before = content(directory)

    assert main([str(directory), "--members", "n1=here:7,n9=there:8", "--yes"]) == 0
    assert before == content(directory.with_name("data.before-recovery"))
    files = open_files(directory)
    found, _ = files.load()
    files.close()
    assert (3 + TERM_LEAP, "n1") == (found.term, found.vote)
    assert entries(1, 1, 1, 1, 2) == found.entries.slice(1, 5)
    last = list(found.entries)[-1]
    assert (5, 3 + TERM_LEAP, Kind.MEMBERS) == (last.index, last.term, last.kind)
    members = Members(("n1", "n9"), addresses=(("n1", "here:7"), ("n9", "there:8")))
    assert members == Members.from_bytes(last.payload)
    assert inspect([str(directory)]) == 0


def test_a_log_that_is_all_snapshot_is_recovered(tmp_path: Path) -> None:
    """The new entry follows the snapshot, with its stamp."""
    place = tmp_path / "data"
    files = open_files(place)
    files.load()
    mark = SnapshotMark(4, 2, 40, OLD, 1)
    files.persist([write(entries(1, 1, 1, 1, 2), term=2)])
    files.save_snapshot(mark, (b"state",))
    files.trim(Trim(mark, 5, 2))
    files.close()

    assert main([str(place), "--members", "n1", "--yes"]) == 0
    files = open_files(place)
    found, _ = files.load()
    files.close()
    assert (mark, (5,), (40,)) == (found.mark, (found.entries.first,), found.entries.stamps)


def test_the_newest_configuration_in_the_log_is_told(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that was under way; it is over by the recovery."""
    joint = Members(("n1", "n4"), outgoing=OLD.voters, learners=("n5",))
    files = open_files(directory)
    files.load()
    run = Entries(5, (3,), (50,), bytes([Kind.MEMBERS]), (joint.to_bytes(),))
    files.persist([write(run, term=3)])
    files.close()

    assert main([str(directory), "--members", "n1"]) == 0
    printed = capsys.readouterr().out
    assert "of entry 5: voters n1, n4; a change under way from n1, n2, n3; learners n5\n" in printed
    assert "old disks: n2, n3, n4, n5." in printed


def test_a_directory_in_use_is_refused(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A running server would go on with a journal that is not its own any more."""
    files = open_files(directory)
    files.load()
    before = content(directory)
    for options in ([], ["--yes"]):
        assert main([str(directory), "--members", "n1", *options]) == 1
        assert "a server runs on" in capsys.readouterr().out
    assert before == content(directory)
    files.close()


def test_members_without_the_survivor_are_refused(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody else has the data."""
    before = content(directory)
    assert main([str(directory), "--members", "n4,n5", "--yes"]) == 1
    assert "belongs to 'n1'" in capsys.readouterr().out
    assert before == content(directory)


def test_an_older_copy_is_not_overwritten(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever recovers twice decides about the first copy."""
    assert main([str(directory), "--members", "n1", "--yes"]) == 0
    before = content(directory)
    assert main([str(directory), "--members", "n1", "--yes"]) == 1
    assert "move it away first" in capsys.readouterr().out
    assert before == content(directory)


def test_damage_is_refused(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged journal is not made better by writing to it."""
    path = directory / "journal-0000000001"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    before = content(directory)
    assert main([str(directory), "--members", "n1", "--yes"]) == 1
    assert "is damaged" in capsys.readouterr().out
    assert before == content(directory)


def test_what_is_no_data_directory_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty directory stays empty, a missing one missing."""
    for place in (tmp_path, tmp_path / "missing"):
        assert main([str(place), "--members", "n1", "--yes"]) == 1
        assert "refused: " in capsys.readouterr().out
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("members", ["", "n1,", "n1=", "n1=host", "n1=:1", "n1,n1"])
def test_members_that_make_no_sense_are_a_mistake(
    directory: Path, members: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told before anything is looked at."""
    with pytest.raises(SystemExit, match="2"):
        main([str(directory), "--members", members])
    assert "--members" in capsys.readouterr().err
