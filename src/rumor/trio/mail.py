"""Mail: an agent's datagrams, as bytes towards the port and as events and orders towards the core.

What is sealed is opened before it is decoded; what cannot be opened or decoded is dropped and
counted, and nobody hears of it.
"""

from __future__ import annotations

import logging
import os

import trio
from attrs import frozen

from rumor.effects import Send
from rumor.errors import ForeignCluster, NotAuthentic, ProtocolError, Replayed
from rumor.events import Received
from rumor.guard import Guard
from rumor.keyring import NONCE_BYTES, Keyring
from rumor.messages import Address, Name
from rumor.trio.ports import Port
from rumor.trio.traffic import Traffic
from rumor.wire import Wire

logger = logging.getLogger("rumor")


@frozen
class Mail:
    """The datagrams of one agent; without a guard they are neither secret nor authentic."""

    name: Name
    port: Port
    wire: Wire
    guard: Guard | None
    traffic: Traffic

    def send(self, order: Send) -> None:
        """Let a datagram out; if it cannot leave, it is lost, as on any link."""
        data = self.wire.pack(order.message, order.gossip)
        if self.guard is not None:
            data = self.guard.seal(data, order.to)
        self._emit(data, order.to)

    def take(self, count_max: int) -> list[Received]:
        """Take the datagrams that are there, `count_max` at most."""
        received: list[Received] = []
        for _ in range(count_max):
            try:
                data, source = self.port.receive_nowait()
            except trio.WouldBlock:
                break
            self.traffic.datagrams_received += 1
            try:
                plain = self._open(data, source)
                if plain is not None:
                    received.append(Received(source, *self.wire.unpack(plain)))
            except ProtocolError as error:
                self._drop(source, error)
        return received

    def _open(self, data: bytes, source: Address) -> bytes | None:
        if self.guard is None:
            return data
        opened = self.guard.open(data, source)
        if opened.to is not None:
            self.traffic.datagrams_challenged += 1
            self._emit(opened.packet, opened.to)
        return opened.data

    def _emit(self, data: bytes, to: Address) -> None:
        if self.port.send_nowait(data, to):
            self.traffic.datagrams_sent += 1
            self.traffic.bytes_sent += len(data)
        else:
            self.traffic.datagrams_unsent += 1

    def _drop(self, source: Address, error: ProtocolError) -> None:
        match error:
            case Replayed():
                self.traffic.datagrams_replayed += 1
            case NotAuthentic():
                self.traffic.datagrams_unauthentic += 1
            case ForeignCluster():
                self.traffic.datagrams_foreign += 1
            case _:
                self.traffic.datagrams_malformed += 1
        logger.debug("%s: datagram from %s:%d dropped: %s", self.name, *source, error)


def guard_of(name: Name, keyring: Keyring | None, cluster: str) -> Guard | None:
    """Make the guard that goes with these keys; to have none is a choice that is logged."""
    if keyring is None:
        logger.warning("%s: no keys: gossip is neither secret nor authentic", name)
        return None
    return Guard(keyring, cluster, nonce=lambda: os.urandom(NONCE_BYTES))
