"""The DNS interface on UDP and TCP: one task a question, and a named limit for everything.

Whoever asks too much at once gets no answer over UDP (and asks again, as clients of DNS do), and a
closed connection over TCP. A connection that says nothing for a while is closed.
Names that are not ours go to the recursors, in their order, if there are any.
"""

from __future__ import annotations

import logging
import socket
import time
from random import Random
from typing import Final

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import trio
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from catalog.api import Catalog
from catalog.config import Address, format_address, parse_address
from catalog.dns.names import Foreign, Reverse, parse_name
from catalog.dns.replies import (
    TCP_BYTES_MAX,
    format_error,
    make_reply,
    read_query,
    refusal_of,
    render,
    room_of,
)
from catalog.dns.resolve import Resolver
from catalog.dns.settings import DnsSettings
from catalog.dns.zone import Zone
from catalog.errors import CatalogError, StartError

__all__ = ["DnsServer", "serve_dns"]

log = logging.getLogger("catalog")

QUESTIONS_MAX: Final = 256
"""Questions in work at a time; one more datagram is dropped."""
CONNECTIONS_MAX: Final = 128
"""Over TCP; one more is closed."""
IDLE_SECONDS: Final = 10.0
"""How long a connection may be silent, or take to read its answer (RFC 7766, 6.2.3)."""
QUESTION_BYTES_MAX: Final = 4096
"""Of a question; none that makes sense is larger."""
ANSWER_SECONDS_MAX: Final = 5.0
"""Nobody waits longer for an answer."""
PORT_ATTEMPTS_MAX: Final = 32
"""How often a free UDP port may turn out to be taken for TCP."""


class DnsServer:
    """Answers questions; see `serve_dns`."""

    def __init__(
        self, catalog: Catalog, *, datacenter: str, settings: DnsSettings, random: Random
    ) -> None:
        texts = [one for one in (settings.domain, settings.alt_domain) if one]
        self._zones = {
            domain: Zone(domain, datacenter, settings.node_ttl, settings.service_ttl)
            for domain in (dns.name.from_text(text) for text in texts)
        }
        self._resolvers = {
            domain: Resolver(catalog, zone, settings, random=random)
            for domain, zone in self._zones.items()
        }
        self._domains = tuple(_labels(domain, lower=True) for domain in self._zones)
        self._datacenter = datacenter
        self._settings = settings
        self._busy = 0
        self._connections = 0

    async def answer(self, data: bytes, *, room: int | None = None) -> bytes | None:
        """Return the answer to a message, `None` if it deserves none.

        Args:
            data: the message.
            room: how many bytes the answer may have; `None`: what a datagram may have.

        """
        try:
            query = read_query(data)
        except ValueError:
            return format_error(data)
        if query is None:
            return None
        reply = await self._reply(query)
        return render(
            reply,
            room=room_of(query) if room is None else room,
            truncate=self._settings.truncate,
        )

    async def _reply(self, query: dns.message.Message) -> dns.message.Message:
        recursion = bool(self._settings.recursors)
        code = refusal_of(query)
        if code is not None:
            return make_reply(query, None, start=None, code=code, recursion=recursion)
        question = query.question[0]
        asked = parse_name(
            _labels(question.name), domains=self._domains, datacenter=self._datacenter
        )
        if isinstance(asked, Foreign):
            return await self._elsewhere(query)
        domain = next((one for one in self._zones if question.name.is_subdomain(one)), None)
        at = domain or next(iter(self._zones))
        start = self._zones[at].start(serial=int(time.time()))
        try:
            with trio.fail_after(ANSWER_SECONDS_MAX):
                kind = RdataType(question.rdtype)
                records = await self._resolvers[at].find(asked, question.name, kind)
        except (CatalogError, trio.TooSlowError) as error:
            log.info("dns: %s cannot be answered: %s", question.name, error)
            return make_reply(query, None, start=None, code=Rcode.SERVFAIL, recursion=recursion)
        except (ValueError, TypeError):
            records = None  # what no name of ours can be
        if records is None and isinstance(asked, Reverse) and recursion:
            return await self._elsewhere(query)
        if (
            domain is not None
            and question.name == domain
            and kind in (RdataType.SOA, RdataType.ANY)
        ):
            assert records is not None
            records = records.beginning_with(start)
        return make_reply(query, records, start=start, recursion=recursion)

    async def _elsewhere(self, query: dns.message.Message) -> dns.message.Message:
        """Pass a question on to the recursors."""
        if not self._settings.recursors:
            return make_reply(query, None, start=None, code=Rcode.REFUSED)
        asking = dns.message.make_query(
            query.question[0].name,
            query.question[0].rdtype,
            use_edns=0,
            payload=QUESTION_BYTES_MAX,
            want_dnssec=bool(query.ednsflags & dns.flags.DO),
        )
        for text in self._settings.recursors:
            host, port = parse_address(text)
            try:
                found, _ = await dns.asyncquery.udp_with_fallback(
                    asking, host, timeout=self._settings.recursor_timeout, port=port
                )
            except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
                log.info("dns: recursor %s: %s", text, error)
                continue
            reply = make_reply(query, None, start=None, code=found.rcode(), recursion=True)
            reply.answer = list(found.answer)
            reply.authority = list(found.authority)
            reply.additional = list(found.additional)
            return reply
        return make_reply(query, None, start=None, code=Rcode.SERVFAIL, recursion=True)

    # UDP.

    async def serve_datagrams(self, datagrams: trio.socket.SocketType) -> None:
        """Answer datagrams, for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    data, sender = await datagrams.recvfrom(QUESTION_BYTES_MAX)
                except OSError as error:  # an ICMP message of an earlier answer
                    log.debug("dns: %s", error)
                    continue
                if self._busy < QUESTIONS_MAX:
                    self._busy += 1
                    nursery.start_soon(self._answer_datagram, datagrams, data, sender)

    async def _answer_datagram(
        self, datagrams: trio.socket.SocketType, data: bytes, sender: Address
    ) -> None:
        try:
            answer = await self.answer(data)
            if answer is not None:
                await datagrams.sendto(answer, sender)
        except OSError as error:
            log.debug("dns: no answer to %s: %s", sender, error)
        except Exception:  # one strange question must not end all answers
            log.exception("dns: a fault of ours")
        finally:
            self._busy -= 1

    # TCP.

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Answer the questions of one connection, one after the other (RFC 1035, 4.2.2)."""
        self._connections += 1
        try:
            while self._connections <= CONNECTIONS_MAX and await self._answer_next(stream):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError):
            pass  # gone, or too slow
        except Exception:
            log.exception("dns: a fault of ours")
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    async def _answer_next(self, stream: trio.SocketStream) -> bool:
        """Answer one question; return whether another may follow."""
        with trio.fail_after(IDLE_SECONDS):
            head = await _read(stream, 2)
            data = await _read(stream, min(int.from_bytes(head), QUESTION_BYTES_MAX))
        if not data or len(data) < int.from_bytes(head):
            return False
        answer = await self.answer(data, room=TCP_BYTES_MAX)
        if answer is None:
            return False
        with trio.fail_after(IDLE_SECONDS):
            await stream.send_all(len(answer).to_bytes(2) + answer)
        return True


