"""Look into a member's snapshot: `python -m rumor.inspect FILE`. Changes nothing.

Prints whose file it is, where that member's numbers stood, whom it would ask after a restart, and
what is wrong with the file. The exit status is 0 if all of it can be used, 1 if a part cannot or
none of it, 2 if there is nothing to look at. The members of a cluster that runs are told by
`catalog members`.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path

from rumor.errors import ProtocolError
from rumor.snapshot import read


def describe(data: bytes) -> Iterator[str]:
    """Lines of text about a file's bytes; the last one begins with "ok" or "damaged"."""
    if not data:
        yield "ok: an empty file, which an agent takes for a new one"
        return
    try:
        snapshot = read(data)
    except ProtocolError as error:
        yield f"damaged: {error}; an agent refuses to start with it"
        return
    if snapshot.records:
        yield f"member {snapshot.name!r} of cluster {snapshot.cluster!r}"
        yield f"incarnation {snapshot.incarnation}, clock {snapshot.clock}"
        if snapshot.has_left:
            yield "it has left, and asks nobody after a restart unless it is told to rejoin"
    for name, (host, port) in sorted(snapshot.members.items()):
        yield f"  {name}  {host}:{port}"
    if snapshot.damage:
        yield (
            f"damaged: {snapshot.damage}; the last {snapshot.dropped} bytes are ignored, "
            f"{snapshot.records} records before them count; the next start mends it"
        )
        return
    yield f"ok: {snapshot.records} records, {len(snapshot.members)} members to ask"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = ArgumentParser(prog="python -m rumor.inspect", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="the file that open_agent got as `snapshot`")
    file: Path = parser.parse_args(arguments).file
    try:
        data = file.read_bytes()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    lines = list(describe(data))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0 if lines[-1].startswith("ok") else 1


if __name__ == "__main__":
    sys.exit(main())
