"""quorum.storage.replay, and the journal over it, against a dictionary of entries."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from quorum.effects import Persist, Trim
from quorum.events import Recovered
from quorum.messages import Entry, SnapshotMark
from quorum.storage.files import JournalFiles, Layout
from quorum.storage.replay import Outline, Replay
from quorum.testing import FaultyDisk, entries, write

PLACE = Path("/journal")


@define
class Model:
    """The obvious way: one entry an index."""

    log: dict[int, Entry] = field(factory=dict)
    first: int = 1
    mark: SnapshotMark = field(factory=SnapshotMark)
    base_term: int = 0

    @property
    def last(self) -> int:
        return max(self.log, default=self.first - 1)

    def append(self, order: Persist) -> None:
        assert order.entries is not None
        self.log = {at: entry for at, entry in self.log.items() if at < order.entries.first}
        self.log.update((entry.index, entry) for entry in order.entries)

    def begin(self, mark: SnapshotMark, first: int, base_term: int) -> None:
        self.log = {at: entry for at, entry in self.log.items() if at >= first}
        self.mark, self.first, self.base_term = mark, first, base_term


def same(model: Model, found: Recovered) -> bool:
    return (list(model.log.values()), model.first, model.mark, model.base_term) == (
        list(found.entries),
        found.entries.first,
        found.mark,
        found.base_term,
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_history_is_found_again(data: st.DataObject) -> None:
    """After any appends, truncations, resets, trims and restarts all three tell the same."""
    disk, model, replay = FaultyDisk(), Model(), Replay()
    layout = Layout(PLACE, "n1", "test", segment_bytes=500, fill_bytes=256)
    files = JournalFiles(layout, Outline(), disk)
    files.load()
    for term in range(1, data.draw(st.integers(1, 12)) + 1):
        match data.draw(st.sampled_from(["append", "append", "reset", "trim", "restart"])):
            case "append":
                first = data.draw(st.integers(model.first, model.last + 1))
                order = write(entries(first, *[term] * data.draw(st.integers(1, 5))), term=term)
                model.append(order)
                replay.persist(order)
                files.persist([order])
            case "reset":
                mark = SnapshotMark(model.last + data.draw(st.integers(0, 4)), term)
                files.save_snapshot(mark, (b"",))
                order = write(term=term, reset=mark)
                model.log.clear()
                model.begin(mark, mark.index + 1, mark.term)
                replay.persist(order)
                files.persist([order])
            case "trim" if model.log:
                at = data.draw(st.sampled_from(sorted(model.log)))
                if at <= model.mark.index:
                    continue
                mark = SnapshotMark(at, model.log[at].term)
                first = data.draw(st.integers(model.first, at + 1))
                base = model.log[first - 1].term if first - 1 in model.log else model.base_term
                files.save_snapshot(mark, (b"",))
                trim = Trim(mark, first, base)
                model.begin(mark, first, base)
                replay.trim(trim)
                files.trim(trim)
            case _:
                files.close()
                files = JournalFiles(layout, Outline(), disk)
                assert same(model, files.load()[0])
    files.close()

    assert same(model, replay.recovered())
    assert same(model, JournalFiles(layout, Outline(), disk).load()[0])


def test_a_gap_is_refused_and_changes_nothing() -> None:
    """Entries that do not follow the log are the caller's error."""
    replay = Replay()
    replay.persist(write(entries(1, 1)))
    with pytest.raises(ValueError, match="do not fit"):
        replay.persist(write(entries(3, 9), term=9))

    assert (replay.outline.term, replay.outline.last) == (1, 1)


def test_a_gap_in_what_was_read_is_noticed() -> None:
    """Runs that do not join up, or do not reach the outline's bounds, are not a log."""
    for runs in ([entries(2, 1)], [entries(1, 1), entries(3, 1)], [entries(1, 1, 1)]):
        with pytest.raises(ValueError, match=r"missing|does not join"):
            Replay(Outline(last=3), runs).recovered()
    with pytest.raises(ValueError, match="does not join"):
        Replay(Outline(first=5, last=4)).recovered()
