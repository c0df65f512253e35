"""Options that every read takes."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers, QueryParams

from catalog.http.options import Options, parse_bool, parse_index, read_options


def read(query: str, **headers: str) -> Options:
    return read_options(QueryParams(query), Headers(headers))


def test_without_options_an_answer_comes_at_once():
    """And is as current as the catalog's default."""
    assert Options() == read("")


def test_all_options_are_read():
    """By the names that Consul's clients send."""
    expected = Options(
        datacenter="dc2",
        index=7,
        wait=10.0,
        stale=True,
        max_stale=2.0,
        cached=True,
        filter="Node == n1",
        near="_agent",
        node_meta={"rack": "a:b", "bare": ""},
        pretty=True,
        token="t",
    )

    assert expected == read(
        "dc=dc2&index=7&wait=10s&stale&max_stale=2s&cached&filter=Node+%3D%3D+n1&near=_agent"
        "&node-meta=rack:a:b&node-meta=bare&pretty=1&token=t"
    )


def test_datacenter_wins_over_dc():
    """As with Consul, which renamed it."""
    assert "b" == read("dc=a&datacenter=b").datacenter


@pytest.mark.parametrize(
    ("wait", "seconds"), [("", 300.0), ("0", 300.0), ("-1s", 300.0), ("1h", 600.0), ("20ms", 0.02)]
)
def test_wait_is_bounded(wait, seconds):
    """5 minutes if nothing is said, 10 at most."""
    assert seconds == pytest.approx(read(f"index=1&wait={wait}").wait)


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        ("", 259200.0),
        ("no-store", 259200.0),
        ("max-age=30, stale-if-error=60", 30.0),
        ("Max-Age=0", 0.0),
        ("max-age=99999999", 259200.0),
        ("max-age=30, must-revalidate", 0.0),
    ],
)
def test_a_cached_answer_is_as_old_as_its_reader_bears(control, seconds):
    """By `Cache-Control`; three days if nothing is said, and at most. Others' copies are theirs."""
    assert seconds == read("cached", **{"cache-control": control}).max_age
    assert 259200.0 == read("", **{"cache-control": "max-age=soon"}).max_age
    with pytest.raises(ValueError, match="max-age"):
        read("cached", **{"cache-control": "max-age=soon"})


@pytest.mark.parametrize(
    "query",
    [
        "stale&consistent",
        "cached&consistent",
        "wait=soon",
        "index=-1",
        "index=1x",
        "index=99999999999999999999",
        "max_stale=old&stale",
        "filter=" + "x" * 5000,
    ],
)
def test_nonsense_is_refused(query):
    """With a sentence, and nothing else happens."""
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        read(query)


def test_a_token_comes_from_the_query_then_the_header_then_authorization():
    """In this order."""
    headers = {"x-consul-token": "header", "authorization": "Bearer bearer"}

    assert "query" == read("token=query", **headers).token
    assert "header" == read("", **headers).token
    assert "bearer" == read("", authorization="Bearer bearer").token
    assert not read("", authorization="Basic eDp5").token


def test_booleans_are_gos():
    """Python's clients send `True`."""
    assert parse_bool("True", what="enable")
    assert not parse_bool("f", what="enable")
    with pytest.raises(ValueError, match="enable"):
        parse_bool("yes", what="enable")


def test_an_index_is_unsigned():
    """And empty is 0."""
    assert 0 == parse_index("", what="index")
    assert 2**64 - 1 == parse_index(str(2**64 - 1), what="index")
    with pytest.raises(ValueError, match="cas"):
        parse_index("\u0663", what="cas")
