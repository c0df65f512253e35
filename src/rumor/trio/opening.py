"""Opening an agent: its port, its core and its tasks, for as long as a context lasts."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from types import MappingProxyType

import trio

from rumor.config import Config
from rumor.core.swim import Swim
from rumor.errors import AgentClosed, ConfigError, JoinFailed, ProtocolError
from rumor.fields import check_address, check_name
from rumor.guard import OVERHEAD_BYTES
from rumor.keyring import Keyring
from rumor.messages import Address, Name, Peer
from rumor.snapshot import Snapshot, SnapshotFile
from rumor.trio.agent import Agent
from rumor.trio.mail import Mail, guard_of
from rumor.trio.ports import OpenPort, open_sockets
from rumor.trio.recorder import Recorder, open_snapshot
from rumor.trio.traffic import Traffic
from rumor.trio.view import tags_of
from rumor.wire import Wire, encode, encode_meta

logger = logging.getLogger("rumor")

REJOIN_MAX = 16
"""Members of an earlier life that are asked at a time."""


@asynccontextmanager
async def open_agent(
    name: Name,
    *,
    bind: Address = ("127.0.0.1", 0),
    advertise: Address | None = None,
    meta: Mapping[str, str] = MappingProxyType({}),
    seeds: Sequence[Address] = (),
    config: Config | None = None,
    cluster: str = "default",
    keyring: Keyring | None = None,
    listener: trio.abc.Listener[trio.abc.Stream] | None = None,
    open_port: OpenPort = open_sockets,
    random: Random | None = None,
    snapshot: Path | str | None = None,
    rejoin_after_leave: bool = False,
) -> AsyncIterator[Agent]:
    """Run one member of a cluster for as long as the context lasts.

    Args:
        name: unique in the cluster, 1 to 128 bytes.
        bind: numeric host and port for UDP and TCP; port 0: any that is free for both.
        advertise: where the others are to find us, if not at `bind`; needed behind NAT, and if
            `bind` is a wildcard such as ``0.0.0.0``.
        meta: what this member says of itself, at most 512 bytes when encoded.
        seeds: addresses of some members, asked before the context begins. If none answers the
            agent goes on trying; use :meth:`Agent.join` to insist.
        config: times and limits; the LAN preset by default.
        cluster: a name of at most 64 bytes; agents of different clusters do not hear each other.
        keyring: the keys of the cluster, the same for all its members. Without it everything is
            sent in clear, anybody who reaches the port can speak for anybody; the log warns once.
        listener: gives TCP streams, if somebody else listens at the port of `bind`; each must
            still begin with the four bytes ``RUM1``. The agent closes it.
        open_port: the network; sockets by default, see :mod:`rumor.trio.memory` for another.
        random: the source of chance; seeded by the system by default.
        snapshot: a file in which the agent notes whom it knows. After a restart it asks those, with
            no seeds at all, and speaks with numbers that are believed at once. One file an agent.
        rejoin_after_leave: do so even if the former life ended with :meth:`Agent.leave`.

    Raises :class:`~rumor.errors.ConfigError` for arguments that make no sense, ``OSError`` if the
    address is taken. Leaving the context without :meth:`Agent.leave` looks like a crash to the
    others, which is what it is for.
    """
    config = Config.lan() if config is None else config
    chance = random or Random()
    wire = Wire(cluster, compress=config.compression, stream_bytes_max=config.stream_bytes_max)
    _check(name, bind, advertise)
    encoded = encode_meta(meta)
    guard = guard_of(name, keyring, cluster)
    file = open_snapshot(snapshot, cluster, name, rejoin_after_leave=rejoin_after_leave)
    before = Snapshot() if file is None else file.state
    known = list(before.members.values())
    chance.shuffle(known)
    port = await open_port(bind, listener=listener)
    try:
        me = Peer(name, advertise or port.address, before.incarnation, meta=encoded)
        mail = Mail(name, port, wire, guard, Traffic())
        swim = _swim(me, config, chance, mail, before.clock)
        async with _running(swim, mail, config, keyring, file) as (agent, nursery):
            await _join_if_possible(agent, [*seeds, *known[:REJOIN_MAX]])
            nursery.start_soon(_rejoin, agent, known[REJOIN_MAX:])
            yield agent
    finally:
        port.close()
        await trio.aclose_forcefully(port.listener)


def _swim(me: Peer, config: Config, chance: Random, mail: Mail, clock: int) -> Swim:
    return Swim(
        me,
        config,
        now=trio.current_time(),
        random=chance,
        encode=encode,
        tags_of=tags_of,
        overhead=0 if mail.guard is None else OVERHEAD_BYTES,
        clock=clock,
    )


@asynccontextmanager
async def _running(
    swim: Swim, mail: Mail, config: Config, keyring: Keyring | None, file: SnapshotFile | None
) -> AsyncIterator[tuple[Agent, trio.Nursery]]:
    """Run an agent; what the body raises comes out as it is, and not in a group."""
    recorder = None if file is None else Recorder(file, swim, config.tombstone_time)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        agent = Agent(swim, mail, config, nursery, keyring=keyring, recorder=recorder)
        nursery.start_soon(agent.run)
        try:
            yield agent, nursery
        except Exception as error:  # noqa: BLE001  # raised again below
            failure = error
        finally:
            agent.close()
            nursery.cancel_scope.cancel()
    agent.finish()
    if failure is not None:
        raise failure


async def _join_if_possible(agent: Agent, seeds: Sequence[Address]) -> None:
    try:
        await agent.join(list(dict.fromkeys(seeds)))
    except JoinFailed as error:
        logger.warning("%s: %s", agent.name, error)


async def _rejoin(agent: Agent, known: Sequence[Address]) -> None:
    """Try the members of an earlier life, a few at a time, until one of them is found."""
    for first in range(0, len(known), REJOIN_MAX):
        if len(agent.living()) > 1:
            return
        with suppress(JoinFailed, AgentClosed):
            await agent.join(known[first : first + REJOIN_MAX])


def _check(name: Name, bind: Address, advertise: Address | None) -> None:
    try:
        check_name(name)
        if advertise is not None:
            check_address(list(advertise))
    except ProtocolError as error:
        raise ConfigError(f"name={name!r}, advertise={advertise}: {error}") from error
    if advertise is None and bind[0] in ("0.0.0.0", "::", ""):  # noqa: S104  # refused, not bound
        raise ConfigError(
            f"bind={bind} is a wildcard that nobody can connect to; say in `advertise` where "
            "the others are to find this member",
        )
