"""Go on with one server when a majority is lost for good: `python -m quorum.recover DIRECTORY ...`.

Raft cannot do this, by design: without a majority of the old configuration nobody can know what
was committed. So this is an unsafe operation, for the case that the disks of a majority will never
come back. It takes the directory of ONE surviving server, which must not run, and appends a new
configuration to the end of its log, in a term that none of the old servers will reach. When the
server starts again it goes by that configuration, and all that is in its log counts as committed.

    1. Stop all servers that are left. Run this on each of them, with --members and its own name,
       without --yes: it changes nothing, and tells where the log ends. Choose the one whose last
       entry has the highest term; among equals, the highest index.
    2. Run it on that one again, with --yes.
    3. Start it, and add new servers under new names, with empty directories, as usual.
    4. Never start the other old servers on their old disks again. A majority of them would be a
       second cluster that knows nothing of this one.

Without --yes nothing is changed. With it the directory is copied first, to
DIRECTORY.before-recovery.

The exit status is 0 if it was done (or could be done), 1 if it was refused, 2 if the command makes
no sense.
"""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import evolve, frozen

from quorum.effects import Persist
from quorum.errors import QuorumError, StorageError
from quorum.events import Recovered
from quorum.messages import Entries, Index, Kind, Members, Term
from quorum.storage.bodies import Opening
from quorum.storage.disk import Disk, RealDisk
from quorum.storage.files import JournalFiles, Layout, read_segments
from quorum.storage.format import read
from quorum.storage.recovery import corrupt, parse, recover
from quorum.storage.replay import Outline

TERM_LEAP = 1 << 20
"""Added to the survivor's term: others that still run elections must not reach the new one."""


@frozen
class Plan:
    """What was found in the directory of a survivor, and what is to become of it."""

    layout: Layout
    found: Recovered
    before: Members
    before_index: Index
    after: Members

    @property
    def last_index(self) -> Index:
        """Where the survivor's log ends."""
        return self.found.entries.last

    @property
    def last_term(self) -> Term:
        """The term of its last entry."""
        entries = self.found.entries
        return entries.terms[-1] if entries else self.found.base_term

    @property
    def order(self) -> Persist:
        """What is to be written: the new configuration, in a new term, voted for by nobody else."""
        entries, term = self.found.entries, self.found.term + TERM_LEAP
        stamp = entries.stamps[-1] if entries else self.found.mark.stamp
        payload = self.after.to_bytes()
        run = Entries(entries.last + 1, (term,), (stamp,), bytes([Kind.MEMBERS]), (payload,))
        return Persist(1, term, self.layout.node, run)

    @property
    def backup(self) -> Path:
        """Where the directory is copied to."""
        directory = self.layout.directory.resolve()
        return directory.with_name(f"{directory.name}.before-recovery")


def examine(directory: Path, members: Members, *, disk: Disk) -> Plan:
    """See what there is and whether the operation makes sense; changes nothing.

    Raise StorageError if a server runs here, the journal is damaged, or the members leave it out.
    """
    if not any(name.startswith("journal-") for name in disk.names(directory)):
        raise StorageError(f"{directory} has no journal: it is not a server's data directory")
    try:
        lock = disk.lock(directory / "lock")
    except BlockingIOError:
        raise StorageError(f"a server runs on {directory}: stop it first") from None
    try:
        owner = _owner(directory, disk)
        segments = read_segments(disk, directory)
        recovery = recover(segments, node=owner.node, cluster=owner.cluster)
        found = recovery.replay.recovered()
    except ValueError as error:
        raise corrupt(str(directory), 0, str(error)) from error
    finally:
        lock.close()
    if owner.node not in members.voters:
        raise StorageError(
            f"{directory} belongs to {owner.node!r}, which --members leaves out: it is the only "
            f"one that has the data"
        )
    before, index = found.mark.members, found.mark.members_index
    for entry in found.entries:
        if entry.kind is Kind.MEMBERS:
            before, index = Members.from_bytes(entry.payload), entry.index
    addresses = {**dict(before.addresses), **dict(members.addresses)}
    kept = tuple(pair for pair in addresses.items() if pair[0] in members.voters)
    layout = Layout(directory, owner.node, owner.cluster)
    return Plan(layout, found, before, index, evolve(members, addresses=kept))


