"""Patterns from strangers: what is refused, and that the rest ends soon."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.patterns import TEXT_CHARS_MAX, Pattern


@pytest.mark.parametrize(
    "text",
    [
        "(a+)+$",
        "(a|a)*$",
        "((ab)*c)*",
        "(?:a?)*",
        "(a{2,})+",
        "a*b*c*",
        "(a{1,9}){1,9}",
        "a{1,1000}",
        "(?=a)b",
        "(?i)a",
        r"(a)\1",
        "(",
        "a**",
        "[b-a]",
        "*",
        "x" * 257,
    ],
)
def test_what_might_take_for_ever_or_is_none_is_refused(text: str) -> None:
    """One error for all of it, before anything is matched."""
    with pytest.raises(ValueError, match=r".+"):
        Pattern(text)


@pytest.mark.parametrize(
    ("text", "found", "missed"),
    [
        ("^web-[0-9]+$", "web-12", "web-x"),
        ("prod|test", "my-test", "dev"),
        (r"\d{3}", "a123", "a12"),
        ("a.*z", "xabcz", "za"),
        (r"[\]a-]+", "]", "b"),
        ("(web|db)-(.+)", "db-1", "db-"),
        ("(?:ab){2}", "abab", "ab"),
    ],
)
def test_what_people_write_works(text: str, found: str, missed: str) -> None:
    """As Python's engine has it, found anywhere in the text."""
    assert Pattern(text).found_in(found)
    assert not Pattern(text).found_in(missed)


def test_groups_are_what_was_found() -> None:
    """The match itself, then its groups; nothing where nothing matches."""
    assert ("db-1", "db", "1") == Pattern("(web|db)-(.+)").groups("x db-1")
    assert Pattern("(a)?b").groups("b") == ("b", "")
    assert Pattern("a").groups("b") == ()


@settings(deadline=None, max_examples=100)
@given(st.text("ab*+?(){}|[].2,", max_size=14))
def test_every_pattern_that_is_taken_ends_soon(text: str) -> None:
    """On the longest text, one that almost matches."""
    try:
        pattern = Pattern(text)
    except ValueError:
        return
    begun = time.perf_counter()
    pattern.found_in("ab" * (TEXT_CHARS_MAX // 2) + "!")
    pattern.found_in("a" * TEXT_CHARS_MAX + "!")

    assert time.perf_counter() - begun < 5.0
    assert re.compile(text)


def test_the_worst_that_is_taken_ends_soon() -> None:
    """Two repetitions without bound that never meet what they wait for."""
    begun = time.perf_counter()
    assert not Pattern("a*a*b").found_in("a" * TEXT_CHARS_MAX)

    assert time.perf_counter() - begun < 5.0
