"""The file of a member: whatever is whole counts, and every crash leaves a usable file."""

from __future__ import annotations

import os
from pathlib import Path

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rumor.errors import ConfigError, ProtocolError
from rumor.fields import NATURAL_MAX
from rumor.messages import NAME_BYTES_MAX
from rumor.snapshot import (
    COMPACT_BYTES_MIN,
    GONE,
    LEFT,
    MAGIC,
    MINE,
    OWNER,
    RECORD_BYTES_MAX,
    SEEN,
    Record,
    Snapshot,
    SnapshotFile,
    pack,
    read,
)

BOB, CYD = ("10.0.0.2", 7946), ("10.0.0.3", 7946)
HISTORY: list[Record] = [
    (OWNER, "c", "ada"),
    (SEEN, "bob", *BOB),
    (MINE, 1, 7),
    (SEEN, "cyd", *CYD),
    (GONE, "bob"),
    (MINE, 2, 9),
    (LEFT,),
    (MINE, 3, 9),
]

names = st.sampled_from(["bob", "cyd", "dan"])
records = st.one_of(
    st.tuples(st.just(SEEN), names, st.just("10.0.0.9"), st.integers(1, 9)),
    st.tuples(st.just(GONE), names),
    st.tuples(st.just(MINE), st.integers(0, 9), st.integers(0, 9)),
    st.just((LEFT,)),
)


def told(snapshot: Snapshot) -> tuple[object, ...]:
    """What a snapshot says, but for how it says it."""
    return (
        *(snapshot.cluster, snapshot.name, snapshot.members),
        *(snapshot.incarnation, snapshot.clock, snapshot.has_left),
    )


def after(history: list[Record]) -> tuple[object, ...]:
    """What is to be read after these records."""
    snapshot = Snapshot()
    for record in history:
        snapshot.take(record)
    return told(snapshot)


def test_the_file_says_what_was_written() -> None:
    """The last word about each thing."""
    snapshot = read(MAGIC + pack(HISTORY))

    assert told(snapshot) == ("c", "ada", {"cyd": CYD}, 3, 9, False)
    assert (snapshot.records, snapshot.dropped, snapshot.damage) == (8, 0, "")


def test_every_cut_leaves_what_came_before_it() -> None:
    """A torn record is dropped, at whatever byte it is torn."""
    data, ends = MAGIC, [len(MAGIC)]
    for record in HISTORY:
        data += pack([record])
        ends.append(len(data))
    for length in range(len(MAGIC), len(data) + 1):
        whole = sum(end <= length for end in ends) - 1
        snapshot = read(data[:length])

        assert told(snapshot) == after(HISTORY[:whole])
        assert snapshot.dropped == length - ends[whole]
        assert bool(snapshot.damage) is bool(snapshot.dropped)


def test_every_changed_bit_leaves_what_came_before_it() -> None:
    """The checksum finds it; nothing behind it counts, nothing raises but for another beginning."""
    data = MAGIC + pack(HISTORY)
    for place in range(len(MAGIC), len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            snapshot = read(bytes(changed))
            assert told(snapshot) == after(HISTORY[: snapshot.records])
            assert snapshot.records < len(HISTORY)
            assert snapshot.damage


@settings(max_examples=100)
@given(st.lists(records, max_size=30))
def test_the_compact_form_says_the_same(history: list[Record]) -> None:
    """And is compact: a record for each member, and three more at the most."""
    snapshot = read(MAGIC + pack([HISTORY[0], *history]))
    compact = snapshot.compact()

    assert told(read(MAGIC + pack(compact))) == told(snapshot)
    assert len(compact) <= len(snapshot.members) + 3


@settings(max_examples=100)
@given(st.binary(max_size=60), st.lists(st.integers() | st.text() | st.none(), max_size=4))
def test_nonsense_is_damage_and_never_an_error(noise: bytes, fields: list[object]) -> None:
    """Also if it has a checksum that fits."""
    for more in (noise, pack([tuple(fields)])):
        snapshot = read(MAGIC + pack(HISTORY[:2]) + more)
        assert told(snapshot)[:2] == ("c", "ada")
        assert snapshot.records + bool(snapshot.damage) >= 2 + bool(more)


@pytest.mark.parametrize(
    "record",
    [
        (OWNER, "c", "ada"),
        (SEEN, "bob", "example.org", 1),
        (SEEN, "", "10.0.0.1", 1),
        (SEEN, "bob", "10.0.0.1", 0),
        (MINE, -1, 0),
        (MINE, True, 0),
        (5,),
        (),
    ],
)
def test_records_are_checked(record: Record) -> None:
    """Names, addresses and numbers as strictly as what comes from the network."""
    assert read(MAGIC + pack([HISTORY[0], record])).records == 1


def test_the_largest_record_is_within_the_limit() -> None:
    """And a length beyond it is damage at once, whatever the file holds."""
    largest = (OWNER, "c" * 64, "n" * NAME_BYTES_MAX)
    numbers = (MINE, NATURAL_MAX, NATURAL_MAX)
    assert max(len(cbor2.dumps(list(r))) for r in (largest, numbers)) < RECORD_BYTES_MAX

    lying = MAGIC + pack(HISTORY) + (1 << 31).to_bytes(4, "big") + bytes(100)
    assert "limit" in read(lying).damage


def open_file(path: Path) -> SnapshotFile:
    """Open ada's file."""
    return SnapshotFile(path, cluster="c", name="ada")


def test_a_file_is_made_appended_to_and_found_again(tmp_path: Path) -> None:
    """By three lives of a member."""
    path = tmp_path / "ada"
    first = open_file(path)
    assert not first.was_there
    first.rewrite()
    for record in HISTORY[1:]:
        first.append([record])
    second = open_file(path)

    assert second.was_there
    assert told(second.state) == after(HISTORY)
    assert len(path.read_bytes()) == len(MAGIC + pack([HISTORY[0], (MINE, 0, 0), *HISTORY[1:]]))
    second.rewrite()
    assert told(open_file(path).state) == after(HISTORY)
    assert len(path.read_bytes()) < 150


def test_a_long_file_is_rewritten(tmp_path: Path) -> None:
    """It stays within twice what is needed, or the smallest size that is worth it."""
    file = open_file(tmp_path / "ada")
    sizes = []
    for number in range(6_000):
        file.append([(SEEN, "bob", "10.0.0.2", 1 + number % 9), (MINE, 1, number)])
        sizes.append((tmp_path / "ada").stat().st_size)

    assert max(sizes) <= COMPACT_BYTES_MIN
    assert sizes[-1] < max(sizes)
    assert told(open_file(tmp_path / "ada").state)[4] == 5_999


@pytest.mark.parametrize("data", [b"R", b"something else", b"RUMS2\n"])
def test_what_is_no_snapshot_is_left_alone(tmp_path: Path, data: bytes) -> None:
    """It may be the user's, named by mistake."""
    path = tmp_path / "ada"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="not a member snapshot"):
        open_file(path)
    with pytest.raises(ProtocolError):
        read(data)

    assert path.read_bytes() == data


