"""Let a new server take the place of a damaged one: `python -m quorum.replace DIRECTORY`.

A journal with damage elsewhere than in its torn end has lost something that was promised: entries
that the server acknowledged, or a term or vote. The others still count on both, under its name. If
it came back with less it could elect a leader that lacks what is committed, or vote twice in a
term. It cannot tell what is missing, so it cannot know either when it has everything again: an old
vote may still be on its way. So it never comes back. Its place is taken by a server of another
name, which begins with nothing, has promised nothing to anybody, and gets everything from the
others as a learner, before it becomes a voter.

    1. Run this on the damaged server's directory, without --yes: it changes nothing, and tells what
       is wrong. A directory that is sound is left alone, whatever the options.
    2. Run it again with --yes. The directory is set aside, as DIRECTORY.damaged, and an empty one
       takes its place, so that nothing can start from the old one by mistake.
    3. Start a server on DIRECTORY under a NEW name, without founding members.
    4. At the leader: `await server.replace_member(old, new, address)`. One change of members takes
       the old one out and the new one in; it becomes a voter by itself once it has caught up.
    5. When it is a voter, DIRECTORY.damaged can be deleted.

A majority of sound servers must be up for step 4. If there is none, see `quorum.recover`.

The exit status is 0 if it was done (or could be done), 1 if it was refused, 2 if the command makes
no sense.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import frozen

from quorum.errors import CorruptJournal, QuorumError, StorageError
from quorum.storage.bodies import Opening, unpack_body
from quorum.storage.disk import Disk, RealDisk
from quorum.storage.files import JournalFiles, Layout, read_segments
from quorum.storage.format import read
from quorum.storage.replay import Outline


@frozen
class Damage:
    """What was found in the directory of a server that does not start."""

    directory: Path
    owner: Opening | None
    """Whose it is; None if nothing in it says so."""
    error: CorruptJournal

    @property
    def aside(self) -> Path:
        """Where the directory goes."""
        directory = self.directory.resolve()
        return directory.with_name(f"{directory.name}.damaged")


def examine(directory: Path, *, disk: Disk) -> Damage:
    """See what is wrong; changes nothing. StorageError if nothing is, or a server runs here."""
    names = disk.names(directory)
    if not any(name.startswith(("journal-", "snapshot-")) for name in names):
        raise StorageError(f"{directory} has no journal: it is not a server's data directory")
    try:
        lock = disk.lock(directory / "lock")
    except BlockingIOError:
        raise StorageError(f"a server runs on {directory}: stop it first") from None
    try:
        owner = _owner(directory, disk)
    finally:
        lock.close()
    error = _damage(directory, owner, disk)
    if error is None:
        raise StorageError(
            f"nothing is wrong with {directory}: start the server on it. To take a sound server "
            f"out of the cluster, change the members"
        )
    return Damage(directory, owner, error)


def describe(damage: Damage) -> Iterator[str]:
    """Lines of text: what is wrong, what is lost, and what is to be done."""
    owner, error = damage.owner, damage.error
    if owner is None:
        yield "Nothing readable says whose directory this is."
    else:
        yield f"Server {owner.node!r} of cluster {owner.cluster!r}."
    yield f"{error.file} is damaged at byte {error.offset}: {error.what}."
    if error.intact is not None:
        yield f"Up to entry {error.intact} it can be read. What came after, and votes since, are"
        yield "  lost here. What was committed is on other servers, as long as a majority is sound."
    name = owner.node if owner is not None else "OLD"
    yield ""
    yield f"With --yes the directory becomes {damage.aside}, and an empty one takes its place. Then"
    yield f"  start a server on it under a new name (never again as {name!r}), and at the leader:"
    yield f"  await server.replace_member({name!r}, 'NEW', 'HOST:PORT')"


def perform(damage: Damage) -> None:
    """Set the directory aside, and put an empty one in its place, durably."""
    if damage.aside.exists():
        raise StorageError(f"{damage.aside} is there already: move it away first")
    damage.directory.resolve().rename(damage.aside)
    RealDisk().make_directory(damage.directory)
    RealDisk().sync_directory(damage.directory.resolve().parent)


def _owner(directory: Path, disk: Disk) -> Opening | None:
    """Whose journal it is, by any segment whose opening can be read."""
    for segment in read_segments(disk, directory):
        record = read(segment.data, 0)
        try:
            opening = unpack_body(record.body) if record is not None else None
        except ValueError:
            continue
        if isinstance(opening, Opening):
            return opening
    return None


def _damage(directory: Path, owner: Opening | None, disk: Disk) -> CorruptJournal | None:
    """What keeps a server from starting here, or from giving its snapshot away."""
    node, cluster = (owner.node, owner.cluster) if owner is not None else ("", "")
    files = JournalFiles(Layout(directory, node, cluster), Outline(), disk)
    try:
        files.check()
    except CorruptJournal as error:
        return error
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = ArgumentParser(
        prog="python -m quorum.replace",
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, help="the data directory of the damaged server")
    parser.add_argument("--yes", action="store_true", help="do it; without this, only tell")
    options = parser.parse_args(arguments)
    write = sys.stdout.write
    try:
        damage = examine(options.directory, disk=RealDisk())
        for line in describe(damage):
            write(f"{line}\n")
        if not options.yes:
            write("\nNothing was changed. To do it, run this again with --yes.\n")
            return 0
        perform(damage)
    except (QuorumError, OSError) as error:
        write(f"refused: {error}\n")
        return 1
    write(f"\nDone: {damage.aside} is what it was, {options.directory} is empty.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
