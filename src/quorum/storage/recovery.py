"""From the bytes of a journal's segments to the state they amount to, or to what is wrong. No I/O.

The segments are read in order. Each opens with who owns it and where the storage stood, and
continues the chain of the one before; so a segment that lost its end, is missing, or comes from
elsewhere is noticed. What follows the last record of a segment matters in the last segment only:
in the others the next opening has vouched for where the chain went on (a torn write that an earlier
recovery has dropped stays where it was).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import define, field, frozen

from quorum.effects import Persist
from quorum.errors import CorruptJournal, WrongDirectory
from quorum.messages import Index, Members, NodeId
from quorum.storage.bodies import Body, Opening, unpack_body
from quorum.storage.format import Link, Record, Tail, judge_tail, read
from quorum.storage.replay import Replay


@frozen
class Segment:
    """One file of a journal: its number, its name for errors, and its bytes."""

    number: int
    name: str
    data: bytes


@frozen
class Kept:
    """What the storage must know of a segment that it has read."""

    number: int
    last: Index
    """Where the log ended when the segment was opened: entries up to here are in earlier ones."""
    size: int
    """Bytes up to the end of the last record."""


@define
class Recovery:
    """What was read."""

    replay: Replay
    founded: Members = field(factory=Members)
    """The members that the cluster was founded with; none on a server that was added later."""
    link: Link = field(factory=Link)
    segments: list[Kept] = field(factory=list)
    filled: int = 0
    """The size that the last segment's file had when its last record was written."""
    records: int = 0
    dropped: int = 0
    """Bytes of a torn write at the end: never acknowledged, not part of the state."""


def recover(
    segments: Iterable[Segment], *, node: NodeId, cluster: str, directory: str = "DIRECTORY"
) -> Recovery:
    """Read a journal whose first segment has the lowest number that there is.

    Raise `WrongDirectory` if it belongs to another server, `CorruptJournal` if it is damaged; its
    text names the directory.
    """
    recovery = Recovery(Replay())
    try:
        _recover(recovery, segments, node=node, cluster=cluster)
    except CorruptJournal as error:
        intact = recovery.replay.outline.last if recovery.segments else None
        what = error.file, error.offset, error.what
        raise corrupt(*what, intact=intact, directory=directory) from error.__cause__
    return recovery


def _recover(
    recovery: Recovery, segments: Iterable[Segment], *, node: NodeId, cluster: str
) -> None:
    final: Segment | None = None
    for segment in segments:
        record, opening = _open(segment, recovery)
        _check_owner(segment, opening, node=node, cluster=cluster)
        if not recovery.segments:
            recovery.replay, recovery.founded = Replay(opening.outline), opening.founded
        elif opening.outline != recovery.replay.outline:
            raise corrupt(segment.name, 0, "it does not open with the state the last one left")
        elif opening.founded != recovery.founded:
            raise corrupt(segment.name, 0, "it is of a cluster with another beginning")
        last = opening.outline.last
        stop = _take(segment, record, recovery)
        recovery.segments.append(Kept(segment.number, last, stop))
        final = segment
    if final is not None:
        _judge(final, recovery)


def records(data: bytes, start: int, link: Link) -> Iterator[Record]:
    """The records of one segment from `start` on, as far as they continue the chain."""
    while (record := read(data, start)) is not None and record.continues(link):
        yield record
        start, link = record.stop, record.link


def corrupt(
    name: str, offset: int, what: str, *, intact: Index | None = None, directory: str = "DIRECTORY"
) -> CorruptJournal:
    """The error for damage at this place, with what is lost and what to do about it."""
    lost = (
        "What is lost here cannot be told"
        if intact is None
        else f"Up to entry {intact} it can be read; what came after, and votes since, are lost here"
    )
    error = CorruptJournal(
        f"{name} is damaged at byte {offset}: {what}. {lost}. Nothing was changed. Restore the "
        f"file, or let a new server take this one's place: python -m quorum.replace {directory}"
    )
    error.file, error.offset, error.what, error.intact = name, offset, what, intact
    return error


def parse(name: str, record: Record) -> Body:
    """What a record says; `CorruptJournal` if it is whole and yet makes no sense."""
    try:
        return unpack_body(record.body)
    except ValueError as error:
        raise corrupt(name, record.start, str(error)) from error


def _open(segment: Segment, recovery: Recovery) -> tuple[Record, Opening]:
    record = read(segment.data, 0)
    if record is None:
        raise corrupt(segment.name, 0, "it does not begin with a whole record")
    opening = parse(segment.name, record)
    if not isinstance(opening, Opening):
        raise corrupt(segment.name, 0, "it does not begin with an opening")
    if recovery.segments:
        before = recovery.segments[-1]
        if segment.number != before.number + 1:
            raise corrupt(segment.name, 0, f"segment {before.number + 1} before it is missing")
        if not record.continues(recovery.link):
            raise corrupt(segment.name, 0, f"it does not go on where segment {before.number} ends")
    return record, opening


def _check_owner(segment: Segment, opening: Opening, *, node: NodeId, cluster: str) -> None:
    if (opening.node, opening.cluster) != (node, cluster):
        raise WrongDirectory(
            f"{segment.name} belongs to server {opening.node!r} of cluster {opening.cluster!r}, "
            f"not to {node!r} of {cluster!r}. It was not touched: correct the directory or the name"
        )


def _take(segment: Segment, opening: Record, recovery: Recovery) -> int:
    """Replay the records behind the opening; return where the last one ends."""
    stop = opening.stop
    recovery.link, recovery.filled = opening.link, opening.filled
    recovery.records += 1
    for record in records(segment.data, stop, recovery.link):
        body = parse(segment.name, record)
        if isinstance(body, Opening):
            raise corrupt(segment.name, record.start, "an opening in the middle of a segment")
        try:
            for order in body.orders:
                if isinstance(order, Persist):
                    recovery.replay.persist(order)
                else:
                    recovery.replay.trim(order)
        except ValueError as error:
            raise corrupt(segment.name, record.start, str(error)) from error
        recovery.link, recovery.filled, stop = record.link, record.filled, record.stop
        recovery.records += 1
    return stop


def _judge(final: Segment, recovery: Recovery) -> None:
    """Decide what is behind the last record of the last segment."""
    stop = recovery.segments[-1].size
    if len(final.data) < recovery.filled:
        what = f"it had {recovery.filled} bytes or more; it was cut, or a later file is missing"
        raise corrupt(final.name, len(final.data), what)
    tail = judge_tail(final.data, stop, recovery.link)
    if tail is Tail.DAMAGED:
        raise corrupt(final.name, stop, tail.value)
    if tail is Tail.TORN:
        recovery.dropped = len(final.data.rstrip(b"\0")) - stop
