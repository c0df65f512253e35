"""Raft, as the paper has it: a replicated log under your own state machine, on trio.

Three servers in one process count together; what they agree on survives any one of them:

    import trio
    from quorum import CommandMachine, Members, MemoryNetwork, MemoryStorage, open_server

    class Counter(CommandMachine):
        total = 0

        def command(self, entry):
            self.total += int(entry.payload)
            return self.total

        def snapshot(self):
            return b"%d" % self.total

        def restore(self, snapshot):
            self.total = int(snapshot)

    async def serve(name, network, counter, *, task_status):
        storage = MemoryStorage(members=Members(voters=("ann", "bob", "cem")))
        links = network.link(name)
        async with open_server(name, counter, storage=storage, links=links) as server:
            task_status.started(server)
            await trio.sleep_forever()

    async def main():
        network = MemoryNetwork()
        async with trio.open_nursery() as nursery:
            servers = {}
            for name in ("ann", "bob", "cem"):
                servers[name] = await nursery.start(serve, name, network, Counter())
            leader = servers[await servers["ann"].wait_leader()]
            print("together:", await leader.propose(b"40"), await leader.propose(b"2"))
            nursery.cancel_scope.cancel()

    trio.run(main)

For servers on several machines use `JournalStorage` and `TcpLinks` in their place. The core
(`quorum.core.raft.Raft`) is a pure function of events and time; `quorum.trio` drives it.
"""

from quorum.config import Config
from quorum.core.raft import Raft, Statistics
from quorum.effects import Announce, Role
from quorum.errors import (
    AlreadyFounded,
    ChangeRefused,
    CommandFailed,
    ConfigError,
    CorruptJournal,
    Indeterminate,
    MachineFailed,
    MachineTooOld,
    NotLeader,
    Overloaded,
    ProposalError,
    ProtocolError,
    QuorumError,
    SessionExpired,
    SnapshotFailed,
    Stopped,
    StorageError,
    Superseded,
    WrongCluster,
    WrongDirectory,
)
from quorum.machine import (
    CommandMachine,
    Failed,
    RestoresInChunks,
    SnapshotData,
    StateMachine,
    Versioned,
)
from quorum.messages import Entries, Entry, Index, Kind, Members, NodeId, SnapshotMark, Term
from quorum.sessions import Sessions
from quorum.storage import IncomingSnapshot, Storage, StoredSnapshot
from quorum.storage.journal import JournalStorage
from quorum.storage.memory import MemoryStorage
from quorum.trio.link import Link, Receiver
from quorum.trio.links import TcpLinks
from quorum.trio.memory import MemoryNetwork
from quorum.trio.server import Server, open_server
from quorum.trio.session import Session, open_session
from quorum.trio.tls import Tls

__all__ = [
    "AlreadyFounded",
    "Announce",
    "ChangeRefused",
    "CommandFailed",
    "CommandMachine",
    "Config",
    "ConfigError",
    "CorruptJournal",
    "Entries",
    "Entry",
    "Failed",
    "IncomingSnapshot",
    "Indeterminate",
    "Index",
    "JournalStorage",
    "Kind",
    "Link",
    "MachineFailed",
    "MachineTooOld",
    "Members",
    "MemoryNetwork",
    "MemoryStorage",
    "NodeId",
    "NotLeader",
    "Overloaded",
    "ProposalError",
    "ProtocolError",
    "QuorumError",
    "Raft",
    "Receiver",
    "RestoresInChunks",
    "Role",
    "Server",
    "Session",
    "SessionExpired",
    "Sessions",
    "SnapshotData",
    "SnapshotFailed",
    "SnapshotMark",
    "StateMachine",
    "Statistics",
    "Stopped",
    "Storage",
    "StorageError",
    "StoredSnapshot",
    "Superseded",
    "TcpLinks",
    "Term",
    "Tls",
    "Versioned",
    "WrongCluster",
    "WrongDirectory",
    "open_server",
    "open_session",
]
