"""What constructors refuse, and how they say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from catalog import limits
from catalog.commands import PutKey
from catalog.model import HttpCheck, KeyValue, Node, Service, TcpCheck, TtlCheck

REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: Service(""), "Service.name must be 1 to 255"),
    (lambda: Service("a b"), "without spaces"),
    (lambda: Service("a\n"), "printable"),
    (lambda: Service("\ud800"), "printable"),
    (lambda: Service("x" * 256), "1 to 255"),
    (lambda: Service("web", "x" * 256), "Service.id"),
    (lambda: Service("web", port=65536), "Service.port must be 0"),
    (lambda: Service("web", port=-1), "Service.port"),
    (lambda: Service("web", address="0.0.0.0"), "listen on"),
    (lambda: Service("web", tags=[""]), "Service.tags"),
    (lambda: Service("web", tags=["t"] * 65), "65 tags, at most 64"),
    (lambda: Service("web", meta={"": "v"}), "Service.meta"),
    (lambda: Service("web", meta={"k": "v" * 513}), "at most 512"),
    (lambda: Service("web", meta={str(n): "" for n in range(65)}), "65 pairs"),
    (lambda: Service("web", checks=[TtlCheck(1)] * 17), "17 checks, at most 16"),
    (lambda: Service("web", checks=[TtlCheck(1, id="c")] * 2), "one id"),
    (lambda: Node("n1", ""), "Node.address"),
    (lambda: Node("n1", "::"), "listen on"),
    (lambda: TtlCheck(0), "TtlCheck.ttl must be 0.01 seconds"),
    (lambda: TtlCheck(float("nan")), "finite"),
    (lambda: TtlCheck(float("inf")), "finite"),
    (lambda: TtlCheck(1, deregister_critical_after=-1), "deregister_critical_after"),
    (lambda: HttpCheck(""), "HttpCheck.url"),
    (lambda: HttpCheck("http://x/", interval=1e9), "366 days"),
    (lambda: TcpCheck("x:1", timeout=0), "TcpCheck.timeout"),
    (lambda: TcpCheck("x:1", failures_before_critical=0), "1 to 1000"),
    (lambda: KeyValue("", b""), "1 to 1024 characters"),
    (lambda: KeyValue("k" * 1025, b""), "not 1025"),
    (lambda: KeyValue("k", b"", flags=2**64), "unsigned 64-bit"),
    (lambda: KeyValue("k", bytes(limits.VALUE_BYTES_MAX + 1)), "at most 524288 bytes"),
    (lambda: PutKey("k", b"", flags=-1), "unsigned 64-bit"),
]

MISTYPED: list[tuple[Callable[[], Any], str]] = [
    (lambda: Service(5), "Service.name must be a str"),  # type: ignore[arg-type]
    (lambda: Service("web", port="80"), "Service.port must be an int"),  # type: ignore[arg-type]
    (lambda: Service("web", port=True), "Service.port must be an int"),
    (lambda: Service("web", tags="blue"), "several strings"),
    (lambda: Service("web", meta=[("k", "v")]), "a mapping"),  # type: ignore[arg-type]
    (lambda: Service("web", meta={"k": 1}), "map str to str"),  # type: ignore[dict-item]
    (lambda: Service("web", meta={"k": "v", 1: "w"}), "map str"),  # type: ignore[dict-item]
    (lambda: Service("web", checks=["ttl"]), "must hold checks"),  # type: ignore[list-item]
    (lambda: TtlCheck("5s"), "a number of seconds"),
    (lambda: TtlCheck(True), "a number of seconds"),
    (lambda: KeyValue("k", "v"), "must be bytes"),  # type: ignore[arg-type]
    (lambda: KeyValue(b"k", b""), "must be a str"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "words"), REFUSED, ids=map(str, range(len(REFUSED))))
def test_bad_content_is_refused_in_words(make: Callable[[], Any], words: str) -> None:
    """A value out of bounds is a ValueError that names the field and what is allowed."""
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(("make", "words"), MISTYPED, ids=map(str, range(len(MISTYPED))))
def test_a_wrong_type_is_refused_in_words(make: Callable[[], Any], words: str) -> None:
    """A value of another type is a TypeError: nothing is converted behind the caller's back."""
    with pytest.raises(TypeError, match=words):
        make()


def test_limits_themselves_are_allowed() -> None:
    """The bounds belong to what is allowed."""
    Service("x" * 255, port=65535, tags=["t"] * 64, meta={"k" * 128: "v" * 512})
    KeyValue("k" * 1024, bytes(limits.VALUE_BYTES_MAX), flags=2**64 - 1)
    TtlCheck(0.01, deregister_critical_after=366 * 86400)


def test_output_is_cut() -> None:
    """A check's output longer than the limit is cut, not refused: the result still counts."""
    assert len(limits.clip("x" * 5000)) == 4096


def test_metadata_is_copied_sorted_and_sealed() -> None:
    """Metadata neither follows the caller's dict nor can be edited, and is in one order."""
    theirs = {"b": "2", "a": "1"}
    meta = Service("web", meta=theirs).meta
    theirs["c"] = "3"

    assert list(meta) == ["a", "b"]
    with pytest.raises(TypeError):
        meta["a"] = "x"  # type: ignore[index]