async def _read(stream: trio.SocketStream, size: int) -> bytes:
    """Return so many bytes, or fewer at the end of the stream."""
    data = bytearray()
    while len(data) < size:
        part = await stream.receive_some(size - len(data))
        if not part:
            break
        data += part
    return bytes(data)


def _labels(name: dns.name.Name, *, lower: bool = False) -> tuple[str, ...]:
    labels = tuple(label.decode("utf-8", "replace") for label in name.labels if label)
    return tuple(label.lower() for label in labels) if lower else labels


async def serve_dns(
    catalog: Catalog,
    bind: str,
    *,
    datacenter: str,
    settings: DnsSettings | None = None,
    random: Random | None = None,
    task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer DNS at `bind` until cancelled; started with the address that it became.

    Raises:
        StartError: nobody can listen there.

    """
    server = DnsServer(
        catalog,
        datacenter=datacenter,
        settings=settings or DnsSettings(),
        random=random or Random(),
    )
    datagrams, listener = await _listen(parse_address(bind, what="dns"))
    with datagrams:
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(server.serve_datagrams, datagrams)
            nursery.start_soon(trio.serve_listeners, server.serve_connection, [listener])
            host, port, *_ = listener.socket.getsockname()
            log.info("dns listens on %s, UDP and TCP", format_address((host, port)))
            task_status.started((host, port))


async def _listen(address: Address) -> tuple[trio.socket.SocketType, trio.SocketListener]:
    """Return sockets of one port for both; port 0: any that is free for both."""
    host, port = address
    for _ in range(PORT_ATTEMPTS_MAX if port == 0 else 1):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        datagrams = trio.socket.socket(family, socket.SOCK_DGRAM)
        try:
            await datagrams.bind((host, port))
            chosen = datagrams.getsockname()[1]
            listeners = await trio.open_tcp_listeners(chosen, host=host)
        except OSError as error:
            datagrams.close()
            failure = error
        else:
            return datagrams, listeners[0]
    raise StartError(f"dns cannot listen at {format_address(address)}: {failure}") from failure
