"""Servers connected by TCP: one connection for each pair, dialled by whoever has something to say.

Both ends of a connection send on it, so a server can answer one whose address it does not know
yet. When two servers dial each other at the same moment there are two connections, and each end
uses the newer one: after a crash that is the one which works. Who may say what is the core's
business. With `tls` only servers are let in that prove their names (see `quorum.trio.tls`);
without, whoever reaches the port and names the cluster, so keep the port to yourselves then.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from math import inf
from random import Random
from typing import Any

import trio
from attrs import define, field

from quorum.config import Config
from quorum.effects import Send
from quorum.errors import ConfigError, ProtocolError, QuorumError
from quorum.events import Received
from quorum.framing import FRAME_BYTES_MAX, FrameReader, frame
from quorum.messages import InstallSnapshot, Message, NodeId
from quorum.storage import StoredSnapshot
from quorum.trio import transfer
from quorum.trio.connection import (
    HANDSHAKE_TIMEOUT,
    MAGIC,
    Connection,
    Stream,
    greet,
    welcome,
)
from quorum.trio.link import Receiver
from quorum.trio.tls import Tls, certificate_names
from quorum.wire import Hello, Purpose, decode, encode, frame_bytes_max

__all__ = ["MAGIC", "TcpLinks"]

CONNECTIONS_MAX = 128
"""Accepted connections at a time; more are closed at once."""

SNAPSHOTS_MAX = 2
"""Snapshots received at a time; more are refused, and tried again by their senders."""

PARTIAL_SECONDS_MAX = 600.0
"""Seconds for which the beginning of an interrupted snapshot is kept."""

WAITING_BYTES_MAX = 1 << 20
"""Bytes kept for a peer while it is dialled; the oldest frames are dropped."""

BACKOFF_MIN, BACKOFF_MAX = 0.05, 1.0
"""Seconds between attempts to dial: doubled each time, and spread by chance."""

log = logging.getLogger("quorum")


@define(eq=False)
class _Peer:
    """What is known of another server."""

    name: NodeId
    address: str | None = None
    connection: Connection | None = None
    """The newest one."""
    dialling: bool = False
    complaint: str = ""
    """Why it could not be reached the last time, as it was logged."""
    waiting: deque[bytes] = field(factory=deque)
    waiting_bytes: int = 0

    def keep(self, frames: Sequence[bytes]) -> None:
        """Keep frames until there is a connection."""
        self.waiting.extend(frames)
        self.waiting_bytes += sum(map(len, frames))
        while self.waiting_bytes > WAITING_BYTES_MAX:
            self.waiting_bytes -= len(self.waiting.popleft())

    def take_waiting(self) -> list[bytes]:
        """The frames kept."""
        frames = list(self.waiting)
        self.waiting.clear()
        self.waiting_bytes = 0
        return frames


class TcpLinks:
    """One server's TCP connections; hand it to `open_server`.

    `cluster` names the cluster: servers of another one are refused. `addresses` says where peers
    listen (`host:port`); those in a configuration (`Members.addresses`) are learned by themselves.
    Either `listen` on a host and port (0: any free one, see `address`), or hand in a `listener`
    whose streams still begin with `MAGIC` (look with `MSG_PEEK`). `config` is the server's. With
    `tls` both ends of every connection prove who they are, and nobody else can read it; all servers
    have it, or none. `snapshot_rate` is the most bytes per second at which each snapshot is sent
    (None: as fast as it goes): too small, and the log grows faster than a follower catches up.
    """

    def __init__(
        self,
        id: NodeId,
        cluster: str,
        *,
        listen: tuple[str, int] | None = None,
        listener: trio.abc.Listener[trio.SocketStream] | None = None,
        addresses: Mapping[NodeId, str] | None = None,
        config: Config = Config(),  # noqa: B008 - a frozen value
        tls: Tls | None = None,
        snapshot_rate: float | None = None,
        random: Random | None = None,
    ) -> None:
        if (listen is None) == (listener is None):
            raise ConfigError("TcpLinks needs either `listen` or a `listener`")
        if snapshot_rate is not None and not transfer.RATE_MIN <= snapshot_rate < inf:
            raise ConfigError(
                f"snapshot_rate is {snapshot_rate} bytes per second, must be at least "
                f"{transfer.RATE_MIN}, or None"
            )
        self._frame_limit = frame_bytes_max(config)
        if self._frame_limit == FRAME_BYTES_MAX:
            raise ConfigError(
                f"command_bytes_max and message_bytes_max must leave room within a frame of "
                f"{FRAME_BYTES_MAX} bytes"
            )
        self.id = id
        self._cluster = cluster
        self._listen = listen
        self._listener = listener
        self._tls = tls
        self._random = random or Random()
        self._peers: dict[NodeId, _Peer] = {}
        self._receiver: Receiver | None = None
        self._nursery: trio.Nursery | None = None
        self._address: str | None = None
        self._accepted = 0
        self._snapshots = 0
        self._snapshot_rate = snapshot_rate
        self._shelf = transfer.Shelf()
        for peer, address in (addresses or {}).items():
            self.learn(peer, address)

    @property
    def address(self) -> str:
        """Where this server listens (`host:port`), once it runs; with `listen` only."""
        if self._address is None:
            raise RuntimeError("the address is known while the server runs, and with `listen` only")
        return self._address

    def learn(self, peer: NodeId, address: str) -> None:
        """See `Link.learn`."""
        self._peers.setdefault(peer, _Peer(peer)).address = address

    async def run(
        self,
        receiver: Receiver,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `Link.run`."""
        self._receiver = receiver
        listeners = await self._open_listeners()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                await trio.serve_listeners(self._serve, listeners, handler_nursery=nursery)
        finally:
            self._nursery = self._receiver = self._address = None
            self._shelf.clear()
            for peer in self._peers.values():
                peer.connection, peer.dialling = None, False

    def send(self, sends: Sequence[Send]) -> None:
        """See `Link.send`."""
        frames: dict[NodeId, list[bytes]] = {}
        message: Message | None = None
        encoded = b""
        for send in sends:
            if send.message is not message:  # a round's message is the same object for many
                message = send.message
                encoded = frame(encode(message))
            frames.setdefault(send.to, []).append(encoded)
        for name, batch in frames.items():
            peer = self._peers.get(name)
            if peer is None:
                continue  # neither told its address, nor connected any more
            if peer.connection is not None:
                peer.connection.send(batch)
            else:
                peer.keep(batch)
                self._dial_if_needed(peer)

    async def send_snapshot(
        self, to: NodeId, message: InstallSnapshot, snapshot: StoredSnapshot
    ) -> None:
        """See `Link.send_snapshot`."""
        peer = self._peers.get(to) or _Peer(to)
        stream, reader = await self._connect(peer, Purpose.SNAPSHOT)
        try:
            await transfer.send(stream, reader, message, snapshot, rate=self._snapshot_rate)
        except trio.BrokenResourceError as error:
            raise ConnectionError("the connection broke") from error
        finally:
            await trio.aclose_forcefully(stream)

    # Accepting.

    async def _open_listeners(self) -> list[Any]:
        if self._listener is not None:
            return [self._listener]
        assert self._listen is not None
        host, port = self._listen
        listeners = await trio.open_tcp_listeners(port, host=host)
        port = listeners[0].socket.getsockname()[1]
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return listeners

    async def _serve(self, raw: trio.SocketStream) -> None:
        """One accepted connection, from its first byte to its last. Never raises."""
        if self._accepted >= CONNECTIONS_MAX:
            log.warning("%s has %d connections, closes a new one", self.id, self._accepted)
            await trio.aclose_forcefully(raw)
            return
        self._accepted += 1
        caller = "a stranger"
        try:
            with trio.fail_after(HANDSHAKE_TIMEOUT):
                stream, hello, reader = await self._welcome(raw)
            caller = hello.sender
            if caller == self.id:
                raise ProtocolError("it has our own name: give every server another one")
            if hello.purpose is Purpose.SNAPSHOT:
                await self._receive_snapshot(stream, reader, hello.sender)
            else:
                peer = self._peers.setdefault(hello.sender, _Peer(hello.sender))
                await self._converse(stream, reader, peer)
        except trio.TooSlowError:
            log.warning("%s closes a connection whose caller never said hello", self.id)
        except (QuorumError, OSError, trio.BrokenResourceError) as error:
            log.warning("%s closes the connection from %s: %s", self.id, caller, error)
        finally:
            self._accepted -= 1
            await trio.aclose_forcefully(raw)

    async def _welcome(self, raw: trio.SocketStream) -> tuple[Stream, Hello, FrameReader]:
        ours = Hello(self._cluster, self.id)
        if self._tls is None:
            return raw, *await welcome(raw, ours, limit=self._frame_limit)
        stream = await self._tls.accept(raw)
        names = certificate_names(stream)
        return stream, *await welcome(stream, ours, limit=self._frame_limit, names=names)

    async def _receive_snapshot(self, stream: Stream, reader: FrameReader, sender: NodeId) -> None:
        assert self._receiver is not None
        if self._snapshots >= SNAPSHOTS_MAX:
            raise ProtocolError(f"{self._snapshots} snapshots are being received already")
        self._snapshots += 1
        try:
            await transfer.receive(stream, reader, sender, self._receiver, self._shelf)
        finally:
            self._snapshots -= 1
            kept = self._shelf.kept
            if kept is not None and kept.sender == sender and self._nursery is not None:
                self._nursery.start_soon(self._forget, kept)

    async def _forget(self, partial: transfer.Partial) -> None:
        """Do not keep what nobody goes on with."""
        await trio.sleep(PARTIAL_SECONDS_MAX)
        if self._shelf.kept is partial:
            self._shelf.clear()

    async def _converse(self, stream: Stream, reader: FrameReader, peer: _Peer) -> None:
        """Exchange messages until the connection ends."""
        assert self._receiver is not None
        assert self._nursery is not None
        receiver, name = self._receiver, peer.name
        connection = Connection(stream, reader, self._nursery)
        peer.connection = connection
        waiting = peer.take_waiting()
        if waiting:
            connection.send(waiting)
        try:
            while bodies := await connection.receive():
                receiver.received([Received(name, decode(body)) for body in bodies])
        finally:
            if peer.connection is connection:
                peer.connection = None
                if peer.address is None:
                    self._peers.pop(name, None)

    # Dialling.

    def _dial_if_needed(self, peer: _Peer) -> None:
        if self._nursery is not None and not peer.dialling and peer.address is not None:
            peer.dialling = True
            self._nursery.start_soon(self._dial, peer)

    async def _dial(self, peer: _Peer) -> None:
        """Dial until there is a connection or nothing to say; again when it is lost."""
        backoff = BACKOFF_MIN
        while peer.connection is None and peer.waiting:
            begun = trio.current_time()
            try:
                stream, reader = await self._connect(peer, Purpose.MESSAGES)
                async with stream:
                    log.info("%s is connected to %s", self.id, peer.name)
                    await self._converse(stream, reader, peer)
            except (OSError, QuorumError) as error:
                self._complain(peer, error)
            if trio.current_time() - begun > BACKOFF_MAX:
                backoff = BACKOFF_MIN
            peer.take_waiting()  # stale by the time of the next attempt
            await trio.sleep(backoff * (0.5 + self._random.random()))
            backoff = min(2 * backoff, BACKOFF_MAX)
        peer.dialling = False

    def _complain(self, peer: _Peer, error: Exception) -> None:
        """Log why a peer cannot be reached, once."""
        complaint = str(error)
        if complaint != peer.complaint:
            peer.complaint = complaint
            log.warning("%s cannot reach %s: %s", self.id, peer.name, complaint)

    async def _connect(self, peer: _Peer, purpose: Purpose) -> tuple[Stream, FrameReader]:
        """A connection after its handshake; OSError or ProtocolError when there is none."""
        host, port = _parse(peer)
        try:
            with trio.fail_after(HANDSHAKE_TIMEOUT):
                raw = await trio.open_tcp_stream(host, port)
                try:
                    return await self._introduce(raw, peer, purpose)
                except BaseException:
                    await trio.aclose_forcefully(raw)
                    raise
        except trio.TooSlowError as error:
            raise ConnectionError(f"no answer within {HANDSHAKE_TIMEOUT:g} s") from error
        except trio.BrokenResourceError as error:
            raise ConnectionError("the connection broke in the handshake") from error

    async def _introduce(
        self, raw: trio.SocketStream, peer: _Peer, purpose: Purpose
    ) -> tuple[Stream, FrameReader]:
        """Say who we are; the other end must be the server that the address was given for."""
        ours = Hello(self._cluster, self.id, purpose)
        stream: Stream = raw
        if self._tls is None:
            hello, reader = await greet(raw, ours, limit=self._frame_limit)
        else:
            stream = await self._tls.dial(raw, peer.name)
            hello, reader = await greet(stream, ours, limit=self._frame_limit, magic=b"")
        if hello.sender != peer.name:
            raise ProtocolError(
                f"at {peer.address} is {hello.sender}, not {peer.name}: correct the address"
            )
        peer.complaint = ""
        return stream, reader


def _parse(peer: _Peer) -> tuple[str, int]:
    host, colon, port = (peer.address or "").rpartition(":")
    if not colon or not port.isdecimal():
        known = "not known" if peer.address is None else f"{peer.address!r}, not host:port"
        raise ConnectionError(f"the address of {peer.name} is {known}")
    return host.removeprefix("[").removesuffix("]"), int(port)