def describe(plan: Plan) -> Iterator[str]:
    """Lines of text: what is there, what will be, and what is lost or may be."""
    last = plan.last_index
    kept = f"everything up to entry {last}" if last else "nothing: its log is empty"
    others = tuple(name for name in plan.before.everyone if name != plan.layout.node)
    yield (
        f"server {plan.layout.node!r} of cluster {plan.layout.cluster!r}: term {plan.found.term}, "
        f"last entry {last} of term {plan.last_term}, snapshot at {plan.found.mark.index}"
    )
    yield f"configuration in force, of entry {plan.before_index}: {_names(plan.before)}"
    yield f"new configuration, at entry {last + 1} of term {plan.order.term}: {_names(plan.after)}"
    yield ""
    yield f"Kept: {kept}, whether or not a majority had it. All of it will count as committed,"
    yield "  so a proposal may happen whose caller was told that it never would, or might not."
    yield f"Lost: whatever the others acknowledged without this server, after entry {last}, and"
    yield "  whatever replaced entries of this log in a later term. That cannot be seen from here."
    yield "  If another survivor's last entry has a higher term, or the same and a higher index,"
    yield "  recover that one instead."
    yield f"Never start again on their old disks: {', '.join(others) or 'nobody else'}."


def perform(plan: Plan, *, disk: Disk) -> None:
    """Copy the directory, then append the new configuration to the journal, durably.

    Raise StorageError, and leave the journal as it was, if a copy is there or the journal changed.
    """
    if plan.backup.exists():
        raise StorageError(
            f"{plan.backup} is there already, from an earlier recovery: move it away first"
        )
    shutil.copytree(plan.layout.directory, plan.backup)
    files = JournalFiles(plan.layout, Outline(), disk)
    found, _ = files.load()
    try:
        if found != plan.found:
            raise StorageError("the journal has changed meanwhile; nothing was recovered")
        files.persist([plan.order])
    finally:
        files.close()


def _owner(directory: Path, disk: Disk) -> Opening:
    """Whose journal it is, by its first segment."""
    segment = next(read_segments(disk, directory))
    record = read(segment.data, 0)
    opening = parse(segment.name, record) if record is not None else None
    if not isinstance(opening, Opening):
        raise corrupt(segment.name, 0, "it does not begin with an opening")
    return opening


def _names(members: Members) -> str:
    addresses = dict(members.addresses)
    voters = [
        f"{name} at {addresses[name]}" if name in addresses else name for name in members.voters
    ]
    text = f"voters {', '.join(voters) or 'none'}"
    if members.outgoing:
        text += f"; a change under way from {', '.join(members.outgoing)}"
    return text + (f"; learners {', '.join(members.learners)}" if members.learners else "")


def _members(text: str) -> Members:
    """The members in `n1=host:port,n2`."""
    addresses: dict[str, str] = {}
    names = []
    for part in text.split(","):
        name, equals, address = part.strip().partition("=")
        port = address.rpartition(":")[2]
        if not name or (equals and not (port.isdecimal() and address.rpartition(":")[0])):
            raise ArgumentTypeError(f"{part!r} is neither NAME nor NAME=HOST:PORT")
        names.append(name)
        if equals:
            addresses[name] = address
    if len(set(names)) < len(names):
        raise ArgumentTypeError("a name is there twice")
    return Members(voters=names, addresses=addresses.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = ArgumentParser(
        prog="python -m quorum.recover",
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, help="the data directory of one survivor")
    parser.add_argument(
        "--members",
        type=_members,
        required=True,
        metavar="NAME[=HOST:PORT],...",
        help="the voters of the new configuration: best the survivor alone",
    )
    parser.add_argument("--yes", action="store_true", help="do it; without this, only tell")
    options = parser.parse_args(arguments)
    write = sys.stdout.write
    disk = RealDisk()
    try:
        plan = examine(options.directory, options.members, disk=disk)
        for line in describe(plan):
            write(f"{line}\n")
        if not options.yes:
            write("\nNothing was changed. To do it, run this again with --yes.\n")
            return 0
        perform(plan, disk=disk)
    except (QuorumError, OSError, shutil.Error) as error:
        write(f"refused: {error}\n")
        return 1
    write(
        f"\nDone. The directory as it was is in {plan.backup}. Start the server, then add others.\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
