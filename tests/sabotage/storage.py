"""Broken rules of the journal on disk."""

from __future__ import annotations

from tests.sabotage.rows import Named, broken

from quorum.storage import recovery
from quorum.storage.faulty import FaultyDisk, _FaultyFile
from quorum.storage.files import JournalFiles
from quorum.storage.format import Tail, judge_tail
from quorum.storage.replay import Replay

CRASHES = "tests/quorum/test_storage_crashes.py::"


@broken(Named("tests/quorum/test_storage_journal.py::test_a_failure_is_final"))
def failed_sync_retried(patch):
    """Syncs once more after a sync that failed, and takes the success of that for an answer."""
    sync = _FaultyFile.sync

    def sabotaged(file):
        try:
            sync(file)
        except OSError:
            sync(file)

    patch.setattr(_FaultyFile, "sync", sabotaged)


@broken(Named("tests/quorum/test_storage_journal.py::test_a_failure_is_final"))
def storage_error_swallowed(patch):
    """Reports a write that failed as done."""
    persist = JournalFiles.persist

    def sabotaged(journal, batch):
        try:
            return persist(journal, batch)
        except OSError:
            return 0.0

    patch.setattr(JournalFiles, "persist", sabotaged)


@broken(Named(CRASHES + "test_a_power_cut_anywhere_loses_nothing_acknowledged"))
def nothing_synced(patch):
    """Reports a write as durable when the system has it, not when the disk has."""
    patch.setattr(_FaultyFile, "sync", lambda _: None)


@broken(Named(CRASHES + "test_a_power_cut_anywhere_loses_nothing_acknowledged"))
def directory_not_synced(patch):
    """Syncs a new file, but not the directory that names it."""
    patch.setattr(FaultyDisk, "sync_directory", lambda *_: None)


@broken(Named(CRASHES + "test_every_flipped_bit_is_noticed"))
def damage_taken_for_a_torn_write(patch):
    """Cuts the journal at any record that is not sound, and so drops what was acknowledged."""

    def sabotaged(data, start, link):
        tail = judge_tail(data, start, link)
        return Tail.TORN if tail is Tail.DAMAGED else tail

    patch.setattr(recovery, "judge_tail", sabotaged)


@broken(Named(CRASHES + "test_a_power_cut_anywhere_loses_nothing_acknowledged"))
def torn_write_refused(patch):
    """Takes a write that a crash interrupted for damage, and refuses to start."""

    def sabotaged(data, start, link):
        tail = judge_tail(data, start, link)
        return Tail.DAMAGED if tail is Tail.TORN else tail

    patch.setattr(recovery, "judge_tail", sabotaged)


@broken(Named(CRASHES + "test_a_power_cut_anywhere_loses_nothing_acknowledged"))
def segment_in_place(patch):
    """Writes a new segment under its final name, so that a crash leaves half of it there."""

    def sabotaged(journal, name, *parts):
        file = journal._disk.create(journal._layout.directory / name)
        offset = 0
        for part in parts:
            file.write_at(part, offset)
            offset += len(part)
        file.sync()
        journal._disk.sync_directory(journal._layout.directory)
        return file

    patch.setattr(JournalFiles, "_create", sabotaged)


@broken(Named("tests/quorum/test_storage_replay.py::test_any_history_is_found_again"))
def truncation_forgotten(patch):
    """Reads back entries that were replaced by a later write."""

    def sabotaged(replay, entries):
        replay.runs.append(entries)

    patch.setattr(Replay, "_append", sabotaged)


@broken(Named(CRASHES + "test_every_flipped_bit_of_a_snapshot_is_noticed"))
def snapshot_unchecked(patch):
    """Hands out a snapshot without comparing its checksum."""
    patch.setattr("zlib.crc32", lambda *_: 0)
