"""Go's notation of durations."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.http.durations import format_duration, nanoseconds, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("15s", 15.0),
        ("1h30m", 5400.0),
        ("1.5ms", 0.0015),
        (".5s", 0.5),
        ("+1m", 60.0),
        ("-3s", -3.0),
        ("20\u00b5s", 2e-5),
        ("20\u03bcs", 2e-5),
    ],
)
def test_texts_are_read_as_go_reads_them(text, seconds):
    """All units, several of them, fractions, signs."""
    assert seconds == pytest.approx(parse_duration(text))


def test_a_number_counts_nanoseconds():
    """As a Go program marshals a duration."""
    assert 15.0 == parse_duration(15_000_000_000)


@pytest.mark.parametrize(
    "value",
    ["", "s", "15", "1d", "-", "1s ", "1e3s", "s" * 99, None, True, [], float("nan"), 10**400],
)
def test_anything_else_is_refused_by_name(value):
    """The message says which field it was."""
    with pytest.raises(ValueError, match=r"^Interval: "):
        parse_duration(value, what="Interval")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (1e-9, "1ns"),
        (1.5e-6, "1.5\u00b5s"),
        (0.02, "20ms"),
        (1.5, "1.5s"),
        (90, "1m30s"),
        (3600, "1h0m0s"),
        (-61.25, "-1m1.25s"),
        (604800, "168h0m0s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds, text):
    """Without zero units in front, with them behind."""
    assert text == format_duration(seconds)


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_what_is_written_is_read_again(count):
    """To the nanosecond, as far as a float can tell."""
    seconds = count / 1e9

    assert nanoseconds(parse_duration(format_duration(seconds))) == pytest.approx(count, abs=1)


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(text):
    """It is a duration, or a `ValueError`."""
    with suppress(ValueError):
        parse_duration(text)
