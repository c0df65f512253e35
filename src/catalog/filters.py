"""Filter expressions: `Service.Meta.env == "prod" and "v2" in ServiceTags`.

Consul's language (`?filter=`), parsed once and applied to plain values: dicts, lists, texts,
numbers. An expression is

    either  := both ("or" both)*
    both    := one ("and" one)*
    one     := "not" one | "(" either ")" | match
    match   := selector "==" value | selector "!=" value
             | selector ["not"] "contains" value | value ["not"] "in" selector
             | selector "is" ["not"] "empty"
             | selector ["not"] "matches" value
    selector:= name ("." name | "[" text "]")*
    value   := "text" | `text` | number | true | false | name

What is not there is empty, equals nothing, contains nothing and matches nothing. Numbers and
truth values compare as such, so `Port == 80` and `Port == "80"` are the same.

An expression is bounded in length and depth, and its patterns in time (`catalog.patterns`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from attrs import Factory, define, frozen

from catalog.patterns import Pattern

__all__ = ["EXPRESSION_CHARS_MAX", "Filter", "FilterError", "parse_filter"]

EXPRESSION_CHARS_MAX: Final = 4096
DEPTH_MAX: Final = 32

TOKEN: Final = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)
        |(?P<number>-?\d+(?:\.\d+)?(?![\w.]))
        |(?P<name>[^\W\d][\w/:-]*)
        |(?P<sign>==|!=|[().\[\]]))""",
    re.VERBOSE,
)
ESCAPE: Final = re.compile(r"\\(.)")
WORDS: Final = {"and", "or", "not", "in", "is", "empty", "contains", "matches"}


def parse_filter(expression: str) -> Filter:
    """Return the filter that an expression says.

    Raises:
        FilterError: the expression makes no sense.

    """
    if len(expression) > EXPRESSION_CHARS_MAX:
        raise FilterError(
            f"a filter has at most {EXPRESSION_CHARS_MAX} characters, not {len(expression)}"
        )
    parser = Parser(expression, list(_tokens(expression)))
    return Filter(parser.parse(), tuple(parser.selectors))


class FilterError(ValueError):
    """An expression that makes no sense; the text names the position. Nothing was filtered."""


class Absent:
    """What a selector finds where there is nothing."""


ABSENT: Final = Absent()


@frozen
class Match:
    """A selector and what is asked of it."""

    selector: tuple[str, ...]
    operator: str
    """`==`, `contains`, `empty` or `matches`."""
    value: str
    pattern: Pattern | None
    wanted: bool
    """`False`: the opposite is asked."""

    def accepts(self, thing: Any) -> bool:
        """Whether a thing is as asked."""
        found = _select(thing, self.selector)
        match self.operator:
            case "==":
                answer = _equals(found, self.value)
            case "contains":
                answer = _contains(found, self.value)
            case "empty":
                answer = found is ABSENT or found is None or _is_hollow(found)
            case _:
                assert self.pattern is not None, "a match by pattern has one"
                answer = isinstance(found, str) and self.pattern.found_in(found)
        return answer is self.wanted


@frozen
class Not:
    """The opposite."""

    term: Term

    def accepts(self, thing: Any) -> bool:
        """Whether the term does not accept the thing."""
        return not self.term.accepts(thing)


@frozen
class Several:
    """All of some terms, or any."""

    terms: tuple[Term, ...]
    every: bool

    def accepts(self, thing: Any) -> bool:
        """Whether all of the terms accept the thing, or any of them does."""
        each = (term.accepts(thing) for term in self.terms)
        return all(each) if self.every else any(each)


Term: TypeAlias = Match | Not | Several


@frozen
class Filter:
    """A parsed expression: call it with a value."""

    _term: Term
    selectors: tuple[tuple[str, ...], ...]
    """What is asked about, so that a caller can refuse names that it does not know."""

    def __call__(self, thing: Any) -> bool:
        """Whether a plain value is as the expression asks."""
        return self._term.accepts(thing)


@frozen
class Token:
    """A piece of an expression."""

    kind: str
    text: str
    at: int


def _tokens(expression: str) -> Iterator[Token]:
    at = 0
    end = len(expression.rstrip())
    while at < end:
        match = TOKEN.match(expression, at)
        if match is None:
            raise FilterError(f"the filter makes no sense at {at}: {expression[at : at + 20]!r}")
        kind = str(match.lastgroup)
        text = match[kind]
        if kind == "text":
            raw = text[1:-1]
            text = raw if text[0] == "`" else ESCAPE.sub(r"\1", raw)
        yield Token(kind, text, match.start(kind))
        at = match.end()
    yield Token("end", "", end)


