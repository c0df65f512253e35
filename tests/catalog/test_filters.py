"""Filter expressions: the grammar, the meaning of each operator, and errors that say where."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.filters import EXPRESSION_CHARS_MAX, FilterError, parse_filter

THING = {
    "Node": "n1",
    "ServicePort": 80,
    "ServiceTags": ["v1", "blue"],
    "ServiceMeta": {"env": "prod", "a b": "c"},
    "Service": {"Meta": {"env": "prod"}, "EnableTagOverride": False},
    "Checks": [],
    "Name": None,
}


@pytest.mark.parametrize(
    "expression",
    [
        'Node == "n1"',
        "Node == n1",
        "Node == `n1`",
        'Node != "n2"',
        "ServicePort == 80",
        'ServicePort == "80"',
        "ServicePort != 81",
        'Service.Meta.env == "prod"',
        'ServiceMeta["a b"] == "c"',
        '"v1" in ServiceTags',
        "v1 in ServiceTags",
        '"v2" not in ServiceTags',
        'ServiceTags contains "blue"',
        'ServiceTags not contains "green"',
        '"env" in ServiceMeta',
        'Node contains "1"',
        "Checks is empty",
        "Gone is empty",
        "Name is empty",
        "ServiceTags is not empty",
        'Node matches "^n[0-9]$"',
        'Node not matches "^x"',
        "Service.EnableTagOverride == false",
        'not Node == "n2"',
        'Node == "n1" and ServicePort == 80',
        'Node == "n2" or ServicePort == 80',
        'Node == "n1" or Node == "n2" and ServicePort == 81',
        '(Node == "n1" or Node == "n2") and ServicePort == 80',
        'not (Node == "n2" or ServicePort == 81)',
        'Gone.Deeper != "x"',
        'Name == "x" or not "x" in Gone',
        r'Node != "a\"b"',
    ],
)
def test_what_is_so_is_accepted(expression: str) -> None:
    """And its opposite is not."""
    assert parse_filter(expression)(THING)
    assert not parse_filter(f"not ({expression})")(THING)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "a name"),
        ("Node", "at 4"),
        ("Node ==", "the end at 7"),
        ("Node = n1", "at 4"),
        ('Node == "n1" Node', "'Node' at 13"),
        ('(Node == "n1"', "'\\)'"),
        ('and == "x"', "'and' at 0"),
        ("Node is nothing", "an operator"),
        ('Node["x" == 1', "'\\]'"),
        ("Node[x] == 1", "quotes"),
        ("Node. == 1", "a name"),
        ('Node matches "(a+)+"', "pattern at 13"),
        ("not " * 40 + "Node == 1", "nests deeper"),
        ("(" * 40 + "Node == 1", "nests deeper"),
        ("x" * (EXPRESSION_CHARS_MAX + 1), "at most"),
    ],
)
def test_what_makes_no_sense_is_refused(expression: str, says: str) -> None:
    """With the place and what was expected there."""
    with pytest.raises(FilterError, match=says):
        parse_filter(expression)


def test_a_filter_names_what_it_asks_about() -> None:
    """So that a caller can refuse what it does not know."""
    found = parse_filter('A.B == 1 and "x" in C["d"]').selectors

    assert (("A", "B"), ("C", "d")) == found


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from('ab"`.[]()=! notinandoris\\'), max_size=40))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    """Whatever is sent, there is a filter or the one error."""
    with suppress(FilterError):
        assert parse_filter(text)(THING) in (True, False)


names = st.sampled_from(("a", "b", "c"))
terms = st.recursive(
    st.builds(lambda name, value: (f'{name} == "{value}"', (name, value)), names, names),
    lambda inner: st.one_of(
        st.builds(lambda one: (f"not ({one[0]})", ("not", one[1])), inner),
        st.builds(
            lambda word, one, two: (f"({one[0]}) {word} ({two[0]})", (word, one[1], two[1])),
            st.sampled_from(("and", "or")),
            inner,
            inner,
        ),
    ),
    max_leaves=8,
)


def truth(term: Any, thing: dict[str, str]) -> bool:
    """Return what a term says, worked out apart."""
    match term:
        case ("not", inner):
            return not truth(inner, thing)
        case ("and", one, two):
            return truth(one, thing) and truth(two, thing)
        case ("or", one, two):
            return truth(one, thing) or truth(two, thing)
    name, value = term
    return bool(thing.get(name) == value)


@settings(deadline=None, max_examples=100)
@given(terms, st.dictionaries(names, names))
def test_connectives_mean_what_they_say(term: tuple[str, Any], thing: dict[str, str]) -> None:
    """Any combination of and, or, not and parentheses agrees with a plain evaluation."""
    expression, meaning = term

    assert truth(meaning, thing) == parse_filter(expression)(thing)
