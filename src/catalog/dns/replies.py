"""A message for a message: which code, which sections, how much of it fits.

A name that does not exist is NXDOMAIN; one that exists, but not with the type asked for, is
NOERROR without an answer (NODATA); both carry the zone's SOA record (RFC 2308, 2).

What does not fit a datagram is cut record by record, from the end, and TC is set: whoever wants
all of it asks again over TCP (RFC 2181, 9). Additional records go first, and without notice: they
are a courtesy. A datagram has 512 bytes, or what the question allows by EDNS (RFC 6891, 6.2.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rrset
from dns.rcode import Rcode

from catalog.dns.zone import Records

__all__ = [
    "TCP_BYTES_MAX",
    "format_error",
    "make_reply",
    "read_query",
    "refusal_of",
    "render",
    "room_of",
]

UDP_BYTES_MIN: Final = 512
UDP_BYTES_MAX: Final = 4096
"""However much a question allows: larger datagrams travel in fragments, and get lost."""
TCP_BYTES_MAX: Final = 65535
HEADER_BYTES: Final = 12
RESPONSE_BIT: Final = 0x80
"""Of the third byte: the message is an answer itself."""


def read_query(data: bytes) -> dns.message.Message | None:
    """Return the question in a message.

    `None`: it deserves no answer: it is no message, or an answer (two servers that answer each
    other's answers never end).

    Raises:
        ValueError: it has a header, and the rest cannot be read.

    """
    if len(data) < HEADER_BYTES or data[2] & RESPONSE_BIT:
        return None
    try:
        return dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, KeyError) as error:
        raise ValueError(f"no message of DNS: {error}") from error


def refusal_of(query: dns.message.Message) -> Rcode | None:
    """Return why a message is not answered, or `None`: it is."""
    if query.edns > 0:
        return Rcode.BADVERS
    if query.opcode() != dns.opcode.QUERY:
        return Rcode.NOTIMP
    if len(query.question) != 1:
        return Rcode.FORMERR
    if query.question[0].rdclass not in (dns.rdataclass.IN, dns.rdataclass.ANY):
        return Rcode.REFUSED
    return None


def format_error(data: bytes) -> bytes:
    """Return the answer to a message of which only the header can be read."""
    header = bytearray(data[:2] + bytes(10))
    header[2] = RESPONSE_BIT | (data[2] & 0x79)  # opcode and the wish for recursion stay
    header[3] = Rcode.FORMERR
    return bytes(header)


def room_of(query: dns.message.Message) -> int:
    """Return how many bytes a datagram with the answer may have."""
    if query.edns < 0:
        return UDP_BYTES_MIN
    return min(max(query.payload, UDP_BYTES_MIN), UDP_BYTES_MAX)


def make_reply(
    query: dns.message.Message,
    records: Records | None,
    *,
    start: dns.rrset.RRset | None,
    code: Rcode | None = None,
    recursion: bool = False,
) -> dns.message.Message:
    """Return the reply with these records.

    Args:
        query: what was asked.
        records: what was found; `None`: there is no such name.
        start: the zone's SOA record; `None`: we have no authority over the name.
        code: an error, whatever was found.
        recursion: whether names of others are looked up.

    """
    reply = dns.message.make_response(
        query, recursion_available=recursion, our_payload=UDP_BYTES_MAX
    )
    if start is not None:
        reply.flags |= dns.flags.AA
    if code is not None:
        reply.set_rcode(code)
        return reply
    if records is None:
        reply.set_rcode(Rcode.NXDOMAIN)
    else:
        # One by one: sets would be shuffled on their way out.
        reply.answer = list(_singles(records.answer))
        reply.additional = list(records.additional)
    if not reply.answer and start is not None:
        reply.authority = [start]
    return reply


def render(reply: dns.message.Message, *, room: int, truncate: bool = True) -> bytes:
    """Return the bytes of a reply, cut to fit into `room`."""
    try:
        return reply.to_wire(max_size=room)
    except dns.exception.TooBig:
        pass
    reply.additional = []
    answer = list(reply.answer)
    fitting, too_many = 0, len(answer) + 1
    while too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        reply.answer = answer[:middle]
        try:
            reply.to_wire(max_size=room)
            fitting = middle
        except dns.exception.TooBig:
            too_many = middle
    reply.answer = answer[:fitting]
    if fitting < len(answer) and truncate:
        reply.flags |= dns.flags.TC
    return reply.to_wire(max_size=room)


def _singles(sets: Iterable[dns.rrset.RRset]) -> Iterator[dns.rrset.RRset]:
    for one in sets:
        for rdata in one:
            yield dns.rrset.from_rdata(one.name, one.ttl, rdata)