@define
class Parser:
    """Descends the grammar above, a method a rule."""

    expression: str
    tokens: list[Token]
    at: int = 0
    depth: int = 0
    selectors: list[tuple[str, ...]] = Factory(list)

    def parse(self) -> Term:
        """Return the term that the whole expression is."""
        term = self._either()
        if self._next.kind != "end":
            raise self._error("and, or, or the end")
        return term

    @property
    def _next(self) -> Token:
        return self.tokens[self.at]

    def _error(self, expected: str) -> FilterError:
        token = self._next
        found = repr(token.text) if token.kind != "end" else "the end"
        return FilterError(f"the filter has {found} at {token.at}, where {expected} was expected")

    def _take(self, *texts: str) -> bool:
        """Step over these words or signs if they come next."""
        coming = self.tokens[self.at : self.at + len(texts)]
        if [token.text for token in coming if token.kind in ("name", "sign")] != list(texts):
            return False
        self.at += len(texts)
        return True

    def _either(self) -> Term:
        terms = [self._both()]
        while self._take("or"):
            terms.append(self._both())
        return terms[0] if len(terms) == 1 else Several(tuple(terms), every=False)

    def _both(self) -> Term:
        terms = [self._one()]
        while self._take("and"):
            terms.append(self._one())
        return terms[0] if len(terms) == 1 else Several(tuple(terms), every=True)

    def _one(self) -> Term:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise FilterError(f"the filter nests deeper than {DEPTH_MAX} at {self._next.at}")
        term: Term
        if self._take("not"):
            term = Not(self._one())
        elif self._take("("):
            term = self._either()
            if not self._take(")"):
                raise self._error("')'")
        else:
            term = self._match()
        self.depth -= 1
        return term

    def _match(self) -> Term:
        start = self.at
        for wanted, words in ((True, ("in",)), (False, ("not", "in"))):
            self.at = start
            if self._next.kind in ("text", "number", "name"):
                self.at += 1
                if self._take(*words):
                    return self._asked(self._selector(), "contains", self.tokens[start], wanted)
        self.at = start
        selector = self._selector()
        if self._take("is", "empty"):
            return Match(selector, "empty", "", None, wanted=True)
        if self._take("is", "not", "empty"):
            return Match(selector, "empty", "", None, wanted=False)
        for words, operator in (
            (("==",), "=="),
            (("!=",), "!="),
            (("contains",), "contains"),
            (("not", "contains"), "not contains"),
            (("matches",), "matches"),
            (("not", "matches"), "not matches"),
        ):
            if self._take(*words):
                negated = operator.startswith(("not", "!"))
                bare = "==" if operator == "!=" else operator.removeprefix("not ")
                return self._asked(selector, bare, self._value(), not negated)
        raise self._error("an operator (==, !=, in, contains, is empty, matches)")

    def _asked(
        self,
        selector: tuple[str, ...],
        operator: str,
        value: Token,
        wanted: bool,  # noqa: FBT001
    ) -> Match:
        pattern = None
        if operator == "matches":
            try:
                pattern = Pattern(value.text)
            except ValueError as error:
                raise FilterError(f"the filter's pattern at {value.at}: {error}") from error
        return Match(selector, operator, value.text, pattern, wanted)

    def _value(self) -> Token:
        token = self._next
        if token.kind not in ("text", "number", "name"):
            raise self._error("a value")
        self.at += 1
        return token

    def _selector(self) -> tuple[str, ...]:
        if self._next.kind != "name" or self._next.text in WORDS:
            raise self._error("a name")
        path = [self._next.text]
        self.at += 1
        while True:
            if self._take("."):
                if self._next.kind != "name":
                    raise self._error("a name")
                path.append(self._next.text)
                self.at += 1
            elif self._take("["):
                if self._next.kind != "text":
                    raise self._error("a text in quotes")
                path.append(self._next.text)
                self.at += 1
                if not self._take("]"):
                    raise self._error("']'")
            else:
                break
        self.selectors.append(tuple(path))
        return tuple(path)


def _select(thing: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(thing, Mapping) or name not in thing:
            return ABSENT
        thing = thing[name]
    return thing


def _equals(found: Any, value: str) -> bool:
    if isinstance(found, bool):
        return value == ("true" if found else "false")
    if isinstance(found, int | float):
        try:
            return bool(found == float(value))
        except ValueError:
            return False
    return isinstance(found, str) and found == value


def _contains(found: Any, value: str) -> bool:
    if isinstance(found, str):
        return value in found
    if isinstance(found, Mapping):
        return value in found
    if isinstance(found, Sequence):
        return any(_equals(one, value) for one in found)
    return False


def _is_hollow(found: Any) -> bool:
    return isinstance(found, str | Mapping | Sequence) and len(found) == 0
