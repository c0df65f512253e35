"""A message for a message."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.name
import dns.rrset
import pytest
from dns.rcode import Rcode
from hypothesis import given
from hypothesis import strategies as st

from catalog.dns.replies import (
    format_error,
    make_reply,
    read_query,
    refusal_of,
    render,
    room_of,
)
from catalog.dns.zone import Records

START = dns.rrset.from_text("consul.", 0, "IN", "SOA", "ns.consul. h.consul. 1 3600 600 86400 0")


def query(**more) -> dns.message.Message:
    return dns.message.make_query("web.service.consul", "A", **more)


def many(count: int) -> Records:
    """So many addresses."""
    texts = [f"10.0.{number // 250}.{number % 250}" for number in range(count)]
    extra = dns.rrset.from_text("n1.node.consul.", 0, "IN", "A", "10.0.0.1")
    return Records((dns.rrset.from_text("web.service.consul.", 0, "IN", "A", *texts),), (extra,))


def test_a_name_that_is_not_there_is_nxdomain_with_soa():
    """So that the answer can be kept for as long as the zone says."""
    reply = make_reply(query(), None, start=START)

    assert Rcode.NXDOMAIN == reply.rcode()
    assert [START] == reply.authority
    assert reply.flags & dns.flags.AA


def test_a_type_that_is_not_there_is_noerror_with_soa():
    """The name exists."""
    reply = make_reply(query(), Records(), start=START)

    assert Rcode.NOERROR == reply.rcode()
    assert ([], [START]) == (reply.answer, reply.authority)


def test_what_was_found_is_answered():
    """Without SOA."""
    reply = make_reply(query(), many(2), start=START)

    assert 2 == len(reply.answer)
    assert [] == reply.authority


def test_a_small_answer_is_whole():
    """And says so."""
    data = render(make_reply(query(), many(3), start=START), room=512)
    read = dns.message.from_wire(data)

    assert 3 == len(read.answer[0])
    assert 1 == len(read.additional)
    assert not read.flags & dns.flags.TC


@pytest.mark.parametrize("room", [512, 1232, 4096])
def test_a_large_answer_is_cut_to_the_room_there_is(room):
    """Record by record, as many as fit; TC says that there are more."""
    data = render(make_reply(query(), many(400), start=START), room=room)
    read = dns.message.from_wire(data)

    assert room - 16 < len(data) <= room
    assert read.flags & dns.flags.TC
    assert [] == read.additional


def test_tc_can_be_left_out():
    """For clients that are content with a part."""
    data = render(make_reply(query(), many(400), start=START), room=512, truncate=False)

    assert not dns.message.from_wire(data).flags & dns.flags.TC


def test_a_stream_holds_thousands():
    """The limit there is 64 KiB."""
    data = render(make_reply(query(), many(4000), start=START), room=65535)

    assert 4000 == len(dns.message.from_wire(data).answer[0])


@pytest.mark.parametrize(
    ("more", "room"),
    [({}, 512), ({"payload": 1232}, 1232), ({"payload": 100}, 512), ({"payload": 65000}, 4096)],
)
def test_the_question_says_how_large_a_datagram_may_be(more, room):
    """By EDNS, within bounds."""
    assert room == room_of(query(**more))


def test_what_is_no_question_is_refused():
    """Each with its code."""
    assert refusal_of(query()) is None
    assert Rcode.BADVERS == refusal_of(query(use_edns=1))
    assert Rcode.NOTIMP == refusal_of(dns.message.from_text("id 1\nopcode STATUS\n"))
    assert Rcode.FORMERR == refusal_of(dns.message.Message())
    assert Rcode.REFUSED == refusal_of(dns.message.make_query("version.bind", "TXT", "CH"))


def test_answers_and_fragments_are_not_answered():
    """Else two servers could go on for ever."""
    assert read_query(b"") is None
    assert read_query(query().to_wire()[:11]) is None
    assert read_query(dns.message.make_response(query()).to_wire()) is None


def test_a_broken_question_is_answered_by_its_header():
    """With its id, so that the sender knows which."""
    data = query().to_wire()[:-3]

    with pytest.raises(ValueError, match="no message"):
        read_query(data)
    reply = dns.message.from_wire(format_error(data))

    assert (data[:2], Rcode.FORMERR) == (reply.id.to_bytes(2), reply.rcode())


@given(st.binary(min_size=12, max_size=64))
def test_no_bytes_break_the_reader(data):
    """A message, or a refusal."""
    try:
        found = read_query(data)
    except ValueError:
        assert 12 == len(format_error(data))
    else:
        if found is not None and (code := refusal_of(found)) is not None:
            render(make_reply(found, None, start=None, code=code), room=512)


def test_an_answer_says_how_large_questions_may_be():
    """By EDNS, and only to those who speak it: what is larger is cut off by us."""
    assert 4096 == make_reply(query(use_edns=0), None, start=START).payload
    assert make_reply(query(), None, start=START).edns < 0
