"""Look into a server's data directory: `python -m quorum.inspect DIRECTORY`. Changes nothing.

Prints the segments of the journal, the records in them with `--records`, the state that a restart
would find, the snapshots, and what is wrong with any of it. The exit status is 0 if a server could
start from the directory, 1 if not, 2 if there is nothing to look at. A server that is running may
write meanwhile; its last record may then look torn.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from quorum.effects import Persist, Trim
from quorum.errors import CorruptJournal
from quorum.storage.bodies import Opening, unpack_body
from quorum.storage.disk import Disk, RealDisk, Source
from quorum.storage.files import read_segments
from quorum.storage.format import Link, Record, judge_tail, read
from quorum.storage.recovery import Segment, records, recover
from quorum.storage.replay import Outline
from quorum.storage.snapshots import check_snapshot, parse_snapshot_name, snapshot_name


def describe(directory: Path, *, disk: Disk, each_record: bool = False) -> Iterator[str]:
    """Lines of text about a data directory; the last one begins with "ok" or "damaged"."""
    names = disk.names(directory)
    owner: Opening | None = None
    for segment in read_segments(disk, directory):
        opening = yield from _describe_segment(segment, each_record=each_record)
        owner = owner or opening
    for name in names:
        if parse_snapshot_name(name) is not None:
            yield _describe_snapshot(name, disk.open(directory / name))
    if owner is None:
        yield "damaged: no segment opens the journal"
        return
    try:
        recovery = recover(read_segments(disk, directory), node=owner.node, cluster=owner.cluster)
        recovered = recovery.replay.recovered()
    except (CorruptJournal, ValueError) as error:
        yield f"damaged: {error}"
        return
    outline = recovery.replay.outline
    if outline.mark.index > 0 and snapshot_name(outline.mark) not in names:
        yield f"damaged: {snapshot_name(outline.mark)}, which is in force, is missing"
        return
    yield f"server {owner.node!r} of cluster {owner.cluster!r}: {_outline(outline)}"
    if recovery.dropped:
        yield f"a torn write of {recovery.dropped} bytes at the end, never acknowledged, is ignored"
    yield f"ok: {recovery.records} records, {len(recovered.entries)} entries"


def _describe_segment(
    segment: Segment, *, each_record: bool
) -> Generator[str, None, Opening | None]:
    """Lines about a segment; returns its opening, if it has one."""
    data = segment.data
    first = read(data, 0)
    if first is None:
        yield f"{segment.name}: {len(data)} bytes, does not begin with a whole record"
        return None
    start = Link(first.link.sequence - 1, first.previous)
    found = list(records(data, 0, start))
    last = found[-1]
    tail = judge_tail(data, last.stop, last.link)
    yield (
        f"{segment.name}: {len(data)} bytes, records {first.link.sequence} to "
        f"{last.link.sequence} in {last.stop} bytes, then {tail.value}"
    )
    opening = None
    for record in found:
        what, opening = _describe_record(record, opening)
        if each_record:
            yield f"  at {record.start}, {len(record.body)} bytes: {what}"
    return opening


def _describe_record(record: Record, opening: Opening | None) -> tuple[str, Opening | None]:
    try:
        body = unpack_body(record.body)
    except ValueError as error:
        return f"makes no sense: {error}", opening
    if isinstance(body, Opening):
        return f"opening of {body.node!r}, {_outline(body.outline)}", opening or body
    return "; ".join(map(_order, body.orders)), opening


def _order(order: Persist | Trim) -> str:
    if isinstance(order, Trim):
        return f"trim to {order.first}, snapshot {order.mark.index} in force"
    if order.reset is not None:
        return f"reset to snapshot {order.reset.index} of term {order.reset.term}"
    if order.entries:
        run = order.entries
        size = sum(map(len, run.payloads))
        return f"entries {run.first} to {run.last}, terms up to {run.terms[-1]}, {size} bytes"
    return f"term {order.term}, vote {order.vote or 'none'}"


def _outline(outline: Outline) -> str:
    log = f"log {outline.first} to {outline.last}" if outline.last >= outline.first else "empty log"
    return (
        f"term {outline.term}, vote {outline.vote or 'none'}, {log}, "
        f"snapshot {outline.mark.index} in force, voters {', '.join(outline.mark.members.voters)}"
    )


def _describe_snapshot(name: str, source: Source) -> str:
    try:
        found = check_snapshot(source)
    except ValueError as error:
        return f"{name}: damaged: {error}"
    finally:
        source.close()
    return f"{name}: {found.size} bytes, voters {', '.join(found.mark.members.voters)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = ArgumentParser(
        prog="python -m quorum.inspect",
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, help="a server's data directory")
    parser.add_argument("--records", action="store_true", help="print every record")
    options = parser.parse_args(arguments)
    write = sys.stdout.write
    try:
        lines = describe(options.directory, disk=RealDisk(), each_record=options.records)
        line = ""
        for line in lines:
            write(f"{line}\n")
    except OSError as error:
        write(f"{options.directory} cannot be read: {error.strerror}\n")
        return 2
    return 0 if line.startswith("ok") else 1


if __name__ == "__main__":
    sys.exit(main())
