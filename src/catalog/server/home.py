"""An agent's directory: the record of how its cluster was founded, and Raft's files.

    data_dir/
    ├── lock             held while an agent runs here
    ├── bootstrap.json   see `catalog.server.bootstrap`
    ├── keyring.json     see `catalog.node.keyring`
    └── raft/            see `quorum.storage`

Nothing that the record says is told to others before it is on the disk.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from attrs import define

from catalog.config import AgentConfig
from catalog.durably import write_durably
from catalog.errors import ProtocolError, StartError
from catalog.model import Role
from catalog.node.presence import Presence
from catalog.server.bootstrap import Founder, Founding
from quorum import Members, MemoryStorage, Storage
from quorum.storage.journal import JournalStorage

__all__ = ["Home", "open_home", "presence_of"]

RECORD = "bootstrap.json"


@define
class Home:
    """A server's memory; `directory` is `None` where it forgets all when it stops."""

    directory: Path | None
    founding: Founding

    async def remember(self, founding: Founding) -> None:
        """Keep a record; it is durable when this returns."""
        if self.directory is not None:
            await trio.to_thread.run_sync(
                write_durably, self.directory / RECORD, founding.to_bytes()
            )
        self.founding = founding

    def open_storage(self) -> Storage:
        """Return the storage of the log; only once the founding is agreed."""
        founding = self.founding
        # Who was let in begins with an empty log, and learns from it who the others are.
        members = Members(voters=[founder.name for founder in founding.founders])
        if self.directory is None:
            return MemoryStorage(members=members)
        return JournalStorage(
            self.directory / "raft",
            node=founding.me.name,
            cluster=founding.cluster_id,
            members=members,
        )


@asynccontextmanager
async def open_home(config: AgentConfig) -> AsyncIterator[Home]:
    """Hold a server's directory for as long as the block lasts.

    Raises:
        StartError: the directory cannot be used, or is not this server's.

    """
    blank = Founding(Founder(config.name, secrets.token_hex(8)), config.cluster)
    directory = config.data_dir
    if directory is None:
        yield Home(None, blank)
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("ab")
    except OSError as error:
        raise StartError(f"data_dir {directory} cannot be used: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(
                f"data_dir {directory} is in use by another agent; stop it, or use another one"
            ) from error
        founding = _read(directory, config)
        fresh = founding is None or not founding.digest
        if fresh and not config.bootstrap_expect and not config.join:
            raise StartError(
                f"data_dir {directory} has no data: say in bootstrap_expect how many servers found "
                f"the cluster, 1, 3 or 5, or in join where the one is that this server is to join"
            )
        home = Home(directory, blank if founding is None else founding)
        if founding is None:
            await home.remember(blank)
        yield home


def presence_of(config: AgentConfig, home: Home | None) -> Presence:
    """Return what an agent says of itself; of how its cluster was founded, what it remembers."""
    if home is None:
        return Presence(Role.CLIENT, config.datacenter, config.meta)
    founding = home.founding
    return Presence(
        Role.SERVER,
        config.datacenter,
        config.meta,
        expect=config.bootstrap_expect,
        nonce=founding.me.nonce,
        digest=founding.digest,
        agreed=founding.agreed,
    )


def _read(directory: Path, config: AgentConfig) -> Founding | None:
    path = directory / RECORD
    try:
        founding = Founding.from_bytes(path.read_bytes())
    except FileNotFoundError:
        if (directory / "raft").exists():
            raise StartError(
                f"data_dir {directory} has a log, but {RECORD} is missing; nothing was touched: "
                f"restore that file, or start with an empty directory under a new name"
            ) from None
        return None
    except OSError as error:
        raise StartError(f"{path} cannot be read: {error.strerror}") from error
    except ProtocolError as error:
        raise StartError(
            f"{path} is damaged ({error}); nothing was touched: restore the file, or start with an "
            f"empty directory under a new name"
        ) from error
    if (founding.me.name, founding.cluster) != (config.name, config.cluster):
        raise StartError(
            f"data_dir {directory} belongs to server {founding.me.name!r} of cluster "
            f"{founding.cluster!r}, not to {config.name!r} of {config.cluster!r}; nothing was "
            f"touched: correct the name, or use another directory"
        )
    return founding
