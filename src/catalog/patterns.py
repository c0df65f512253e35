r"""Regular expressions that strangers may send.

Python's engine tries alternatives one after the other, so some expressions take time that is
exponential in the length of the text, and one request could stop a server. Of those that remain
when the following is refused, the time is at most cubic in the length of the text, which is
bounded too:

* a repetition without bound inside a repetition, or of alternatives: `(a+)+`, `(a|b)*`;
* more than two repetitions without bound, or a counted one of more than `COUNT_MAX`;
* what looks around or back: `(?=`, `(?<`, `\1`.
"""

from __future__ import annotations

import re
import warnings

__all__ = ["Pattern"]

PATTERN_CHARS_MAX = 256
TEXT_CHARS_MAX = 512
"""Longer texts are matched up to here."""
REPETITIONS_MAX = 2
COUNT_MAX = 64
COUNTED = re.compile(r"\{(\d*)(,?)(\d*)\}")
ESCAPES = "dDwWsSbBAZnrtfv"
"""Letters that may follow a backslash; so may anything that is no letter and no digit."""


class Pattern:
    """A regular expression that is safe to match.

    Raises:
        ValueError: it is none, or it might take too long; the text says what to write instead.

    """

    def __init__(self, text: str) -> None:
        if len(text) > PATTERN_CHARS_MAX:
            raise ValueError(f"a pattern has at most {PATTERN_CHARS_MAX} characters")
        _refuse_slow(text)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # what may mean something else one day, as [[
                self._compiled = re.compile(text)
        except (re.error, OverflowError, RecursionError, Warning) as error:
            raise ValueError(f"{text!r} is no regular expression: {error}") from error

    def found_in(self, text: str) -> bool:
        """Whether any part of a text matches."""
        return self._compiled.search(text[:TEXT_CHARS_MAX]) is not None

    def groups(self, text: str) -> tuple[str, ...]:
        """Return the first match and its groups; of no match: nothing."""
        match = self._compiled.search(text[:TEXT_CHARS_MAX])
        if match is None:
            return ()
        return (match[0], *(group or "" for group in match.groups()))


def _refuse_slow(text: str) -> None:
    """Raise `ValueError` for what might take too long; what is malformed may pass."""
    unbounded = 0
    groups = [False]
    """Of each open group, outermost first: whether it repeats or chooses."""
    last = False
    """The same, of what a repetition right here would repeat."""
    at = 0
    while at < len(text):
        char = text[at]
        counted = COUNTED.match(text, at) if char == "{" else None
        if char == "\\":
            following = text[at + 1 : at + 2]
            if following.isalnum() and following not in ESCAPES:
                raise ValueError(f"\\{following} is not allowed in a pattern")
            last, at = False, at + 2
            continue
        if char == "[":
            last, at = False, _end_of_class(text, at)
            continue
        if char in "*+?" or counted:
            endless = char in "*+" or bool(counted and counted[2] and not counted[3])
            if last:
                raise ValueError(
                    f"a repetition of a repetition or of alternatives (at {at}) may take for ever; "
                    f"write a class like [ab]* instead"
                )
            if counted and any(int(n) > COUNT_MAX for n in (counted[1], counted[3]) if n):
                raise ValueError(f"a pattern repeats at most {COUNT_MAX} times (at {at})")
            unbounded += endless
            groups[-1] = True
            at += len(counted[0]) if counted else 1
            if text[at : at + 1] == "?":
                at += 1  # lazy: the same cost
            last = True
            continue
        if char == "(":
            if text[at + 1 : at + 2] == "?":
                if text[at + 2 : at + 3] != ":":
                    raise ValueError(f"{text[at : at + 3]} is not allowed in a pattern (at {at})")
                at += 2
            groups.append(False)
        elif char == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] = groups[-1] or last
            at += 1
            continue
        elif char == "|":
            groups[-1] = True
        last, at = False, at + 1
    if unbounded > REPETITIONS_MAX:
        raise ValueError(f"a pattern has at most {REPETITIONS_MAX} of * and +, not {unbounded}")


def _end_of_class(text: str, start: int) -> int:
    """Return where a class of characters ends."""
    at = start + 1
    if text[at : at + 1] == "^":
        at += 1
    if text[at : at + 1] == "]":
        at += 1
    while at < len(text) and text[at] != "]":
        at += 2 if text[at] == "\\" else 1
    return at + 1
