"""Answers as clients expect them."""

from __future__ import annotations

from catalog.http.answers import empty, failure, json_answer, read_headers
from catalog.http.trouble import Trouble


def test_json_is_compact_unless_people_read_it():
    """`pretty` has four spaces and an end of line."""
    assert b'{"a":[1]}' == json_answer({"a": [1]}).body
    assert b'{\n    "a": 1\n}\n' == json_answer({"a": 1}, pretty=True).body


def test_json_can_hold_any_text():
    """Also half of a pair of UTF-16, which no UTF-8 has."""
    assert b'"?"' == json_answer("\ud800").body


def test_an_error_is_plain_text():
    """And no browser guesses at it."""
    answer = failure(Trouble(413, "too much"))

    assert (413, b"too much") == (answer.status_code, answer.body)
    assert "text/plain; charset=utf-8" == answer.headers["content-type"]
    assert "nosniff" == answer.headers["x-content-type-options"]


def test_nothing_to_say_is_an_empty_200():
    """Clients look at the status alone."""
    assert (200, b"") == (empty().status_code, empty().body)


def test_an_index_of_0_is_sent_as_1():
    """Else a client that waits for more would ask in a loop."""
    headers = read_headers(index=0, known_leader=True, last_contact=0.25, effective="stale")

    assert "1" == headers["X-Consul-Index"]
    assert "true" == headers["X-Consul-KnownLeader"]
    assert "250" == headers["X-Consul-LastContact"]