@pytest.mark.parametrize(("cluster", "name"), [("c", "bob"), ("d", "ada")])
def test_the_file_of_another_member_is_left_alone(tmp_path: Path, cluster: str, name: str) -> None:
    """Two agents would speak with each other's numbers."""
    path = tmp_path / "ada"
    open_file(path).rewrite()
    with pytest.raises(ConfigError, match="belongs to 'ada' of cluster 'c'"):
        SnapshotFile(path, cluster=cluster, name=name)


class Crash(BaseException):
    """The process dies here."""


class Disk:
    """Counts what is done to the disk, and dies or fails at one of the steps, halfway through."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, fails_at: int, error: BaseException
    ) -> None:
        self.steps = 0
        self.fails_at = fails_at
        self.error = error
        write, fsync, replace = os.write, os.fsync, Path.replace

        def do_write(descriptor: int, data: bytes) -> int:
            if self.is_time():
                write(descriptor, data[: len(data) // 2])
                raise self.error
            return write(descriptor, data[: max(1, len(data) - 3)])  # a part, as systems may

        def do_sync(descriptor: int) -> None:
            if self.is_time():
                raise self.error
            fsync(descriptor)

        def do_replace(path: Path, target: Path) -> Path:
            if self.is_time():
                raise self.error
            return replace(path, target)

        monkeypatch.setattr(os, "write", do_write)
        monkeypatch.setattr(os, "fsync", do_sync)
        monkeypatch.setattr(Path, "replace", do_replace)

    def is_time(self) -> bool:
        """Count a step; tell whether it fails."""
        self.steps += 1
        return self.steps == self.fails_at


def live(path: Path) -> list[int]:
    """Let a member write; return how many records had been written when it died."""
    done = [0]
    file = open_file(path)
    file.rewrite()
    done.append(1)
    for record in HISTORY[1:]:
        file.append([record])
        done.append(done[-1] + 1)
        if record[0] == GONE:
            file.rewrite()
    return done


def test_a_crash_at_any_step_leaves_what_was_written_before_or_with_it(tmp_path: Path) -> None:
    """Every write, sync and renaming in turn; partial writes too."""
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, 0, Crash())
        live(tmp_path / "whole")
        steps = disk.steps
    assert steps > 30
    for fails_at in range(1, steps + 1):
        path = tmp_path / f"crash-{fails_at}"
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, fails_at, Crash())
            with pytest.raises(Crash):
                live(path)
        found = told(open_file(path).state)
        states = [after(HISTORY[:count]) for count in range(1, len(HISTORY) + 1)]
        assert found in states
        assert told(open_file(path).state) == found
        live(path)
        assert told(open_file(path).state) == after(HISTORY)


def test_a_disk_that_fails_loses_nothing_once_it_works_again(tmp_path: Path) -> None:
    """Whichever step failed, the next record that is written brings the lost one along."""
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, 0, OSError("full"))
        live(tmp_path / "whole")
        steps = disk.steps
    failed = 0
    for fails_at in range(1, steps + 1):
        path = tmp_path / f"failure-{fails_at}"
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, fails_at, OSError("full"))
            file = open_file(path)
            for record in HISTORY[1:]:
                try:
                    file.append([record])
                except OSError:
                    failed += 1
        file.append([(MINE, 3, 9)])
        assert told(open_file(path).state) == after(HISTORY)
    assert failed > 10
