"""JSON from clients."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from catalog.http.bodies import Fields, read_bytes, read_fields, read_list
from catalog.http.trouble import Trouble

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=9,
)


def request(*parts: bytes) -> Request:
    """A request whose body comes in these parts."""
    left = list(parts)

    async def receive():
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    return Request({"type": "http", "method": "PUT", "headers": []}, receive)


def test_keys_are_found_in_any_case_and_spelling():
    """Go does not care for case, and Consul has second spellings with underscores."""
    for key in ("enabletagoverride", "EnableTagOverride", "enable_tag_override"):
        assert Fields.of({key: True}, "").flag("EnableTagOverride")


def test_what_is_missing_or_null_is_empty():
    """Each type has its own emptiness."""
    for fields in (Fields.of({}, ""), Fields.of({"x": None}, ""), Fields.of(None, "")):
        assert "x" not in fields
        assert "" == fields.text("x")
        assert not fields.flag("x")
        assert 0 == fields.number("x")
        assert () == (*fields.texts("x"), *fields.objects("x"), *fields.reals("x"))
        assert {} == fields.pairs("x")
        assert fields.duration("x") is None
        assert "y" not in fields.object("x")


def test_values_are_taken_by_type():
    """A duration may be text or nanoseconds."""
    fields = Fields.of(
        {"n": 5.0, "t": ["a"], "p": {"K": "v"}, "d": "10s", "e": 10**9, "o": [{"N": 1}]}, ""
    )

    assert 5 == fields.number("N")
    assert ("a",) == fields.texts("T")
    assert {"K": "v"} == fields.pairs("P")
    assert 10.0 == fields.duration("D")
    assert 1.0 == fields.duration("E")
    assert [1] == [one.number("n") for one in fields.objects("O")]


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("text", 1),
        ("flag", "true"),
        ("number", "1"),
        ("number", 1.5),
        ("number", True),
        ("number", float("inf")),
        ("number", 10**400),
        ("reals", [float("nan")]),
        ("texts", "a"),
        ("texts", [1]),
        ("reals", ["1"]),
        ("pairs", {"a": 1}),
        ("objects", [1]),
        ("object", 1),
        ("duration", "soon"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(method, value):
    """400, and the text says which field of which object."""
    with pytest.raises(Trouble, match=r"Service\.X") as caught:
        getattr(Fields.of({"x": value}, "Service"), method)("X")

    assert 400 == caught.value.status


@given(JSON)
def test_no_value_breaks_the_readers(value):
    """It is read, or 400."""
    for method in ("text", "flag", "number", "real", "texts", "reals", "pairs", "duration"):
        with suppress(Trouble):
            getattr(Fields.of({"x": value}, ""), method)("x")


async def test_a_body_is_joined_from_its_parts():
    """Whatever the network made of it."""
    assert b"abc" == await read_bytes(request(b"a", b"bc"), limit=3)


async def test_a_body_over_the_limit_is_not_read_to_its_end():
    """413, with the limit."""
    endless = request(b"ab", b"cd", b"ef")

    with pytest.raises(Trouble, match="max size: 3 bytes") as caught:
        await read_bytes(endless, limit=3)

    assert 413 == caught.value.status


async def test_an_empty_body_is_an_empty_object():
    """Clients leave it out where everything is optional."""
    assert "" == (await read_fields(request(b" "))).text("Name")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000, b'{"a":' * 40 + b"1" + b"}" * 40]
)
async def test_a_body_that_is_no_object_is_refused(body):
    """400, however strange it is."""
    with pytest.raises(Trouble) as caught:
        await read_fields(request(body))

    assert 400 == caught.value.status


async def test_a_list_of_objects_is_read():
    """Transactions are sent so."""
    body = json.dumps([{"KV": {}}, {"kv": {}}]).encode()

    assert 2 == len(await read_list(request(body), "Operation"))
    with pytest.raises(Trouble):
        await read_list(request(b"{}"), "Operation")
