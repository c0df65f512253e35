"""quorum.storage.files and .recovery under power cuts and damage, exhaustively on a small journal.

The journal is small, so nothing is sampled: a power cut before and during every operation, with
everything that it may leave on the disk; every bit and every length of every file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from attrs import evolve

from quorum.effects import Persist, Trim
from quorum.errors import CorruptJournal, StorageError
from quorum.events import Recovered
from quorum.messages import Entries, Members, SnapshotMark
from quorum.storage.files import JournalFiles, Layout
from quorum.storage.replay import Outline, Replay
from quorum.testing import FaultyDisk, PowerCut, entries, write

PLACE = Path("/journal")
LAYOUT = Layout(PLACE, "n1", "test", segment_bytes=700, fill_bytes=512)
BOOT = SnapshotMark(members=Members(("n1", "n2")))
SECOND = SnapshotMark(2, 1, 10, Members(("n1", "n2")), 0)
NINTH = SnapshotMark(9, 4, 40, Members(("n1", "n3")), 8)
FIFTEENTH = SnapshotMark(15, 6, 50, Members(("n1", "n3")), 8)
BIG = Entries(10, (5,), (50,), b"\x00", (b"\x55" * 600,))

Step: TypeAlias = tuple[Persist, ...] | Trim | tuple[SnapshotMark, bytes]
STEPS: list[Step] = [
    (write(vote="n1"),),
    (write(entries(1, 1, 1, 1)), write(entries(4, 1))),
    (write(entries(3, 2, 2), term=2),),
    (SECOND, b"two" * 20),
    Trim(SECOND, 2, 1),
    (write(term=4, vote="n3"),),
    (NINTH, b"nine"),
    (write(BIG, term=5, reset=NINTH),),
    (write(entries(10, 6, 6), term=6, vote="n2"), write(entries(12, 6), term=6, vote="n2")),
    (write(evolve(BIG, first=13, terms=(6,)), term=6),),
    (write(evolve(BIG, first=14, terms=(6,)), term=6),),
    (write(evolve(BIG, first=15, terms=(6,)), term=6),),
    (FIFTEENTH, b"fifteen"),
    Trim(FIFTEENTH, 15, 6),
    (write(term=7, vote="n1"),),
]


def expectations() -> list[Recovered]:
    """What a restart must find after so many steps."""
    replay = Replay(Outline(mark=BOOT))
    found = [replay.recovered()]
    for step in STEPS:
        if isinstance(step, Trim):
            replay.trim(step)
        elif isinstance(step[0], Persist):
            for order in step:
                assert isinstance(order, Persist)
                replay.persist(order)
        found.append(replay.recovered())
    return found


EXPECTED = expectations()


def opened(disk: FaultyDisk) -> tuple[JournalFiles, Recovered]:
    files = JournalFiles(LAYOUT, Outline(mark=BOOT), disk)
    recovered, _ = files.load()
    return files, recovered


def reopened(disk: FaultyDisk) -> Recovered:
    files, recovered = opened(disk)
    files.close()
    return recovered


def do(files: JournalFiles, step: Step) -> None:
    if isinstance(step, Trim):
        files.trim(step)
    elif isinstance(step[0], SnapshotMark):
        assert isinstance(step[1], bytes)
        files.save_snapshot(step[0], (step[1][:2], step[1][2:]))
    else:
        files.persist([order for order in step if isinstance(order, Persist)])


def lived(disk: FaultyDisk, *, restart_before: int = -1) -> int:
    """Do the steps until something fails; return how many were done."""
    done = 0
    try:
        files, _ = opened(disk)
        for number, step in enumerate(STEPS):
            if number == restart_before:
                files.close()
                files, _ = opened(disk)
            do(files, step)
            done += 1
        files.close()
    except OSError:
        pass
    return done


def cut_at(operation: int) -> Callable[[str, int], None]:
    """The power goes at this operation."""

    def before(_name: str, number: int) -> None:
        if number >= operation:
            raise PowerCut

    return before


def faults(restart_before: int) -> range:
    disk = FaultyDisk()
    assert lived(disk, restart_before=restart_before) == len(STEPS)
    return range(1, disk.operations + 1)


def contents(disk: FaultyDisk) -> dict[str, bytes]:
    return {name: disk.read(PLACE / name) for name in disk.names(PLACE)}


@pytest.fixture(scope="module")
def journal() -> dict[str, bytes]:
    """The files of a journal after all steps, with several segments and a torn-free end."""
    disk = FaultyDisk()
    files, _ = opened(disk)
    for step in STEPS[:2]:
        do(files, step)
    files.close()
    lived_on = STEPS[2:4] + STEPS[5:7]  # without the trim, which would delete the first segment
    files, _ = opened(disk)
    for step in lived_on:
        do(files, step)
    files.close()
    return contents(disk)


def test_all_steps_are_found_again() -> None:
    """Without faults, a restart after each step finds just what was done."""
    for number in range(len(STEPS) + 1):
        disk = FaultyDisk()
        files, _ = opened(disk)
        for step in STEPS[:number]:
            do(files, step)
        files.close()

        assert EXPECTED[number] == reopened(disk), number


@pytest.mark.parametrize("restart_before", [-1, 3])
def test_a_power_cut_anywhere_loses_nothing_acknowledged(restart_before: int) -> None:
    """Whatever a power cut leaves, a restart finds all steps that returned, and no half step."""
    for operation in faults(restart_before):
        disk = FaultyDisk(cut_at(operation))
        done = lived(disk, restart_before=restart_before)
        for survivor in disk.survivors():
            found = reopened(survivor)

            assert found in EXPECTED[done : done + 2], (operation, done)


def test_recovery_can_be_interrupted_and_repeated() -> None:
    """A power cut during the recovery from a power cut changes nothing of what is found."""
    for operation in faults(-1):
        disk = FaultyDisk(cut_at(operation))
        lived(disk)
        survivors = list(disk.survivors())
        kept = contents(survivors[operation % len(survivors)])
        expected = reopened(restored(kept))
        for interruption in range(1, 9):
            again = restored(kept)
            again.before = cut_at(interruption)
            try:
                reopened(again)
            except OSError:
                for survivor in again.survivors():
                    assert expected == reopened(survivor), (operation, interruption)


def test_recovery_can_be_repeated_for_ever() -> None:
    """Restarts leave small files behind, and what is found stays the same."""
    disk = FaultyDisk()
    lived(disk)
    for _ in range(20):
        assert EXPECTED[-1] == reopened(disk)
    assert sum(map(len, contents(disk).values())) < 12_000


def restored(files: dict[str, bytes]) -> FaultyDisk:
    disk = FaultyDisk()
    for name, content in files.items():
        disk.put(PLACE / name, content)
    return disk


def segments(journal: dict[str, bytes]) -> list[str]:
    return [name for name in sorted(journal) if name.startswith("journal")]


def test_every_flipped_bit_is_noticed(journal: dict[str, bytes]) -> None:
    """A flipped bit in any record, the last one included, is refused and changes nothing."""
    assert len(segments(journal)) >= 2
    for name in segments(journal):
        written = len(journal[name].rstrip(b"\0"))
        for bit in range(8 * written):
            damaged = bytearray(journal[name])
            damaged[bit // 8] ^= 1 << bit % 8
            disk = restored({**journal, name: bytes(damaged)})
            before = contents(disk)
            with pytest.raises(CorruptJournal, match="Nothing was changed"):
                reopened(disk)

            assert before == contents(disk), (name, bit)


def test_a_flipped_bit_behind_the_records_loses_nothing(journal: dict[str, bytes]) -> None:
    """Space that was filled and not used holds nothing to be lost."""
    name = segments(journal)[-1]
    expected = reopened(restored(journal))
    written = len(journal[name].rstrip(b"\0"))
    for bit in range(8 * written, 8 * len(journal[name]), 7):
        damaged = bytearray(journal[name])
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert expected == reopened(restored({**journal, name: bytes(damaged)}))
        except CorruptJournal:
            continue


def test_every_cut_file_is_noticed(journal: dict[str, bytes]) -> None:
    """No crash makes a file shorter than it was; one that is, is refused."""
    for name in segments(journal):
        for size in range(len(journal[name])):
            with pytest.raises(CorruptJournal):
                reopened(restored({**journal, name: journal[name][:size]}))


def test_every_missing_file_is_noticed(journal: dict[str, bytes]) -> None:
    """A segment that is missing is refused, be it the first, the last or one between."""
    for name in segments(journal)[1:]:
        with pytest.raises(CorruptJournal):
            reopened(restored({key: journal[key] for key in journal if key != name}))


def test_a_lost_rewrite_is_noticed() -> None:
    """A record that changed no term and no index is missed too, when it is cut off."""
    disk = FaultyDisk()
    files, _ = opened(disk)
    files.persist([write(entries(1, 1, 1))])
    before = len(disk.read(PLACE / "journal-0000000001").rstrip(b"\0"))
    files.persist([write(evolve(entries(2, 1), payloads=(b"other",)))])
    files.close()
    reopened(disk)
    content = disk.read(PLACE / "journal-0000000001")
    disk.put(PLACE / "journal-0000000001", content[:before])
    with pytest.raises(CorruptJournal, match="does not go on where segment 1 ends"):
        reopened(disk)


def test_a_journal_without_segments_is_noticed(journal: dict[str, bytes]) -> None:
    """Snapshots without a journal are not taken for a new server."""
    snapshots = {name: journal[name] for name in journal if name.startswith("snapshot")}
    with pytest.raises(CorruptJournal, match="is missing"):
        reopened(restored(snapshots))


def test_zeroed_sectors_are_noticed() -> None:
    """A sector of zeros before the last record is damage, not the end of the journal."""
    disk = FaultyDisk()
    files = JournalFiles(evolve(LAYOUT, segment_bytes=1 << 20), Outline(mark=BOOT), disk)
    files.load()
    for first in (1, 41, 81):
        files.persist([write(entries(first, *[1] * 40))])
    files.close()
    name = "journal-0000000001"
    content = contents(disk)[name]
    written = len(content.rstrip(b"\0"))
    assert written > 3 * 512
    for start in range(0, written - 512, 512):
        damaged = bytearray(content)
        damaged[start : start + 512] = bytes(512)
        with pytest.raises(CorruptJournal):
            reopened(restored({name: bytes(damaged)}))


def test_the_snapshot_in_force_must_be_there() -> None:
    """A journal whose snapshot is gone is refused before the server starts."""
    disk = FaultyDisk()
    lived(disk)
    disk.remove(PLACE / "snapshot-00000000000000000015-00000000000000000006")
    with pytest.raises(CorruptJournal, match="in force is missing"):
        reopened(disk)


def test_every_flipped_bit_of_a_snapshot_is_noticed() -> None:
    """A damaged snapshot is never handed out."""
    disk = FaultyDisk()
    files, _ = opened(disk)
    files.save_snapshot(SECOND, (b"state",))
    name = "snapshot-00000000000000000002-00000000000000000001"
    content = disk.read(PLACE / name)
    snapshot = files.open_snapshot(SECOND)
    assert snapshot.read(0, snapshot.size) == b"state"
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        disk.put(PLACE / name, bytes(damaged))
        with pytest.raises(CorruptJournal):
            files.open_snapshot(SECOND)
    for size in range(len(content)):
        disk.put(PLACE / name, content[:size])
        with pytest.raises(CorruptJournal):
            files.open_snapshot(SECOND)


def test_a_misplaced_snapshot_is_noticed() -> None:
    """A snapshot under another's name is never handed out."""
    disk = FaultyDisk()
    files, _ = opened(disk)
    files.save_snapshot(SECOND, (b"state",))
    files.save_snapshot(NINTH, (b"other",))
    content = disk.read(PLACE / "snapshot-00000000000000000009-00000000000000000004")
    disk.put(PLACE / "snapshot-00000000000000000002-00000000000000000001", content)
    with pytest.raises(CorruptJournal, match="another state"):
        files.open_snapshot(SECOND)


def test_trim_deletes_what_nobody_needs() -> None:
    """Segments and snapshots that are not needed go; what is found stays the same."""
    disk = FaultyDisk()
    files, _ = opened(disk)
    for first in range(1, 401, 20):
        files.persist([write(entries(first, *[1] * 20))])
    mark = SnapshotMark(395, 1, 10)
    files.save_snapshot(SnapshotMark(3, 1, 10), (b"old",))
    files.save_snapshot(mark, (b"new",))
    many = len(disk.names(PLACE))
    files.trim(Trim(mark, 391, 1))
    files.close()

    assert len(disk.names(PLACE)) < many / 2
    assert [name for name in disk.names(PLACE) if name.startswith("snapshot")] == [
        "snapshot-00000000000000000395-00000000000000000001"
    ]
    found = reopened(disk)
    assert (found.mark, found.entries) == (mark, entries(391, *[1] * 10))


def test_a_reset_needs_its_snapshot() -> None:
    """A snapshot that was not saved does not come into force: the log before it would be lost."""
    disk = FaultyDisk()
    files, _ = opened(disk)
    with pytest.raises(StorageError, match="was not saved"):
        files.persist([write(reset=NINTH)])
    files.close()

    assert EXPECTED[0] == reopened(disk)
